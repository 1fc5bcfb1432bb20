//! `+`, `-` and `*` of decimals come to what a cash desk would say: as floats `1.10 * 100` is
//! 110.00000000000001, which no column of whole numbers takes. Up to 38 digits are exact; what has more, and
//! what is no number, is left to MiniJinja.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value, context};

use super::values::{is_number, weight};
use crate::body::number::{self, Decimal};

/// The most digits behind the point that are calculated with: as many as 128 bits hold.
const SCALE_MAX: u32 = 38;

/// What stands between two values. A sum beside a written number is one of numbers, else two texts are
/// put together (see [`super::rewrite`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Join,
    Add,
    Subtract,
    Multiply,
}

impl Arithmetic {
    /// The operator that [`super::rewrite`] writes so.
    fn of(word: &Value) -> Option<Self> {
        match word.as_str()? {
            "&" => Some(Self::Join),
            "+" => Some(Self::Add),
            "-" => Some(Self::Subtract),
            "*" => Some(Self::Multiply),
            _ => None,
        }
    }

    const fn expression(self) -> &'static str {
        match self {
            Self::Join | Self::Add => "one + other",
            Self::Subtract => "one - other",
            Self::Multiply => "one * other",
        }
    }
}

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("_calculated", calculated);
}

/// What a calculation comes to, which is a list of its values with the operators between them.
fn calculated(state: &mut State<'_, '_>, parts: &Value) -> Result<Value, Error> {
    let parts: Vec<Value> = parts.try_iter()?.collect();
    let operator = |at: usize| parts.get(at).and_then(Arithmetic::of);
    let mut sum: Option<(Value, Arithmetic)> = None;
    let mut product = Value::UNDEFINED;
    for at in (0..parts.len()).step_by(2) {
        let Some(value) = parts.get(at) else { break };
        state.consume_fuel(weight(value).saturating_add(1))?;
        let (before, after) = (at.checked_sub(1).and_then(operator), operator(at + 1));
        let is_of_numbers =
            [before, after].into_iter().flatten().any(|beside| beside != Arithmetic::Join);
        let value = if is_of_numbers { exact(value.clone()) } else { value.clone() };
        product = match before {
            Some(Arithmetic::Multiply) => apply(state, Arithmetic::Multiply, product, value)?,
            Some(operator) => {
                let term = match sum {
                    Some((sum, operator)) => apply(state, operator, sum, product)?,
                    None => product,
                };
                sum = Some((term, operator));
                value
            }
            None => value,
        };
    }
    match sum {
        Some((sum, operator)) => apply(state, operator, sum, product),
        None => Ok(product),
    }
}

/// What can be calculated with: a text that is a number as that number. Others are as they are.
pub(super) fn exact(value: Value) -> Value {
    let text = value.as_str().filter(|text| Decimal::of(text.trim()).is_some());
    match text {
        Some(text) if number::numeric(&value).is_some() => number::read(text.trim()),
        Some(_) | None => value,
    }
}

/// Two values, added, subtracted or multiplied.
pub(super) fn apply(
    state: &State<'_, '_>,
    operator: Arithmetic,
    one: Value,
    other: Value,
) -> Result<Value, Error> {
    if let (Some(one), Some(other)) = (whole(&one), whole(&other)) {
        let come_to = match operator {
            Arithmetic::Join | Arithmetic::Add => one.checked_add(other),
            Arithmetic::Subtract => one.checked_sub(other),
            Arithmetic::Multiply => one.checked_mul(other),
        };
        if let Some(number) = come_to {
            return Ok(Value::from(number));
        }
    } else if is_number(&one)
        && is_number(&other)
        && let (Some(one), Some(other)) = (Fixed::of(&one), Fixed::of(&other))
        && let Some(come_to) = one.apply(operator, &other)
    {
        return Ok(number::read(&come_to.text()));
    }
    let (one, other) = (number::plain(one), number::plain(other));
    let expression = state.env().compile_expression(operator.expression())?;
    let come_to = expression.eval(context! { one, other });
    // Without its place, which is one in an expression that no owner wrote.
    come_to.map_err(|err| Error::new(err.kind(), err.detail().unwrap_or_default().to_owned()))
}

/// A whole number of at most 64 bits.
fn whole(value: &Value) -> Option<i64> {
    (value.kind() == ValueKind::Number && value.is_integer()).then(|| value.as_i64()).flatten()
}

/// A number in whole tenths, hundredths and so on: `units` divided by ten to the power of `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fixed {
    units: i128,
    scale: u32,
}

impl Fixed {
    /// `None` = it has too many digits, or is not finite.
    fn of(value: &Value) -> Option<Self> {
        let Decimal { is_negative, point, digits } = Decimal::of(&number::json(value)?)?;
        // A quotient: its last digits are what is left over, and no one has written them.
        let is_calculated = number::written(value).is_none() && !value.is_integer();
        if is_calculated && digits.len() > number::FLOAT_DIGITS {
            return None;
        }
        let units: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let units = if is_negative { -units } else { units };
        let exponent = point.checked_sub(i64::try_from(digits.len()).ok()?)?;
        let power = u32::try_from(exponent.unsigned_abs()).ok().filter(|n| *n <= SCALE_MAX)?;
        if exponent < 0 {
            Some(Self { units, scale: power })
        } else {
            Some(Self { units: units.checked_mul(ten_to(power)?)?, scale: 0 })
        }
    }

    fn apply(self, operator: Arithmetic, other: &Self) -> Option<Self> {
        if operator == Arithmetic::Multiply {
            let scale = self.scale.checked_add(other.scale)?;
            return Some(Self { units: self.units.checked_mul(other.units)?, scale });
        }
        let scale = self.scale.max(other.scale);
        let units = |number: &Self| number.units.checked_mul(ten_to(scale - number.scale)?);
        let (one, other) = (units(&self)?, units(other)?);
        let units = match operator {
            Arithmetic::Subtract => one.checked_sub(other)?,
            Arithmetic::Join | Arithmetic::Add | Arithmetic::Multiply => one.checked_add(other)?,
        };
        Some(Self { units, scale })
    }

    /// As JSON has it, without zeros that say nothing.
    fn text(self) -> String {
        let sign = if self.units < 0 { "-" } else { "" };
        let scale = usize::try_from(self.scale).unwrap_or_default();
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }
}

fn ten_to(power: u32) -> Option<i128> {
    10_i128.checked_pow(power)
}
