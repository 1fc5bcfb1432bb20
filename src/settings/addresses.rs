//! Secrets within addresses and JSON: what grants access in a query, in a path, or in a field.

use std::ops::Range;

use super::secret_names::{is_secret_name, is_value};

/// Hosts whose paths are secrets, each with what stands before the secret.
const HOOKS: &[(&str, &str)] = &[
    ("api.telegram.org", "/bot"),
    ("chat.googleapis.com", "/v1/spaces/"),
    ("connect.pabbly.com", "/workflow/"),
    ("discord.com", "/api/webhooks/"),
    ("discordapp.com", "/api/webhooks/"),
    ("hc-ping.com", "/"),
    ("hook.eu1.make.com", "/"),
    ("hook.eu2.make.com", "/"),
    ("hook.us1.make.com", "/"),
    ("hook.us2.make.com", "/"),
    ("hooks.airtable.com", "/"),
    ("hooks.slack-gov.com", "/"),
    ("hooks.slack.com", "/"),
    ("hooks.zapier.com", "/hooks/"),
    ("open.feishu.cn", "/open-apis/bot/"),
    ("open.larksuite.com", "/open-apis/bot/"),
    ("outlook.office.com", "/webhook"),
    ("webhook.office.com", "/webhook"),
];

/// Parts of a path, on any host, behind which a secret stands: IFTTT's, and those of Mattermost and
/// Rocket.Chat.
const BEHIND: &[(&str, usize)] = &[("/key/", 8), ("/hooks/", 20)];

/// Names of parameters that are as good as always a secret's.
const SECRET_PARAMETERS: &[&str] =
    &["auth", "code", "hmac", "key", "pass", "pwd", "sas", "sig", "signature"];

/// No word of a language and no date is a run of letters and digits as long as this.
const KEY_CHARS: usize = 16;

/// Whether a parameter of a query, or a field, has a secret by its name.
pub(super) fn is_parameter_of_secret(name: &str) -> bool {
    SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a text looks like a key that was made by chance: a long run of letters and digits.
pub(super) fn looks_random(value: &str) -> bool {
    let is_random = |run: &str| {
        let has = |is_one: fn(&u8) -> bool| run.bytes().any(|byte| is_one(&byte));
        run.len() >= KEY_CHARS && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
    };
    value.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
}

/// Whether a name of letters and digits was made by chance, not chosen: letters and digits, small letters and
/// capitals follow each other in it more often than in words (`githubWebhookSecret2`), or it has no end.
pub(super) fn looks_made(name: &str) -> bool {
    let is_change = |(one, next): (&u8, &u8)| {
        let is_digit = one.is_ascii_digit() != next.is_ascii_digit();
        let are_both = one.is_ascii_alphanumeric() && next.is_ascii_alphanumeric();
        are_both && (is_digit || one.is_ascii_lowercase() && next.is_ascii_uppercase())
    };
    let bytes = name.as_bytes();
    let n_changes = bytes.iter().zip(bytes.iter().skip(1)).filter(|pair| is_change(*pair)).count();
    let n_chars = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    let mut runs = name.split(|c: char| !c.is_ascii_alphanumeric());
    n_changes >= CHANGES_MIN && n_changes * WORD_CHARS_MEAN >= n_chars
        || runs.any(|run| run.len() >= WORD_CHARS_MAX)
}

const CHANGES_MIN: usize = 3;
/// Words are as long at least, taken together.
const WORD_CHARS_MEAN: usize = 5;
const WORD_CHARS_MAX: usize = 24;

/// Where passwords stand that a text of SQL has in it: `password='…'`, and `password=…` within a literal, as it
/// is told to `dblink`. What stands there without quotes elsewhere is a column or a parameter.
pub(super) fn in_literals(text: &str) -> Vec<Range<usize>> {
    let place = |at: usize| {
        let before = text.get(..at)?;
        let name = before.trim_end();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = name.get(name.trim_end_matches(is_part).len()..)?.to_ascii_lowercase();
        if !is_secret_name(&name) && !["pass", "pwd"].contains(&name.as_str()) {
            return None;
        }
        let behind = text.get(at + 1..)?.trim_start();
        let value = behind.trim_start_matches(['\'', '"', '\\']);
        let n_quotes = before.matches('\'').count() + before.matches("$$").count();
        let is_literal = value.len() < behind.len() || n_quotes % 2 == 1;
        let start = text.len() - value.len();
        let is_end = |c: char| c.is_whitespace() || "'\";)\\".contains(c);
        let length = value.find(is_end).unwrap_or(value.len());
        (is_literal && is_value(value) && length > 0).then_some(start..start + length)
    };
    text.match_indices('=').filter_map(|(at, _)| place(at)).collect()
}

/// Where the paths of addresses in `text` are secrets.
pub(super) fn in_paths(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + "://".len();
        let is_end = |c: char| c.is_whitespace() || "?#\"'`<>|\\".contains(c);
        let rest = text.get(start..).unwrap_or_default();
        let address = rest.split(is_end).next().unwrap_or_default();
        let Some(slash) = address.find('/') else { continue };
        let (authority, path) = address.split_at(slash);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let is_below = |name: &str| {
            let before = host.strip_suffix(name);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let mut hide = |from: usize, to: usize| {
            // What is filled in later is none.
            if from < to && !path.get(from..to).unwrap_or_default().starts_with('{') {
                places.push(start + slash + from..start + slash + to);
            }
        };
        let hook = HOOKS.iter().find(|(name, before)| is_below(name) && path.starts_with(before));
        if let Some((_, before)) = hook {
            hide(before.len(), path.len());
            continue;
        }
        for (before, n_min) in BEHIND {
            let Some(found) = path.find(before) else { continue };
            let from = found + before.len();
            let secret = path.get(from..).unwrap_or_default().split('/').next().unwrap_or_default();
            if secret.len() >= *n_min && (*n_min < KEY_CHARS || looks_random(secret)) {
                hide(from, from + secret.len());
            }
        }
    }
    places
}

/// The fields of JSON in `text` that are texts: the name, and where the value stands.
pub(super) fn fields(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    text.match_indices(':').filter_map(|(at, _)| {
        let name = text.get(..at)?.trim_end().strip_suffix('"')?;
        let name = name.get(name.rfind('"')? + 1..)?;
        let behind = text.get(at + 1..)?;
        let value = behind.trim_start().strip_prefix('"')?;
        let start = text.len() - value.len();
        let mut is_escaped = false;
        let end = value.find(|c: char| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        })?;
        Some((name, start..start + end))
    })
}
