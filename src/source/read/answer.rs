//! Reads what comes in by which methods, and what is answered.

use std::sync::Arc;

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

/// `answer = { status = 200, type = "application/json", body = "…" }`; `None` = a problem.
pub(super) fn read_answer(mut table: Table<'_>) -> Option<AnswerRule> {
    let status = table.checked("status", |status: u32| match u16::try_from(status) {
        Ok(status @ 200..=299) => Ok(status),
        Ok(_) | Err(_) => Err("the sender would try again: a status of 200 to 299 is needed"),
    });
    let is_status_wrong = status.is_none() && table.has("status");
    let content_type = table.checked("type", |text: String| {
        let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
        let is_good = text.contains('/') && text.chars().all(is_plain);
        if is_good { Ok(text) } else { Err("this is no content type, such as \"text/xml\"") }
    });
    let is_type_wrong = content_type.is_none() && table.has("type");
    let escape = AnswerBody::escape(content_type.as_deref());
    let body = table.checked("body", |text: String| Template::compile(&text, escape));
    let is_body_wrong = body.is_none() && table.has("body");
    table.finish();
    let is_good = !is_status_wrong && !is_type_wrong && !is_body_wrong;
    let status = status.unwrap_or(200);
    let body = body.map(Arc::new);
    is_good.then_some(AnswerRule::Body(AnswerBody { status, content_type, body }))
}
