//! Events whose handling ends the process: an abort, or memory that the system does not give.
//!
//! Such an event comes back with every start and ends that too. So the process leaves a file while it
//! runs, and finds it again only where it ended by itself. Then, and only then, each call is noted there
//! before it begins:
//!
//! - What was under way at such an end is called alone from then on, so that it is known which one it
//!   was.
//! - What was begun in two lives of the process that it did not survive is not begun a third time: it
//!   becomes a dead letter.
//!
//! Nothing is synced: the file must outlive the process, not the machine, whose power cuts say nothing
//! of an event.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tracing::warn;

use crate::event::{Delivery, EventId, HandlerName};
use crate::files;
use crate::sync::lock;

/// After so many beginnings that the process did not survive, a delivery is set aside.
const BEGINNINGS_MAX: u32 = 2;

/// The calls that are under way, as far as they are noted.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Nothing = the last process ended well, and nothing is noted.
    file: Option<PathBuf>,
    noted: Mutex<BTreeMap<Call, u32>>,
    /// Held alone by the call of a suspect.
    alone: RwLock<()>,
}

type Call = (HandlerName, EventId);

/// Whether a call may begin.
#[derive(Debug)]
pub(super) enum Beginning<'a> {
    /// It is noted until this is dropped.
    Begun(Underway<'a>),
    /// One of several is a suspect: each is to be called alone.
    OneByOne,
    /// It is not begun again.
    SetAside,
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Underway<'a> {
    attempts: &'a Attempts,
    calls: Vec<Call>,
    _lock: CallLock<'a>,
}

/// Whether a call runs alone or beside others.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
enum CallLock<'a> {
    Any,
    Shared(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Attempts {
    /// Looks for the file that a process left which ended by itself, and leaves one of its own.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                files::replace(&path, "")?;
                return Ok(Self::default());
            }
            Err(err) => return Err(err),
        };
        let noted: BTreeMap<Call, u32> = text.lines().filter_map(parse).collect();
        warn!(
            n_suspects = noted.len(),
            "The last process did not end well: calls are noted, and what was under way is called alone"
        );
        Ok(Self { file: Some(path), noted: Mutex::new(noted), alone: RwLock::default() })
    }

    /// Removes the file: the process ends well.
    pub fn close(path: &std::path::Path) -> io::Result<()> {
        files::remove(path)
    }

    pub(super) async fn begin(
        &self,
        handler: &HandlerName,
        deliveries: &[Delivery],
    ) -> Beginning<'_> {
        let underway = |calls, lock| Underway { attempts: self, calls, _lock: lock };
        if self.file.is_none() {
            return Beginning::Begun(underway(Vec::new(), CallLock::Any));
        }
        let calls: Vec<Call> =
            deliveries.iter().map(|delivery| (handler.clone(), delivery.event.id)).collect();
        let most = {
            let noted = self.lock();
            calls.iter().filter_map(|call| noted.get(call).copied()).max().unwrap_or(0)
        };
        let lock = match (most, calls.as_slice()) {
            (0, _) => CallLock::Shared(self.alone.read().await),
            (_, [_, _, ..]) => return Beginning::OneByOne,
            (BEGINNINGS_MAX.., _) => {
                // A redrive is its owner's word that it may be tried again.
                self.change(|noted| noted.retain(|call, _| !calls.contains(call)));
                return Beginning::SetAside;
            }
            (_, _) => CallLock::Alone(self.alone.write().await),
        };
        self.change(|noted| {
            for call in &calls {
                *noted.entry(call.clone()).or_default() += 1;
            }
        });
        Beginning::Begun(underway(calls, lock))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Call, u32>)) {
        let Some(file) = &self.file else { return };
        let mut noted = self.lock();
        change(&mut noted);
        let line = |((handler, id), count): (&Call, &u32)| format!("{handler} {id} {count}\n");
        let text: String = noted.iter().map(line).collect();
        if let Err(err) = files::replace(file, text) {
            warn!(error = %err, "Calls under way cannot be noted");
        }
    }

    /// A panic elsewhere leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Call, u32>> {
        lock(&self.noted)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if !self.calls.is_empty() {
            let calls = std::mem::take(&mut self.calls);
            self.attempts.change(|noted| noted.retain(|call, _| !calls.contains(call)));
        }
    }
}

fn parse(line: &str) -> Option<(Call, u32)> {
    let mut context = line.split(' ');
    let handler = HandlerName::parse(context.next()?).ok()?;
    let id = context.next()?.parse().ok()?;
    let count = context.next()?.parse().ok()?;
    Some(((handler, id), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::numbered;

    fn handler() -> HandlerName {
        HandlerName::parse("said").unwrap()
    }

    /// Begins a call in a life of the process that it does not survive.
    async fn dies(path: &std::path::Path, deliveries: &[Delivery]) -> &'static str {
        let attempts = Attempts::open(path.to_owned()).unwrap();
        let begun = attempts.begin(&handler(), deliveries).await;
        let text = match &begun {
            Beginning::Begun(_) => "begun",
            Beginning::OneByOne => "one by one",
            Beginning::SetAside => "set aside",
        };
        std::mem::forget(begun);
        text
    }

    #[tokio::test]
    async fn what_the_process_did_not_survive_twice_is_not_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts");
        let bad = [numbered(1, "{}")];
        for expected in ["begun", "begun", "begun", "set aside", "begun"] {
            assert_eq!(dies(&path, &bad).await, expected);
        }
        Attempts::close(&path).unwrap();
        for _ in 0..3 {
            assert_eq!(dies(&path, &bad).await, "begun");
            Attempts::close(&path).unwrap();
        }
    }

    #[tokio::test]
    async fn a_suspect_is_called_alone_and_one_that_ends_is_none_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts");
        let both = [numbered(1, "1"), numbered(2, "2")];
        assert_eq!(dies(&path, &[]).await, "begun");
        assert_eq!(dies(&path, &both).await, "begun");
        let attempts = Attempts::open(path.clone()).unwrap();
        assert!(matches!(attempts.begin(&handler(), &both).await, Beginning::OneByOne));
        let one = attempts.begin(&handler(), &both[..1]).await;
        let other = HandlerName::parse("other").unwrap();
        let waits = attempts.begin(&other, &both[1..]);
        assert!(futures_util::FutureExt::now_or_never(waits).is_none(), "nobody else meanwhile");
        drop(one);
        assert!(matches!(attempts.begin(&handler(), &both[..1]).await, Beginning::Begun(_)));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&both[0].event.id.to_string()), "{text}");
    }
}
