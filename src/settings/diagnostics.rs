//! What one reading of a text finds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::limit::between;
use super::{Key, NotedText, Probe, Problem, Severity};
use crate::secret::SecretRef;

/// Where the tables of one reading put what they find.
#[derive(Debug)]
pub(super) struct Diagnostics {
    pub(super) text: String,
    /// The folder that relative paths start from.
    pub(super) folder: PathBuf,
    /// How every secret is looked for; `None` = not at all.
    pub(super) probe: Option<Probe>,
    /// Whether the text is broken TOML: then a key that is missing may only be unreadable.
    pub(super) is_broken: bool,
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) hidden: RefCell<Vec<Range<usize>>>,
    pub(super) keys: RefCell<BTreeMap<String, Key>>,
    pub(super) secrets: RefCell<Vec<(String, SecretRef)>>,
    /// Tables that nothing is built of, each with a dot behind its path: their secrets need not be
    /// there yet.
    pub(super) unused: RefCell<Vec<String>>,
    /// Templates and expressions that are right by themselves.
    pub(super) texts: RefCell<Vec<NotedText>>,
}

impl Diagnostics {
    pub(super) fn register_key(&self, pattern: &str, expected: String, schema: Json) {
        let mut keys = self.keys.borrow_mut();
        // That it is a table says less than what was found in another one by the same key.
        if keys.contains_key(pattern) && schema == json!({ "type": "object" }) {
            return;
        }
        let is_required = keys.get(pattern).is_some_and(|known| known.is_required);
        keys.insert(pattern.to_owned(), Key { expected, schema, is_required });
    }

    /// Notes that a number that was registered is `most` at most.
    pub(super) fn limit_key(&self, pattern: &str, most: usize) {
        if let Some(key) = self.keys.borrow_mut().get_mut(pattern) {
            let least = key.schema.get("minimum").cloned().unwrap_or_default();
            (key.expected, key.schema) = between(&least, most);
        }
    }

    /// Notes that a key that was registered cannot be left out.
    pub(super) fn require_key(&self, pattern: &str) {
        if let Some(key) = self.keys.borrow_mut().get_mut(pattern) {
            key.is_required = true;
        }
    }

    pub(super) fn put(
        &self,
        severity: Severity,
        span: Option<Range<usize>>,
        path: &str,
        message: &dyn Display,
        help: &dyn Display,
    ) {
        self.problems.borrow_mut().push(Problem {
            severity,
            message: message.to_string(),
            help: help.to_string(),
            span,
            path: path.to_owned(),
        });
    }
}
