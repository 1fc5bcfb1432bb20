//! What is not looked at, because no sample is like it: told once for a handler.

use crate::event::SourceName;
use crate::expr::Part;
use crate::source::SourceSettings;

use super::{COMPLETE, Lint, some_of};

/// What a body's fields are asked for by.
const OF_BODY: [&str; 2] = ["data", "payload"];

impl Lint<'_> {
    /// Where a handler asks for fields of events that there is no sample of, whether those are there is not
    /// looked at.
    pub(super) fn unseen(&mut self) {
        if !self.asks_for_fields() {
            return;
        }
        let unseen = self.without_samples();
        let Some((source, event_type)) = unseen.first() else { return };
        let names: Vec<String> =
            unseen.iter().map(|(source, event_type)| format!("{source}:{event_type}")).collect();
        let of = some_of(&names, 3);
        let makes_text = self.samples.is_empty() && self.settings.kind.wants_samples();
        let columns = if makes_text {
            ", and the columns that it makes are text where they say no `type`"
        } else {
            ""
        };
        let message = format!(
            "there is no sample of {of}: whether its events have the fields that this handler asks for is not \
             looked at{columns}"
        );
        let word = if event_type.contains('*') { "TYPE" } else { event_type.as_str() };
        let name = self.name;
        let help = format!(
            "try it with a body of the sender's: `gatepost handlers try {name} --body FILE --source {source}`, or \
             send that with `gatepost send {source} {word} --body FILE`; an event that came is tried with \
             `--event ID`"
        );
        let words = names.first().map(String::as_str).unwrap_or_default();
        let mut key = format!("handler.{name}.on");
        let mut place = self.config.place_of(&key);
        if place.is_none() {
            key = format!("handler.{name}");
            place = self.config.place_of(&key);
        }
        self.report.note(&key, place, words, message, help);
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
