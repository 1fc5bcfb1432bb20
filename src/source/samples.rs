//! Bodies to try a source with: modelled on what the providers send, in their way of writing
//! JSON, so that what works with a sample works with the real thing.

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::event::{Dedupe, EventType, Headers, NewEvent, SourceName};

use super::configured::Source;
use super::field_ref::FieldRef;
use super::fields::Fields;
use super::providers::Sample;
use super::request::Inbound;
use super::settings::{SigningProfile, SourceSettings};
use super::split::Split;

/// What is in a sample for a value of the moment.
const TYPE: &str = "sample.type";
const ID: &str = "424242";
const SECONDS: &str = "1700000000";
const MILLIS: &str = "1700000000000";
const RFC_3339: &str = "2023-11-14T22:13:20.000Z";

impl Source {
    /// See [`SourceSettings::sample_types`].
    pub fn sample_types(&self) -> Vec<&'static str> {
        self.settings.sample_types()
    }

    /// See [`SourceSettings::sample`].
    pub fn sample(&self, event_type: &str, now: Timestamp) -> Vec<u8> {
        self.settings.sample(event_type, now)
    }
}

impl SourceSettings {
    /// The types that there is a sample of; empty for a sender of the owner's own.
    pub fn sample_types(&self) -> Vec<&'static str> {
        self.samples().iter().flat_map(|(types, _)| *types).copied().collect()
    }

    /// The types that its preset is known to send: not all of them.
    pub fn known_types(&self) -> Vec<&'static str> {
        let others = self.profile.provider.map_or(&[][..], |provider| provider.other_types);
        self.sample_types().into_iter().chain(others.iter().copied()).collect()
    }

    fn samples(&self) -> &'static [Sample] {
        self.profile.provider.map_or(&[], |provider| provider.samples)
    }

    /// A body of this type as the provider could send it at `now`. Where nothing is known of the
    /// type, a minimal one that carries it. Ids and times are of `now`, so that two samples are
    /// two events.
    pub fn sample(&self, event_type: &str, now: Timestamp) -> Vec<u8> {
        let millis = now.as_millis();
        // Small enough for a column of 32 bits.
        let id = millis.div_euclid(10).rem_euclid(1_000_000_000);
        self.filled(event_type, now).replace(ID, &id.to_string()).into_bytes()
    }

    /// The same with one id at every time: what is created in one sample is changed and deleted in the others.
    pub fn sample_of_one(&self, event_type: &str, now: Timestamp) -> Vec<u8> {
        self.filled(event_type, now).into_bytes()
    }

    fn filled(&self, event_type: &str, now: Timestamp) -> String {
        let samples = self.samples();
        let family = |name: &str| name.split('.').next().map(str::to_owned);
        let of_family =
            |(types, _): &&Sample| types.iter().any(|known| family(known) == family(event_type));
        let sample = samples
            .iter()
            .find(|(types, _)| types.contains(&event_type))
            .or_else(|| samples.iter().find(of_family));
        let body = match sample {
            Some((_, body)) => (*body).to_owned(),
            None if self.split == Split::JsonArray => self.in_list(&minimal(&self.profile)),
            None => minimal(&self.profile),
        };
        fill(&body, event_type, now)
    }

    /// The list of one item, where it stands in a body.
    fn in_list(&self, item: &str) -> String {
        let parts = self.list_path().rsplit('.').filter(|part| !part.is_empty());
        parts.fold(format!("[{item}]"), |text, part| format!("{{{}:{text}}}", Value::from(part)))
    }

    /// The event that a request with this body would become, without a signature: to look at what
    /// handlers make of it. Without an `event_type` it is found as in any request. Of a list that
    /// becomes several events it is the first.
    pub fn unsigned_event(
        &self,
        source: &SourceName,
        event_type: Option<&str>,
        body: Vec<u8>,
        now: Timestamp,
    ) -> NewEvent {
        let body = self.first_item(body);
        let mut headers = Headers::builder();
        headers.push("content-type", content_type(&body).as_bytes());
        let types = self.profile.event_type.places();
        if let (Some(event_type), Some(FieldRef::Header(name))) = (event_type, types.first()) {
            headers.push(name, event_type.as_bytes());
        }
        let headers = headers.finish();
        let (found, is_json) = {
            let path_and_query = "/";
            let request =
                Inbound { method: "POST", path_and_query, headers: &headers, body: &body };
            let fields = Fields::find(&request, types.iter());
            (self.profile.type_in(&request, &fields), fields.is_json())
        };
        NewEvent {
            source: source.clone(),
            event_type: event_type.map_or(found, EventType::new),
            received_at: now,
            data_root: self.profile.data_root,
            is_json,
            headers,
            body: body.into(),
            dedupe: Dedupe::Off,
        }
    }
}

/// Puts the type and the moment's times in.
fn fill(body: &str, event_type: &str, now: Timestamp) -> String {
    let quoted = Value::from(event_type).to_string();
    let inner = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default();
    let millis = now.as_millis();
    body.replace(TYPE, inner)
        .replace(RFC_3339, &now.to_string())
        .replace(MILLIS, &millis.to_string())
        .replace(SECONDS, &millis.div_euclid(1000).to_string())
}

/// A body with nothing but a type, an id and a time.
fn minimal(profile: &SigningProfile) -> String {
    let mut body = Value::Object(Map::new());
    for place in profile.event_type.places().iter().take(1) {
        match place {
            FieldRef::Form(name) => return format!("{name}={TYPE}&id={ID}&time={SECONDS}"),
            FieldRef::Json(path) => {
                put(&mut body, path, Value::from(TYPE));
            }
            FieldRef::Header(_) | FieldRef::Query(_) | FieldRef::List(_) => {}
        }
    }
    if body.is_object() {
        put(&mut body, "data.id", Value::from(424_242));
        put(&mut body, "data.created_at", Value::from(RFC_3339));
    }
    body.to_string()
}

/// Sets the field at a dotted path, making what leads there; nothing happens where something
/// else is in the way.
pub(super) fn put(body: &mut Value, path: &str, value: Value) {
    let mut at = body;
    for part in path.split('.') {
        if at.is_null() {
            *at = match part.parse::<usize>() {
                Ok(_) => Value::Array(Vec::new()),
                Err(_) => Value::Object(Map::new()),
            };
        }
        at = match (at, part.parse::<usize>()) {
            (Value::Object(fields), _) => fields.entry(part).or_insert(Value::Null),
            (Value::Array(items), Ok(index)) if index <= items.len() => {
                if index == items.len() {
                    items.push(Value::Null);
                }
                match items.get_mut(index) {
                    Some(item) => item,
                    None => return,
                }
            }
            (_, _) => return,
        };
    }
    *at = value;
}

pub(super) fn content_type(body: &[u8]) -> &'static str {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[' | b'"') => "application/json",
        Some(_) if body.contains(&b'=') && !body.contains(&b'\n') => {
            "application/x-www-form-urlencoded"
        }
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::PROVIDERS;

    #[test]
    fn every_provider_has_samples_that_are_their_type() {
        for provider in PROVIDERS.iter() {
            assert!(!provider.samples.is_empty(), "{}", provider.name);
            for (_, text) in provider.samples {
                let is_form = provider.name == "twilio";
                assert!(is_form || serde_json::from_str::<Value>(text).is_ok(), "{text}");
                assert!(!text.ends_with('\n') || provider.name == "stripe", "{text}");
            }
        }
    }

    #[test]
    fn a_path_is_made_where_there_is_none() {
        let mut body = serde_json::json!({ "a": 1 });
        put(&mut body, "b.c", Value::from(2));
        put(&mut body, "d.0.e", Value::from(3));
        put(&mut body, "a.x", Value::from(4));
        assert_eq!(body.to_string(), r#"{"a":1,"b":{"c":2},"d":[{"e":3}]}"#);
    }

    #[test]
    fn a_type_with_quotes_stays_inside_its_string() {
        let body = fill(r#"{"type":"sample.type"}"#, "a\"b\\", Timestamp::from_millis(0));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["type"], "a\"b\\");
    }
}
