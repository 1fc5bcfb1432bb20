//! What is written into a search field: words, and qualifiers as in `source:hyvor has:dead
//! data.comment.id:5 customer:cus_9 "two words"`.

use crate::clock::Timestamp;
use crate::queue::{BodyFilter, DeliveryFilter, DeliveryState, EventQuery};
use crate::settings::parse_duration;

use super::ApiError;
use super::values::{contains_in_any_case, handler, json_equals, source};

/// The most words of one search: each is looked for in every body.
const WORDS_MAX: usize = 8;
/// Adds what `text` says to `query`.
pub(super) fn narrow(
    mut query: EventQuery,
    text: &str,
    now: Timestamp,
) -> Result<EventQuery, ApiError> {
    let words = words(text);
    if words.len() > WORDS_MAX {
        return Err(ApiError::Bad(format!("a search has at most {WORDS_MAX} words")));
    }
    for word in words {
        let qualifier = if word.is_quoted { None } else { word.text.split_once(':') };
        match qualifier.filter(|(key, value)| !key.is_empty() && !value.is_empty()) {
            Some(("source", value)) => query.source = Some(source(value)?),
            Some(("-source", value)) => query.except = Some(source(value)?),
            Some(("type", value)) => query.event_type = Some(value.to_owned()),
            Some(("handler", value)) => delivery(&mut query).handler = Some(handler(value)?),
            // Filled in by who knows the handlers.
            Some(("has", "unasked")) => query.named_by_none = Some(Vec::new()),
            Some(("has" | "state", value)) => delivery(&mut query).state = Some(state(value)?),
            Some(("since", value)) => query.since = Some(moment(value, now)?),
            Some(("before" | "until", value)) => query.until = Some(moment(value, now)?),
            Some((path, value)) if is_path(path) => query.body.push(json_equals(path, value)),
            // It may as well be a text with a colon in it.
            Some((name, value)) if is_field(name, value) => {
                let either = vec![json_equals(name, value), contains_in_any_case(&word.text)];
                query.body.push(BodyFilter::Any(either));
            }
            Some(_) | None => query.body.push(contains_in_any_case(&word.text)),
        }
    }
    Ok(query)
}

/// Words that look like qualifiers and are none: they are looked for as fields of the body and as texts. An
/// address is none.
pub fn unknown_qualifiers(text: &str) -> Vec<String> {
    let known =
        ["source", "-source", "type", "handler", "has", "state", "since", "before", "until"];
    let is_unknown = |word: &Word| {
        word.text.split_once(':').is_some_and(|(key, value)| {
            is_field(key, value) && key.len() > 1 && !known.contains(&key)
        })
    };
    let found = words(text).into_iter().filter(|word| !word.is_quoted).filter(is_unknown);
    found.map(|word| word.text).collect()
}

fn delivery(query: &mut EventQuery) -> &mut DeliveryFilter {
    query.delivery.get_or_insert_default()
}

/// Whether a word before a colon is a path into the body: it begins with `$`, or has a point in it.
fn is_path(text: &str) -> bool {
    let is_sign =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']' | '\'' | '$');
    let is_name = |part: &str| !part.is_empty() && part.chars().all(is_sign);
    text.starts_with("$.")
        || text.starts_with("$[")
        || text.contains(['.', '[']) && text.split('.').all(is_name)
}

/// Whether a word with a colon may be a field at the top of the body and its value. An address is none, nor
/// is a time of day.
fn is_field(name: &str, value: &str) -> bool {
    let is_sign = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !value.starts_with("//")
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(is_sign)
}

/// A delivery's state as the API and people call it.
pub fn state(text: &str) -> Result<DeliveryState, ApiError> {
    Ok(match text {
        "pending" => DeliveryState::Pending,
        "delivered" => DeliveryState::Delivered,
        "skipped" => DeliveryState::Skipped,
        "retry" | "waiting" => DeliveryState::Retry,
        "held" => DeliveryState::Held,
        "dead" => DeliveryState::Dead,
        _ => {
            return Err(ApiError::Bad(format!(
                "`{text}` is no state: pending, delivered, skipped, retry (or waiting), held or dead"
            )));
        }
    })
}

/// `2h` ago, `2026-11-26`, a whole RFC 3339 time or seconds since 1970.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let ago = parse_duration(text).ok().map(|ago| now.before(ago));
    let day = || Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
    // As `date +%s` prints it.
    let seconds =
        || text.parse().ok().filter(|_| text.len() == 10).map(|seconds: i64| seconds * 1_000);
    let unix = || seconds().map(Timestamp::from_millis);
    ago.or_else(|| Timestamp::parse_date(text)).or_else(day).or_else(unix).ok_or_else(|| {
        ApiError::Bad(format!(
            "`{text}` is not a time: write how long ago it was (`2h`, `7d`), a day (`2026-11-26`) \
             or the moment itself (`2026-11-26T10:00:00Z`)"
        ))
    })
}

struct Word {
    text: String,
    is_quoted: bool,
}

/// Words between white space; quotation marks keep white space in.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    // `data.title:"two words"` is one word.
    let mut is_open = false;
    for (index, piece) in text.split('"').enumerate() {
        if index % 2 == 1 {
            match words.last_mut().filter(|_| is_open) {
                Some(word) => word.text.push_str(piece),
                None => words.push(Word { text: piece.to_owned(), is_quoted: true }),
            }
        } else {
            let plain = piece.split_whitespace();
            words.extend(plain.map(|word| Word { text: word.to_owned(), is_quoted: false }));
            is_open = piece.ends_with(':');
        }
    }
    words.retain(|word| !word.text.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::contains_in_any_case as contains;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(10_000_000);

    #[test]
    fn search_text_is_words_and_qualifiers() {
        let text = r#"source:hyvor has:dead handler:mail data.comment.id:5 since:2h "a b:c" plain data.title:"two words""#;
        let query = narrow(EventQuery::default(), text, NOW).unwrap();
        assert_eq!(query.source.unwrap().as_str(), "hyvor");
        assert_eq!(query.since, Some(NOW.before(Duration::from_hours(2))));
        let delivery = query.delivery.unwrap();
        assert_eq!(delivery.handler.unwrap().as_str(), "mail");
        assert_eq!(delivery.state, Some(DeliveryState::Dead));
        let pointer = "/data/comment/id".to_owned();
        assert_eq!(
            query.body,
            [
                BodyFilter::JsonEquals { pointer, value: "5".into() },
                contains("a b:c"),
                contains("plain"),
                BodyFilter::JsonEquals { pointer: "/data/title".into(), value: "two words".into() },
            ]
        );
    }

    #[test]
    fn one_source_can_be_left_out_and_words_that_say_nothing_are_told() {
        let query = narrow(EventQuery::default(), "-source:gatepost", NOW).unwrap();
        assert_eq!(query.except.unwrap().as_str(), "gatepost");
        let text = "foo:bar has:dead https://a.example x: data.id:5 \"one:two\" a:b";
        assert_eq!(unknown_qualifiers(text), ["foo:bar"]);
    }

    #[test]
    fn name_before_a_colon_is_a_field_at_the_top_of_the_body_or_a_text() {
        let query = narrow(EventQuery::default(), "customer:cus_9 $.type:x 12:30", NOW).unwrap();
        let equals = |pointer: &str, value: &str| BodyFilter::JsonEquals {
            pointer: pointer.to_owned(),
            value: value.to_owned(),
        };
        let either = vec![equals("/customer", "cus_9"), contains("customer:cus_9")];
        assert_eq!(query.body, [BodyFilter::Any(either), equals("/type", "x"), contains("12:30")]);
        // Quoted it is a text only.
        let query = narrow(EventQuery::default(), "\"customer:cus_9\"", NOW).unwrap();
        assert_eq!(query.body, [contains("customer:cus_9")]);
    }

    #[test]
    fn what_is_no_qualifier_is_a_word_and_what_is_wrong_is_told() {
        let query = narrow(EventQuery::default(), "https://example.com a: :b", NOW).unwrap();
        assert_eq!(query.body.len(), 3);
        for wrong in ["has:nothing", "since:yesterday", "source:UPPER", "a b c d e f g h i"] {
            assert!(matches!(narrow(EventQuery::default(), wrong, NOW), Err(ApiError::Bad(_))));
        }
    }
}
