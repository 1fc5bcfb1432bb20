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
    // Asked for each header of each answer: `contains` prepares a search each time.
    SECRET_WORDS.iter().any(|word| memchr::memmem::find(key.as_bytes(), word.as_bytes()).is_some())
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

/// Whether a header's value is a secret, by the header's name or its own first word.
pub fn is_secret_header(name: &str, value: &str) -> bool {
    names_secret_header(name) || behind_scheme(value).is_some()
}

/// The same of what an owner wrote: what is filled in later is none.
pub(super) fn is_literal_secret(name: &str, value: Option<&str>) -> bool {
    let value = value.filter(|value| !value.contains("{{") && !value.contains("{%"));
    value.is_some_and(|value| is_secret_header(name, value))
}

/// Words before a secret in a header and in what curl is told.
pub(super) const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "bot", "apikey", "geniekey"];

/// What follows the name of a scheme (`Bearer …`) at the start of a header's value.
pub(super) fn behind_scheme(value: &str) -> Option<Range<usize>> {
    let (scheme, secret) = value.split_once(' ')?;
    let is_known = SCHEMES.contains(&scheme.to_ascii_lowercase().as_str());
    let is_one = is_value(secret) && !secret.contains(' ');
    (is_known && is_one).then_some(scheme.len() + 1..value.len())
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
