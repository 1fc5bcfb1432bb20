//! What `check` finds by looking at handlers together with their sources' samples: fields and types
//! that no sender has, templates that fail, come out empty, or are no JSON. All of it is told as
//! warnings: a real event may have what a sample has not.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, HandlerSettings, PartialConfig};
use crate::deliver::{self, EventGlob, OWN_SOURCE};
use crate::event::{Event, HandlerName, SourceName};
use crate::settings::{Report, Severity};
use crate::source::SourceSettings;

use super::samples;
use super::trial::Trial;

mod answers;
mod body_of_get;
mod compared;
mod deletes;
mod fields;
mod misled;
mod never;
mod quotes;
mod render;
#[cfg(test)]
mod tests;
mod types;
mod unseen;

/// Presets whose samples cover every type that they send.
const COMPLETE: [&str; 2] = ["hyvor-talk", "userecho"];

/// Adds what it finds to the report of `config`.
pub fn lint(config: &Config, report: &mut Report) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let samples = samples::samples(config, &clock);
    lint_those(config, (&samples, &clock), report, |_, _| true);
    answers::look(config, &samples, report);
    report.sort();
}

/// The same for what could be read of a configuration with mistakes: for the handlers all of whose sources
/// could be read. Of those whose kind could not be read it compares what their texts ask for.
pub fn lint_partial(partial: &PartialConfig, report: &mut Report) {
    let config = &partial.config;
    let is_sure = |settings: &HandlerSettings| partial.has_sources_of(&settings.policy.on);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let samples = samples::samples(config, &clock);
    lint_those(config, (&samples, &clock), report, |_, settings| is_sure(settings));
    for (name, settings) in partial.unread_handlers.iter().filter(|(_, one)| is_sure(one)) {
        let trial = Trial::of((config, name), settings, &clock);
        let mut lint = Lint::new(config, (name, settings, trial), &samples, report);
        lint.types();
        lint.misled();
        lint.compared();
        lint.fields();
    }
    answers::look(config, &samples, report);
    report.sort();
}

/// The same for one handler, whose warnings alone are left: who tries it has an event at hand.
pub fn lint_one(config: &Config, handler: &HandlerName, report: &mut Report) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let samples = samples::samples(config, &clock);
    lint_those(config, (&samples, &clock), report, |name, _| name == handler);
    report.only(&format!("handler.{handler}"));
    report.problems.retain(|problem| problem.severity != Severity::Note);
    report.sort();
}

fn lint_those(
    config: &Config,
    (samples, clock): (&[Arc<Event>], &Arc<dyn Clock>),
    report: &mut Report,
    is_meant: impl Fn(&HandlerName, &HandlerSettings) -> bool,
) {
    let mut unseen = Vec::new();
    for (name, settings) in config.handlers.iter().filter(|(name, one)| is_meant(name, one)) {
        let Some(trial) = Trial::new(config, name, clock) else { continue };
        let mut lint = Lint::new(config, (name, settings, trial), samples, report);
        lint.doubts();
        lint.body_of_get();
        lint.types();
        lint.deletes();
        lint.misled();
        unseen.extend(lint.unseen());
        lint.compared();
        lint.fields();
        if lint.samples.is_empty() {
            lint.quotes();
        } else {
            let is_left_out = lint.never();
            lint.never_deletes();
            lint.render();
            // What is wrong says why, or is what its owner has to see.
            if is_left_out && lint.told.is_empty() {
                lint.note_never();
            }
        }
    }
    unseen::tell(&unseen, config, report);
}

/// One handler under the lens.
struct Lint<'a> {
    config: &'a Config,
    name: &'a HandlerName,
    settings: &'a HandlerSettings,
    trial: Trial<'a>,
    /// Those that its `on` names.
    samples: Vec<Arc<Event>>,
    report: &'a mut Report,
    /// Keys that something was said about: what follows from that is not said again.
    told: Vec<String>,
}

impl<'a> Lint<'a> {
    /// Of a handler, with those of the samples that its `on` names.
    fn new(
        config: &'a Config,
        (name, settings, trial): (&'a HandlerName, &'a HandlerSettings, Trial<'a>),
        samples: &[Arc<Event>],
        report: &'a mut Report,
    ) -> Self {
        let named = samples.iter().filter(|event| deliver::is_named(&settings.policy.on, event));
        let samples = named.cloned().collect();
        Self { config, name, settings, trial, samples, report, told: Vec::new() }
    }

    /// Warns about `words` in the value of `key`.
    fn warn(&mut self, key: &str, words: &str, message: String, help: String) {
        self.told.push(key.to_owned());
        let place = self.config.place_of(key);
        self.report.warn(key, place, words, message, help);
    }

    /// What would make each call fail now.
    fn doubts(&mut self) {
        for (key, what) in self.trial.doubts() {
            let help = "each call fails until that is mended, and is tried again".to_owned();
            self.warn(&key, "", what, help);
        }
    }

    /// The sources that a pattern names.
    fn sources(&self, glob: &EventGlob) -> Vec<(&SourceName, &SourceSettings)> {
        let sources = self.config.sources.iter();
        sources.filter(|(name, _)| glob.source.matches(name.as_str())).collect()
    }

    /// Whether every event that the handler may get is like one of the samples: a field that none of
    /// them has is then a slip.
    fn has_all_samples(&self) -> bool {
        let on = &self.settings.policy.on;
        let has_samples = |settings: &SourceSettings, glob: Option<&EventGlob>| {
            let types = settings.sample_types();
            let is_named = |one: &&str| glob.is_none_or(|glob| glob.event_type.matches(one));
            types.iter().any(is_named)
        };
        if on.is_empty() {
            return self.config.sources.values().all(|settings| has_samples(settings, None));
        }
        on.iter().all(|glob| {
            // Of Gatepost's own events there are samples of all.
            self.sources(glob).iter().all(|(_, settings)| has_samples(settings, Some(glob)))
        })
    }

    /// Whether the samples are all that there is of its events.
    fn is_complete(&self) -> bool {
        self.samples.iter().all(|event| {
            let source = self.config.sources.get(&event.source);
            let is_own = event.source.as_str() == OWN_SOURCE;
            is_own || source.is_some_and(|source| COMPLETE.contains(&source.profile.name()))
        })
    }
}

/// `a, b and 3 more`.
fn some_of<T: AsRef<str>>(all: &[T], max: usize) -> String {
    let shown: Vec<&str> = all.iter().take(max).map(AsRef::as_ref).collect();
    let n_more = all.len().saturating_sub(max);
    match n_more {
        0 => shown.join(", "),
        _ => format!("{} and {n_more} more", shown.join(", ")),
    }
}

/// The samples' types, as in `hyvor:comment.create`.
fn names(samples: &[Arc<Event>]) -> String {
    let names: Vec<String> =
        samples.iter().map(|event| format!("{}:{}", event.source, event.event_type)).collect();
    some_of(&names, 3)
}
