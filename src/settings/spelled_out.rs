//! Secrets within a text that is none as a whole: `?token=…` in an address, `--password=…` among
//! a program's arguments.

use std::ops::Range;

use super::addresses::{fields, in_literals, in_paths, is_parameter_of_secret, looks_random};
use super::secret_names::{SCHEMES, is_named_header, is_secret_name, is_value};
use super::tokens;

/// `text` with `instead` in place of the values of parameters that are named like secrets, and of paths that
/// are secrets.
pub fn without_secrets(text: &str, instead: &str) -> String {
    without(text, named_places(text), instead)
}

/// The same for what an owner wrote, without what looks like a secret, whatever it is called.
pub(super) fn without_written_secrets(text: &str, instead: &str) -> String {
    without(text, places(text), instead)
}

/// The secrets that an owner wrote into `text`, the longest first.
pub fn written_secrets(text: &str) -> Vec<String> {
    let texts = places(text).into_iter().filter_map(|place| text.get(place));
    let mut texts: Vec<String> = texts.map(str::to_owned).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

fn without(text: &str, places: Vec<Range<usize>>, instead: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for place in places {
        if place.start < at {
            continue;
        }
        shown.extend([text.get(at..place.start).unwrap_or_default(), instead]);
        at = place.end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// The same for a program's arguments, where a value may also come behind its name.
pub fn without_secret_arguments(arguments: &[String], instead: &str) -> Vec<String> {
    let words = arguments.iter().map(String::as_str);
    let shown = secrets_of_arguments(words).map(|(argument, place)| match place {
        Some(place) => without(argument, vec![place], instead),
        None => without_secrets(argument, instead),
    });
    shown.collect()
}

/// Programs that are told a secret in a way of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Curl,
    MySql,
    Other,
}

impl Client {
    fn of(program: &str) -> Self {
        let name = program.rsplit('/').next().unwrap_or_default();
        let name = name.trim_start_matches(['$', '(', '`']);
        match name {
            "curl" => Self::Curl,
            _ if name.starts_with("mysql") || name.starts_with("mariadb") => Self::MySql,
            _ => Self::Other,
        }
    }
}

/// Each word of a command with where a secret stands in it: the whole value behind `--password`, that of a
/// header, and how curl and the clients of MySQL are told one.
pub(super) fn secrets_of_arguments<'t>(
    words: impl Iterator<Item = &'t str>,
) -> impl Iterator<Item = (&'t str, Option<Range<usize>>)> {
    let (mut client, mut before) = (Client::Other, None::<&str>);
    words.map(move |word| {
        let next = Client::of(word);
        let is_next = |before: &str| {
            before.ends_with([';', '|', '&', '(']) || next != Client::Other && is_wrapper(before)
        };
        if before.is_none_or(is_next) {
            client = next;
        }
        let place = secret_of_argument(client, before.unwrap_or_default(), word);
        before = Some(word);
        (word, place)
    })
}

/// Whether the next word may be that of a program.
fn is_wrapper(word: &str) -> bool {
    ["-c", "sudo", "exec", "env", "then", "do"].contains(&word)
}

fn secret_of_argument(client: Client, before: &str, argument: &str) -> Option<Range<usize>> {
    if is_value_of(before, argument) {
        return Some(0..argument.len());
    }
    let start = match client {
        Client::Curl if start_of_user(before) == Some(before.len()) => argument.find(':')? + 1,
        Client::Curl if start_of_user(argument).is_some() => argument.find(':')? + 1,
        Client::MySql if argument.starts_with("-p") => "-p".len(),
        _ => start_of_value(argument)?,
    };
    let value = argument.get(start..)?;
    is_value(value).then_some(start..argument.len())
}

/// Where the user begins that curl is told, at the end where it is the next word: `-u`, `-sSume:password`.
fn start_of_user(argument: &str) -> Option<usize> {
    if ["--user", "--proxy-user"].contains(&argument) {
        return Some(argument.len());
    }
    let letters = argument.strip_prefix('-')?;
    let at = letters.find(|c| !CURL_SWITCHES.contains(c))?;
    letters.get(at..)?.starts_with(['u', 'U']).then_some("-u".len() + at)
}

/// Its short options without a value.
const CURL_SWITCHES: &str = "#046BGIJLMNORSVafgijklnpqsv";

/// Where the value begins in `X-Api-Key: value` and `API_KEY=value`, where the name is that of a secret.
fn start_of_value(text: &str) -> Option<usize> {
    let is_one = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    // As curl and wget are told a header in one word.
    let header = text.strip_prefix("-H").or_else(|| text.strip_prefix("--header="));
    let line = header.unwrap_or(text).trim_start_matches(['\'', '"']);
    let length = line.find(|c| !is_one(c))?;
    let (name, rest) = line.split_at_checked(length)?;
    let value = rest.strip_prefix([':', '='])?.trim_start_matches(' ');
    let is_secret =
        !name.starts_with('-') && (is_secret_name(name) || is_named_header(name, value));
    (is_secret && !is_path(value)).then_some(text.len() - value.len())
}

/// Whether `value` is what the argument before it, `--password`, is given.
fn is_value_of(before: &str, value: &str) -> bool {
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

/// Where secrets stand in a text that an owner wrote: also values of parameters that look like one, and fields
/// of JSON.
pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let json = fields(text).filter_map(|(name, place)| {
        let value = text.get(place.clone())?;
        let is_secret = is_secret_name(name) || is_parameter_of_secret(name) && looks_random(value);
        (is_secret && is_value(value) && !value.contains("{{")).then_some(place)
    });
    let mut places = parameters(text, looks_random);
    places.extend(json);
    with_granting(text, places)
}

/// Those that are known by their names, or by the address that they are in.
fn named_places(text: &str) -> Vec<Range<usize>> {
    with_granting(text, parameters(text, |_| false))
}

/// With what grants access by itself, in the order of the text.
fn with_granting(text: &str, mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let is_written = |place: &Range<usize>| text.get(place.clone()).is_some_and(is_value);
    places.extend(in_paths(text));
    places.extend(tokens::tokens(text));
    places.extend(tokens::passwords(text).filter(is_written));
    places.sort_by_key(|place| (place.start, std::cmp::Reverse(place.end)));
    places
}

/// Whatever may be a secret in a text that is hidden as a whole: nothing of it is told where parts of that text are.
/// Of a command each such word is one as a whole.
pub(super) fn guessed(text: &str) -> Vec<&str> {
    let words = text.split_whitespace().map(|word| word.trim_matches(['"', '\'', '`']));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let before = std::iter::once("").chain(words.iter().copied());
    let behind = secrets_of_arguments(words.iter().copied()).zip(before);
    let behind = behind.filter_map(|((word, place), before)| {
        let is_scheme = SCHEMES.contains(&before.to_ascii_lowercase().as_str());
        let is_named = before.strip_suffix(':').is_some_and(is_secret_name);
        (place.is_some() || is_scheme || is_named).then_some(word)
    });
    let places = places(text).into_iter().chain(in_literals(text));
    let places = places.chain(tokens::password_without_scheme(text));
    behind.chain(places.filter_map(|place| text.get(place))).collect()
}

/// Where the values of `?NAME=value`, `&NAME=value` and `--NAME=value` stand in `text`, where the name
/// is that of a secret, or the value of a parameter `looks` like one.
fn parameters(text: &str, looks: fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = text.get(..at).unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let name = before.get(before.trim_end_matches(is_part).len()..).unwrap_or_default();
        let is_parameter =
            before.strip_suffix(name).is_some_and(|before| before.ends_with(['?', '&']));
        let is_named = is_secret_name(name) || is_parameter && is_parameter_of_secret(name);
        if !(is_parameter || name.starts_with('-')) {
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
        if is_value(value) && (is_named || is_parameter && looks(value)) {
            places.push(start..start + value.len());
        }
    }
    places
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
            ("postgres://u:hunter2@h/db?x=1", "postgres://u:…@h/db?x=1"),
            ("http://u:{{ x }}@h/ http://u@h:80/@b", "http://u:{{ x }}@h/ http://u@h:80/@b"),
            ("see sk_live_hunter2hunter2.", "see …."),
            ("http://a/?token_type=b&max_tokens=5", "http://a/?token_type=b&max_tokens=5"),
            ("data.token=='x' and a -token=='x'", "data.token=='x' and a -token=='x'"),
        ] {
            assert_eq!(without_secrets(text, "…"), shown);
        }
        for (arguments, shown) in [
            (["curl", "-u", "me:hunter2"], ["curl", "-u", "me:…"]),
            (["docker", "-u", "1000:1000"], ["docker", "-u", "1000:1000"]),
            (["/usr/bin/mysql", "-phunter2", "-p"], ["/usr/bin/mysql", "-p…", "-p"]),
            (["x", "-H", "X-Auth-Key: hunter2"], ["x", "-H", "X-Auth-Key: …"]),
            (["x", "Authorization: token hunter2", "A=b"], ["x", "Authorization: …", "A=b"]),
            (["env", "DB_PASSWORD=hunter2", "TOKEN=$X"], ["env", "DB_PASSWORD=…", "TOKEN=$X"]),
        ] {
            assert_eq!(without_secret_arguments(&arguments.map(str::to_owned), "…"), shown);
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

    #[test]
    fn addresses_that_grant_access_are_known() {
        for (text, shown) in [
            ("http://a/hdr?sig=zyx&x=1", "http://a/hdr?sig=…&x=1"),
            (
                "https://prod.logic.azure.com/triggers/run?sp=1&sig=aB-c",
                "https://prod.logic.azure.com/triggers/run?sp=1&sig=…",
            ),
            (
                "https://f.azurewebsites.net/api/x?code=abc==",
                "https://f.azurewebsites.net/api/x?code=…",
            ),
            (
                "https://maker.ifttt.com/trigger/new/with/key/bZx9_4-aQ",
                "https://maker.ifttt.com/trigger/new/with/key/…",
            ),
            (
                "https://hooks.zapier.com/hooks/catch/1/ab?x=1",
                "https://hooks.zapier.com/hooks/…?x=1",
            ),
            ("see https://hooks.slack.com/services/T/B/x now", "see https://hooks.slack.com/… now"),
            ("https://discord.com/api/webhooks/1/ab", "https://discord.com/api/webhooks/…"),
            ("https://api.telegram.org/bot1:ab/sendMessage", "https://api.telegram.org/bot…"),
            (
                "https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=t",
                "https://chat.googleapis.com/v1/spaces/…?key=…&token=…",
            ),
            (
                "https://chat.example.com/hooks/xen8o4m7zt8hzbkw3oe9r1xqoa",
                "https://chat.example.com/hooks/…",
            ),
            ("https://hook.eu1.make.com/abc", "https://hook.eu1.make.com/…"),
            ("http://127.0.0.1:8080/hooks/hyvor?id=5", "http://127.0.0.1:8080/hooks/hyvor?id=5"),
            ("https://api.telegram.org/bot{{ x }}/y", "https://api.telegram.org/bot{{ x }}/y"),
            ("http://a/?event=0196a3f27c4e7b1e9f3a", "http://a/?event=0196a3f27c4e7b1e9f3a"),
        ] {
            assert_eq!(without_secrets(text, "…"), shown);
        }
    }

    #[test]
    fn what_an_owner_wrote_hides_what_looks_like_a_secret_too() {
        for (text, shown) in [
            ("http://a/?event=0196a3f27c4e7b1e9f3a", "http://a/?event=…"),
            (
                "http://a/?id=5d1c7f6e-7a3b-4c1f-9d3e-1f2a3b4c5d6e&from=2026-11-29T00:00:00Z",
                "http://a/?id=5d1c7f6e-7a3b-4c1f-9d3e-1f2a3b4c5d6e&from=2026-11-29T00:00:00Z",
            ),
            ("http://a/?c=black-friday-sale-2026", "http://a/?c=black-friday-sale-2026"),
            (
                r#"{"api_key" : "s\"3", "text": "{{ data.text }}", "n": 1}"#,
                r#"{"api_key" : "…", "text": "{{ data.text }}", "n": 1}"#,
            ),
            (r#"{"token":"{{ data.token }}"}"#, r#"{"token":"{{ data.token }}"}"#),
            (r#"{"key":"status","code":"NEW10"}"#, r#"{"key":"status","code":"NEW10"}"#),
            (r#"{"key":"9f86d081884c7d659a2f"}"#, r#"{"key":"…"}"#),
        ] {
            assert_eq!(without_written_secrets(text, "…"), shown);
        }
        assert_eq!(written_secrets("http://a/?sig=ab&token=abc"), ["abc", "ab"]);
    }
}
