//! `statements`, and the keys that make no sense beside it.

use super::engine::Engine;
use super::template::StatementTemplate;
use crate::settings::{Table, TextSort, Value};

/// The most statements that run for one event.
const STATEMENTS_MAX: usize = 50;

/// The keys of a row, each with what to write for it.
const OF_ROWS: [(&str, &str); 9] = [
    ("table", "leave it out: each statement names its table"),
    ("create_table", "leave it out, and make the tables before"),
    ("key", "leave it out: a `WHERE` says which rows are meant, or an `ON CONFLICT`"),
    ("delete_on", "write another handler whose `on` names them, with a `DELETE`"),
    ("delete_when", "write another handler with that as its `when`, and a `DELETE`"),
    ("keep", "leave it out: a statement changes the columns that it names"),
    ("on_conflict", "leave it out: an `INSERT` says it itself, as in `ON CONFLICT DO NOTHING`"),
    ("columns", "leave it out: write each value as `{{ data.id }}` into a statement"),
    ("newer_by", "compare in the statement: `… AND updated_at < {{ data.updated_at }}`"),
];

/// The owner's own statements; none where the key is absent, and where the URL is wrong: without an
/// `engine` it is not known whose SQL they are.
pub(super) fn read_statements(
    table: &mut Table<'_>,
    engine: Option<Engine>,
) -> Option<Vec<StatementTemplate>> {
    let value = table.raw("statements", "a string, or a list of them");
    table.one_or_many::<String>("statements").or_else(|| value.is_none().then(Vec::new))?;
    let (Some(value), Some(engine)) = (value, engine) else { return Some(Vec::new()) };
    let items = value.as_items().unwrap_or_else(|| vec![value.clone()]);
    if items.is_empty() || items.len() > STATEMENTS_MAX {
        let help = "write `statements = [\"UPDATE orders SET paid = {{ data.paid }} WHERE …\"]`";
        value.problem(format_args!("expected 1 to {STATEMENTS_MAX} statements"), help);
        return None;
    }
    let statements: Vec<_> = items.iter().map(|item| read_statement(item, engine)).collect();
    statements.into_iter().collect()
}

fn read_statement(item: &Value<'_>, engine: Engine) -> Option<StatementTemplate> {
    let parsed = StatementTemplate::parse(item.as_str()?, engine);
    let parsed =
        parsed.map_err(|err| item.problem_within(err.range, &err.message, &err.help)).ok()?;
    item.note_text(TextSort::Template);
    Some(parsed)
}

/// Whether none of the keys of a row is there.
pub(super) fn refuse_keys_of_rows(table: &Table<'_>) -> bool {
    let found = OF_ROWS.iter().filter(|(key, _)| table.has(key));
    let n_found = found
        .map(|(key, help)| {
            table.problem(key, format_args!("`{key}` has no meaning beside `statements`"), help);
        })
        .count();
    n_found == 0
}
