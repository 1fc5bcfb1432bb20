//! Texts of expressions that a reader found whole: what is left to look at where its table has another
//! mistake.

use super::path::join;
use super::{Table, Value};

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSort {
    /// Expressions stand in braces within it.
    Template,
    /// It is one expression.
    Expression,
}

/// A text that is worked out for each event, as the file has it.
#[derive(Clone, Debug)]
pub struct NotedText {
    /// Its whole key, as in `handler.mail.email.subject`.
    pub key: String,
    pub sort: TextSort,
    pub text: String,
}

impl Table<'_> {
    /// Notes the text under `key`.
    pub fn note_text(&self, key: &str, sort: TextSort) {
        if let Some(text) = self.text_of(key) {
            self.diagnostics.note_text(join(&self.path, key), sort, text);
        }
    }

    /// The texts that were noted in this table and in those below it.
    pub fn noted_texts(&self) -> Vec<NotedText> {
        let below = format!("{}.", self.path);
        let noted = self.diagnostics.texts.borrow();
        noted.iter().filter(|one| one.key.starts_with(&below)).cloned().collect()
    }
}

impl Value<'_> {
    /// Notes the text that it is.
    pub fn note_text(&self, sort: TextSort) {
        if let Some(text) = self.as_str() {
            self.diagnostics.note_text(self.path.clone(), sort, text);
        }
    }
}

impl super::Diagnostics {
    fn note_text(&self, key: String, sort: TextSort, text: &str) {
        self.texts.borrow_mut().push(NotedText { key, sort, text: text.to_owned() });
    }
}
