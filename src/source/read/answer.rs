//! Reads what comes in by which methods, and what is answered.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::body;
use crate::expr::Template;
use crate::settings::Table;

use super::super::answer::{AnswerBody, AnswerRule};

/// A list of methods; `None` = a problem.
#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
pub(super) fn read_methods(
    table: &mut Table<'_>,
    known: &[&'static str],
) -> Option<Option<Vec<&'static str>>> {
    let methods = table.one_or_many::<String>("methods");
    if !table.has("methods") {
        return Some(None);
    }
    let mut found = Vec::new();
    for method in methods? {
        let Some(known) = known.iter().find(|known| **known == method) else {
            let message = format_args!("`{}` is no method here", method.escape_debug());
            table.problem("methods", message, format_args!("methods: {}", known.join(", ")));
            return None;
        };
        found.push(*known);
    }
    if found.is_empty() {
        table.problem("methods", "without a method nothing can come in", "name at least one");
        return None;
    }
    Some(Some(found))
}

/// A status that its sender understands as yes, or as no; `why` says it where it is another. `None` = a problem.
#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
pub(super) fn read_status(
    table: &mut Table<'_>,
    key: &str,
    allowed: RangeInclusive<u16>,
    why: &str,
) -> Option<Option<u16>> {
    let status = table.checked(key, |status: u32| {
        u16::try_from(status).ok().filter(|status| allowed.contains(status)).ok_or(why)
    });
    if status.is_none() && table.has(key) { None } else { Some(status) }
}

/// `answer = { status = 200, type = "application/json", body = "…" }`; `None` = a problem.
pub(super) fn read_answer(mut table: Table<'_>) -> Option<AnswerRule> {
    let why = "the sender would try again: a status of 200 to 299 is needed";
    let status = read_status(&mut table, "status", 200..=299, why);
    let content_type = table.checked("type", |text: String| {
        let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
        let is_good = text.contains('/') && text.chars().all(is_plain);
        if is_good { Ok(text) } else { Err("this is no content type, such as \"text/xml\"") }
    });
    let is_type_wrong = content_type.is_none() && table.has("type");
    let escape = AnswerBody::escape(content_type.as_deref());
    let mut written = String::new();
    let body = table.checked("body", |text: String| {
        let compiled = Template::compile(&text, escape);
        written = text;
        compiled
    });
    let content_type =
        content_type.or_else(|| body.is_some().then(|| type_of(&written).to_owned()));
    let is_json = content_type.as_deref().is_some_and(|text| text.contains("json"));
    if is_json && is_breakable(&written) {
        let message = "a text with a quote in it would break this JSON";
        let help = "write `{{ payload.name | tojson }}`, without quotes around it";
        table.warning("body", message, help);
    }
    let is_body_wrong = body.is_none() && table.has("body");
    if let Some(Some(bare @ (204 | 205))) = status
        && table.has("body")
    {
        let help = "leave `body` out, or write `status = 200`";
        table.warning(
            "body",
            format_args!("an answer of {bare} has no body: this is never sent"),
            help,
        );
    }
    table.finish();
    let is_good = status.is_some() && !is_type_wrong && !is_body_wrong;
    let status = status.flatten().unwrap_or(200);
    let body = body.map(Arc::new);
    is_good.then_some(AnswerRule::Body(AnswerBody { status, content_type, body }))
}

/// What a body is whose type is not said.
fn type_of(body: &str) -> &'static str {
    let body = body.trim();
    let is_object = body.starts_with('{') && !body.starts_with("{{") && !body.starts_with("{%");
    // `[ok]` is a word in brackets.
    let is_list = body.starts_with('[') && body.ends_with(']') && may_be_json(body);
    let is_json = is_object || is_list;
    if is_json { "application/json" } else { "text/plain; charset=utf-8" }
}

/// Whether a value of the sender's stands in `template` as it is.
fn is_breakable(template: &str) -> bool {
    let inside = template.split("{{").skip(1).map(|text| text.split("}}").next());
    inside.flatten().any(|text| {
        !text.contains("tojson") && ["payload", "data"].iter().any(|name| text.contains(name))
    })
}

/// What to write where that is none.
pub(super) const ANSWER_HEADER_HELP: &str = "for example `answer_header = \"X-Hook-Secret\"`";

/// The name of a header that an answer may set.
pub(super) fn answer_header(text: &str) -> Result<String, &'static str> {
    let name = text.to_ascii_lowercase();
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_sign) {
        return Err("this is not the name of a header");
    }
    if OF_THE_ANSWER.contains(&&*name) {
        return Err("this header is the answer's own");
    }
    Ok(name)
}

/// What the HTTP library says of an answer.
const OF_THE_ANSWER: [&str; 6] =
    ["connection", "content-length", "content-type", "date", "transfer-encoding", "upgrade"];

/// What is wrong with a template that should write JSON.
pub(super) const NO_JSON: &str =
    "this does not write JSON: what stands in `{{ }}` comes with quotes of its own";
/// What to do about it.
pub(super) const NO_JSON_HELP: &str =
    "leave out quotes around `{{ }}`; texts are joined by `~`: `{{ \"sha256=\" ~ hash }}`";

/// Whether `text` can write JSON, as far as that can be said before its values are known. Each value is a text, so that
/// one within another text is seen.
pub(super) fn writes_json(text: &str) -> bool {
    is_json_with(text, "\"\"")
}

/// The same where quotes stand around values.
fn may_be_json(text: &str) -> bool {
    is_json_with(text, "0")
}

fn is_json_with(text: &str, value: &str) -> bool {
    if text.contains("{%") || text.contains("{#") {
        return true;
    }
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        // The compiler says what is wrong with one that is not closed.
        let Some((inside, behind)) = behind.split_once("}}") else { return true };
        // What is `safe` is written as it is.
        written.extend([before, if inside.contains("safe") { "0" } else { value }]);
        rest = behind;
    }
    written.push_str(rest);
    serde_json::from_str::<IgnoredAny>(&body::json::without_spare_commas(written)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_that_is_json_is_called_so() {
        for (body, is_json) in [
            (r#"{"a": 1}"#, true),
            (r#" [{"id": "{{ event.id }}"}] "#, true),
            ("[]", true),
            ("[{% if payload.a %}1{% endif %}]", true),
            ("[ok] received", false),
            ("[ok]", false),
            ("{{ event.id }}", false),
            ("{% if payload.a %}a{% endif %}", false),
        ] {
            assert_eq!(type_of(body) == "application/json", is_json, "{body}");
        }
    }

    #[test]
    fn template_that_cannot_write_json_is_known() {
        for good in [
            "{}",
            r#"{"a": {{ payload.a }}}"#,
            r#"{"a": {{ "sha256=" ~ hash }}, "b": [{{ 1 }}]}"#,
            r#"{% if hash %}{"a": "{{ hash }}"}{% endif %}"#,
            r#"{"a": {{ hash"#,
            r#"{"a": "sha256={{ hash | safe }}"}"#,
            r#"{"a": [{{ hash }}, ], }"#,
        ] {
            assert!(writes_json(good), "{good}");
        }
        for bad in [r#"{"a": "sha256={{ hash }}"}"#, r#"{"a": "{{ hash }}"}"#, "{a: {{ b }}}", "{"]
        {
            assert!(!writes_json(bad), "{bad}");
        }
    }
}
