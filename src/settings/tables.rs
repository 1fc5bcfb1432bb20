//! A table, or several of one form.

use serde_json::json;

use super::table::{TABLE, Table};

impl<'a> Table<'a> {
    /// The table under `key`, or those of a list: `[[source.NAME.handshake]]`. Empty where it is absent; what is
    /// no table is recorded. The caller finishes each.
    pub fn one_or_many_tables(&mut self, key: &str) -> Vec<Table<'a>> {
        self.ask(key, TABLE.to_owned(), json!({ "type": "object" }));
        let Some(value) = self.value(key) else { return Vec::new() };
        let pattern = value.pattern.clone();
        let Some(items) = value.as_items() else { return value.table().into_iter().collect() };
        let tables = items.iter().filter_map(super::Value::table);
        // Their keys are those of one alone.
        let of_one = |mut table: Table<'a>| {
            table.pattern.clone_from(&pattern);
            table
        };
        tables.map(of_one).collect()
    }
}
