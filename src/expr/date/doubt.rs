//! What looks like a moment and is taken for none: why, and what to write.

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::body::number;

/// A number from 1 to here is taken for no Unix time: it would be one of 1970 to March 1973, and is a year, a count
/// of days or what else.
const SMALL: f64 = 1e8;

/// The most characters of a text's form that are shown.
const FORM_MAX: usize = 40;

/// What a value is like that is taken for no moment, and what helps. Says forms, never values: those come
/// from a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MomentDoubt {
    /// As in ``string like `99/99/9999` ``.
    pub form: String,
    pub help: &'static str,
}

/// Why `value`, a text or a small number, is taken for no moment; `None` = it is something else.
pub fn moment_doubt(value: &Value) -> Option<MomentDoubt> {
    if let Some(text) = value.as_str() {
        return Some(of_text(text.trim()));
    }
    is_small(&number::plain(value.clone()))
        .then(|| MomentDoubt { form: "number below 100,000,000".to_owned(), help: OF_SMALL })
}

const OF_SMALL: &str = "it may be a year or a count of days, and as Unix time it is of 1970 to 1973: write \
                        `(x ~ \"-01-01\")` for a year, `{\"seconds\": x | int}` for Unix time";

fn of_text(text: &str) -> MomentDoubt {
    if is_packed_or_millis(text) {
        return MomentDoubt {
            form: "string of twelve digits".to_owned(),
            help: "it may be `YYMMDDhhmmss` or milliseconds: write `\"20\" ~ x` for the first, \
                   `x | int` for the second",
        };
    }
    if is_year_or_seconds(text) {
        return MomentDoubt { form: "string of four digits".to_owned(), help: OF_SMALL };
    }
    if text.parse().is_ok_and(|number: f64| is_small(&Value::from(number))) {
        let form = "string with a number below 100,000,000".to_owned();
        return MomentDoubt { form, help: OF_SMALL };
    }
    let help = if has_day_or_month_first(text) {
        "its first number may be the day or the month: write \
         `x[6:10] ~ \"-\" ~ x[3:5] ~ \"-\" ~ x[:2] ~ x[10:]` where it is the day, \
         `x[6:10] ~ \"-\" ~ x[:2] ~ \"-\" ~ x[3:5] ~ x[10:]` where it is the month"
    } else {
        "put ISO 8601 (`2026-01-31T15:04:05Z`) or Unix time together of its parts, as in `x[:10]`"
    };
    MomentDoubt { form: format!("string like `{}`", form(text)), help }
}

/// Whether it is twelve digits that are a day and a time of a century that they do not say. As milliseconds they
/// are a moment of 1973 to 2001.
pub(super) fn is_packed_or_millis(text: &str) -> bool {
    let is_date = || jiff::civil::DateTime::strptime("%y%m%d%H%M%S", text).is_ok();
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) && is_date()
}

/// Whether it is four digits. As Unix time they are a moment of the first three hours of 1970.
pub(super) fn is_year_or_seconds(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is a number that is hardly Unix time.
pub(super) fn is_small(value: &Value) -> bool {
    let is_number = value.kind() == ValueKind::Number;
    is_number && f64::try_from(value.clone()).is_ok_and(|number| number > 0.0 && number < SMALL)
}

/// `03/12/2013`, also with a time behind it.
fn has_day_or_month_first(text: &str) -> bool {
    let day = text.split([' ', ',']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split('/').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts[..], [a, b, year] if is_number(&a) && is_number(&b) && is_number(&year)
        && (1..=2).contains(&a.len()) && (1..=2).contains(&b.len()) && year.len() == 4)
}

/// The text with 9 in place of each digit and `a` in place of each letter.
fn form(text: &str) -> String {
    let masked = text.chars().take(FORM_MAX).map(|c| match c {
        _ if c.is_numeric() => '9',
        _ if c.is_alphabetic() => 'a',
        ' ' | '-' | '/' | '.' | ',' | ':' | '+' => c,
        _ => '?',
    });
    let more = if text.chars().count() > FORM_MAX { "…" } else { "" };
    masked.collect::<String>() + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_text_shows_none_of_it() {
        let form = |text: &str| moment_doubt(&Value::from(text)).unwrap().form;
        assert_eq!(form("3 Ünlü 2013, 5`"), "string like `9 aaaa 9999, 9?`");
        assert_eq!(form(&"x".repeat(41)), format!("string like `{}…`", "a".repeat(40)));
    }
}
