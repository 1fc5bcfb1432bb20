//! `+`, `-`, `*`, `/`, `//` and `%` of decimals come to what a cash desk would say: as floats `1.10 * 100` is
//! 110.00000000000001, which no column of whole numbers takes. Up to 38 digits are exact; what has more, a
//! quotient without an end, and what is no number, is left to MiniJinja.

use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Expression, State, Value, context};

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
    Divide,
    FloorDivide,
    Remainder,
}

impl Arithmetic {
    /// The operator that [`super::rewrite`] writes so.
    fn of(word: &Value) -> Option<Self> {
        match word.as_str()? {
            "&" => Some(Self::Join),
            "+" => Some(Self::Add),
            "-" => Some(Self::Subtract),
            "*" => Some(Self::Multiply),
            "/" => Some(Self::Divide),
            "//" => Some(Self::FloorDivide),
            "%" => Some(Self::Remainder),
            _ => None,
        }
    }

    /// Whether it binds closer than a sum.
    const fn is_of_product(self) -> bool {
        match self {
            Self::Join | Self::Add | Self::Subtract => false,
            Self::Multiply | Self::Divide | Self::FloorDivide | Self::Remainder => true,
        }
    }

    /// Whether it comes to a whole number where both sides are whole.
    const fn is_whole_division(self) -> bool {
        matches!(self, Self::FloorDivide | Self::Remainder)
    }

    /// As MiniJinja calculates it, of what has no decimals or is no number.
    fn usual(self, one: Value, other: Value) -> Result<Value, Error> {
        let operators = OPERATORS.as_ref().map_err(error_of)?;
        let expression = match self {
            Self::Join | Self::Add => &operators.add,
            Self::Subtract => &operators.subtract,
            Self::Multiply => &operators.multiply,
            Self::Divide => &operators.divide,
            Self::FloorDivide => &operators.floor_divide,
            Self::Remainder => &operators.remainder,
        };
        expression.eval(context! { one, other }).map_err(|err| error_of(&err))
    }
}

/// The operators of MiniJinja, compiled once.
struct Operators {
    add: Expression<'static, 'static>,
    subtract: Expression<'static, 'static>,
    multiply: Expression<'static, 'static>,
    divide: Expression<'static, 'static>,
    floor_divide: Expression<'static, 'static>,
    remainder: Expression<'static, 'static>,
}

static OPERATORS: LazyLock<Result<Operators, Error>> = LazyLock::new(|| {
    let compile = |text| super::EXPRESSIONS.compile_expression(text);
    Ok(Operators {
        add: compile("one + other")?,
        subtract: compile("one - other")?,
        multiply: compile("one * other")?,
        divide: compile("one / other")?,
        floor_divide: compile("one // other")?,
        remainder: compile("one % other")?,
    })
});

/// The same without its place, which is one in an expression that no owner wrote, and without values, which come
/// from a body.
fn error_of(err: &Error) -> Error {
    let detail = match err.detail() {
        Some(detail) if detail.starts_with("unable to calculate") => {
            "this cannot be calculated: it is divided by zero, or comes to too much"
        }
        detail => detail.unwrap_or_default(),
    };
    Error::new(err.kind(), detail.to_owned())
}

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("_calculated", calculated);
    environment.add_filter("_negated", negated);
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
            Some(operator) if operator.is_of_product() => apply(operator, product, value)?,
            Some(operator) => {
                let term = match sum {
                    Some((sum, operator)) => apply(operator, sum, product)?,
                    None => product,
                };
                sum = Some((term, operator));
                value
            }
            None => value,
        };
    }
    match sum {
        Some((sum, operator)) => apply(operator, sum, product),
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

/// The value with the other sign, whatever its digits.
fn negated(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    state.consume_fuel(weight(value).saturating_add(1))?;
    let value = exact(value.clone());
    let text = number::json(&value).filter(|_| is_number(&value));
    if let Some(text) = text.filter(|text| Decimal::of(text).is_some()) {
        let is_zero = Decimal::of(&text).is_some_and(|decimal| decimal.digits.is_empty());
        return Ok(match text.strip_prefix('-') {
            Some(unsigned) => number::read(unsigned),
            None if is_zero => value.clone(),
            None => number::read(&format!("-{text}")),
        });
    }
    match f64::try_from(number::plain(value.clone())) {
        Ok(float) if is_number(&value) => Ok(Value::from(-float)),
        Ok(_) | Err(_) => {
            let message = format!("tried to use - operator on unsupported type {}", value.kind());
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

/// What two values come to.
pub(super) fn apply(operator: Arithmetic, one: Value, other: Value) -> Result<Value, Error> {
    if let (Some(one), Some(other)) = (whole(&one), whole(&other))
        && operator != Arithmetic::Divide
    {
        let come_to = match operator {
            Arithmetic::Join | Arithmetic::Add => one.checked_add(other),
            Arithmetic::Subtract => one.checked_sub(other),
            Arithmetic::Multiply => one.checked_mul(other),
            Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Remainder => None,
        };
        if let Some(number) = come_to {
            return Ok(Value::from(number));
        }
    } else if is_number(&one)
        && is_number(&other)
        // Of whole numbers both are whole, up to 128 bits.
        && !(operator.is_whole_division() && one.is_integer() && other.is_integer())
        && let (Some(one), Some(other)) = (Fixed::of(&one), Fixed::of(&other))
        && let Some(come_to) = one.apply(operator, &other)
    {
        return Ok(number::read(&come_to));
    }
    operator.usual(number::plain(one), number::plain(other))
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

    /// What both come to, as it is written; `None` = it has too many digits, or no last one.
    fn apply(self, operator: Arithmetic, other: &Self) -> Option<String> {
        let scale = self.scale.max(other.scale);
        let units = |number: &Self| number.units.checked_mul(ten_to(scale - number.scale)?);
        let of_both = |units: Option<i128>| Some(Self { units: units?, scale });
        // As everywhere a quotient is no whole number, and prints as none.
        let fraction = |number: Option<Self>| {
            let text = number?.text();
            Some(if text.contains('.') { text } else { text + ".0" })
        };
        Some(match operator {
            Arithmetic::Join | Arithmetic::Add => {
                of_both(units(&self)?.checked_add(units(other)?))?.text()
            }
            Arithmetic::Subtract => of_both(units(&self)?.checked_sub(units(other)?))?.text(),
            Arithmetic::Multiply => {
                let scale = self.scale.checked_add(other.scale)?;
                Self { units: self.units.checked_mul(other.units)?, scale }.text()
            }
            Arithmetic::Divide => fraction(self.divided(other))?,
            Arithmetic::FloorDivide => {
                let (quotient, _) = floor_division(units(&self)?, units(other)?)?;
                fraction(Some(Self { units: quotient, scale: 0 }))?
            }
            Arithmetic::Remainder => {
                let (_, remainder) = floor_division(units(&self)?, units(other)?)?;
                fraction(of_both(Some(remainder)))?
            }
        })
    }

    /// The quotient, where it ends: what is left of the divisor, once shortened, is twos and fives.
    fn divided(self, other: &Self) -> Option<Self> {
        let divisor = gcd(self.units.unsigned_abs(), other.units.unsigned_abs());
        let divisor = i128::try_from(divisor).ok().filter(|_| other.units != 0)?;
        let sign = other.units.signum();
        let (units, mut rest) = (self.units / divisor * sign, other.units / divisor * sign);
        let mut count = |prime: i128| {
            let mut n = 0_u32;
            while rest % prime == 0 {
                (rest, n) = (rest / prime, n + 1);
            }
            n
        };
        let (twos, fives) = (count(2), count(5));
        if rest != 1 {
            return None;
        }
        let digits = twos.max(fives);
        let missing =
            2_i128.checked_pow(digits - twos)?.checked_mul(5_i128.checked_pow(digits - fives)?)?;
        let units = units.checked_mul(missing)?;
        let scale = i64::from(digits) + i64::from(self.scale) - i64::from(other.scale);
        if let Ok(scale) = u32::try_from(scale) {
            Some(Self { units, scale })
        } else {
            let power = u32::try_from(scale.unsigned_abs()).ok()?;
            Some(Self { units: units.checked_mul(ten_to(power)?)?, scale: 0 })
        }
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

/// Quotient and remainder as Python has them: the remainder has the sign of what is divided by.
fn floor_division(one: i128, other: i128) -> Option<(i128, i128)> {
    let (quotient, remainder) = (one.checked_div(other)?, one.checked_rem(other)?);
    let is_below = remainder != 0 && (remainder < 0) != (other < 0);
    Some(if is_below { (quotient - 1, remainder + other) } else { (quotient, remainder) })
}

fn gcd(mut one: u128, mut other: u128) -> u128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}
