//! A table, or several of one form.

use std::fmt::Display;

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

    /// The tables under `key` with the names that the owner chose: `[handler.NAME]` …
    pub fn tables<N, E: Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<N, E>,
    ) -> Vec<(N, Table<'a>)> {
        self.ask(key, TABLE.to_owned(), json!({ "type": "object" }));
        let head = format!("[{key}.NAME]");
        let outer = self.value(key).and_then(|value| value.table_written(&head));
        let Some(outer) = outer else { return Vec::new() };
        let mut named = Vec::new();
        for (name, _) in outer.entries {
            let name: &str = name.get_ref();
            let Some(value) = outer.value(name) else { continue };
            let Some(entries) = value.inner.as_table() else {
                let help = format_args!(
                    "each has a name: what is said of one stands below `[{key}.my-name]`"
                );
                value.problem(format_args!("expected a table, found {}", value.kind()), help);
                continue;
            };
            let mut table = Table::of(&value, entries);
            table.pattern = format!("{}.NAME", outer.pattern);
            let schema = json!({ "type": "object" });
            self.diagnostics.register_key(&table.pattern, TABLE.to_owned(), schema);
            match parse(name) {
                Ok(name) => named.push((name, table)),
                Err(err) => table.problem_here(err, format_args!("for example `[{key}.my-name]`")),
            }
        }
        named
    }
}
