//! The statements of a transaction. Every name in them is quoted, every value is bound; the defaults of
//! columns are the database's own words.
//!
//! PostgreSQL gets whole columns as arrays of text, cast by the column's own type: one statement
//! for a batch of any size. The others get rows of placeholders, in powers of two, so that a few
//! prepared statements serve every batch size; MySQL's word `DEFAULT` makes one of its own.

use super::OnConflict;
use super::cell::{Cell, iso};
use super::engine::Engine;
use super::target::{Target, TargetColumn};

/// A bound value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Param {
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
    Bytes(Vec<u8>),
    Texts(Vec<Option<String>>),
}

/// SQL of our own making, with the values for its placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) params: Vec<Param>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>, params: Vec<Param>) -> Self {
        Self { sql: sql.into(), params }
    }
}

/// The most rows in one statement of placeholders.
const ROWS_MAX: usize = 256;
/// The most placeholders in one statement: SQLite takes 32,766, MySQL 65,535.
const PARAMS_MAX: usize = 30_000;

/// The most bytes of values in one statement, unless one row has more: MySQL ends the connection
/// at 16 MiB, its `max_allowed_packet`.
const BYTES_MAX: usize = 4 << 20;

/// Cuts `rows` so that each part can be one statement.
fn parts(rows: &[Vec<Cell>]) -> Vec<&[Vec<Cell>]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (index, row) in rows.iter().enumerate() {
        let row_bytes: usize = row.iter().map(Cell::bytes).sum();
        if index > start && bytes + row_bytes > BYTES_MAX {
            parts.extend(rows.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes += row_bytes;
    }
    parts.extend(rows.get(start..));
    parts
}

/// Cuts `rows` into runs of a power of two.
pub(super) fn runs<T>(rows: &[T], params_per_row: usize) -> Vec<&[T]> {
    let fitting = (PARAMS_MAX / params_per_row.max(1)).clamp(1, ROWS_MAX);
    let mut size = 1_usize << fitting.ilog2();
    let mut rest = rows;
    let mut runs = Vec::new();
    while !rest.is_empty() {
        while size > rest.len() {
            size /= 2;
        }
        let Some((run, tail)) = rest.split_at_checked(size) else { break };
        runs.push(run);
        rest = tail;
    }
    runs
}

/// `(?, ?), (?, ?)`.
pub(super) fn placeholders(n_rows: usize, n_columns: usize) -> String {
    let row = format!("({})", vec!["?"; n_columns].join(", "));
    vec![row.as_str(); n_rows].join(", ")
}

/// The columns of `rows` as PostgreSQL arrays, one parameter each.
pub(super) fn arrays(rows: &[Vec<Cell>], n_columns: usize) -> Vec<Param> {
    (0..n_columns)
        .map(|index| {
            let column = rows.iter().map(|row| row.get(index).and_then(postgres_text));
            Param::Texts(column.collect())
        })
        .collect()
}

/// `unnest($2::text[], $3::text[]) AS u(c0, c1)`, with `first` as the first number.
pub(super) fn unnest(n_columns: usize, first: usize) -> String {
    let arrays: Vec<String> =
        (0..n_columns).map(|index| format!("${}::text[]", first + index)).collect();
    let names: Vec<String> = (0..n_columns).map(|index| format!("c{index}")).collect();
    format!("unnest({}) AS u({})", arrays.join(", "), names.join(", "))
}

/// Rows into the table; those whose key is there replace the old ones.
pub(super) fn upsert(target: &Target, rows: &[Vec<Cell>]) -> Vec<Statement> {
    if rows.is_empty() {
        return Vec::new();
    }
    let parts = parts(rows).into_iter();
    let columns = &target.columns;
    let names: Vec<&str> = columns.iter().map(|column| column.quoted.as_str()).collect();
    let head = format!("INSERT INTO {} ({})", target.table, names.join(", "));
    let conflict = on_conflict(target);
    if target.engine == Engine::Postgres {
        let from = unnest(columns.len(), 1);
        let statement = |part| {
            let values = columns.iter().enumerate().zip(defaults(target, part)).map(inserted);
            let values = values.collect::<Vec<_>>().join(", ");
            let sql = format!("{head} SELECT {values} FROM {from}{conflict}");
            Statement::new(sql, arrays(part, columns.len()))
        };
        return parts.map(statement).collect();
    }
    parts
        .flat_map(|part| runs(part, columns.len()))
        .map(|run| {
            let (values, params) = values(target, run);
            Statement::new(format!("{head} VALUES {values}{conflict}"), params)
        })
        .collect()
}

/// `(?, COALESCE(?, 'anon')), (?, COALESCE(?, 'anon'))`, or `(?, ?), (?, DEFAULT)` on MySQL, with the
/// values for it. SQLite knows no `DEFAULT` among values.
fn values(target: &Target, rows: &[Vec<Cell>]) -> (String, Vec<Param>) {
    let (engine, defaults) = (target.engine, defaults(target, rows));
    if defaults.iter().all(Option::is_none) {
        let params = rows.iter().flatten().map(|cell| bound(engine, cell)).collect();
        return (placeholders(rows.len(), defaults.len()), params);
    }
    let mut params = Vec::new();
    let mut value = |(default, cell): (Option<&str>, &Cell)| {
        if let (Engine::MySql, Some(default), Cell::Null) = (engine, default, cell) {
            return default.to_owned();
        }
        params.push(bound(engine, cell));
        match default {
            Some(default) if engine == Engine::Sqlite => format!("COALESCE(?, {default})"),
            _ => "?".to_owned(),
        }
    };
    let mut row = |cells: &Vec<Cell>| {
        let values: Vec<String> = defaults.iter().copied().zip(cells).map(&mut value).collect();
        format!("({})", values.join(", "))
    };
    let values: Vec<String> = rows.iter().map(&mut row).collect();
    (values.join(", "), params)
}

/// For each column its default, where one of `rows` lacks the value. Others need none: a default that
/// does not go into a statement then keeps out no row that could be had before.
fn defaults<'a>(target: &'a Target, rows: &[Vec<Cell>]) -> Vec<Option<&'a str>> {
    let of = |(index, column): (usize, &'a TargetColumn)| {
        let default = column.default.as_deref()?;
        rows.iter().any(|row| row.get(index) == Some(&Cell::Null)).then_some(default)
    };
    target.columns.iter().enumerate().map(of).collect()
}

/// `u.c0::bigint`, or the column's default where that is NULL. The default is of another type at times
/// (`money DEFAULT 0`), and must not lend it to the values.
fn inserted(((index, column), default): ((usize, &TargetColumn), Option<&str>)) -> String {
    let value = cast((index, column));
    match default {
        Some(default) => format!("COALESCE({value}, ({default})::{})", column.real_type),
        None => value,
    }
}

/// `u.c0::bigint`.
fn cast((index, column): (usize, &TargetColumn)) -> String {
    format!("u.c{index}::{}", column.real_type)
}

fn on_conflict(target: &Target) -> String {
    if target.key.is_empty() {
        return String::new();
    }
    let plain: Vec<&str> = match target.on_conflict {
        OnConflict::Update => target.plain_columns().map(|column| column.quoted.as_str()).collect(),
        OnConflict::Ignore => Vec::new(),
    };
    let key: Vec<&str> = target.key_columns().map(|column| column.quoted.as_str()).collect();
    if target.engine == Engine::MySql {
        let update = |name: &&str| format!("{name} = VALUES({name})");
        let mut set: Vec<String> = plain.iter().map(update).collect();
        if set.is_empty() {
            // Any assignment that changes nothing. `INSERT IGNORE` would hide other errors.
            set = key.iter().map(|name| format!("{name} = {name}")).collect();
        }
        return format!(" ON DUPLICATE KEY UPDATE {}", set.join(", "));
    }
    let key = key.join(", ");
    if plain.is_empty() {
        return format!(" ON CONFLICT ({key}) DO NOTHING");
    }
    let set: Vec<String> = plain.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "))
}

/// Asks PostgreSQL whether a column takes the value of `cell`, by the cast that an insert makes.
pub(super) fn try_cast(column: &TargetColumn, cell: &Cell) -> Statement {
    let sql = format!("SELECT (($1::text)::{} IS NULL)::text", column.full_type);
    let value = postgres_text(cell).map_or(Param::Null, Param::Text);
    Statement::new(sql, vec![value])
}

/// Rows out of the table. `keys` holds the key's cells, in the order of `target.key`.
pub(super) fn delete(target: &Target, keys: &[Vec<Cell>]) -> Vec<Statement> {
    if keys.is_empty() {
        return Vec::new();
    }
    let columns: Vec<&TargetColumn> = target.key_columns().collect();
    if target.engine == Engine::Postgres {
        let matches: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| format!("t.{} = {}", column.quoted, cast((index, column))))
            .collect();
        let from = unnest(columns.len(), 1);
        let sql = format!(
            "DELETE FROM {} AS t USING {from} WHERE {}",
            target.table,
            matches.join(" AND ")
        );
        return vec![Statement::new(sql, arrays(keys, columns.len()))];
    }
    let one: Vec<String> = columns.iter().map(|column| format!("{} = ?", column.quoted)).collect();
    let one = format!("({})", one.join(" AND "));
    runs(keys, columns.len())
        .into_iter()
        .map(|run| {
            let matches = vec![one.as_str(); run.len()].join(" OR ");
            let params = run.iter().flatten().map(|cell| bound(target.engine, cell)).collect();
            Statement::new(format!("DELETE FROM {} WHERE {matches}", target.table), params)
        })
        .collect()
}

/// A cell as PostgreSQL reads it from text.
pub(super) fn postgres_text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) | Cell::Json(text) | Cell::Decimal(text) => Some(text.clone()),
        Cell::Bytes(bytes) => Some(format!("\\x{}", hex::encode(bytes))),
        Cell::List(items) => Some(array_literal(items)),
        Cell::Integer(number) => Some(number.to_string()),
        Cell::Real(number) => Some(number.to_string()),
        Cell::Bool(yes) => Some(yes.to_string()),
        Cell::Timestamp(moment) => Some(moment.to_string()),
    }
}

/// `{"a","b",NULL}`.
fn array_literal(items: &[Cell]) -> String {
    let item = |cell: &Cell| match (cell, postgres_text(cell)) {
        (_, None) => "NULL".to_owned(),
        (Cell::List(_), Some(array)) => array,
        (_, Some(text)) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

pub(super) fn bound(engine: Engine, cell: &Cell) -> Param {
    match cell {
        Cell::Null => Param::Null,
        Cell::Text(text) | Cell::Json(text) | Cell::Decimal(text) => Param::Text(text.clone()),
        Cell::Bytes(bytes) => Param::Bytes(bytes.clone()),
        Cell::List(items) => Param::Text(array_literal(items)),
        Cell::Integer(number) => Param::Integer(*number),
        Cell::Real(number) => Param::Real(*number),
        Cell::Bool(yes) => Param::Integer((*yes).into()),
        Cell::Timestamp(moment) => Param::Text(match engine {
            Engine::Sqlite => iso(*moment),
            Engine::Postgres => moment.to_string(),
            Engine::MySql => moment.utc().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        }),
    }
}

#[cfg(test)]
mod tests;
