//! Templates over samples: those that fail, that come out empty, and those that are no JSON.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::event::{Delivery, Event, NewEvent};
use crate::expr::{Escape, Scope, Template};
use crate::handler::{Content, Plan, Step, Words};

use super::{Lint, names, quotes};
use crate::app::samples::loose_event;
use crate::app::trial::Wants;

/// What no template may break its JSON with.
const HOSTILE: &str = "a \"quoted\" \\ text\nin two lines";

impl Lint<'_> {
    pub(super) fn render(&mut self) {
        let wanted: Vec<Arc<Event>> = self
            .samples
            .iter()
            .filter(|event| self.trial.wants(event) == Wants::Yes)
            .cloned()
            .collect();
        // Where `when` lets none of them through, only what fails with all of them says something.
        let is_filtered = wanted.is_empty();
        let events = if is_filtered { self.samples.clone() } else { wanted };
        let failed = self.failed(&events);
        if let Some(((event, why), more)) = failed.split_first()
            && (!is_filtered || more.len() + 1 == events.len())
        {
            let table = format!("handler.{}.{}", self.name, self.settings.kind_name);
            let place = self.trial.key_of(why);
            let of = names(std::slice::from_ref(event));
            let message = format!("with the sample of {of} this handler fails: {why}");
            let (key, words) = place.unwrap_or((table, String::new()));
            let help = "each event like it would be a dead letter; see it with \
                        `gatepost handlers try`";
            self.warn(&key, &words, message, help.to_owned());
            return;
        }
        self.empty(&events);
        self.json(&events);
    }

    /// The samples that the handler fails with, and why.
    fn failed(&self, events: &[Arc<Event>]) -> Vec<(Arc<Event>, String)> {
        let failed = events.iter().filter_map(|event| {
            let failure = self.plan(event).err()?;
            Some((Arc::clone(event), failure))
        });
        failed.collect()
    }

    fn plan(&self, event: &Arc<Event>) -> Result<Plan, String> {
        // As the queue delivers it: without the marks of a try.
        self.trial
            .plan(&[Delivery::first(Arc::clone(event))])
            .map_err(|failure| failure.to_string())
    }

    /// A template that is empty with every sample says nothing.
    fn empty(&mut self, events: &[Arc<Event>]) {
        for text in self.trial.texts() {
            let Words::Template(template) = &text.words else { continue };
            if self.told.contains(&text.key) {
                continue;
            }
            // Without a place for a value it is what its owner wrote.
            let is_empty = |event: &Arc<Event>| {
                template.render(&Scope::of(event)).is_ok_and(|text| text.trim().is_empty())
            };
            let has_code = ["{{", "{%"].iter().any(|open| template.source().contains(open));
            if has_code && events.iter().all(is_empty) {
                let message =
                    format!("this comes out empty with every sample of {}", names(events));
                let help = "see it with `gatepost handlers try`";
                self.warn(&text.key, "", message, help.to_owned());
            }
        }
    }

    /// The template of the body that is sent, with its key, where the handler has one.
    pub(super) fn body(&self) -> Option<(String, Arc<Template>)> {
        let key = format!("handler.{}.{}.body", self.name, self.settings.kind_name);
        let text = self.trial.texts().into_iter().find(|text| text.key == key)?;
        match text.words {
            Words::Template(template) => Some((key, template)),
            Words::Expression(_) => None,
        }
    }

    /// A body that is called JSON, or begins like it, is meant to be JSON, whatever is in a text.
    fn json(&mut self, events: &[Arc<Event>]) {
        let Some((key, template)) = self.body() else { return };
        if self.told.contains(&key) {
            return;
        }
        let escapes = template.escape() == Escape::Json;
        let is_quoted = ["\"{{", "'{{"].iter().any(|open| template.source().contains(open));
        let mut broken = events.iter().filter_map(|event| Some((event, self.json_error(event)?)));
        if let Some((event, err)) = broken.next() {
            let of = names(std::slice::from_ref(event));
            let message = format!("with the sample of {of} this is not JSON: {err}");
            let help = if escapes
                && quotes::within_quotes(template.source()).is_some()
                && !is_quoted
            {
                "`escape = \"json\"` brings the quotation marks: put the whole text together within the braces, as in \
                 `{{ \"New: \" ~ data.title }}`"
            } else if escapes && is_quoted {
                "write `{{ … }}` without quotation marks around it: `escape = \"json\"` brings them"
            } else if escapes {
                "see it with `gatepost handlers try`"
            } else {
                "see it with `gatepost handlers try`; with `escape = \"json\"` beside it each \
                 `{{ … }}` comes with its quotation marks"
            };
            self.warn(&key, "", message, help.to_owned());
            return;
        }
        let mut hostile = events.iter().filter_map(|event| hostile(event));
        if hostile.any(|event| self.json_error(&event).is_some()) {
            let message = "this is not JSON as soon as a text has a quotation mark or two lines";
            let help = "write `escape = \"json\"` beside it, and `{{ … }}` without quotation marks \
                        around it";
            self.warn(&key, "", message.to_owned(), help.to_owned());
        }
    }

    /// What is wrong with a body that is meant to be JSON.
    fn json_error(&self, event: &Arc<Event>) -> Option<serde_json::Error> {
        let steps = self.plan(event).unwrap_or_default().steps.into_iter();
        let mut errors = steps.filter_map(|step| {
            let Step::Request { headers, body: Content(body), .. } = step else { return None };
            let said = headers.iter().find(|(name, _)| name == "content-type");
            let is_meant = match said.and_then(|(_, value)| is_json(value)) {
                Some(is_json) => is_json,
                None => begins_like_json(&body),
            };
            if !is_meant || body.trim_ascii().is_empty() {
                return None;
            }
            serde_json::from_slice::<IgnoredAny>(&body).err()
        });
        errors.next()
    }
}

/// Whether what is called so is one JSON document: not several of them behind each other, as NDJSON
/// and JSON text sequences have them. `None` = it may be anything: so a template goes as plain text
/// where nothing is said.
fn is_json(content_type: &str) -> Option<bool> {
    let essence = content_type.trim_start().split([';', ',', ' ', '\t']).next().unwrap_or_default();
    match essence.to_ascii_lowercase().as_str() {
        "" | "text/plain" => None,
        "application/json" | "text/json" => Some(true),
        // Lines of JSON, whatever its name.
        "application/stream+json" => Some(false),
        other => Some(other.ends_with("+json")),
    }
}

/// Not `[Gatepost] a comment`.
fn begins_like_json(body: &[u8]) -> bool {
    match body.trim_ascii_start() {
        [b'{', ..] => true,
        [b'[', rest @ ..] => {
            matches!(rest.trim_ascii_start(), [b'{' | b'[' | b'"' | b']' | b'0'..=b'9' | b'-', ..])
        }
        _ => false,
    }
}

/// The event with other texts in its body; `None` where that is no JSON.
fn hostile(event: &Event) -> Option<Arc<Event>> {
    let mut body: Value = serde_json::from_slice(&event.body).ok()?;
    worsen(&mut body);
    Some(loose_event(NewEvent { body: body.to_string().into(), ..event.received.clone() }))
}

/// Samples are nested a few levels deep.
fn worsen(value: &mut Value) {
    match value {
        Value::String(text) => HOSTILE.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(worsen),
        Value::Object(fields) => fields.values_mut().for_each(worsen),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
