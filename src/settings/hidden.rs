//! What of a text must never be shown: a secret that was written into it after all, wherever that
//! is. What the readers know to be secret they say themselves ([`super::Table::hide`]).

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

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
/// Parts of texts that are secrets, whatever their key is called: addresses and tokens that
/// grant access by themselves.
const SECRET_TEXTS: &[&str] = &[
    "hooks.slack.com/services/",
    "/api/webhooks/",
    "api.telegram.org/bot",
    ".webhook.office.com/",
    "whsec_",
    "sk_live_",
    "sk_test_",
    "xoxb-",
    "xoxp-",
    "ghp_",
    "github_pat_",
    "glpat-",
    "Bearer ",
    "Basic ",
    "-----BEGIN",
];
/// What says where a secret is.
const PLACES: &[&str] = &["env", "file", "credential", "prefix"];

/// Every text below a key that is named like a secret, and every `value` where a place was meant.
pub(super) fn find(root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    for (key, value) in root {
        match value.get_ref() {
            // Its `token` is the path of a file.
            DeValue::Table(admin) if key.get_ref() == "admin" => {
                let others = admin.iter().filter(|(key, _)| key.get_ref() != "token");
                others.for_each(|(_, value)| walk(value, Below::Nothing, &mut hidden));
            }
            _ => walk_named(key.get_ref(), value, Below::Nothing, &mut hidden),
        }
    }
    hidden
}

/// What a value is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Nothing,
    /// A key that is named like a secret.
    Secret,
    /// Columns of a table of the owner's own, with expressions in them.
    Columns,
}

fn walk_table(table: &DeTable<'_>, below: Below, hidden: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key: &str = key.get_ref();
        // Where a secret is kept is no secret.
        let is_place = PLACES.contains(&key) && value.get_ref().is_str();
        if !is_place {
            walk_named(key, value, below, hidden);
        }
    }
}

fn walk_named(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    below: Below,
    hidden: &mut Vec<Range<usize>>,
) {
    let below = match below {
        // `{ value = "data.id", type = "integer" }` of a column is an expression.
        Below::Columns => Below::Columns,
        _ if key == "columns" => Below::Columns,
        // Whatever a program is told may be a secret.
        _ if key == "value" || key == "env" || names_secret(key) => Below::Secret,
        below => below,
    };
    walk(value, below, hidden);
}

fn walk(value: &Spanned<DeValue<'_>>, below: Below, hidden: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => walk_table(table, below, hidden),
        DeValue::Array(items) => items.iter().for_each(|item| walk(item, below, hidden)),
        DeValue::String(text) if below == Below::Secret || is_secret(text) => {
            hidden.push(value.span());
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

/// Whether a text grants access by itself. A template is none: its values come later.
fn is_secret(text: &str) -> bool {
    let has_password = || {
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    };
    SECRET_TEXTS.iter().any(|part| text.contains(part)) || has_password()
}

/// Whether a key, header or variable of this name surely holds a secret.
pub fn names_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// In a text that is no TOML, the rest of each line that names a secret: it is unknown where its
/// text ends.
pub(super) fn find_in_broken(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let is_secret = names_secret(line) || line.contains("value");
        if let Some(at) = line.find('=').filter(|_| is_secret) {
            hidden.push(start + at + 1..start + line.trim_end().len());
        }
        start += line.len();
    }
    hidden
}

/// Takes what is hidden out of what is said of it.
pub(super) fn take_out(problems: &mut [Problem], text: &str, hidden: &[Range<usize>]) {
    let texts = hidden.iter().filter_map(|range| text.get(range.clone()));
    let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let texts: Vec<String> = texts.map(bare).filter(|text| text.len() > 3).collect();
    for problem in problems {
        for secret in &texts {
            for said in [&mut problem.message, &mut problem.help] {
                if said.contains(secret.as_str()) {
                    *said = said.replace(secret.as_str(), "…");
                }
            }
        }
    }
}
