//! The filters `b64decode` and `b64encode`: senders such as Google Pub/Sub put what they have to say into base64.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::plain;
use super::values::{cost, is_missing};

/// Padding may be there or not, and its last bits are not looked at.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn add_to(environment: &mut Environment<'_>) {
    for name in ["b64decode", "base64_decode"] {
        environment.add_filter(name, decode);
    }
    for name in ["b64encode", "base64_encode"] {
        environment.add_filter(name, encode);
    }
}

/// The text that `value` is in base64, of either alphabet; bytes that are not UTF-8 become `�`.
fn decode(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if is_missing(value) {
        return Ok(Value::UNDEFINED);
    }
    let text = plain(value);
    state.consume_fuel(cost(text.len().saturating_mul(4)))?;
    let standard = text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    });
    let bytes = ENGINE.decode(standard.collect::<String>()).map_err(|_| {
        let message = format!("the {} is not in base64", value.kind());
        Error::new(ErrorKind::InvalidOperation, message)
    })?;
    Ok(Value::from(String::from_utf8_lossy(&bytes)))
}

fn encode(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if is_missing(value) {
        return Ok(Value::UNDEFINED);
    }
    let text = plain(value);
    state.consume_fuel(cost(text.len().saturating_mul(4)))?;
    Ok(Value::from(ENGINE.encode(text)))
}
