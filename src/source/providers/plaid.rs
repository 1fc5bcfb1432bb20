//! Plaid.
//!
//! <https://plaid.com/docs/api/webhooks/webhook-verification/>: a JSON Web Token with the body's hash,
//! signed by a key that is asked for by its id, with the owner's credentials. No vector: the tests
//! sign with a key pair of their own.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "plaid",
        page: "https://plaid.com/docs/api/webhooks/webhook-verification/",
        setup: &[
            "Under Developers > Keys of the Plaid dashboard find client_id and secret, and write \
                 both as client_id:secret into {secret}: Gatepost asks for Plaid's keys with them.",
            "Give {url} as `webhook` when you make a link token.",
            "For the sandbox write `keys.url = \
                 \"https://sandbox.plaid.com/webhook_verification_key/get\"` into the source.",
        ],
        rows: rows(),
        event_type: vec![json("webhook_code")],
        samples: &[(&["SYNC_UPDATES_AVAILABLE"], include_str!("../samples/plaid.json"))],
        ..PLAIN
    }
}

fn rows() -> Vec<Row> {
    // A test reads every row, so that an address that is none cannot get here.
    let asked = Url::parse("https://production.plaid.com/webhook_verification_key/get").ok();
    let row = |url: Url| Row {
        algorithm: Algorithm::EcdsaP256,
        places: vec![header("plaid-verification")],
        encoding: Encoding::Plain,
        signed: "",
        envelope: Envelope::Jwt(JwtRule {
            max_age: Some(Duration::from_mins(5)),
            ..JwtRule::with_body_hash("request_body_sha256")
        }),
        fetch: Some(FetchRule {
            address: KeyAddress::ById(url),
            allow: Vec::new(),
            owner: None,
            needs_secret: true,
        }),
        ..HEX_OF_BODY
    };
    asked.map(row).into_iter().collect()
}
