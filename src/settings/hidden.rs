//! What of a text must never be shown: a secret that was written into it after all, wherever that
//! is. What the readers know to be secret they say themselves ([`super::Table::hide`]).

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::path::join;
use super::spelled_out::{self, SECRET_WORDS, is_value_of, without_written_secrets};
use super::{Problem, Severity};

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

/// What was found.
#[derive(Debug, Default)]
pub(super) struct HiddenTexts {
    /// Texts that must never be shown.
    pub(super) places: Vec<Range<usize>>,
    /// Those of them that have a secret within them, each with its key.
    pub(super) spelled_out: Vec<(String, Range<usize>)>,
    /// Those of them that can be shown without it.
    pub(super) partly: Vec<Range<usize>>,
}

/// Every text below a key that is named like a secret, every `value` where a place was meant, and
/// every text with a secret in it.
pub(super) fn find(root: &DeTable<'_>) -> HiddenTexts {
    let mut hidden = HiddenTexts::default();
    for (key, value) in root {
        let path = join("", key.get_ref());
        match value.get_ref() {
            // Its `token` is the path of a file.
            DeValue::Table(admin) if key.get_ref() == "admin" => {
                let others = admin.iter().filter(|(key, _)| key.get_ref() != "token");
                others.for_each(|(key, value)| {
                    hidden.walk(&join(&path, key.get_ref()), value, Below::Nothing);
                });
            }
            // What its owner calls it says nothing of what stands in it.
            DeValue::Table(parts) if ["handler", "source"].contains(&key.get_ref().as_ref()) => {
                for (name, part) in parts {
                    hidden.walk(&join(&path, name.get_ref()), part, Below::Nothing);
                }
            }
            _ => hidden.walk_named(&path, key.get_ref(), value, Below::Nothing),
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

impl HiddenTexts {
    fn walk_table(&mut self, path: &str, table: &DeTable<'_>, below: Below) {
        for (key, value) in table {
            let key: &str = key.get_ref();
            // Where a secret is kept is no secret.
            let is_place = PLACES.contains(&key) && value.get_ref().is_str();
            if !is_place {
                self.walk_named(&join(path, key), key, value, below);
            }
        }
    }

    fn walk_named(&mut self, path: &str, key: &str, value: &Spanned<DeValue<'_>>, below: Below) {
        let below = match below {
            // `{ value = "data.id", type = "integer" }` of a column is an expression.
            Below::Columns => Below::Columns,
            _ if key == "columns" => Below::Columns,
            // Whatever a program is told may be a secret.
            _ if key == "value" || key == "env" || names_secret(key) => Below::Secret,
            below => below,
        };
        self.walk(path, value, below);
    }

    fn walk(&mut self, path: &str, value: &Spanned<DeValue<'_>>, below: Below) {
        match value.get_ref() {
            DeValue::Table(table) => self.walk_table(path, table, below),
            DeValue::Array(items) => {
                // A list is shown as a whole, or not at all.
                let n_partly = self.partly.len();
                let mut before = "";
                for item in items {
                    if item.get_ref().as_str().is_some_and(|text| is_value_of(before, text)) {
                        self.spell_out(path, item);
                    }
                    self.walk(path, item, below);
                    before = item.get_ref().as_str().unwrap_or_default();
                }
                self.partly.truncate(n_partly);
            }
            DeValue::String(_) if below == Below::Secret => self.places.push(value.span()),
            DeValue::String(text) if !spelled_out::places(text).is_empty() => {
                self.spell_out(path, value);
                if !is_secret(&without_written_secrets(text, "")) {
                    self.partly.push(value.span());
                }
            }
            DeValue::String(text) if is_secret(text) => self.places.push(value.span()),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    fn spell_out(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        self.places.push(value.span());
        self.spelled_out.push((path.to_owned(), value.span()));
    }

    /// Warns of each secret within a text, where nothing is said of that text yet.
    pub(super) fn warn(&self, problems: &mut Vec<Problem>) {
        for (path, span) in &self.spelled_out {
            let overlaps = |problem: &Problem| {
                let other = problem.span.as_ref();
                other.is_some_and(|other| other.start < span.end && span.start < other.end)
            };
            let is_said = |problem: &Problem| {
                overlaps(problem)
                    && (problem.severity == Severity::Error
                        || problem.message.starts_with(IN_CLEAR))
            };
            if problems.iter().any(is_said) {
                continue;
            }
            problems.push(Problem {
                severity: Severity::Warning,
                message: format!("{IN_CLEAR}: whoever reads the file has it"),
                help: kept_apart(path).to_owned(),
                span: Some(span.clone()),
                path: path.clone(),
            });
        }
    }
}

/// How every warning of a secret in the configuration begins.
const IN_CLEAR: &str = "a secret does not stand in the configuration";

/// What to write in place of a secret within the text of the key `path`.
fn kept_apart(path: &str) -> &'static str {
    if path.ends_with(".http.url") {
        return "write `url = { file = \"data/secrets/…\" }`, and the whole address into that file; or send the \
                secret in `headers = { NAME = { secret = { file = \"data/secrets/…\" } } }`";
    }
    KEPT_APART
}

const KEPT_APART: &str = "send it in `headers = { NAME = { secret = { file = \"data/secrets/…\" } } }` or \
                          hand it on in `env = { NAME = { file = \"data/secrets/…\" } }`";

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
    let is_lower = !key.bytes().any(|byte| byte.is_ascii_uppercase());
    let key: Cow<'_, str> = if is_lower { key.into() } else { key.to_ascii_lowercase().into() };
    // Asked for each header of each answer: `contains` prepares a search each time.
    SECRET_WORDS.iter().any(|word| memchr::memmem::find(key.as_bytes(), word.as_bytes()).is_some())
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

/// So long is no secret that is a part of a word by chance.
const LONG: usize = 12;

/// `said` without `secret`. A short one like `test` has to be a word: as a part of others it tells nothing.
fn without(said: &str, secret: &str) -> String {
    let mut shown = String::with_capacity(said.len());
    let mut end = 0;
    for (at, _) in said.match_indices(secret) {
        let behind = at + secret.len();
        let before = said.get(..at).and_then(|text| text.chars().next_back());
        let next = said.get(behind..).and_then(|text| text.chars().next());
        let is_part = before.into_iter().chain(next).any(char::is_alphanumeric);
        if secret.len() >= LONG || !is_part {
            shown.extend([said.get(end..at).unwrap_or_default(), "…"]);
            end = behind;
        }
    }
    shown + said.get(end..).unwrap_or_default()
}

/// Takes what is hidden out of what is said of it.
pub(super) fn take_out(problems: &mut [Problem], text: &str, hidden: &[Range<usize>]) {
    let texts = hidden.iter().filter_map(|range| text.get(range.clone()));
    let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let texts: Vec<String> = texts.map(bare).filter(|text| text.len() > 3).collect();
    for problem in problems {
        for secret in &texts {
            for said in [&mut problem.message, &mut problem.help] {
                *said = without(said, secret);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_taken_out_of_words_that_name_it_and_not_of_others() {
        assert_eq!(without("`?a=test` in tests: test", "test"), "`?a=…` in tests: …");
        assert_eq!(without("xhunter2-hunter2y", "hunter2-hunter2"), "x…y");
        assert_eq!(without("ünter unter", "nter"), "ünter unter");
    }
}
