//! Reads `jwt` and `message_signature` of a `verify` table.

use std::time::Duration;

use crate::settings::Table;

use super::super::field_ref::FieldRef;
use super::super::http_message::{self, MessageRule};
use super::super::jwt::JwtRule;
use super::super::keys::Algorithm;
use super::super::scheme::Envelope;
use super::super::timestamp::TimestampRule;

/// What the signature comes in; `None` = a problem.
pub(super) fn read_envelope(
    table: &mut Table<'_>,
    algorithm: Option<Algorithm>,
) -> Option<Envelope> {
    let jwt = table.table("jwt").map(read_jwt);
    let message = table.table("message_signature").map(read_message);
    if jwt.is_some() && message.is_some() {
        table.problem(
            "message_signature",
            "a signature comes in one of the two, not both",
            "leave one out",
        );
        return None;
    }
    let (key, names, envelope): (_, fn(Algorithm) -> Option<&'static str>, _) = match (jwt, message)
    {
        (Some(rule), _) => ("jwt", Algorithm::jws_name, rule.map(Envelope::Jwt)),
        (None, Some(rule)) => {
            ("message_signature", Algorithm::http_name, rule.map(Envelope::HttpMessage))
        }
        (None, None) => {
            let is_there = table.has("jwt") || table.has("message_signature");
            return (!is_there).then_some(Envelope::Plain);
        }
    };
    let mut is_good = true;
    for other in ["signed", "encoding", "list", "timestamp"] {
        if table.has(other) {
            let help = format!("leave `{other}` out: `{key}` says how it is signed");
            table.problem(other, "this says again how it is signed", help);
            is_good = false;
        }
    }
    if algorithm.is_some_and(|algorithm| names(algorithm).is_none()) {
        let good = Algorithm::ALL.iter().filter(|(_, algorithm)| names(*algorithm).is_some());
        let good: Vec<_> = good.map(|(name, _)| *name).collect();
        let message = format!("`{key}` is not signed by this algorithm");
        table.problem("algorithm", message, format!("it is signed by: {}", good.join(", ")));
        is_good = false;
    }
    envelope.filter(|_| is_good)
}

/// Where the signature stands and why, where that is not the owner's to say.
pub(super) fn fixed_places(envelope: &Envelope) -> Option<(Vec<FieldRef>, &'static str)> {
    match envelope {
        Envelope::HttpMessage(_) => {
            Some((vec![FieldRef::header(http_message::SIGNATURE)], "it stands in `Signature`"))
        }
        Envelope::Jwt(rule) if rule.is_body => Some((Vec::new(), "the body is the token")),
        Envelope::Jwt(_) | Envelope::Plain => None,
    }
}

fn read_jwt(mut table: Table<'_>) -> Option<JwtRule> {
    let body_hash = table.take::<String>("body_hash");
    let is_detached = table.take_or("detached", false);
    let issuer = table.take::<String>("issuer");
    let audience = table.take::<String>("audience");
    let max_age = table.take::<Duration>("max_age");
    let leeway = table.take_or("leeway", JwtRule::LEEWAY);
    let is_body = table.take_or("in_body", false);
    let mut is_good = !(is_detached || is_body) || !table.has("body_hash");
    if !is_good {
        let help = "leave `body_hash` out: the token signs the body itself";
        table.problem("body_hash", "this token has no such claim", help);
    }
    if is_detached && is_body {
        is_good = false;
        table.problem("detached", "a token is the body, or is detached from it", "leave one out");
    }
    table.finish();
    is_good.then_some(JwtRule {
        body_hash,
        is_detached,
        is_body,
        issuer,
        audience,
        max_age,
        leeway,
    })
}

fn read_message(mut table: Table<'_>) -> Option<MessageRule> {
    let label = table.take::<String>("label");
    let components = table.take::<Vec<String>>("components");
    let tolerance = table.take_or("tolerance", TimestampRule::TOLERANCE);
    let tag = table.take::<String>("tag");
    let is_good = components.is_some() || !table.has("components");
    table.finish();
    let components = components.unwrap_or_else(|| vec!["content-digest".to_owned()]);
    let components = components.iter().map(|name| name.to_ascii_lowercase()).collect();
    is_good.then_some(MessageRule { label, components, tolerance, tag })
}
