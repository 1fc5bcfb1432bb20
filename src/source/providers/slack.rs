//! Slack.
//!
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>.

use std::borrow::Cow;

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "slack",
        page: "https://docs.slack.dev/authentication/verifying-requests-from-slack",
        setup: &[
            "At api.slack.com/apps open your app.",
            "Copy Basic Information > Signing Secret into {secret}, and let Gatepost run with \
                 it.",
            "Under Event Subscriptions switch events on and enter {url}: Slack asks it at once. \
                 For slash commands and buttons enter the same address there.",
        ],
        vector: Some("slack-docs"),
        rows: vec![slack()],
        event_type: vec![json("event.type"), json("type"), FieldRef::Form(text("command"))],
        delivery_id: vec![json("event_id")],
        handshakes: vec![
            Handshake {
                when: Some((json("type"), text("url_verification"))),
                answer: Answer::Echo(json("challenge")),
                ..Handshake::SIGNED
            },
            // Now and then it looks at the certificate of a command's address.
            ssl_check(FieldRef::Form, Handshake::SIGNED),
            ssl_check(FieldRef::Form, Handshake::OPEN),
            ssl_check(FieldRef::Query, Handshake::OPEN),
        ],
        // A body would be shown to the user who gave a command, or be taken for a modal's answer.
        answer: AnswerRule::EMPTY,
        samples: &[(&["message", "app_mention"], include_str!("../samples/slack.json"))],
        ..PLAIN
    }
}

fn ssl_check(at: fn(Cow<'static, str>) -> FieldRef, rule: Handshake) -> Handshake {
    Handshake { when: Some((at(text("ssl_check")), text("1"))), ..rule }
}
