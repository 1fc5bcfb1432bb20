//! Names of keys, parameters, variables and headers that hold secrets.

use std::borrow::Cow;
use std::ops::Range;

/// Parts of names of keys that hold secrets.
const SECRET_WORDS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "credential",
    "authorization",
    "cookie",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "signing_key",
    "dsn",
];

/// Whether a key, header or variable of this name surely holds a secret.
pub fn names_secret(key: &str) -> bool {
    let is_lower = !key.bytes().any(|byte| byte.is_ascii_uppercase());
    let key: Cow<'_, str> = if is_lower { key.into() } else { key.to_ascii_lowercase().into() };
    let key = key.as_bytes();
    // Asked for each header of each answer: to prepare a search for each word takes 6 to 30 times as long.
    (0..key.len()).any(|at| {
        let tail = key.get(at..).unwrap_or_default();
        SECRET_WORDS.iter().any(|word| {
            word.as_bytes().first() == tail.first() && tail.starts_with(word.as_bytes())
        })
    })
}

/// Keys that are called like a secret as a whole; as a part of a name they tell nothing.
const SECRET_KEYS: [&str; 6] = ["auth", "basic", "basicauth", "bearer", "pass", "pwd"];

/// The same of a key of the configuration, or of another program's: `basic_auth`, `Pwd`.
pub(super) fn names_secret_key(key: &str) -> bool {
    let is_one = || {
        let key = key.trim_matches(['"', '\'']).replace(['_', '-'], "");
        SECRET_KEYS.iter().any(|word| key.eq_ignore_ascii_case(word))
    };
    names_secret(key) || is_one()
}

/// The same of a header, many of which are not called like what is in them.
pub(super) fn names_secret_header(name: &str) -> bool {
    let ends = |end: &str| {
        let at = name.len().checked_sub(end.len());
        at.and_then(|at| name.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    names_secret(name) || name.eq_ignore_ascii_case("auth") || ENDS.iter().any(|end| ends(end))
}

/// How such names end: other keys are a route's, or an event's.
const ENDS: [&str; 9] = [
    "-auth",
    "access-key",
    "account-key",
    "app-key",
    "auth-key",
    "functions-key",
    "license-key",
    "master-key",
    "subscription-key",
];

/// Whether the header's name says that `value` is a secret; not in `X-Site-Auth: enabled`.
pub(super) fn is_named_header(name: &str, value: &str) -> bool {
    let is_switch = SWITCHES.iter().any(|word| value.trim().eq_ignore_ascii_case(word));
    names_secret(name) || names_secret_header(name) && !is_switch
}

const SWITCHES: [&str; 10] =
    ["true", "false", "on", "off", "yes", "no", "none", "enabled", "disabled", "required"];

/// Whether a header's value is a secret, by the header's name or its own first word.
pub fn is_secret_header(name: &str, value: &str) -> bool {
    is_named_header(name, value) || behind_scheme(name, value).is_some()
}

/// The same of what an owner wrote: what is filled in later is none.
pub(super) fn is_literal_secret(name: &str, value: Option<&str>) -> bool {
    let value = value.filter(|value| !value.contains("{{") && !value.contains("{%"));
    value.is_some_and(|value| is_secret_header(name, value))
}

/// Words before a secret in a header and in what curl is told.
pub(super) const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "bot", "apikey", "geniekey"];

/// Those of them that begin other texts as often: `Token expired`, `Basic plan`.
const WORDS: [&str; 3] = ["basic", "token", "bot"];

/// No word behind one of these is as long.
const WORD_CHARS: usize = 16;

/// What follows the name of a scheme (`Bearer …`) at the start of the value of the header `name`.
pub(super) fn behind_scheme(name: &str, value: &str) -> Option<Range<usize>> {
    let (scheme, secret) = value.split_once(' ')?;
    let (name, scheme_lower) = (name.to_ascii_lowercase(), scheme.to_ascii_lowercase());
    let is_known = SCHEMES.contains(&scheme_lower.as_str());
    let is_one = is_value(secret) && !secret.contains(' ');
    let is_told = name.ends_with("authorization") || name.ends_with("-auth");
    let is_code = secret.len() >= WORD_CHARS || secret.contains(|c: char| c.is_ascii_digit());
    (is_known && is_one && (is_told || is_code || !WORDS.contains(&scheme_lower.as_str())))
        .then_some(scheme.len() + 1..value.len())
}

/// `access_token` and `--api-key`; not `token_type`, `max_tokens` or `--password-file`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.ends_with(word))
}

/// What is filled in later is no secret, and neither is `==`.
pub(super) fn is_value(value: &str) -> bool {
    !value.is_empty() && !value.starts_with(['$', '{', '<', '=', '('])
}
