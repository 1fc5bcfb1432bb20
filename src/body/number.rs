//! Numbers that keep the text they were written with: `1.10`, `1e2`, ids of 40 digits.
//!
//! A number whose usual text is the written one is a plain value. Any other is a [`Number`], an
//! object that prints as it was written; [`plain`] makes of it what can be calculated with.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{DynObject, Object, ObjectRepr, ValueKind};

/// A number as it is written in the body.
#[derive(Debug)]
pub(crate) struct Number(Box<str>);

/// As many digits as every whole number of 128 bits may have.
const WHOLE_DIGITS_MAX: usize = 38;

/// So many digits of a number that was written outlive a float.
pub(crate) const FLOAT_DIGITS: usize = 15;

/// So many digits write any float: a number of no more of them may be one that another language wrote.
const FLOAT_TEXT_DIGITS: usize = 17;

/// The value of a JSON number, of `NaN` or of `Infinity`.
pub(crate) fn read(text: &str) -> Value {
    let exact = || Value::from_object(Number(text.into()));
    if text.contains(['.', 'e', 'E', 'N', 'I']) {
        let value = Value::from(float(text));
        let n_digits = text.bytes().filter(u8::is_ascii_digit).count();
        // A float of more digits is no more what was written once it is calculated with.
        let is_kept = n_digits <= FLOAT_DIGITS && value.to_string() == text;
        return if is_kept { value } else { exact() };
    }
    if text == "-0" {
        return exact();
    }
    let whole = text.parse::<i64>().map(Value::from);
    let whole = whole.or_else(|_| text.parse::<u64>().map(Value::from));
    let whole = whole.or_else(|_| text.parse::<i128>().map(Value::from));
    whole.or_else(|_| text.parse::<u128>().map(Value::from)).unwrap_or_else(|_| exact())
}

/// What is written in the body, where the value is a [`Number`].
pub(crate) fn written(value: &Value) -> Option<&str> {
    value.downcast_object_ref::<Number>().map(|number| &*number.0)
}

/// The nearest number to calculate with; other values as they are. A whole number of many digits is
/// that number, however it is written, and beyond 128 bits it stays what it is: as a float it would be its
/// neighbours.
pub(crate) fn plain(value: Value) -> Value {
    match written(&value) {
        Some("-0") => Value::from(0),
        Some(text) if !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            value
        }
        Some(text) => whole(text).unwrap_or_else(|| Value::from(float(text))),
        None => value,
    }
}

/// A whole number of more digits than a float keeps (`1234567890123456789.0`, `1.5e17`), up to 128 bits.
fn whole(text: &str) -> Option<Value> {
    let Decimal { is_negative, point, digits } = Decimal::of(text)?;
    let n_digits =
        usize::try_from(point).ok().filter(|n| *n > FLOAT_DIGITS && *n >= digits.len())?;
    let sign = if is_negative { "-" } else { "" };
    let number = (n_digits <= WHOLE_DIGITS_MAX).then(|| format!("{sign}{digits:0<n_digits$}"))?;
    number.parse::<i128>().ok().map(Value::from)
}

/// The same, to be compared: a fraction of more digits than a float keeps is as it is written. As a float it
/// would equal its neighbours.
pub(crate) fn comparable(value: Value) -> Value {
    let calculated = || value.kind() == ValueKind::Number && !value.is_integer();
    let is_long = |text: &str| {
        let n_digits = |number: &Decimal| i64::try_from(number.digits.len()).unwrap_or(i64::MAX);
        let number = Decimal::of(text);
        number.is_some_and(|one| one.digits.len() > FLOAT_DIGITS && n_digits(&one) > one.point)
    };
    let is_of_a_float = |text: &str| {
        Decimal::of(text).is_some_and(|number| number.digits.len() <= FLOAT_TEXT_DIGITS)
    };
    match written(&value) {
        Some(text) if is_long(text) => {
            let nearest = Value::from(float(text)).to_string();
            if !is_long(&nearest) {
                // What is the same float as a shorter number is that one.
                plain(value)
            } else if is_of_a_float(text) {
                Value::from_object(Number(nearest.into()))
            } else {
                value
            }
        }
        None if calculated() => {
            let text = value.to_string();
            if is_long(&text) { Value::from_object(Number(text.into())) } else { value }
        }
        Some(_) | None => plain(value),
    }
}

/// The number that a text is, by the rules of JSON; `None` = the value is no such text.
pub(crate) fn numeric(value: &Value) -> Option<Value> {
    let text = digits(value).filter(|_| value.kind() == ValueKind::String)?;
    Some(plain(read(&text)))
}

/// How two numbers compare, each perhaps a text that is one; `None` = they are none, or one is `NaN`.
pub(crate) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    let is_usual = |value: &Value| value.kind() == ValueKind::Number;
    if is_usual(one) && is_usual(other) {
        return is_number(one).and(is_number(other)).map(|()| one.cmp(other));
    }
    let (one, other) = (digits(one)?, digits(other)?);
    match (Decimal::of(&one), Decimal::of(&other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        (_, _) => float(&one).partial_cmp(&float(&other)),
    }
}

/// A number by which lists are sorted, whatever its digits; `None` = the value is none.
pub(crate) fn sort_key(value: &Value) -> Option<Value> {
    let text = match (written(value), value.kind()) {
        (Some(text), _) => Cow::Borrowed(text),
        (None, ValueKind::Number) => Cow::Owned(value.to_string()),
        (None, ValueKind::Bool) => Cow::Borrowed(if value.is_true() { "1" } else { "0" }),
        (None, _) => return None,
    };
    let decimal = Decimal::of(&text).filter(|_| text.len() <= DIGITS_MAX);
    Some(Value::from_object(SortKey { decimal, float: float(&text) }))
}

/// What a number is sorted by.
#[derive(Debug)]
struct SortKey {
    /// Of what is finite and not too long.
    decimal: Option<Decimal>,
    float: f64,
}

impl Object for SortKey {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        // One order for all: by the float, which is never more for less, and the digits tell apart what
        // is one float. What has no decimal stands beyond those that have: by its float alone it would
        // be equal to numbers that are not equal. (Zero is one number, whatever its sign.)
        let by_float = (self.float + 0.0).total_cmp(&(other.float + 0.0));
        Some(by_float.then_with(|| match (&self.decimal, &other.decimal) {
            (Some(one), Some(other)) => one.cmp(other),
            (one, other) => {
                let by_kind = one.is_none().cmp(&other.is_none());
                // `-Infinity` is less than what is only too small for a float.
                if self.float < 0.0 { by_kind.reverse() } else { by_kind }
            }
        }))
    }
}

/// What is not `NaN`.
fn is_number(value: &Value) -> Option<()> {
    let float = f64::try_from(value.clone());
    (!float.is_ok_and(f64::is_nan)).then_some(())
}

/// Longer numbers are neither less nor more than others: each comparison goes through all digits.
const DIGITS_MAX: usize = 1_000;

/// The text of a number.
fn digits(value: &Value) -> Option<Cow<'_, str>> {
    let is_short = |text: &&str| text.len() <= DIGITS_MAX;
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().filter(is_short)?.trim();
            Decimal::of(text).map(|_| Cow::Borrowed(text))
        }
        ValueKind::Number => Some(Cow::Owned(value.to_string())),
        _ => written(value).filter(is_short).map(Cow::Borrowed),
    }
}

/// The number as JSON has it; `None` where it is none, or not finite.
pub(crate) fn json(value: &Value) -> Option<Cow<'_, str>> {
    if let Some(text) = written(value) {
        return (!text.contains(['N', 'I'])).then_some(Cow::Borrowed(text));
    }
    if value.kind() != ValueKind::Number {
        return None;
    }
    let text = value.to_string();
    (!text.contains("NaN") && !text.contains("inf")).then_some(Cow::Owned(text))
}

fn float(text: &str) -> f64 {
    match text {
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Whatever is written as JSON writes numbers is one to Rust as well.
        text => text.parse().unwrap_or(f64::NAN),
    }
}

impl Object for Number {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        Decimal::of(&self.0).is_none_or(|decimal| !decimal.digits.is_empty())
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        match (Decimal::of(&self.0), Decimal::of(&other.0)) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            (_, _) => Some(float(&self.0).total_cmp(&float(&other.0))),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number as `0.digits` times ten to the power of `point`; zero has no digits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) is_negative: bool,
    pub(crate) point: i64,
    pub(crate) digits: String,
}

impl Decimal {
    /// The number that `text` is by the rules of JSON; `None` where it is none, is not finite, or its
    /// exponent is of no use.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('-');
        let is_negative = unsigned.is_some();
        let (mantissa, exponent) = match unsigned.unwrap_or(text).split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned.unwrap_or(text), 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty()
            || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let n_zeros = digits.len().saturating_sub(significant.len());
        let point = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(n_zeros).ok()?)?;
        let digits = significant.trim_end_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            point: if is_zero { 0 } else { point.checked_add(exponent)? },
            digits,
        })
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let size = |one: &Self| (!one.digits.is_empty()).then_some(one.point);
        let by_size =
            size(self).cmp(&size(other)).then_with(|| self.digits.as_str().cmp(&other.digits));
        match (self.is_negative, other.is_negative) {
            (false, false) => by_size,
            (true, true) => by_size.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_written() {
        for text in [
            "0",
            "-0",
            "1",
            "1.0",
            "1.10",
            "100.00",
            "1e2",
            "1E+2",
            "-2.50",
            "0.1",
            "1e400",
            "18446744073709551617",
            "1234567890123456789012345678901234567890123",
            "Infinity",
            "NaN",
            "1e-7",
            "0.30000000000000004",
            "0.12345678901234567890",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn usual_numbers_are_plain_values() {
        for text in ["0", "-1", "1.5", "1.0", "18446744073709551617", "-170141183460469231731"] {
            assert_eq!(read(text).kind(), ValueKind::Number, "{text}");
        }
    }

    #[test]
    fn json_of_number_is_its_text() {
        assert_eq!(json(&read("1.10")).as_deref(), Some("1.10"));
        assert_eq!(json(&read("1e400")).as_deref(), Some("1e400"));
        assert_eq!(json(&read("5")).as_deref(), Some("5"));
        for none in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(json(&read(none)), None, "{none}");
        }
        assert_eq!(json(&Value::from("5")), None);
    }

    #[test]
    fn written_numbers_compare_by_value() {
        let cmp = |one: &str, other: &str| {
            let exact = |text: &str| Value::from_object(Number(text.into()));
            exact(one).cmp(&exact(other))
        };
        assert_eq!(cmp("1.10", "1.1"), Ordering::Equal);
        assert_eq!(cmp("1e2", "100.0"), Ordering::Equal);
        assert_eq!(cmp("0.00", "-0"), Ordering::Equal);
        assert_eq!(cmp("0.10", "0.010"), Ordering::Greater);
        assert_eq!(cmp("-2.50", "-2.40"), Ordering::Less);
        assert_eq!(cmp("-1", "0"), Ordering::Less);
        let (one, next) = ("9".repeat(40), format!("1{}", "0".repeat(40)));
        assert_eq!(cmp(&one, &next), Ordering::Less);
        assert_eq!(cmp(&format!("{}1", &next), &format!("{}2", &next)), Ordering::Less);
    }

    #[test]
    fn sort_keys_have_one_order() {
        let long = format!("9007199254740992.6{}", "0".repeat(1_000));
        // From least to most, except that the long one has no digits that are looked at.
        let texts = [
            "-Infinity",
            "-1e400",
            "-1e300",
            "-9007199254740992.75",
            "-0.5",
            "0",
            "0.5",
            "9007199254740992.5",
            "9007199254740992.75",
            &long,
            "9007199254740994",
            "1e400",
            "1e401",
            "Infinity",
            "NaN",
        ];
        let keys: Vec<Value> = texts
            .iter()
            .map(|text| sort_key(&Value::from_object(Number((*text).into()))).unwrap())
            .collect();
        for (at, one) in keys.iter().enumerate() {
            for (other_at, other) in keys.iter().enumerate() {
                assert_eq!(one.cmp(other), at.cmp(&other_at), "{at} {other_at}");
            }
        }
        let key = |text: &str| sort_key(&Value::from_object(Number(text.into()))).unwrap();
        assert_eq!(key("-0").cmp(&key("0.00")), Ordering::Equal);
        assert_eq!(key("-0.0").cmp(&key("1e-400")), Ordering::Less);
        assert_eq!(key("-1e-400").cmp(&key("0")), Ordering::Less);
    }

    #[test]
    fn plain_number_can_be_calculated_with() {
        assert_eq!(plain(read("1.10")), Value::from(1.1));
        assert_eq!(plain(read("1e2")), Value::from(100));
        assert_eq!(plain(read("-0")), Value::from(0));
        let huge = "9".repeat(50);
        assert_eq!(plain(read(&huge)).to_string(), huge);
        assert!(!read("0.00").is_true() && read("0.10").is_true());
    }
}
