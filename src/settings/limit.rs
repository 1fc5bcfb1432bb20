//! The most that a number may be, where that is less than its type holds.

use serde_json::json;

use super::Table;
use super::path::join;

impl Table<'_> {
    /// Tells the schema and the reference that `key`, which was asked for, is `most` at most; the caller
    /// checks that.
    pub fn limit(&self, key: &str, most: usize) {
        self.diagnostics.limit_key(&join(&self.pattern, key), most);
    }
}

/// What a number from `least` to `most` is called.
pub(super) fn between(least: &serde_json::Value, most: usize) -> (String, serde_json::Value) {
    let schema = json!({ "type": "integer", "minimum": least, "maximum": most });
    (format!("a whole number from {least} to {most}"), schema)
}
