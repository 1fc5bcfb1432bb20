//! What is not looked at, because no sample is like it: told once.

use crate::config::Config;
use crate::event::{HandlerName, SourceName};
use crate::expr::Part;
use crate::settings::Report;
use crate::source::SourceSettings;

use super::{COMPLETE, Lint, some_of};

/// What a body's fields are asked for by.
const OF_BODY: [&str; 2] = ["data", "payload"];

/// The most handlers that are named.
const NAMES_MAX: usize = 5;

/// A handler that asks for fields of events that there is no sample of.
pub(super) struct Unseen {
    handler: HandlerName,
    /// Where it is told.
    key: String,
    /// The patterns, and the source and type of the first of them.
    patterns: Vec<String>,
    source: String,
    word: String,
    /// Whether what the handler makes is text where nothing else is said.
    makes_text: bool,
}

/// Told once for all handlers: that a sender of one's own has no samples is no news with the second.
pub(super) fn tell(unseen: &[Unseen], config: &Config, report: &mut Report) {
    let Some(first) = unseen.first() else { return };
    let mut patterns: Vec<&str> = Vec::new();
    for pattern in unseen.iter().flat_map(|one| &one.patterns) {
        if !patterns.contains(&pattern.as_str()) {
            patterns.push(pattern);
        }
    }
    let handlers: Vec<&str> = unseen.iter().map(|one| one.handler.as_str()).collect();
    let asking = match &handlers[..] {
        [_] => "this handler asks for".to_owned(),
        all => format!("{} handlers ask for ({})", all.len(), some_of(all, NAMES_MAX)),
    };
    let columns = match (unseen.iter().any(|one| one.makes_text), handlers.len()) {
        (false, _) => "",
        (true, 1) => ", and the columns that it makes are text where they say no `type`",
        (true, _) => ", and the columns that they make are text where they say no `type`",
    };
    let message = format!(
        "there is no sample of {}: whether its events have the fields that {asking} is not looked at{columns}",
        some_of(&patterns, 3)
    );
    let Unseen { handler, key, source, word, .. } = first;
    let help = format!(
        "try it with a body of the sender's: `gatepost handlers try {handler} --body FILE --source {source}`, or \
         send that with `gatepost send {source} {word} --body FILE`; an event that came is tried with \
         `--event ID`"
    );
    let words = first.patterns.first().map(String::as_str).unwrap_or_default();
    report.note(key, config.place_of(key), words, message, help);
}

impl Lint<'_> {
    /// Where a handler asks for fields of events that there is no sample of, whether those are there is not
    /// looked at.
    pub(super) fn unseen(&self) -> Option<Unseen> {
        if !self.asks_for_fields() {
            return None;
        }
        let unseen = self.without_samples();
        let (source, event_type) = unseen.first()?;
        let word = if event_type.contains('*') { "TYPE" } else { event_type.as_str() };
        let mut key = format!("handler.{}.on", self.name);
        if self.config.place_of(&key).is_none() {
            key = format!("handler.{}", self.name);
        }
        Some(Unseen {
            handler: self.name.clone(),
            key,
            patterns: unseen.iter().map(|(source, of)| format!("{source}:{of}")).collect(),
            source: source.to_string(),
            word: word.to_owned(),
            makes_text: self.samples.is_empty() && self.settings.kind.wants_samples(),
        })
    }

    fn asks_for_fields(&self) -> bool {
        let texts = self.trial.texts();
        let mut fields = texts.iter().flat_map(|text| text.words.fields());
        fields.any(|field| match field.path.first() {
            Some(Part::Name(root)) => OF_BODY.contains(&root.as_str()),
            _ => false,
        })
    }

    /// What may come and no sample is like, as the parts of a pattern. A pattern for several sources need not be
    /// about each of them: of those that have samples it says nothing.
    fn without_samples(&self) -> Vec<(&SourceName, String)> {
        let on = &self.settings.policy.on;
        let mut unseen: Vec<(&SourceName, String)> = Vec::new();
        let mut add = |source, event_type: &str| {
            let one = (source, event_type.to_owned());
            if !unseen.contains(&one) {
                unseen.push(one);
            }
        };
        let has_none = |settings: &SourceSettings| settings.sample_types().is_empty();
        if on.is_empty() {
            let without = self.config.sources.iter().filter(|(_, settings)| has_none(settings));
            without.for_each(|(name, _)| add(name, "*"));
        }
        for glob in on {
            for (name, settings) in self.sources(glob) {
                let is_named = glob.source.as_str() == name.as_str();
                let is_open = !COMPLETE.contains(&settings.profile.name());
                let mut types = settings.sample_types().into_iter();
                let is_seen = types.any(|one| glob.event_type.matches(one));
                if !is_seen && is_open && (is_named || has_none(settings)) {
                    add(name, glob.event_type.as_str());
                }
            }
        }
        unseen
    }
}
