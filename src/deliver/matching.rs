//! Whether a handler wants an event, and which line it is in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::settings::{EventGlob, Policy};
use crate::body::UnreadableBody;
use crate::event::{ErrorText, Event, EventType, OrderKey, SourceName};
use crate::expr::{Expression, Scope};
use crate::queue::EventNames;

/// The built-in source of Gatepost's own events; reserved.
pub const OWN_SOURCE: &str = "gatepost";

/// What a handler says to an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Match {
    /// Not wanted.
    Skip,
    /// Wanted, in line with the others of the key where there is one.
    Take(Option<OrderKey>),
    /// The filter or the order key could not be worked out: a person has to look.
    Error(ErrorText),
}

/// Whether a handler with `policy` wants `event`. A panic in an expression stays with this event.
pub fn evaluate(policy: &Policy, event: &Arc<Event>) -> Match {
    if !is_named(&policy.on, event) {
        return unreadable(&policy.on, event).map_or(Match::Skip, Match::Error);
    }
    if policy.when.is_none() && policy.order_by.is_none() {
        return Match::Take(None);
    }
    let evaluated = catch_unwind(AssertUnwindSafe(|| match_payload(policy, event)));
    match evaluated {
        Ok(Ok(found)) => found,
        Ok(Err(reason)) => Match::Error(ErrorText::new(reason)),
        Err(_) => Match::Error(ErrorText::new("the expression panicked")),
    }
}

impl Policy {
    /// Whether a handler with this policy would be called with the event, or could not say.
    pub fn wants(&self, event: &Arc<Event>) -> bool {
        evaluate(self, event) != Match::Skip
    }

    /// The events that `on` names, see [`is_named`].
    pub fn names(&self) -> EventNames {
        match SourceName::parse(OWN_SOURCE) {
            Ok(own) if self.on.is_empty() => EventNames::AllBut(own),
            Ok(_) | Err(_) => EventNames::Any(
                self.on.iter().map(|glob| (glob.source.clone(), glob.event_type.clone())).collect(),
            ),
        }
    }
}

/// Whether `on` names the event; an empty one names all but Gatepost's own.
pub fn is_named(on: &[EventGlob], event: &Event) -> bool {
    let source = event.source.as_str();
    if on.is_empty() {
        return source != OWN_SOURCE;
    }
    on.iter().any(|glob| {
        glob.source.matches(source) && glob.event_type.matches(event.event_type.as_str())
    })
}

/// Why it cannot be said whether `on` names the event: its type stands in a body that cannot be read. What
/// is no text at all has no type that could be read, and comes from senders that give none.
fn unreadable(on: &[EventGlob], event: &Event) -> Option<ErrorText> {
    let may_be_meant = event.event_type.as_str() == EventType::UNKNOWN
        && on.iter().any(|glob| glob.source.matches(event.source.as_str()));
    let err = may_be_meant.then(|| event.payload().err()).flatten()?;
    if *err == UnreadableBody::Binary {
        return None;
    }
    Some(ErrorText::new(format!("the type cannot be told: {err}")))
}

fn match_payload(policy: &Policy, event: &Arc<Event>) -> Result<Match, String> {
    let scope = &Scope::of(event);
    let failed = |key: &str| {
        let key = key.to_owned();
        move |err| format!("`{key}` failed: {err}")
    };
    // Asked first: what takes something back need not have what `when` looks at.
    if let Some(when) = &policy.when
        && !policy.exempt.has(event, scope).map_err(failed("delete_when"))?
        && !when.is_true(scope).map_err(failed("when"))?
    {
        return Ok(Match::Skip);
    }
    let order_key = match &policy.order_by {
        Some(order_by) => order_key(order_by, scope).map_err(failed("order_by"))?,
        None => None,
    };
    Ok(Match::Take(order_key))
}

/// An event without the value that orders is in no line.
fn order_key(
    order_by: &Expression,
    scope: &Scope,
) -> Result<Option<OrderKey>, crate::expr::ExprError> {
    Ok(order_by.text(scope)?.map(|text| {
        let mut key = [0; 16];
        for (byte, hashed) in key.iter_mut().zip(Sha256::digest(text.as_bytes())) {
            *byte = hashed;
        }
        OrderKey(key)
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{DataRoot, EventId, Glob, NewEvent, Position, SourceName};
    use crate::handler::Exempt;

    fn event(source: &str, event_type: &str, body: impl Into<Bytes>) -> Arc<Event> {
        let source = SourceName::parse(source).unwrap();
        let new = NewEvent {
            data_root: DataRoot::Data,
            ..NewEvent::new(source, event_type, Timestamp::default(), body)
        };
        Arc::new(Event::new(new, EventId(Uuid::nil()), Position(1)))
    }

    fn policy(on: &[&str], when: &str, order_by: &str) -> Policy {
        let compile =
            |text: &str| (!text.is_empty()).then(|| Arc::new(Expression::compile(text).unwrap()));
        Policy {
            on: on.iter().map(|glob| EventGlob::parse(glob).unwrap()).collect(),
            when: compile(when),
            order_by: compile(order_by),
            ..Policy::default()
        }
    }

    #[track_caller]
    fn check_on(on: &[&str], source: &str, event_type: &str, is_wanted: bool) {
        let found = evaluate(&policy(on, "", ""), &event(source, event_type, ""));
        assert_eq!(found == Match::Take(None), is_wanted, "{on:?} {source}:{event_type}");
    }

    #[test]
    fn left_out_on_means_everything_but_gateposts_own_events() {
        check_on(&[], "hyvor", "comment.create", true);
        check_on(&[], "gatepost", "dead_letter", false);
        check_on(&["gatepost:*"], "gatepost", "dead_letter", true);
        check_on(&["gatepost:*"], "hyvor", "comment.create", false);
    }

    #[test]
    fn type_in_a_body_that_cannot_be_read_is_unclear() {
        let deep: &'static str = "[".repeat(3_000).leak();
        for body in [r#"{"event":"comment.create","data":{"#, deep] {
            let event = event("hyvor", "unknown", body);
            let found = evaluate(&policy(&["hyvor:comment.*"], "", ""), &event);
            let Match::Error(why) = found else { panic!("{found:?}") };
            assert!(why.as_str().starts_with("the type cannot be told: the body "), "{why}");
            let found = evaluate(&policy(&["userecho:*"], "", ""), &event);
            assert_eq!(found, Match::Skip);
        }
        for body in ["{}", "[1]", "hello", ""] {
            let found =
                evaluate(&policy(&["hyvor:comment.*"], "", ""), &event("hyvor", "unknown", body));
            assert_eq!(found, Match::Skip, "{body}");
        }
        let binary = event("cam", "unknown", &b"\x08\x96\xff"[..]);
        assert_eq!(binary.payload().unwrap_err(), &UnreadableBody::Binary);
        assert_eq!(evaluate(&policy(&["*:comment.create"], "", ""), &binary), Match::Skip);
    }

    #[test]
    fn any_glob_that_fits_source_and_type_is_enough() {
        let on = &["hyvor:comment.create", "user*:topic.*"];
        check_on(on, "hyvor", "comment.create", true);
        check_on(on, "hyvor", "comment.delete", false);
        check_on(on, "userecho", "topic.created", true);
        check_on(on, "userecho", "vote", false);
        check_on(on, "other", "comment.create", false);
    }

    #[test]
    fn a_glob_needs_both_parts() {
        for bad in ["", "hyvor", "hyvor:", ":comment", ":"] {
            assert_eq!(EventGlob::parse(bad), None);
        }
    }

    #[test]
    fn a_filter_that_says_no_skips_and_one_that_fails_says_why() {
        let body = r#"{"data":{"n":3,"status":"published"}}"#;
        let found = |when| evaluate(&policy(&[], when, ""), &event("s", "t", body));
        assert_eq!(found("data.n > 2"), Match::Take(None));
        assert_eq!(found("data.n > 3"), Match::Skip);
        assert_eq!(found("data.missing.field == 1"), Match::Skip);
        let Match::Error(reason) = found("data.status + 1 == 2") else { panic!("it fails") };
        assert!(reason.as_str().starts_with("`when` failed: "), "{reason}");
    }

    #[test]
    fn exempt_events_are_taken_whatever_when_says() {
        let exempt = Exempt {
            on: vec![Glob::new("s:comment.delete")],
            when: Some(Arc::new(Expression::compile("data.status in ['spam']").unwrap())),
        };
        let policy = Policy { exempt, ..policy(&[], "data.status == 'published'", "") };
        let found = |event_type, body| evaluate(&policy, &event("s", event_type, body));
        let take = Match::Take(None);
        assert_eq!(found("comment.edit", r#"{"data":{"status":"published"}}"#), take);
        assert_eq!(found("comment.edit", r#"{"data":{"status":"spam"}}"#), take);
        assert_eq!(found("comment.edit", r#"{"data":{"status":"pending"}}"#), Match::Skip);
        assert_eq!(found("comment.delete", "{}"), take);
        assert_eq!(found("comment.delete", "no JSON"), take, "its type is enough");
        assert_eq!(found("comment.deleted", "{}"), Match::Skip);
    }

    #[test]
    fn unreadable_body_is_unclear_and_never_skipped() {
        let deep: &'static str = Box::leak("[".repeat(2_000).into_boxed_str());
        for (body, expected) in [
            ("{\"data\":", "the body is not JSON: it ends too early"),
            (deep, "the body is not JSON: it is nested deeper than 1000 levels"),
            ("<a/>", "the body is text, which has no fields"),
        ] {
            for (when, order_by) in [("data.n > 2", ""), ("", "data.id"), ("payload.x", "")] {
                let found = evaluate(&policy(&[], when, order_by), &event("s", "t", body));
                let Match::Error(reason) = found else { panic!("{when}: {found:?}") };
                assert!(reason.as_str().contains(expected), "{reason}");
            }
            // What asks for nothing of the body does not mind.
            let policy = policy(&[], "event.type == 't'", "");
            assert_eq!(evaluate(&policy, &event("s", "t", body)), Match::Take(None));
        }
    }

    #[test]
    fn flawed_bodies_are_matched_like_any_other() {
        let deep = format!("{}5{}", "[".repeat(900), "]".repeat(900));
        for body in [
            r#"{"data":{"n":3,"x":"cut \ud83d"}}"#.to_owned(),
            "\u{feff}{\"data\":{\"n\":3}}".to_owned(),
            r#"{"data":{"n":3.00,"x":1e400,"y":NaN}}"#.to_owned(),
            format!(r#"{{"data":{{"n":3,"x":{deep}}}}}"#),
        ] {
            let body: &'static str = Box::leak(body.into_boxed_str());
            let found = |when| evaluate(&policy(&[], when, ""), &event("s", "t", body));
            assert_eq!(found("data.n == 3"), Match::Take(None), "{body}");
            assert_eq!(found("data.n == 4"), Match::Skip, "{body}");
        }
    }

    #[test]
    fn equal_values_are_equal_keys_and_no_value_is_none() {
        let key = |body| match evaluate(&policy(&[], "", "data.id"), &event("s", "t", body)) {
            Match::Take(key) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(key(r#"{"data":{"id":1}}"#), key(r#"{"data":{"id":1,"x":2}}"#));
        assert_ne!(key(r#"{"data":{"id":1}}"#), key(r#"{"data":{"id":2}}"#));
        assert_eq!(key(r#"{"data":{}}"#), None);
        assert_eq!(key(r#"{"data":{"id":null}}"#), None);
    }
}
