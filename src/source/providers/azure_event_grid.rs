//! Azure Event Grid, in its own schema and in that of `CloudEvents`.
//!
//! <https://learn.microsoft.com/azure/event-grid/secure-webhook-delivery>: it signs nothing, so a
//! secret is in the address. One request carries a list of events.

use super::prelude::*;

const VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

pub(super) fn provider() -> Provider {
    Provider {
        name: "azure-event-grid",
        known_as: &["azure", "event-grid", "eventgrid"],
        page: "https://learn.microsoft.com/azure/event-grid/secure-webhook-delivery",
        setup: &[
            "Make a long random word, write it into {secret}, and let Gatepost run with it.",
            "Add an event subscription with endpoint type Web Hook and {url}?code= followed by that \
                 word: Event Grid asks the address at once, and is answered.",
        ],
        rows: vec![Row {
            algorithm: Algorithm::Token,
            places: vec![FieldRef::Query(text("code"))],
            encoding: Encoding::Plain,
            signed: "",
            ..HEX_OF_BODY
        }],
        event_type: vec![json("eventType"), json("type"), json("0.eventType"), json("0.type")],
        delivery_id: vec![json("id")],
        handshakes: vec![
            Handshake {
                when: Some((json("0.eventType"), text(VALIDATION))),
                answer: Answer::Echo(json("0.data.validationCode")),
                ..Handshake::SIGNED
            },
            Handshake::cloud_events(),
        ],
        split: Split::JsonArray,
        samples: &[(
            &["Microsoft.Storage.BlobCreated"],
            include_str!("../samples/azure-event-grid.json"),
        )],
        ..PLAIN
    }
}
