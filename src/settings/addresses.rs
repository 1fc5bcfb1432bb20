//! Secrets within addresses and JSON: what grants access in a query, in a path, or in a field.

use std::ops::Range;

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
