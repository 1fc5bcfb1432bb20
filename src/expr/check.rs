//! Looks for names, filters, tests and methods that do not exist, before the first event does.

use std::collections::HashSet;
use std::error::Error;

use minijinja::ErrorKind;

use super::error::BadArgument;
use super::rewrite::Named;
use super::{EXPRESSIONS, ExprError, slips};

/// A name that is nowhere defined would be undefined for ever: surely a slip.
pub(super) fn check_names(
    text: &str,
    used: HashSet<String>,
    names: &[&str],
) -> Result<(), ExprError> {
    let is_known = |name: &str| {
        names.contains(&name) || EXPRESSIONS.globals().any(|(global, _)| global == name)
    };
    let unknown = used.into_iter().filter(|name| !is_known(name)).min();
    let Some(name) = unknown else { return Ok(()) };
    let start = slips::find_word(text, &name);
    let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (last, others) = all.split_last().map_or(("", &[][..]), |(last, rest)| (last, rest));
    let known = format!("{} or {last}", others.join(", "));
    let help = start.map(|start| slips::near_name(text, start, &name, names));
    Err(ExprError {
        message: format!("`{name}` is not in scope: use {known}"),
        help: help.unwrap_or_default(),
        range: start.map(|start| start..start + name.len()),
        line: start.and_then(|start| text.get(..start)).map(|before| before.lines().count().max(1)),
    })
}

/// MiniJinja looks filters and tests up when it runs, and in a loop over nothing never.
pub(super) fn check_named(text: &str, named: &[Named]) -> Result<(), ExprError> {
    let mut unknown = named.iter().filter(|named| !is_known(named));
    let Some(Named { name, is_test, range }) = unknown.next() else { return Ok(()) };
    let kind = if *is_test { "test" } else { "filter" };
    let mut message = format!("unknown {kind}: {kind} {name} is unknown");
    for Named { name, .. } in unknown {
        message = format!("{message}, and so is {name}");
    }
    let before = text.get(..range.start).unwrap_or_default();
    Err(ExprError {
        message,
        help: if *is_test { slips::near_test(name) } else { slips::near_filter(name) },
        range: Some(range.clone()),
        line: Some(before.matches('\n').count() + 1),
    })
}

fn is_known(Named { name, is_test, .. }: &Named) -> bool {
    let question = if *is_test { "name is test" } else { "name is filter" };
    let answer = EXPRESSIONS
        .compile_expression(question)
        .and_then(|question| question.eval(minijinja::context! { name }));
    // Internal filters begin with `_` and cannot be named.
    !name.starts_with('_') && answer.is_ok_and(|is_known| is_known.is_true())
}

/// Functions, methods and other templates are looked up when it runs: so it is run once, with every name undefined.
/// Whatever else fails in that run says nothing about a real event.
pub(super) fn check_run(err: Option<minijinja::Error>) -> Result<(), minijinja::Error> {
    let Some(err) = err else { return Ok(()) };
    let is_unknown = matches!(
        err.kind(),
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::TemplateNotFound
    );
    let is_wrong = err.source().is_some_and(<dyn Error>::is::<BadArgument>);
    if is_unknown || is_wrong { Err(err) } else { Ok(()) }
}
