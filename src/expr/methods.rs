//! Python's methods of texts, lists and maps. Of what is missing each gives what is missing, and
//! what is missing is in no text.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback as pycompat;

use super::plain;
use super::values::{calculable_or_empty, cost, is_missing, is_number, text, weight};
use crate::body::number;

pub(super) const METHODS: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "get",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "items",
    "join",
    "keys",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "values",
    "zfill",
];

/// The widest that a text is made by `center`, `ljust`, `rjust` and `zfill`.
const WIDTH_MAX: usize = 1 << 16;

/// Calls a method that MiniJinja does not know.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if is_missing(value) {
        return if METHODS.contains(&name) {
            Ok(Value::UNDEFINED)
        } else {
            Err(Error::new(ErrorKind::UnknownMethod, format!("there is no method `{name}`")))
        };
    }
    if !is_number(value) && value.kind() != ValueKind::String {
        let wanted = args.first().map_or(0, weight);
        state.consume_fuel(weight(value).saturating_add(wanted))?;
        return match (name, value.kind()) {
            ("index", ValueKind::Seq | ValueKind::Iterable) => index_in_list(value, args),
            ("join", ValueKind::Seq | ValueKind::Iterable) => {
                let between = args.first().cloned().unwrap_or_default();
                state.apply_filter("join", &[value.clone(), between])
            }
            (_, _) => pycompat(state, value, name, &given(args)),
        };
    }
    let value = text(value);
    let Some(written) = value.as_str() else { return Ok(Value::UNDEFINED) };
    state.consume_fuel(cost(written.len()))?;
    if args.first().is_some_and(is_missing) {
        return of_nothing(state, &value, name, args);
    }
    if let ("strip" | "lstrip" | "rstrip", Some(chars)) =
        (name, args.first().and_then(Value::as_str))
    {
        state.consume_fuel(cost(written.len().saturating_mul(chars.len())))?;
    }
    match own(state, written, name, args) {
        Some(result) => result,
        None => pycompat(state, &value, name, &given(args)),
    }
}

/// The arguments without the word "None" in them, those with names, too.
fn given(args: &[Value]) -> Vec<Value> {
    args.iter().map(|arg| with_named(arg).unwrap_or_else(|| calculable_or_empty(arg))).collect()
}

/// The same of the arguments that are given by name, where `arg` is those.
pub(super) fn with_named(arg: &Value) -> Option<Value> {
    let named = Kwargs::try_from(arg.clone()).ok().filter(|_| arg.is_kwargs())?;
    let given = named.args().map(|name| {
        let value = named.get::<Value>(name).unwrap_or_default();
        (name.to_owned(), calculable_or_empty(&value))
    });
    Some(Value::from(given.collect::<Kwargs>()))
}

/// A method that is asked about nothing: it finds nothing, and changes nothing.
fn of_nothing(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match name {
        "startswith" | "endswith" => Ok(Value::from(false)),
        "find" | "rfind" => Ok(Value::from(-1)),
        "count" => Ok(Value::from(0)),
        "index" | "join" => Ok(Value::UNDEFINED),
        "replace" | "removeprefix" | "removesuffix" | "center" | "ljust" | "rjust" | "zfill" => {
            Ok(value.clone())
        }
        "split" | "rsplit" => {
            let others = args.get(1..).unwrap_or_default();
            let args: Vec<Value> = [Value::from(())].into_iter().chain(given(others)).collect();
            pycompat(state, value, "split", &args)
        }
        "strip" | "lstrip" | "rstrip" | "splitlines" => pycompat(state, value, name, &[]),
        _ => pycompat(state, value, name, &given(args)),
    }
}

/// Those of a text that `minijinja_contrib` does not have.
fn own(
    state: &mut State<'_, '_>,
    text: &str,
    name: &str,
    args: &[Value],
) -> Option<Result<Value, Error>> {
    let first = args.first().map(plain).unwrap_or_default();
    let owned = |text: &str| Value::from(text);
    let value = match name {
        "casefold" => Value::from(text.to_lowercase()),
        "swapcase" => Value::from(swapcase(text)),
        "removeprefix" => owned(text.strip_prefix(&*first).unwrap_or(text)),
        "removesuffix" => owned(text.strip_suffix(&*first).unwrap_or(text)),
        "partition" => parts(text.split_once(&*first), &first, [text, "", ""]),
        "rpartition" => parts(text.rsplit_once(&*first), &first, ["", "", text]),
        "rsplit" => return Some(rsplit(text, &first, args)),
        "index" => text.find(&*first).map_or(Value::UNDEFINED, |at| {
            Value::from(text.get(..at).unwrap_or_default().chars().count())
        }),
        "center" | "ljust" | "rjust" | "zfill" => return Some(padded(state, text, name, args)),
        "join" => return Some(joined(state, text, args)),
        _ => return None,
    };
    Some(Ok(value))
}

fn swapcase(text: &str) -> String {
    let mut swapped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            swapped.extend(c.to_lowercase());
        } else {
            swapped.extend(c.to_uppercase());
        }
    }
    swapped
}

fn parts(split: Option<(&str, &str)>, between: &str, whole: [&str; 3]) -> Value {
    let parts = split.map_or(whole, |(before, behind)| [before, between, behind]);
    parts.into_iter().map(Value::from).collect()
}

fn rsplit(text: &str, between: &str, args: &[Value]) -> Result<Value, Error> {
    let n_max = args.get(1).filter(|n_max| !is_missing(n_max)).cloned();
    let n_max = n_max.map(|n_max| i64::try_from(number::plain(n_max))).transpose()?;
    let n_parts = n_max.and_then(|n_max| usize::try_from(n_max).ok()).map(|n| n.saturating_add(1));
    let n_parts = n_parts.unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = if args.is_empty() {
        text.split_whitespace().collect()
    } else if between.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "the separator is empty"));
    } else {
        text.rsplitn(n_parts, between).collect()
    };
    if !args.is_empty() {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

fn padded(
    state: &mut State<'_, '_>,
    text: &str,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let Some(width) = args.first() else {
        return Err(Error::new(ErrorKind::MissingArgument, "how wide is missing"));
    };
    let width = usize::try_from(number::plain(width.clone()))?.min(WIDTH_MAX);
    let fill = args.get(1).filter(|fill| !is_missing(fill)).map(plain);
    let fill = fill.as_deref().unwrap_or(if name == "zfill" { "0" } else { " " });
    let n_missing = width.saturating_sub(text.chars().count());
    state.consume_fuel(cost(n_missing.saturating_mul(fill.len())))?;
    let n_before = match name {
        "ljust" => 0,
        "center" => n_missing / 2,
        _ => n_missing,
    };
    let behind = fill.repeat(n_missing.saturating_sub(n_before));
    let before = fill.repeat(n_before);
    let sign = text.get(..1).filter(|sign| name == "zfill" && ["-", "+"].contains(sign));
    Ok(Value::from(match sign {
        Some(sign) => format!("{sign}{before}{}", text.get(1..).unwrap_or_default()),
        None => format!("{before}{text}{behind}"),
    }))
}

/// `", ".join(list)`: as the filter `join` does it.
fn joined(state: &mut State<'_, '_>, between: &str, args: &[Value]) -> Result<Value, Error> {
    let list = args.first().cloned().unwrap_or_default();
    state.apply_filter("join", &[list, Value::from(between)])
}

/// Where `args[0]` stands in a list; what is in none stands nowhere.
fn index_in_list(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let wanted = number::plain(args.first().cloned().unwrap_or_default());
    for (place, item) in list.try_iter()?.checked().enumerate() {
        if number::plain(item?) == wanted {
            return Ok(Value::from(place));
        }
    }
    Ok(Value::UNDEFINED)
}
