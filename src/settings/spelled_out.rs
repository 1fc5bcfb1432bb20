//! Secrets within a text that is none as a whole: `?token=…` in an address, `--password=…` among
//! a program's arguments.

use std::ops::Range;

/// Parts of names of keys that hold secrets.
pub(super) const SECRET_WORDS: &[&str] = &[
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
/// `text` with `instead` in place of the values of parameters that are named like secrets.
pub fn without_secrets(text: &str, instead: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for place in places(text) {
        shown.extend([text.get(at..place.start).unwrap_or_default(), instead]);
        at = place.end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// The same for a program's arguments, where a value may also come behind its name.
pub fn without_secret_arguments(arguments: &[String], instead: &str) -> Vec<String> {
    let mut shown = Vec::with_capacity(arguments.len());
    let mut before = "";
    for argument in arguments {
        if is_value_of(before, argument) {
            shown.push(instead.to_owned());
        } else {
            shown.push(without_secrets(argument, instead));
        }
        before = argument;
    }
    shown
}

/// Whether `value` is what the argument before it, `--password`, is given.
pub(super) fn is_value_of(before: &str, value: &str) -> bool {
    let name = before.trim_start_matches('-');
    let is_switch = name.starts_with("no-");
    // curl's `--cookie` takes data or a file, docker's `--secret` says where one is.
    let is_elsewhere = name.ends_with("cookie") && !value.contains('=')
        || value.starts_with("id=")
        || is_path(value);
    let is_named = before.starts_with('-') && is_secret_name(name) && !is_switch;
    is_named && !is_elsewhere && is_value(value) && !value.starts_with('-')
}

/// `/run/secrets/token` and `./token`; not base64 that begins with `/`.
fn is_path(value: &str) -> bool {
    let is_below = ["./", "../", "~/"].iter().any(|start| value.starts_with(start));
    let is_root = value.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
    (is_below || is_root) && !value.contains(['+', '='])
}

/// Where the values of `?NAME=value`, `&NAME=value` and `--NAME=value` stand in `text`, where the name
/// is that of a secret.
pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = text.get(..at).unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let name = before.get(before.trim_end_matches(is_part).len()..).unwrap_or_default();
        let is_parameter =
            before.strip_suffix(name).is_some_and(|before| before.ends_with(['?', '&']));
        if !(is_parameter || name.starts_with('-')) || !is_secret_name(name) {
            continue;
        }
        let behind = text.get(at + 1..).unwrap_or_default();
        let quote = behind.chars().next().filter(|c| ['"', '\''].contains(c));
        let start = at + 1 + quote.map_or(0, char::len_utf8);
        let value = text.get(start..).unwrap_or_default();
        let is_end = |c: char| match quote {
            Some(quote) => c == quote,
            None => c.is_whitespace() || "&#\"'`".contains(c),
        };
        let value = value.split(is_end).next().unwrap_or_default();
        if is_value(value) {
            places.push(start..start + value.len());
        }
    }
    places
}

/// What is filled in later is no secret, and neither is `==`.
fn is_value(value: &str) -> bool {
    !value.is_empty() && !value.starts_with(['$', '{', '<', '=', '('])
}

/// `access_token` and `--api-key`; not `token_type`, `max_tokens` or `--password-file`.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_parameters_named_like_secrets_are_taken_out() {
        for (text, shown) in [
            ("http://a/?token=hunter2", "http://a/?token=…"),
            ("http://a/?x=1&api_key=hunter2&y=2#z", "http://a/?x=1&api_key=…&y=2#z"),
            ("curl --password='hunter 2' http://a/", "curl --password='…' http://a/"),
            ("--X-Api-Key=hunter2 --verbose", "--X-Api-Key=… --verbose"),
            ("http://a/?token={{ data.id }}", "http://a/?token={{ data.id }}"),
            ("--password=$PASSWORD", "--password=$PASSWORD"),
            ("http://a/?token=&x=1", "http://a/?token=&x=1"),
            ("http://a/?token_type=b&max_tokens=5", "http://a/?token_type=b&max_tokens=5"),
            ("data.token=='x' and a -token=='x'", "data.token=='x' and a -token=='x'"),
        ] {
            assert_eq!(without_secrets(text, "…"), shown);
        }
        let arguments =
            ["sh", "--password", "hunter2", "--token", "--token", "$T", "--secret-file", "f"];
        let shown = ["sh", "--password", "…", "--token", "--token", "$T", "--secret-file", "f"];
        assert_eq!(without_secret_arguments(&arguments.map(str::to_owned), "…"), shown);
        for [option, value] in [
            ["--cookie", "jar.txt"],
            ["--no-token", "daily"],
            ["--secret", "id=npm,src=.npmrc"],
            ["--token", "/run/secrets/token"],
            ["--password", "../password"],
        ] {
            assert!(!is_value_of(option, value), "{option} {value}");
        }
        for [option, value] in [
            ["--cookie", "session=hunter2"],
            ["--token", "/9j4AAQ+kZJRg/ABAQ=="],
            ["--secret", "identity"],
            ["-password", "no"],
        ] {
            assert!(is_value_of(option, value), "{option} {value}");
        }
    }
}
