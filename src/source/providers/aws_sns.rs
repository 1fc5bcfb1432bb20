//! Amazon Simple Notification Service.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>: RSA over the
//! lines of some fields, by SHA-1 (`SignatureVersion` 1) or SHA-256 (2), with a certificate of
//! which the address is in the message. Any account can have messages signed by it,
//! so the source's secret is the topic. No vector: the tests sign with a certificate of their own.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "aws-sns",
        known_as: &["amazon-sns", "ses", "sns"],
        page: "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
        setup: &[
            "Write the topic's ARN (arn:aws:sns:…) into {secret}, and let Gatepost run with it: \
                 messages of other topics are refused.",
            "In the console add a subscription to the topic, with protocol HTTPS and {url}; raw \
                 message delivery stays off, since raw messages are not signed.",
            "Let `gatepost rejected list` show the confirmation, and open the address in its \
                 `SubscribeURL`.",
            "Set the topic's attribute SignatureVersion to 2, and `algorithm = \"rsa-sha256\"` in \
                 the source: then nothing is taken that is signed by SHA-1.",
        ],
        rows: vec![sns(Algorithm::RsaSha256), sns(Algorithm::RsaSha1)],
        event_type: vec![json("Type")],
        handshakes: vec![question("SubscriptionConfirmation"), question("UnsubscribeConfirmation")],
        samples: &[(&["Notification"], include_str!("../samples/aws-sns.json"))],
        ..PLAIN
    }
}

fn sns(algorithm: Algorithm) -> Row {
    Row {
        algorithm,
        places: vec![json("Signature")],
        encoding: Encoding::Base64,
        signed: "{sns}",
        timestamp: Some((json("Timestamp"), Unit::Rfc3339)),
        // Repeated for an hour, with the time at which it was published.
        tolerance: Duration::from_hours(2),
        id: Some(json("MessageId")),
        fetch: Some(FetchRule {
            address: KeyAddress::Named {
                at: json("SigningCertURL"),
                origins: ["https://sns.*.amazonaws.com", "https://sns.*.amazonaws.com.cn"]
                    .map(OriginPattern::of_preset)
                    .to_vec(),
                path: Some(PathPattern { prefix: "/SimpleNotificationService-", suffix: ".pem" }),
            },
            allow: Vec::new(),
            owner: Some(json("TopicArn")),
            needs_secret: true,
        }),
        ..HEX_OF_BODY
    }
}

/// Answered; it brings a link that its owner opens.
fn question(kind: &'static str) -> Handshake {
    Handshake { when: Some((json("Type"), text(kind))), ..Handshake::SIGNED }
}
