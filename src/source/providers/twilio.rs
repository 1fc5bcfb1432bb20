//! Twilio.
//!
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>: forms, or a body whose hash the
//! signed address carries. A `SharedKey` signs by SHA-256 under the same header (twilio-python
//! 9.13, `request_validator.py`).

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "twilio",
        page: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
        setup: &[
            "In the Console give your number, messaging service or status callback the address \
                 {url}, with POST.",
            "Copy the account's Auth Token into {secret}.",
            "The address is signed: write it as `url = \"{url}\"` into the source, just as it \
                 stands there.",
        ],
        vector: Some("twilio-form"),
        rows: vec![
            twilio(),
            Row {
                signed: "{url}",
                body_sha256: Some(FieldRef::Query(text("bodySHA256"))),
                ..twilio()
            },
            Row { algorithm: Algorithm::HmacSha256, ..twilio() },
            Row {
                algorithm: Algorithm::HmacSha256,
                signed: "{url}",
                body_sha256: Some(FieldRef::Query(text("bodySHA256"))),
                ..twilio()
            },
        ],
        event_type: vec![
            FieldRef::Form(text("EventType")),
            FieldRef::Form(text("MessageStatus")),
            FieldRef::Form(text("CallStatus")),
            FieldRef::Form(text("SmsStatus")),
        ],
        delivery_id: vec![header("i-twilio-idempotency-token")],
        // It reads a body as TwiML, and logs a warning for JSON.
        answer: AnswerRule::EMPTY,
        samples: &[(&["delivered", "received", "failed"], include_str!("../samples/twilio.form"))],
        ..PLAIN
    }
}

fn twilio() -> Row {
    Row {
        algorithm: Algorithm::HmacSha1,
        places: vec![header("x-twilio-signature")],
        encoding: Encoding::Base64,
        signed: "{url}{sorted_form}",
        // Some of its services sign the port (twilio-python, `request_validator.py`: `add_port`).
        either_port: true,
        ..HEX_OF_BODY
    }
}
