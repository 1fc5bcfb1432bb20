//! Looks for names, filters, tests and methods that do not exist, before the first event does.

use std::collections::HashSet;
use std::error::Error;
use std::ops::Range;

use minijinja::ErrorKind;

use super::error::BadArgument;
use super::methods::METHODS;
use super::rewrite::{self, NameKind, Named};
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
    if let Some(slip) = slips::hyphened(text, &name, names) {
        return Err(ExprError { message: slip.message, help: slip.help, ..at(text, &slip.range) });
    }
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

/// MiniJinja looks filters, tests and methods up when it runs: in a loop over nothing, and in a
/// branch that is not taken, never.
pub(super) fn check_named(text: &str, named: &[Named]) -> Result<(), ExprError> {
    let mut unknown = named.iter().filter(|named| !is_known(text, named));
    let Some(first) = unknown.next() else {
        return named.iter().try_for_each(|named| match named.kind {
            NameKind::Filter | NameKind::Test => check_arguments(text, named),
            NameKind::Method => check_method(text, named),
        });
    };
    let Named { name, kind, range, .. } = first;
    let mut help = near(first);
    let kind = match kind {
        NameKind::Filter => "filter",
        NameKind::Test => "test",
        NameKind::Method => "method",
    };
    let mut message = format!("unknown {kind}: {kind} {name} is unknown");
    for other in unknown {
        message = format!("{message}, and so is {}", other.name);
        let said = near(other);
        // The list of all that there are is told once.
        if !help.contains(&said) {
            help = format!("{help}; `{}`: {said}", other.name);
        }
    }
    Err(ExprError { message, help, ..at(text, range) })
}

/// What was probably meant by a name that there is not.
fn near(Named { name, kind, .. }: &Named) -> String {
    match kind {
        NameKind::Filter => slips::near_filter(name),
        NameKind::Test => slips::near_test(name),
        NameKind::Method => slips::near_method(name),
    }
}

/// An error of nothing yet, at a place of the text.
fn at(text: &str, range: &Range<usize>) -> ExprError {
    let before = text.get(..range.start).unwrap_or_default();
    let line = Some(before.matches('\n').count() + 1);
    let (message, help) = (String::new(), String::new());
    ExprError { message, help, range: Some(range.clone()), line }
}

/// Methods that have nothing to do where they are told nothing, each with how many values and an example.
const TOLD: [(&str, usize, &str); 16] = [
    ("center", 1, "20"),
    ("count", 1, "\"a\""),
    ("endswith", 1, "\"a\""),
    ("find", 1, "\"a\""),
    ("get", 1, "\"name\""),
    ("index", 1, "\"a\""),
    ("ljust", 1, "20"),
    ("partition", 1, "\":\""),
    ("removeprefix", 1, "\"a\""),
    ("removesuffix", 1, "\"a\""),
    ("replace", 2, "\"a\", \"b\""),
    ("rfind", 1, "\"a\""),
    ("rjust", 1, "20"),
    ("rpartition", 1, "\":\""),
    ("startswith", 1, "\"a\""),
    ("zfill", 1, "5"),
];

/// A method that is told too little fails with each event, or finds nothing: `commits.count()` counts a
/// list in other languages.
fn check_method(text: &str, method: &Named) -> Result<(), ExprError> {
    let Named { name, arguments, .. } = method;
    let written = text.get(arguments.clone()).unwrap_or_default();
    let Some((_, wanted, example)) = TOLD.iter().find(|(known, ..)| known == name) else {
        return Ok(());
    };
    let is_macro = text.contains(&format!("macro {name}("));
    // How many values `*list` gives is not known before the event.
    let is_spread = written.contains('*');
    if is_macro || is_spread || slips::n_arguments(written) >= *wanted {
        return Ok(());
    }
    let message = format!("missing argument (at `.{name}({written})`)");
    let help = match name.as_str() {
        "count" => format!(
            "how many there are is `x | length`; how often one of them is there is `x.count({example})`"
        ),
        _ => format!("as in `x.{name}({example})`"),
    };
    Err(ExprError { message, help, ..at(text, &(method.range.start..arguments.end + 1)) })
}

/// What these filters are told is looked at by them even where there is no value. Each with an
/// example.
const ASKED_OF_NOTHING: [(&str, &str); 5] = [
    ("date", "\"%d.%m.%Y\", tz=\"Europe/Berlin\""),
    ("truncate", "80, killwords=true, end=\"…\", leeway=0"),
    ("money", "\"EUR\", minor=true, decimals=2, group=\".\", point=\",\""),
    ("join", "\", \", attribute=\"name\""),
    ("tojson", "indent=2"),
];

/// The filter is given nothing, and of its arguments those that are written out: what it has to
/// say against them it would say of every event.
fn check_arguments(text: &str, filter: &Named) -> Result<(), ExprError> {
    let Named { name, kind, arguments, .. } = filter;
    let written = text.get(arguments.clone()).unwrap_or_default();
    let known = ASKED_OF_NOTHING.iter().find(|(known, _)| known == name);
    let Some((_, example)) = known.filter(|_| *kind == NameKind::Filter && !written.is_empty())
    else {
        return Ok(());
    };
    let Some(literal) = rewrite::literal_arguments(written) else { return Ok(()) };
    let run = EXPRESSIONS.compile_expression_owned(format!("none | {name}({literal})"));
    let Err(err) = run.and_then(|run| run.eval(())) else { return Ok(()) };
    let ExprError { message, .. } = ExprError::of(&err, "", None);
    let help = format!("as in `{name}({example})`");
    let message = format!("{message} (at `{name}({written})`)");
    Err(ExprError { message, help, ..at(text, &(filter.range.start..arguments.end + 1)) })
}

fn is_known(text: &str, Named { name, kind, .. }: &Named) -> bool {
    let question = match kind {
        NameKind::Filter => "name is filter",
        NameKind::Test => "name is test",
        // `loop` may have been given another name, for a loop within.
        NameKind::Method if ["cycle", "changed"].contains(&name.as_str()) => {
            return slips::find_word(text, "loop").is_some();
        }
        NameKind::Method => {
            let is_macro = || text.contains(&format!("macro {name}("));
            return METHODS.contains(&name.as_str()) || is_macro();
        }
    };
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
