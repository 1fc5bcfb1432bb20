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

/// Removes the ledger's rows of events that came in and were taken in before `cutoff`; event ids
/// ascend with time, so this reads only what it removes.
pub(super) fn prune_ledger(
    engine: Engine,
    table: &str,
    handler: &str,
    cutoff: jiff::Timestamp,
) -> Statement {
    let at = engine.quote("at");
    let first_id = first_id_at(cutoff);
    let sql = match engine {
        Engine::Postgres => format!(
            "DELETE FROM {table} WHERE handler = $1 AND event_id < $2::uuid AND {at} < \
             $3::timestamptz"
        ),
        Engine::Sqlite | Engine::MySql => {
            format!("DELETE FROM {table} WHERE handler = ? AND event_id < ? AND {at} < ?")
        }
    };
    let cutoff = bound(engine, &Cell::Timestamp(cutoff.into()));
    Statement::new(sql, vec![Param::Text(handler.to_owned()), Param::Text(first_id), cutoff])
}

/// Forgets the versions of rows that were deleted before `cutoff`.
pub(super) fn prune_versions(
    engine: Engine,
    table: &str,
    handler: &str,
    cutoff: jiff::Timestamp,
) -> Statement {
    let sql = match engine {
        Engine::Postgres => {
            format!("DELETE FROM {table} WHERE handler = $1 AND deleted_at < $2::timestamptz")
        }
        Engine::Sqlite | Engine::MySql => {
            format!("DELETE FROM {table} WHERE handler = ? AND deleted_at < ?")
        }
    };
    let cutoff = bound(engine, &Cell::Timestamp(cutoff.into()));
    Statement::new(sql, vec![Param::Text(handler.to_owned()), cutoff])
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
