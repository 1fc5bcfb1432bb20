//! What a kind of handler promises.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::build::{BuildContext, BuildError};
use super::exempt::Exempt;
use super::plan::Plan;
use super::texts::Text;
use crate::event::{Delivery, Failure, Output};
use crate::settings::Table;

#[async_trait]
pub trait Handler: Send + Sync {
    /// One try with one event, or with a batch where the kind supports batches (then all of it is
    /// done, or what [`Failure::done`] names). Called at least once per event: a repeat must be
    /// harmless. Gives what the other side said, for people.
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure>;

    /// The most deliveries that one call can take.
    fn batch_max(&self) -> usize {
        1
    }

    /// The most deliveries that one call takes where the owner asks for no batches: more than 1
    /// where the difference cannot be seen from outside, and only the cost is shared (one sync,
    /// one transaction). What is due goes at once; nothing waits for a batch to fill.
    fn default_batch(&self) -> usize {
        1
    }

    /// Whether [`Delivery::replay`] or [`Delivery::progress`] makes a difference: it costs a look-up
    /// for each delivery that does not come straight out of the log.
    fn tells_replays(&self) -> bool {
        false
    }

    /// Ends what the handler keeps running, within a few seconds.
    async fn close(&self) {}
}

#[derive(Debug)]
pub struct Kind {
    /// The name of its table: `[handler.NAME.file]`.
    pub name: &'static str,
    /// The most deliveries that one call can take, whatever the settings say; 1 = the kind has no
    /// use for `batch`.
    pub batch_max: usize,
    /// The statuses that a failed try can have: of HTTP, of SMTP, or exit codes; `None` = it has none.
    pub statuses: Option<RangeInclusive<u16>>,
    /// The keys of its table that say where things go and that no plan shows, each with what is there:
    /// `("url", "database")`.
    pub targets: &'static [(&'static str, &'static str)],
    /// The keys of its table whose values show in a plan; of all others two plans say nothing.
    pub planned: &'static [&'static str],
    /// Reads its table and reports every problem in it; `None` where there was one. Opens nothing.
    pub read: fn(&mut Table<'_>) -> Option<Box<dyn KindSettings>>,
}

/// The checked settings of one handler's kind.
#[async_trait]
pub trait KindSettings: fmt::Debug + Send + Sync {
    /// What a call with `deliveries` would do: the same functions that [`Handler::handle`] acts by,
    /// without the acting. Pure: it opens nothing, waits for nothing and reads no secret. A failure
    /// is that of a real call, before anything was done.
    fn plan(&self, context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure>;

    /// The texts in it that are worked out for each event: `check` compares their fields with the
    /// senders' samples.
    fn texts(&self) -> Vec<Text> {
        Vec::new()
    }

    /// Opens what the handler needs. What may come and go (a server at the other end) is not
    /// asked for yet: only what cannot get well by itself is an error.
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError>;

    /// Looks at what can be looked at without a network: `gatepost check`. Changes nothing.
    fn check(&self, context: &BuildContext) -> Result<(), BuildError> {
        self.build(context).map(drop)
    }

    /// What would make each call fail now, and may still come by itself, such as a program that is
    /// installed later: the key in its table, and what is wrong there. Changes nothing.
    fn doubts(&self, _context: &BuildContext) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// How long one call may take where the owner says nothing; `None` = as long as of other kinds.
    fn default_timeout(&self) -> Option<Duration> {
        None
    }

    /// The events that the kind wants whatever `when` says.
    fn exempt(&self) -> Exempt {
        Exempt::default()
    }

    /// Whether samples of its events say something that the settings do not.
    fn wants_samples(&self) -> bool {
        false
    }

    /// What to write where an older event that is tried again after a newer one does harm; `None` = it does none.
    fn needs_order(&self) -> Option<&'static str> {
        None
    }

    /// What has to be written for `batch` to have a meaning with these settings; `None` = nothing.
    fn batch_needs(&self) -> Option<&'static str> {
        None
    }

    /// The files that it writes, each with others beside it.
    fn writes(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether it runs programs, which may do anything.
    fn runs_programs(&self) -> bool {
        false
    }

    /// What `check_online` looks at, for people: nothing of a user or a secret. `None` = it has no other end, or
    /// each event says which.
    fn other_end(&self) -> Option<String> {
        None
    }

    /// Whether the other end is not there yet and is made with the first event.
    fn makes_other_end(&self) -> bool {
        false
    }

    /// Looks whether the other end is there and fits: `gatepost check --online`. Changes nothing.
    async fn check_online(&self, _context: &BuildContext) -> Result<(), BuildError> {
        Ok(())
    }
}
