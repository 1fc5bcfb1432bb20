//! How a request came in that became an event.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, whole_micros};
use crate::event::{Arrival, Event, KnownBy};
use crate::text::{counted, latency, span};

/// How many times of repeats stand in a line.
const REPEATS_SHOWN: usize = 3;

/// How a request came in that became an event. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArrivalView {
    /// The sender's address, through the proxies that are believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// How long after its head was read it was answered, in microseconds; of the newest events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_after_micros: Option<u64>,
    /// The algorithm by which it was believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The fingerprint of the secret that it was signed with, as `/sources` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How a repeat of it is recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_by: Option<KnownBy>,
    /// For how long; where it is left out, until the answer has arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// What its sender calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// The parameters of its query, without passwords and signatures, as they were written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// When it came again, as far as that is known: of the newest 4,096 repeats since the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeated_at: Vec<Timestamp>,
}

impl ArrivalView {
    /// What is kept with `event`, when it was answered and when it came again; `None` = nothing of that
    /// is known.
    pub(in crate::api) fn of(
        event: &Event,
        answered_after: Option<Duration>,
        repeated_at: Vec<Timestamp>,
    ) -> Option<Self> {
        let kept = event.headers.arrival();
        if kept.is_none() && answered_after.is_none() && repeated_at.is_empty() {
            return None;
        }
        let Arrival { client, algorithm, secret, known_by, window, delivery_id, parent: _ } =
            kept.unwrap_or_default();
        Some(Self {
            client,
            answered_after_micros: answered_after.map(whole_micros),
            algorithm: algorithm.map(str::to_owned),
            secret: secret.map(str::to_owned),
            known_by,
            window_seconds: window.map(|window| window.as_secs()),
            delivery_id: delivery_id.map(str::to_owned),
            query: event.headers.query_text(),
            repeated_at,
        })
    }

    /// For people: what each fact is called, and what it is. What its sender wrote is not made safe.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let answered =
            self.answered_after_micros.map(|micros| format!("after {}", latency(micros)));
        let signed = match (&self.secret, self.algorithm.as_deref()) {
            (_, Some("none")) => Some("nothing: any request is taken".to_owned()),
            (Some(secret), Some(algorithm)) => Some(format!("secret {secret}, {algorithm}")),
            (None, Some(algorithm)) => {
                Some(format!("a key that its sender publishes, {algorithm}"))
            }
            (secret, None) => secret.as_ref().map(|secret| format!("secret {secret}")),
        };
        let facts = [
            ("Answered", answered),
            ("From", self.client.map(|client| client.to_string())),
            ("Query", Some(self.query.clone()).filter(|query| !query.is_empty())),
            ("Signed with", signed),
            ("Known by", self.known_by.map(|known_by| self.known_by_text(known_by))),
            ("Repeated", self.repeats_text()),
        ];
        facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// How often it came again, and when the last times.
    fn repeats_text(&self) -> Option<String> {
        let newest = self.repeated_at.iter().rev().take(REPEATS_SHOWN);
        let times: Vec<String> = newest.map(ToString::to_string).collect();
        let n_repeats = counted(self.repeated_at.len() as u64, "time", "times");
        let more = if self.repeated_at.len() > times.len() { ", …" } else { "" };
        (!times.is_empty()).then(|| format!("{n_repeats}: {}{more}", times.join(", ")))
    }

    fn known_by_text(&self, known_by: KnownBy) -> String {
        let id = self.delivery_id.as_deref().unwrap_or("?");
        let by = match known_by {
            KnownBy::Nothing => return "nothing: a repeat is another event".to_owned(),
            KnownBy::SignedId => format!("its id {id}"),
            KnownBy::Id => format!("its id {id} and its body"),
            KnownBy::Stamp | KnownBy::Body => "its body".to_owned(),
        };
        match self.window_seconds {
            Some(seconds) => format!("{by}, for {}", span(Duration::from_secs(seconds))),
            None => format!("{by}, only where the first answer cannot have arrived"),
        }
    }
}
