//! Adyen, payments.
//!
//! <https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/>: an HMAC of eight
//! fields of each item, base64, with a key in hexadecimal. What else is in an item is not signed.

use super::super::answer::AnswerBody;
use super::prelude::*;

const SIGNED: &str = "{json:NotificationRequestItem.pspReference}:\
                      {json:NotificationRequestItem.originalReference?}:\
                      {json:NotificationRequestItem.merchantAccountCode}:\
                      {json:NotificationRequestItem.merchantReference}:\
                      {json:NotificationRequestItem.amount.value}:\
                      {json:NotificationRequestItem.amount.currency}:\
                      {json:NotificationRequestItem.eventCode}:\
                      {json:NotificationRequestItem.success}";

pub(super) fn provider() -> Provider {
    Provider {
        name: "adyen",
        page: "https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/",
        setup: &[
            "In the Customer Area open Developers > Webhooks, add a Standard webhook with {url}, \
                 method JSON.",
            "Under Security generate an HMAC key, copy it into {secret} and save the webhook.",
            "It signs the eight fields that say what was paid, and no others: set \
                 `allow_unsigned_body = true` in the source, and rely on none of the others.",
        ],
        vector: Some("adyen-item"),
        rows: vec![Row {
            places: vec![json("NotificationRequestItem.additionalData.hmacSignature")],
            encoding: Encoding::Base64,
            signed: SIGNED,
            key: KeyRule { encoding: Encoding::Hex, ..KeyRule::UTF8 },
            each: Some("notificationItems"),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("notificationItems.0.NotificationRequestItem.eventCode")],
        delivery_id: vec![json("notificationItems.0.NotificationRequestItem.pspReference")],
        // Older ones of its servers look for this word.
        answer: AnswerRule::Body(AnswerBody::fixed("[accepted]")),
        samples: &[(
            &["AUTHORISATION", "CAPTURE", "REFUND"],
            include_str!("../samples/adyen.json"),
        )],
        ..PLAIN
    }
}
