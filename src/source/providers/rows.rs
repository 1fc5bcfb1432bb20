//! The table of providers. Each row names the page that it was written from.

use std::sync::LazyLock;

use crate::event::DataRoot;

use super::super::answer::AnswerRule;
use super::super::keys::{Algorithm, KeyRule};
use super::super::signature::Encoding;
use super::super::timestamp::{TimestampRule, Unit};
use super::{Provider, Row, header, list, prefix, text};

mod people;
mod services;

/// The commonest scheme of all: an HMAC-SHA256 of the body in hexadecimal.
const HEX_OF_BODY: Row = Row {
    algorithm: Algorithm::HmacSha256,
    places: Vec::new(),
    format: prefix(""),
    encoding: Encoding::Hex,
    signed: "{body}",
    timestamp: None,
    tolerance: TimestampRule::TOLERANCE,
    id: None,
    key: KeyRule::UTF8,
    body_sha256: None,
};

/// A provider that tells nothing about itself.
const PLAIN: Provider = Provider {
    name: "",
    vector: None,
    rows: Vec::new(),
    event_type: Vec::new(),
    delivery_id: Vec::new(),
    stamps: Vec::new(),
    data_root: DataRoot::Payload,
    handshakes: Vec::new(),
    answer: AnswerRule::Id,
    body_max: None,
};

const WHSEC: KeyRule =
    KeyRule { encoding: Encoding::Base64, strip: text("whsec_"), is_prefix_needed: false };

/// <https://www.standardwebhooks.com>, `v1` with one set of header names.
fn standard() -> Row {
    Row {
        places: vec![header("webhook-signature")],
        format: list(" ", ",", "v1"),
        encoding: Encoding::Base64,
        signed: "{id}.{timestamp}.{body}",
        timestamp: Some((header("webhook-timestamp"), Unit::Seconds)),
        id: Some(header("webhook-id")),
        key: WHSEC,
        ..HEX_OF_BODY
    }
}

/// Slack's scheme, which others have taken over.
fn slack() -> Row {
    Row {
        places: vec![header("x-slack-signature")],
        format: prefix("v0="),
        signed: "v0:{timestamp}:{body}",
        timestamp: Some((header("x-slack-request-timestamp"), Unit::Seconds)),
        ..HEX_OF_BODY
    }
}

fn twilio() -> Row {
    Row {
        algorithm: Algorithm::HmacSha1,
        places: vec![header("x-twilio-signature")],
        encoding: Encoding::Base64,
        signed: "{url}{sorted_form}",
        ..HEX_OF_BODY
    }
}

/// Every provider.
pub static PROVIDERS: LazyLock<Vec<Provider>> =
    LazyLock::new(|| people::rows().into_iter().chain(services::rows()).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_sender_of_its_own_name() {
        let mut names: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
        for provider in PROVIDERS.iter() {
            let profile = provider.profile().unwrap();
            assert_eq!(profile.name(), provider.name);
            assert!(!profile.schemes.is_empty(), "{}", provider.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROVIDERS.len());
    }

    #[test]
    fn only_mailgun_leaves_the_body_out() {
        for provider in PROVIDERS.iter() {
            let profile = provider.profile().unwrap();
            let weak: Vec<_> =
                profile.schemes.iter().flat_map(crate::source::Scheme::weaknesses).collect();
            assert_eq!(!weak.is_empty(), provider.name == "mailgun", "{weak:?}");
        }
    }
}
