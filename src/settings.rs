//! How TOML becomes settings: key by key, with every mistake found in one run.
//!
//! A reader takes its keys from a [`Table`]. What is wrong is recorded with its place in the text
//! and the reader goes on, so that one run finds all of it:
//!
//! ```text
//! pub fn read(table: &mut Table<'_>) -> Option<Settings> {
//!     let url = table.require::<String>("url");
//!     let timeout = table.take_or("timeout", TIMEOUT);
//!     // Every key is taken before the first `?`: a key that was not asked for is "unknown".
//!     Some(Settings { url: url?, timeout })
//! }
//! ```
//!
//! Reading is pure: it opens nothing. Text that came from the configuration may stand in a message
//! only where it cannot be a secret; see [`Table::hide`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use crate::secret::{SecretError, SecretRef};

mod addresses;
mod broken;
mod diagnostics;
mod entries;
mod from;
mod hidden;
mod kept;
mod limit;
mod meant;
mod nearest;
mod noted;
mod path;
mod rate;
mod renamed;
mod report;
mod secret_header;
mod secret_names;
mod spelled_out;
mod table;
mod tables;
mod tokens;
mod unexpanded;
mod units;
mod unknown;
mod value;

use diagnostics::Diagnostics;
pub use entries::{ConfigEntries, ConfigEntry};
pub use hidden::is_token_itself;
pub use kept::{PemKeyRef, PemRef, TextOrSecret};
pub use nearest::{is_one_slip, nearest};
pub use noted::{NotedText, TextSort};
pub use rate::{BadRate, RateLimit};
pub use renamed::RENAMED;
pub use report::{Report, ReportEntry, ReportStyle};
pub use secret_header::{SecretHeader, SecretHeaderError};
pub use secret_names::{is_secret_header, names_secret};
pub use spelled_out::{without_secret_arguments, without_secrets, written_secrets};
pub use table::Table;
pub use tokens::TokenFinder;
pub use unexpanded::unexpanded;
pub use units::{BadUnit, ByteSize, parse_duration, show_duration};
pub use unknown::KNOWN_HERE;
pub use value::{FromToml, Value};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and is probably not what was meant.
    Warning,
    /// Nothing is wrong as far as can be seen, and it says how far that is.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong: a lowercase fragment without a full stop.
    pub message: String,
    /// What to write instead; empty where there is nothing to say.
    pub help: String,
    /// Where in the text, in bytes; `None` = the text as a whole.
    pub span: Option<Range<usize>>,
    /// The key, as in `handler.mail.email.smtp`; empty for the text as a whole.
    pub path: String,
}

/// What came out of reading a text.
#[derive(Debug)]
pub struct Reading<T> {
    /// What the reader made of it. Not to be used when one of the problems is an error.
    pub value: T,
    /// Everything that is wrong, in the order of the text.
    pub problems: Vec<Problem>,
    /// Places whose text must never be shown: see [`Table::hide`].
    pub hidden: Vec<Range<usize>>,
    /// Every key that a reader asked for, as in `handler.NAME.email.smtp`.
    pub keys: BTreeMap<String, Key>,
    /// What the text says, key by key.
    pub entries: ConfigEntries,
    /// Where its secrets are, each with the key that says so.
    pub secrets: Vec<(String, SecretRef)>,
}

impl<T> Reading<T> {
    /// Whether one of the problems is an error.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// A key that a reader asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// What it takes, for people.
    pub expected: String,
    /// What it takes, as JSON Schema.
    pub schema: serde_json::Value,
    /// Whether its table is wrong without it.
    pub is_required: bool,
}

/// The most problems that are told: more than an owner reads.
const PROBLEMS_MAX: usize = 200;

/// Looks whether a secret is where a reference says.
pub type Probe = fn(&SecretRef) -> Result<(), SecretError>;

/// Reads `text` with `reader`, which gets the outermost table. Relative paths in it start from
/// `folder`. No secret is looked for.
pub fn read<T>(text: &str, folder: &Path, reader: impl FnOnce(&mut Table<'_>) -> T) -> Reading<T> {
    read_with(text, folder, None, reader)
}

/// Like [`read`]; a secret that `probe` does not find is a problem.
pub fn read_with<T>(
    text: &str,
    folder: &Path,
    probe: Option<Probe>,
    reader: impl FnOnce(&mut Table<'_>) -> T,
) -> Reading<T> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let diagnostics = Diagnostics {
        text: text.to_owned(),
        folder: folder.to_owned(),
        probe,
        is_broken: !errors.is_empty(),
        problems: RefCell::default(),
        hidden: RefCell::default(),
        keys: RefCell::default(),
        secrets: RefCell::default(),
        unused: RefCell::default(),
        texts: RefCell::default(),
    };
    let mut table = Table::root(&diagnostics, root.get_ref());
    let value = reader(&mut table);
    table.finish();

    let mut problems = diagnostics.problems.into_inner();
    broken::add(&mut problems, text, &errors);
    let spelled_out = hidden::find(root.get_ref());
    spelled_out.warn(&mut problems);
    problems.sort_by_key(|problem| problem.span.as_ref().map(|span| (span.start, span.end)));
    problems.dedup();
    shorten(&mut problems);
    let mut hidden = diagnostics.hidden.into_inner();
    let is_partly = |place: &Range<usize>| spelled_out.partly.contains(place);
    let mut whole = hidden.clone();
    whole.extend(spelled_out.places.iter().filter(|place| !is_partly(place)).cloned());
    hidden.extend(spelled_out.places);
    if diagnostics.is_broken {
        hidden.extend(hidden::find_in_broken(text));
    }
    hidden::take_out(&mut problems, text, &hidden);
    let entries = ConfigEntries::of(root.get_ref(), &whole, text);
    let (keys, secrets) = (diagnostics.keys.into_inner(), diagnostics.secrets.into_inner());
    Reading { value, problems, hidden, keys, entries, secrets }
}

/// Keeps the first problems of a text that is hardly a configuration; errors before warnings.
fn shorten(problems: &mut Vec<Problem>) {
    let n_more = problems.len().saturating_sub(PROBLEMS_MAX);
    if n_more == 0 {
        return;
    }
    problems.sort_by_key(|problem| problem.severity);
    problems.truncate(PROBLEMS_MAX);
    problems.push(Problem {
        severity: problems.first().map_or(Severity::Error, |problem| problem.severity),
        message: format!("and {n_more} problems more"),
        help: String::new(),
        span: None,
        path: String::new(),
    });
}

#[cfg(test)]
mod tests;
