//! What of a text must never be shown: a secret that was written into it after all, wherever that
//! is. What the readers know to be secret they say themselves ([`super::Table::hide`]).

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::addresses::{in_literals, looks_made, looks_random};
use super::path::join;
use super::secret_names::{is_literal_secret, names_secret, names_secret_key};
use super::spelled_out::{self, guessed, secrets_of_arguments, without_written_secrets};
use super::tokens;
use super::{Problem, Severity};

/// Parts of texts that are secrets, whatever their key is called: addresses and tokens that
/// grant access by themselves.
const SECRET_TEXTS: &[&str] = &[
    "hooks.slack.com/services/",
    "/api/webhooks/",
    "api.telegram.org/bot",
    ".webhook.office.com/",
    "Bearer ",
    "Basic ",
    "-----BEGIN",
];
/// What says where a secret is.
const PLACES: &[&str] = &["env", "file", "credential", "prefix"];

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
    /// Headers of what is sent.
    Headers,
    /// Texts of SQL, with literals in them.
    Statements,
    /// A key with an address in it, which may be written without its scheme.
    Address,
}

impl HiddenTexts {
    fn walk_table(&mut self, path: &str, table: &DeTable<'_>, below: Below) {
        for (key, value) in table {
            let key: &str = key.get_ref();
            // Where a secret is kept is no secret, unless it was written in place of that.
            match value.get_ref().as_str().filter(|_| PLACES.contains(&key)) {
                Some(text) if !may_be_shown(key, text) => self.places.push(value.span()),
                Some(_) => {}
                None => self.walk_named(&join(path, key), key, value, below),
            }
        }
    }

    fn walk_named(&mut self, path: &str, key: &str, value: &Spanned<DeValue<'_>>, below: Below) {
        let below = match below {
            // `{ value = "data.id", type = "integer" }` of a column is an expression.
            Below::Columns => Below::Columns,
            _ if key == "columns" => Below::Columns,
            _ if key == "headers" => Below::Headers,
            _ if key == "statements" => Below::Statements,
            // Whatever a program is told may be a secret.
            _ if key == "value" || key == "env" || names_secret_key(key) => Below::Secret,
            Below::Headers if is_literal_secret(key, value.get_ref().as_str()) => Below::Secret,
            Below::Nothing if ADDRESSES.contains(&key) && value.get_ref().is_str() => {
                Below::Address
            }
            below => below,
        };
        // A command in one text: what to write instead tells its words.
        let is_command = |text: &str| key == "run" && !guessed(text).is_empty();
        if value.get_ref().as_str().is_some_and(is_command) {
            self.places.push(value.span());
        }
        self.walk(path, value, below);
    }

    fn walk(&mut self, path: &str, value: &Spanned<DeValue<'_>>, below: Below) {
        match value.get_ref() {
            DeValue::Table(table) => self.walk_table(path, table, below),
            DeValue::Array(items) => {
                // A list is shown as a whole, or not at all.
                let n_partly = self.partly.len();
                let texts = items.iter().map(|item| item.get_ref().as_str().unwrap_or_default());
                // A command in one text, which a shell may be given.
                let is_command = |text: &str| text.contains(' ') && !guessed(text).is_empty();
                let is_run = path.rsplit('.').next() == Some("run");
                for ((text, place), item) in secrets_of_arguments(texts).zip(items) {
                    if place.is_some() {
                        self.spell_out(path, item);
                    } else if is_run && is_command(text) {
                        self.places.push(item.span());
                    }
                    self.walk(path, item, below);
                }
                self.partly.truncate(n_partly);
            }
            DeValue::String(_) if below == Below::Secret => self.places.push(value.span()),
            DeValue::String(text) if below == Below::Address && has_bare_password(text) => {
                self.places.push(value.span());
            }
            DeValue::String(text)
                if below == Below::Statements && !in_literals(text).is_empty() =>
            {
                self.places.push(value.span());
            }
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
    if path.contains(".chat.") {
        return "leave it out of the address: `token = { file = \"data/secrets/…\" }` beside it is sent instead";
    }
    if CHATS.iter().any(|chat| path.starts_with("handler.") && path.ends_with(chat)) {
        return "write it into a file and `url = { file = \"data/secrets/…\" }` below `[handler.NAME.chat]`, as in \
                `slack = { url = { file = \"data/secrets/slack\" } }`";
    }
    if !path.starts_with("handler.") {
        return "leave it out, or keep it in a file of its own where there is a key for one";
    }
    if path.ends_with(".http.url") {
        return "write `url = { file = \"data/secrets/…\" }`, and the whole address into that file; or send the \
                secret in `headers = { NAME = { secret = { file = \"data/secrets/…\" } } }`";
    }
    KEPT_APART
}

/// The services of the kind `chat`: their addresses are secrets.
const CHATS: [&str; 4] = [".slack", ".discord", ".teams", ".mattermost"];

const KEPT_APART: &str = "send it in `headers = { NAME = { secret = { file = \"data/secrets/…\" } } }` or \
                          hand it on in `env = { NAME = { file = \"data/secrets/…\" } }`";

/// Keys of addresses.
const ADDRESSES: [&str; 4] = ["url", "smtp", "server", "endpoint"];

/// Whether an address without a scheme has a password in it: `user:password@host`, and the list of settings
/// that libraries of `PostgreSQL` and ODBC take.
fn has_bare_password(text: &str) -> bool {
    let settings = text.split([' ', ';']).filter_map(|part| part.split_once('='));
    let names_one = settings.map(|(name, _)| name).any(names_secret_key);
    tokens::password_without_scheme(text).is_some() || names_one && !text.contains("://")
}

/// Whether the secret was written where the place of it is asked for: an address, a token of a well-known form,
/// or what no variable is called.
pub(super) fn is_secret_itself(key: &str, text: &str) -> bool {
    match key {
        "env" => {
            let name = if is_dollar_name(text) { text.trim_matches(['$', '{', '}']) } else { text };
            let name = name.trim_start_matches('$');
            let is_lower = name.contains(|c: char| c.is_ascii_lowercase());
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
            let is_made = is_lower && looks_random(name) && looks_made(name);
            !is_name || is_made || is_granting(name)
        }
        "file" | "credential" => {
            text.contains("://") && path_of_address(text).is_none() || is_granting(text)
        }
        _ => false,
    }
}

/// Whether a token was written where its file is asked for: what looks made by chance. Base64 may have a `/` in it.
pub fn is_token_itself(text: &str) -> bool {
    is_granting(text) || !text.contains('.') && looks_random(text) && looks_made(text)
}

/// Whether it is a variable's name as a shell is told it: `$NAME`, a slip that can be told. Any other text with
/// a `$` may be a password.
pub(super) fn is_dollar_name(text: &str) -> bool {
    let Some(name) = text.strip_prefix('$') else { return false };
    let name = name.strip_prefix('{').unwrap_or(name);
    let name = name.strip_suffix('}').unwrap_or(name);
    let is_one = |c: char| c.is_ascii_uppercase() || c == '_';
    name.starts_with(is_one) && name.chars().all(|c| is_one(c) || c.is_ascii_digit())
}

/// The path in `file:///run/secrets/x`.
pub(super) fn path_of_address(text: &str) -> Option<&str> {
    let path = text.strip_prefix("file:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty() && !path.contains(['@', ':', '?'])).then_some(path)
}

/// Whether what is told of the place of a secret may be shown.
fn may_be_shown(key: &str, text: &str) -> bool {
    let is_odd = key == "env" && text.contains('$') && !is_dollar_name(text);
    !is_odd && !is_secret_itself(key, text)
}

/// Whether a text begins with a token, and not with a name like `whsec_production`.
fn is_granting(text: &str) -> bool {
    let is_made = || looks_made(text) || tokens::AMAZON.iter().any(|start| text.starts_with(start));
    tokens::token_at(text).is_some() && is_made() || text.starts_with("-----BEGIN")
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

/// In a text that is no TOML, the rest of each line that names a secret, and the lines that go on with it: it is
/// unknown where its text ends.
pub(super) fn find_in_broken(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let (mut start, mut goes_on) = (0, false);
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        let key = line.trim_start().split(['=', ':', ' ', '\t']).next().unwrap_or_default();
        let is_secret = names_secret(line)
            || names_secret_key(key)
            || line.contains("value")
            || is_secret(line)
            || !spelled_out::places(line).is_empty();
        if is_secret {
            hidden.extend(value_at(line).map(|at| start + at..end));
        } else if goes_on && !begins_anew(line) {
            hidden.push(start..end);
        }
        goes_on = is_secret || goes_on && !begins_anew(line);
        start += line.len();
    }
    hidden
}

/// Where the value begins in a line: behind its `=`, or what stands there in other languages.
fn value_at(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let colon_or_blank = || {
        let at = line.trim_start().find([':', ' ', '\t']);
        at.map(|at| indent + at)
    };
    line.find('=').or_else(colon_or_blank).map(|at| at + 1)
}

/// Whether a line does not go on with the value of the one above.
fn begins_anew(line: &str) -> bool {
    let line = line.trim();
    let is_key = |key: &str| {
        let key = key.trim();
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    line.is_empty()
        || line.starts_with(['#', '['])
        || line.split_once('=').is_some_and(|(key, _)| is_key(key))
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
    let bare = texts.map(|text| text.trim().trim_matches(['"', '\'']));
    let parts = bare.flat_map(|text| std::iter::once(text).chain(guessed(text)));
    let texts: Vec<&str> = parts.filter(|text| text.len() > 3).collect();
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
