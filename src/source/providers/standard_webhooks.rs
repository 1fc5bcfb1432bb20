//! Any sender that follows Standard Webhooks.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>:
//! `v1` by a shared secret, `v1a` by Ed25519 (`whpk_`).

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "standard-webhooks",
        known_as: &["openai"],
        page: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        setup: &[
            "In the sender's webhook settings add the endpoint {url}.",
            "Copy its signing secret (`whsec_...`, or a public key `whpk_...`) into {secret}, \
                 whole.",
        ],
        vector: Some("standard-webhooks-v1"),
        rows: vec![
            standard(),
            Row {
                algorithm: Algorithm::Ed25519,
                format: list(" ", ",", "v1a"),
                key: KeyRule {
                    encoding: Encoding::Base64,
                    strip: text("whpk_"),
                    is_prefix_needed: true,
                },
                ..standard()
            },
        ],
        event_type: vec![json("type")],
        data_root: DataRoot::Data,
        samples: &[(&["sample.created"], include_str!("../samples/standard-webhooks.json"))],
        ..PLAIN
    }
}
