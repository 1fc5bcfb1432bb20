//! The filter `money`: an amount with its digits grouped, and never a rounding of binary numbers.

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::Arguments;
use super::plain;
use super::values::is_missing;
use crate::body::number::Decimal;

/// More digits than any amount has.
const DIGITS_MAX: i64 = 40;
/// The most digits behind the point.
const DECIMALS_MAX: usize = 10;

/// Currencies that are written without decimals: those without minor units in list one of ISO 4217
/// (as of 2026), and MGA. Its unit is a fifth, for which ISO says 2; CLDR 48 writes it with 0, and Stripe
/// counts it so. MRU, the other one with fifths, has 2 in all of them.
const WITHOUT_DECIMALS: [&str; 18] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "UYI",
    "VND", "VUV", "XAF", "XOF", "XPF",
];
/// Those whose minor unit is a thousandth, and a ten-thousandth, by the same list.
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const TEN_THOUSANDTHS: [&str; 2] = ["CLF", "UYW"];
/// Those that senders count in hundredths although they have none: Stripe both, Adyen ISK.
const COUNTED_IN_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];

/// With how many decimals a currency is written.
fn decimals_of(currency: &str) -> usize {
    let is_in =
        |currencies: &[&str]| currencies.iter().any(|one| one.eq_ignore_ascii_case(currency));
    if is_in(&WITHOUT_DECIMALS) {
        0
    } else if is_in(&THOUSANDTHS) {
        3
    } else if is_in(&TEN_THOUSANDTHS) {
        4
    } else {
        2
    }
}

/// What part of it a sender's minor unit is, as a number of decimals.
fn minor_decimals_of(currency: &str) -> usize {
    let is_counted = COUNTED_IN_HUNDREDTHS.iter().any(|one| one.eq_ignore_ascii_case(currency));
    if is_counted { 2 } else { decimals_of(currency) }
}

/// `data.amount | money("EUR")` is `1,234.50 EUR`. With `minor = true` the amount is in the currency's cents,
/// as Stripe sends it, however many `decimals` are shown: the currency's where it is not said. Without a
/// currency they also say what its cents are. `group` is `,` and `point` is `.`.
pub(super) fn money(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let text = |place, name| Ok::<_, Error>(args.get(place, name)?.map(|text| plain(&text)));
    let currency = text(1, "currency")?.unwrap_or_default();
    let is_minor = args.get(2, "minor")?.is_some_and(|minor| minor.is_true());
    let decimals = args.count(3, "decimals", decimals_of(&currency))?.min(DECIMALS_MAX);
    let minor = if currency.is_empty() { decimals } else { minor_decimals_of(&currency) };
    let group = text(4, "group")?.unwrap_or_else(|| ",".to_owned());
    let point = text(5, "point")?.unwrap_or_else(|| ".".to_owned());
    args.finish()?;
    let value = args.value();
    let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
    if is_missing(&value) || is_blank {
        return Ok(Value::UNDEFINED);
    }
    let no_amount = || {
        let message = format!("this {} is no amount", value.kind());
        Error::new(ErrorKind::InvalidOperation, message)
    };
    let amount = Decimal::of(plain(&value).trim()).ok_or_else(no_amount)?;
    let shift = if is_minor { minor } else { 0 };
    let (whole, fraction) = rounded(&amount, shift, decimals).ok_or_else(no_amount)?;
    let is_zero = whole.bytes().chain(fraction.bytes()).all(|digit| digit == b'0');
    let mut text = String::new();
    if amount.is_negative && !is_zero {
        text.push('-');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && whole.len().saturating_sub(place).is_multiple_of(3) {
            text.push_str(&group);
        }
        text.push(digit);
    }
    if decimals > 0 {
        text.push_str(&point);
        text.push_str(&fraction);
    }
    if !currency.is_empty() {
        text.push(' ');
        text.push_str(&currency);
    }
    Ok(Value::from(text))
}

/// The digits before and behind the point of `amount` without its sign, moved by `shift` places to
/// the right; a half is rounded up.
fn rounded(amount: &Decimal, shift: usize, decimals: usize) -> Option<(String, String)> {
    let moved = i64::try_from(decimals).ok()?.checked_sub(i64::try_from(shift).ok()?)?;
    // So many of the amount's digits are shown.
    let n_shown = amount.point.checked_add(moved)?.max(-1);
    if n_shown > DIGITS_MAX {
        return None;
    }
    let digits = |n: usize| amount.digits.bytes().chain(std::iter::repeat(b'0')).take(n);
    // A zero in front takes what is carried.
    let mut shown = vec![b'0'];
    if let Ok(n_shown) = usize::try_from(n_shown) {
        shown.extend(digits(n_shown));
        if amount.digits.as_bytes().get(n_shown).is_some_and(|digit| *digit >= b'5') {
            round_up(&mut shown);
        }
    }
    let n_missing = decimals.saturating_add(1).saturating_sub(shown.len());
    let shown = "0".repeat(n_missing) + &String::from_utf8(shown).ok()?;
    let (whole, fraction) = shown.split_at_checked(shown.len().checked_sub(decimals)?)?;
    let whole = whole.trim_start_matches('0');
    Some((if whole.is_empty() { "0" } else { whole }.to_owned(), fraction.to_owned()))
}

fn round_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit = digit.saturating_add(1);
            return;
        }
        *digit = b'0';
    }
}
