//! How TOML becomes settings: key by key, with every mistake found in one run.
//!
//! A reader takes its keys from a [`Table`]. What is wrong is recorded with its place in the text
//! and the reader goes on, so that one run finds all of it:
//!
//! ```text
//! pub fn read(table: &mut Table<'_>) -> Option<Settings> {
//!     let url = table.require::<String>("url");
//!     let timeout = table.take_or("timeout", TIMEOUT);
//!     // Every key is taken before the first `?`: what nobody asked for is "unknown".
//!     Some(Settings { url: url?, timeout })
//! }
//! ```
//!
//! Reading is pure: it opens nothing. Text that came from the configuration may stand in a message
//! only where it cannot be a secret; see [`Table::hide`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

mod from;
mod nearest;
mod report;
mod table;
mod units;

pub use from::FromToml;
pub use nearest::nearest;
pub use report::{Look, Report, ReportEntry};
pub use table::{Table, Value};
pub use units::{BadUnit, ByteSize, parse_duration, show_duration};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
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
    /// Every key that a reader asked for, as in `handler.NAME.email.smtp`, with what it takes.
    pub keys: BTreeMap<String, String>,
}

impl<T> Reading<T> {
    /// Whether one of the problems is an error.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Where the tables of one reading put what they find.
#[derive(Debug)]
struct Notes {
    /// The folder that relative paths start from.
    folder: PathBuf,
    /// Whether the text is broken TOML: then a key that is missing may only be unreadable.
    is_broken: bool,
    problems: RefCell<Vec<Problem>>,
    hidden: RefCell<Vec<Range<usize>>>,
    keys: RefCell<BTreeMap<String, String>>,
}

/// Reads `text` with `read`, which gets the outermost table. Relative paths in it start from
/// `folder`.
pub fn read<T>(text: &str, folder: &Path, read: impl FnOnce(&mut Table<'_>) -> T) -> Reading<T> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let notes = Notes {
        folder: folder.to_owned(),
        is_broken: !errors.is_empty(),
        problems: RefCell::default(),
        hidden: RefCell::default(),
        keys: RefCell::default(),
    };
    let mut table = Table::root(&notes, root.get_ref());
    let value = read(&mut table);
    table.finish();

    let mut problems = notes.problems.into_inner();
    if !errors.is_empty() {
        let syntax: Vec<Problem> = errors.iter().map(broken).collect();
        // What stands on a broken line was guessed by the parser: saying more about it confuses.
        problems.retain(|problem| !syntax.iter().any(|other| same_line(text, problem, other)));
        problems.extend(syntax);
    }
    problems.sort_by_key(|problem| problem.span.as_ref().map(|span| (span.start, span.end)));
    problems.dedup();
    Reading { value, problems, hidden: notes.hidden.into_inner(), keys: notes.keys.into_inner() }
}

fn broken(error: &toml::de::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        message: error.message().trim().replace('\n', ", "),
        help: String::new(),
        span: error.span(),
        path: String::new(),
    }
}

fn same_line(text: &str, left: &Problem, right: &Problem) -> bool {
    let line = |problem: &Problem| {
        let start = problem.span.as_ref()?.start;
        Some(text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count())
    };
    line(left).is_some() && line(left) == line(right)
}

#[cfg(test)]
mod tests;
