//! The filters, tests and methods of the language. What is missing or `null` stays missing through
//! every one of them: no filter makes the word "None" of it.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters, tests};

use super::arguments::Arguments;
use super::striptags::striptags;
use super::values::{calculable, cost, is_missing, is_number, text, weight};
use super::{b64, date, exact, lists, methods, money, operators, order, plain, printf};
use crate::body::json::{self, Layout};
use crate::body::number;

/// The widest indentation of `tojson`.
const INDENT_MAX: usize = 16;

/// What a filter is given in place of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    /// As it is.
    Value,
    /// Its text: `true` as JSON has it, a number as it was written.
    Text,
    /// A number that can be calculated with, of a text that is one as well.
    Number,
}

pub(super) fn add_to(environment: &mut Environment<'_>) {
    add_builtin(environment);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("bool", truth);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("join", join);
    environment.add_filter("replace", replace);
    environment.add_filter("tojson", tojson);
    environment.add_filter("from_json", from_json);
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("striptags", |state: &mut State<'_, '_>, value: &Value| {
        let Some(html) = value.as_str() else { return Ok(Value::from("")) };
        state.consume_fuel(cost(html.len()))?;
        Ok::<_, Error>(Value::from(striptags(html)))
    });
    environment.add_filter("date", date::date);
    environment.add_filter("money", money::money);
    b64::add_to(environment);
    operators::add_to(environment);
    exact::add_to(environment);
    add_tests(environment);
    lists::add_to(environment);
    environment.set_unknown_method_callback(methods::call);
}

/// MiniJinja's own filters, each in its guard.
fn add_builtin(environment: &mut Environment<'_>) {
    macro_rules! add {
        ($given:ident: $($name:literal = $filter:path),+ $(,)?) => {
            $(add_guarded(environment, $name, Given::$given, Value::from_function($filter));)+
        };
    }
    add!(Text:
        "lower" = filters::lower,
        "upper" = filters::upper,
        "title" = filters::title,
        "capitalize" = filters::capitalize,
        "trim" = filters::trim,
        "indent" = filters::indent,
        "split" = filters::split,
        "lines" = filters::lines,
        "string" = filters::string,
    );
    add!(Number:
        "round" = filters::round,
        "abs" = filters::abs,
    );
    add_converting(environment, "int", Value::from_function(filters::int));
    add_converting(environment, "float", Value::from_function(filters::float));
    add!(Value:
        "escape" = filters::escape,
        "e" = filters::escape,
        "safe" = filters::safe,
        "items" = filters::items,
        "dictsort" = filters::dictsort,
        "reverse" = filters::reverse,
        "first" = filters::first,
        "last" = filters::last,
        "list" = filters::list,
        "batch" = filters::batch,
        "slice" = filters::slice,
        "attr" = filters::attr,
        "select" = filters::select,
        "selectattr" = filters::selectattr,
        "reject" = filters::reject,
        "rejectattr" = filters::rejectattr,
        "pprint" = filters::pprint,
    );
    add_calculating(environment);
}

/// Those that calculate with their arguments, which may be missing or numbers that keep their text.
fn add_calculating(environment: &mut Environment<'_>) {
    let sum = Value::from_function(filters::sum);
    environment.add_filter("sum", move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
        let args = Arguments::of(args)?;
        let attribute = args.get(1, "attribute")?;
        let start = args.get(2, "start")?.map_or(Value::from(0), exact::exact);
        args.finish()?;
        let value = match attribute {
            Some(path) => lists::fields(state, &args.value(), &path)?,
            None => args.value(),
        };
        let summands = lists::present(state, &value, exact::exact)?;
        let is_list = summands.kind() == ValueKind::Seq;
        if is_list && is_number(&start) && summands.try_iter()?.all(|item| is_number(&item)) {
            let add = |sum, item| exact::apply(exact::Arithmetic::Add, sum, item);
            return summands.try_iter()?.try_fold(start, add);
        }
        let summands = lists::present(state, &summands, calculable)?;
        sum.call(state, &[summands, Value::from(()), calculable(start)])
    });
    environment.add_filter("format", printf::format);
}

/// `filter` gets a value that it can take, and is not asked about what is missing.
fn add_guarded(
    environment: &mut Environment<'_>,
    name: &'static str,
    as_given: Given,
    filter: Value,
) {
    environment.add_filter(name, move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        if args.first().is_none_or(is_missing) {
            return Ok(Value::UNDEFINED);
        }
        if as_given == Given::Number && args.first().is_some_and(is_blank) {
            return Ok(Value::UNDEFINED);
        }
        let args = given(as_given, args);
        filter.call(state, &args)
    });
}

/// `int` and `float`: their default stands for what is missing, as for what is no number.
fn add_converting(environment: &mut Environment<'_>, name: &'static str, filter: Value) {
    environment.add_filter(name, move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
        let values = args.into_values();
        let copy = values.iter().cloned().map(ValueOrKwargs::from).collect();
        let args = Arguments::of(Rest(copy))?;
        let value = args.value();
        if is_missing(&value) || is_blank(&value) {
            return Ok(args.get(1, "default")?.unwrap_or(Value::UNDEFINED));
        }
        let values = given(Given::Number, values);
        filter.call(state, &values)
    });
}

/// A text that means no is false, as it comes in forms and in headers: by itself any text is true.
fn truth(value: &Value) -> bool {
    let is_no = |text: &str| NO.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    value.as_str().map_or_else(|| value.is_true(), |text| !is_no(text))
}

/// How forms and programs write what is not so.
const NO: [&str; 8] = ["", "0", "false", "f", "no", "n", "off", "null"];

/// A form's field that was left empty.
fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn given(as_given: Given, mut args: Vec<Value>) -> Vec<Value> {
    let Some((value, others)) = args.split_first_mut() else { return args };
    *value = match as_given {
        Given::Value => std::mem::take(value),
        Given::Text if value.is_safe() => std::mem::take(value),
        Given::Text => text(value),
        Given::Number => calculable(std::mem::take(value)),
    };
    for other in others {
        *other = number::plain(std::mem::take(other));
    }
    args
}

fn length(value: &Value) -> Result<usize, Error> {
    if is_missing(value) {
        return Ok(0);
    }
    value.len().ok_or_else(|| {
        let message = format!("cannot calculate length of value of type {}", value.kind());
        Error::new(ErrorKind::InvalidOperation, message)
    })
}

/// For what is missing or `null`; with `true` as second argument for whatever counts as false.
fn default(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let other = args.get(1, "default_value")?.unwrap_or_else(|| Value::from(""));
    let boolean = args.get(2, "boolean")?.is_some_and(|boolean| boolean.is_true());
    args.finish()?;
    let value = args.value();
    let is_wanted = is_missing(&value) || (boolean && !value.is_true());
    Ok(if is_wanted { other } else { value })
}

/// The items as text with a text between them; those that are missing are left out.
fn join(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let between = args.get(1, "d")?.map_or_else(String::new, |between| plain(&between));
    let attribute = args.get(2, "attribute")?;
    args.finish()?;
    let value = args.value();
    if is_missing(&value) {
        return Ok(Value::UNDEFINED);
    }
    let mut text = String::new();
    let mut is_first = true;
    for item in value.try_iter()?.checked() {
        let mut item = item?;
        if let Some(path) = &attribute {
            item = lists::field(&item, path);
        }
        if is_missing(&item) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            text.push_str(&between);
        }
        let item = plain(&item);
        state.consume_fuel(cost(between.len().saturating_add(item.len())).saturating_add(1))?;
        text.push_str(&item);
    }
    Ok(Value::from(text))
}

/// Every `old` becomes `new`: nothing where that is missing, and nothing is replaced where `old` is.
fn replace(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let (old, new) = (args.get(1, "old")?, args.get(2, "new")?);
    args.finish()?;
    let value = args.value();
    if is_missing(&value) {
        return Ok(Value::UNDEFINED);
    }
    let given = if value.is_safe() { value } else { text(&value) };
    let Some(old) = old else { return Ok(given) };
    let new = new.map_or_else(|| Value::from(""), number::plain);
    Value::from_function(filters::replace).call(state, &[given, number::plain(old), new])
}

/// JSON that may stand in HTML.
fn tojson(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let layout = match args.count(1, "indent", 0)? {
        0 => Layout::Spaced,
        indent => Layout::Indented(indent.min(INDENT_MAX)),
    };
    args.finish()?;
    let text = json::write(&args.value(), layout)?;
    // Writing goes through every value, as MiniJinja counts it.
    state.consume_fuel(cost(text.len().saturating_mul(16)))?;
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
    Ok(Value::from_safe_string(text.replace('&', "\\u0026").replace('\'', "\\u0027")))
}

/// The value of JSON text, read as tolerantly as a body.
fn from_json(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let Some(text) = value.as_str().filter(|text| !text.trim().is_empty()) else {
        // What is a value already stays one.
        return Ok(if value.as_str().is_some() { Value::UNDEFINED } else { value.clone() });
    };
    state.consume_fuel(cost(text.len().saturating_mul(16)))?;
    let (value, _) = json::read(text.as_bytes()).map_err(|err| {
        Error::new(ErrorKind::InvalidOperation, format!("the text is not JSON: {err}"))
    })?;
    Ok(value)
}

/// A text as it may stand in an address; of a map `name=value&name=value`, without what is missing.
fn urlencode(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if is_missing(value) {
        return Ok(Value::UNDEFINED);
    }
    let encoded = |value: &Value| {
        let text = filters::urlencode(&text(value))?;
        state.consume_fuel(cost(text.len()).saturating_add(1))?;
        Ok::<_, Error>(text)
    };
    if value.kind() != ValueKind::Map {
        return encoded(value).map(Value::from);
    }
    let mut pairs = Vec::new();
    for name in value.try_iter()?.checked() {
        let name = name?;
        let item = value.get_item(&name)?;
        if !is_missing(&item) {
            pairs.push(format!("{}={}", encoded(&name)?, encoded(&item)?));
        }
    }
    Ok(Value::from(pairs.join("&")))
}

/// The first `length` characters, cut at a word's end; `end` stands for what is left out.
fn truncate(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let length = args.count(1, "length", 255)?;
    let cuts_words = args.get(2, "killwords")?.is_some_and(|value| value.is_true());
    let end = args.get(3, "end")?.map_or_else(|| "...".to_owned(), |end| plain(&end));
    let leeway = args.count(4, "leeway", 5)?;
    args.finish()?;
    let value = args.value();
    if is_missing(&value) {
        return Ok(Value::UNDEFINED);
    }
    let text = plain(&value);
    state.consume_fuel(cost(text.len()))?;
    if text.chars().nth(length.saturating_add(leeway)).is_none() {
        return Ok(Value::from(text));
    }
    let room = length.saturating_sub(end.chars().count());
    let cut: String = text.chars().take(room).collect();
    let words = cut.rsplit_once(' ').filter(|_| !cuts_words);
    Ok(Value::from(format!("{}{end}", words.map_or(&*cut, |(words, _)| words))))
}

/// MiniJinja's tests that would not know a number by its text.
fn add_tests(environment: &mut Environment<'_>) {
    macro_rules! add {
        ($($name:literal = $test:path),+ $(,)?) => {
            $({
                let test = Value::from_function($test);
                environment.add_test($name, move |state: &mut State<'_, '_>, args: Rest<Value>| {
                    let args: Vec<Value> = args.iter().cloned().map(number::plain).collect();
                    test.call(state, &args).map(|value| value.is_true())
                });
            })+
        };
    }
    add!(
        "odd" = tests::is_odd,
        "even" = tests::is_even,
        "divisibleby" = tests::is_divisibleby,
        "integer" = tests::is_integer,
        "int" = tests::is_integer,
        "float" = tests::is_float,
    );
    environment.add_test("number", is_number);
    environment.add_test("in", |state: &mut State<'_, '_>, wanted: &Value, container: Value| {
        state.consume_fuel(weight(&container))?;
        Ok::<_, Error>(operators::is_in(wanted, container))
    });
    order::add_to(environment);
}
