//! The statements over our own two tables, which stand beside the handler's own.
//!
//! | table | row | what for |
//! |---|---|---|
//! | `gatepost_ledger` | `(handler, event_id, at)` | the event is in: a repeat changes nothing; a replay has a row of its own, by an id made from the event's |
//! | `gatepost_versions` | `(handler, row_key, version, deleted_at)` | the newest version of a row, also of one that was deleted; only with `newer_by` |

use super::cell::Cell;
use super::engine::Engine;
use super::statement::{Param, Statement, arrays, bound, placeholders, runs, unnest};

/// Which of `keys` stand in one of our own tables: selects `column` and `with`.
pub(super) fn known(
    engine: Engine,
    table: &str,
    (column, with): (&str, &str),
    handler: &str,
    keys: &[String],
) -> Vec<Statement> {
    if engine == Engine::Postgres {
        let cast = if column == "event_id" { "uuid" } else { "text" };
        // Row by row, and a LIMIT so that the planner leaves it at that: `= ANY` reads every row of the
        // handler wherever the planner guesses that this is cheap, 20 to 30 ms a batch at 150,000 rows.
        let row = format!(
            "SELECT {column}, {with} FROM {table} WHERE handler = $1 AND {column} = k.key::{cast} \
             LIMIT 1"
        );
        let sql = format!(
            "SELECT found.{column}::text, found.{with}::text FROM unnest($2::text[]) AS k(key), \
             LATERAL ({row}) AS found"
        );
        let keys = keys.iter().cloned().map(Some).collect();
        return vec![Statement::new(
            sql,
            vec![Param::Text(handler.to_owned()), Param::Texts(keys)],
        )];
    }
    // In MySQL the locks, also on rows that are not there yet, keep a second writer out.
    let lock = if engine == Engine::MySql { " FOR UPDATE" } else { "" };
    runs(keys, 1)
        .into_iter()
        .map(|run| {
            let list = vec!["?"; run.len()].join(", ");
            let (column_text, with_text) = match engine {
                Engine::MySql => {
                    (format!("CAST({column} AS CHAR)"), format!("CAST({with} AS CHAR)"))
                }
                Engine::Sqlite | Engine::Postgres => (column.to_owned(), with.to_owned()),
            };
            let sql = format!(
                "SELECT {column_text}, {with_text} FROM {table} WHERE handler = ? AND {column} IN \
                 ({list}){lock}"
            );
            let keys = run.iter().cloned().map(Param::Text);
            let params = std::iter::once(Param::Text(handler.to_owned())).chain(keys).collect();
            Statement::new(sql, params)
        })
        .collect()
}

/// The ledger's rows for `ids`.
pub(super) fn write_ledger(
    engine: Engine,
    table: &str,
    handler: &str,
    ids: &[String],
    now: jiff::Timestamp,
) -> Vec<Statement> {
    let at = engine.quote("at");
    let head = format!("INSERT INTO {table} (handler, event_id, {at})");
    let now = bound(engine, &Cell::Timestamp(now.into()));
    if ids.is_empty() {
        return Vec::new();
    }
    if engine == Engine::Postgres {
        let from = unnest(1, 3);
        let sql = format!("{head} SELECT $1, u.c0::uuid, $2::timestamptz FROM {from}");
        let ids = Param::Texts(ids.iter().cloned().map(Some).collect());
        return vec![Statement::new(sql, vec![Param::Text(handler.to_owned()), now, ids])];
    }
    runs(ids, 3)
        .into_iter()
        .map(|run| {
            let row = |id: &String| {
                [Param::Text(handler.to_owned()), Param::Text(id.clone()), now.clone()]
            };
            let params = run.iter().flat_map(row).collect();
            Statement::new(format!("{head} VALUES {}", placeholders(run.len(), 3)), params)
        })
        .collect()
}

/// The newest version of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowVersion {
    pub(super) row_key: String,
    pub(super) version: i128,
    pub(super) deleted_at: Option<jiff::Timestamp>,
}

/// Writes the newest versions down.
pub(super) fn write_versions(
    engine: Engine,
    table: &str,
    handler: &str,
    versions: &[RowVersion],
) -> Vec<Statement> {
    if versions.is_empty() {
        return Vec::new();
    }
    let head = format!("INSERT INTO {table} (handler, row_key, version, deleted_at)");
    let rows: Vec<Vec<Cell>> = versions
        .iter()
        .map(|row| {
            vec![
                Cell::Text(handler.to_owned()),
                Cell::Text(row.row_key.clone()),
                Cell::Text(row.version.to_string()),
                row.deleted_at.map_or(Cell::Null, |at| Cell::Timestamp(at.into())),
            ]
        })
        .collect();
    let conflict = match engine {
        Engine::Sqlite | Engine::Postgres => {
            " ON CONFLICT (handler, row_key) DO UPDATE SET version = excluded.version, deleted_at \
             = excluded.deleted_at"
        }
        Engine::MySql => {
            " ON DUPLICATE KEY UPDATE version = VALUES(version), deleted_at = VALUES(deleted_at)"
        }
    };
    if engine == Engine::Postgres {
        let from = unnest(4, 1);
        let values = "SELECT u.c0, u.c1, u.c2, u.c3::timestamptz";
        return vec![Statement::new(
            format!("{head} {values} FROM {from}{conflict}"),
            arrays(&rows, 4),
        )];
    }
    runs(&rows, 4)
        .into_iter()
        .map(|run| {
            let values = placeholders(run.len(), 4);
            let params = run.iter().flatten().map(|cell| bound(engine, cell)).collect();
            Statement::new(format!("{head} VALUES {values}{conflict}"), params)
        })
        .collect()
}

/// How many rows of one of our own tables one step of the removal goes through.
const STEP_ROWS: usize = 5_000;

/// What is removed of one of our own tables: a handler's rows that are older than a moment. It goes
/// through them in the order of their keys, step by step.
pub(super) struct OldRows<'a> {
    engine: Engine,
    table: &'a str,
    handler: &'a str,
    /// The key beside the handler.
    key: &'static str,
    /// Keys from here on are not looked at.
    before: Option<String>,
    /// Says how old a row is.
    moment: &'static str,
    cutoff: jiff::Timestamp,
}

impl<'a> OldRows<'a> {
    /// The ledger's rows of events that came in and were taken in before `cutoff`; event ids
    /// ascend with time, so no other rows are read.
    pub(super) fn of_ledger(
        engine: Engine,
        table: &'a str,
        handler: &'a str,
        cutoff: jiff::Timestamp,
    ) -> Self {
        let before = Some(first_id_at(cutoff));
        Self { engine, table, handler, key: "event_id", before, moment: "at", cutoff }
    }

    /// The versions of rows that were deleted before `cutoff`.
    pub(super) fn of_versions(
        engine: Engine,
        table: &'a str,
        handler: &'a str,
        cutoff: jiff::Timestamp,
    ) -> Self {
        let (key, moment) = ("row_key", "deleted_at");
        Self { engine, table, handler, key, before: None, moment, cutoff }
    }

    /// Selects the last key of the step behind `after`; no row = the rest is one step.
    pub(super) fn step_end(&self, after: Option<&str>) -> Statement {
        let (key, table) = (self.key, self.table);
        let (range, params) = self.range(after, None);
        let text = match self.engine {
            Engine::Postgres => format!("{key}::text"),
            Engine::MySql => format!("CAST({key} AS CHAR)"),
            Engine::Sqlite => key.to_owned(),
        };
        let offset = STEP_ROWS - 1;
        let sql = format!(
            "SELECT {text} FROM {table} WHERE {range} ORDER BY {table}.{key} LIMIT 1 OFFSET {offset}"
        );
        Statement::new(sql, params)
    }

    /// Removes what is old behind `after`, up to `to`.
    pub(super) fn remove(&self, after: Option<&str>, to: Option<&str>) -> Statement {
        let (range, mut params) = self.range(after, to);
        params.push(bound(self.engine, &Cell::Timestamp(self.cutoff.into())));
        let moment = self.engine.quote(self.moment);
        let cutoff = self.placeholder(params.len(), "timestamptz");
        let sql = format!("DELETE FROM {} WHERE {range} AND {moment} < {cutoff}", self.table);
        Statement::new(sql, params)
    }

    /// The handler's rows behind `after`, up to `to`.
    fn range(&self, after: Option<&str>, to: Option<&str>) -> (String, Vec<Param>) {
        let of_key = if self.key == "event_id" { "uuid" } else { "text" };
        let mut params = vec![Param::Text(self.handler.to_owned())];
        let mut range = vec![format!("handler = {}", self.placeholder(1, "text"))];
        for (is, limit) in [(">", after), ("<=", to), ("<", self.before.as_deref())] {
            let Some(limit) = limit else { continue };
            params.push(Param::Text(limit.to_owned()));
            let limit = self.placeholder(params.len(), of_key);
            range.push(format!("{} {is} {limit}", self.key));
        }
        (range.join(" AND "), params)
    }

    fn placeholder(&self, number: usize, of: &str) -> String {
        match self.engine {
            Engine::Postgres => format!("${number}::{of}"),
            Engine::Sqlite | Engine::MySql => "?".to_owned(),
        }
    }
}

/// The smallest UUID of version 7 that was made at `moment`.
fn first_id_at(moment: jiff::Timestamp) -> String {
    let millis = u128::try_from(moment.as_millisecond()).unwrap_or(0);
    uuid::Uuid::from_u128((millis << 80) | (7 << 76)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_moment_is_not_after_an_id_made_then() {
        let moment: jiff::Timestamp = "2026-11-22T10:00:00.123Z".parse().unwrap();
        let seconds = u64::try_from(moment.as_second()).unwrap();
        let made = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 123_000_000);
        let made = uuid::Uuid::new_v7(made).to_string();
        let first = first_id_at(moment);
        assert!(first <= made, "{first} > {made}");
        assert_eq!(first.get(..13), made.get(..13), "the same millisecond");
    }
}
