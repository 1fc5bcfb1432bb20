//! The table that events go to: what the statements need to know of it, and its making.

use super::cell::ColumnType;
use super::engine::{Engine, NewColumn, Role};
use super::own_tables::{LEDGER, VERSIONS};
use super::real::{RealColumn, RealTable, column_class, read};
use super::session::Session;
use super::statement::Statement;
use super::{Column, OnConflict, Settings};

/// The table that events go to, as the statements need it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) engine: Engine,
    /// Quoted, with its schema where one is given.
    pub(super) table: String,
    pub(super) ledger: String,
    pub(super) versions: String,
    /// In the order of the configuration.
    pub(super) columns: Vec<TargetColumn>,
    /// Which of the columns make the key, in the key's order.
    pub(super) key: Vec<usize>,
    /// Which of the columns only an insert writes.
    pub(super) kept: Vec<usize>,
    pub(super) on_conflict: OnConflict,
}

/// One column of the table.
#[derive(Clone, Debug)]
pub(super) struct TargetColumn {
    pub(super) quoted: String,
    pub(super) holds: ColumnType,
    pub(super) shape: Shape,
    /// The type's name in the database's own words, and with its length or precision.
    pub(super) real_type: String,
    pub(super) full_type: String,
}

/// How many values a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    /// An array of PostgreSQL.
    List,
}

impl TargetColumn {
    fn new(engine: Engine, column: &Column, real: &RealColumn) -> Self {
        let item_type = real.real_type.strip_suffix("[]").filter(|_| engine == Engine::Postgres);
        let one_type = item_type.unwrap_or(&real.real_type);
        Self {
            quoted: engine.quote(&column.name),
            holds: column_class(engine, column.declared, one_type),
            shape: if item_type.is_some() { Shape::List } else { Shape::One },
            real_type: real.real_type.clone(),
            full_type: real.full_type.clone(),
        }
    }

    /// The most characters that PostgreSQL takes here: `character varying(20)`. A cast would cut
    /// what is longer; an insert refuses it.
    pub(super) fn chars_max(&self) -> Option<usize> {
        let (name, rest) = self.full_type.split_once('(')?;
        let (n_chars, _) = rest.split_once(')')?;
        if name.starts_with("character") { n_chars.parse().ok() } else { None }
    }
}

impl Target {
    /// As it is where the table has the columns that the settings name, of the types that they name.
    pub(super) fn assumed(settings: &Settings, types: &[ColumnType]) -> Self {
        let mut table = RealTable::default();
        table.add_missing(settings, types);
        table.target(settings)
    }

    pub(super) fn key_columns(&self) -> impl Iterator<Item = &TargetColumn> {
        self.key.iter().filter_map(|index| self.columns.get(*index))
    }

    /// The columns that an update writes.
    pub(super) fn plain_columns(&self) -> impl Iterator<Item = &TargetColumn> {
        let is_plain = |index: &usize| !self.key.contains(index) && !self.kept.contains(index);
        self.columns.iter().enumerate().filter(move |(index, _)| is_plain(index)).map(|(_, c)| c)
    }
}

impl RealTable {
    /// What the statements need to know, once there are no objections.
    fn target(&self, settings: &Settings) -> Target {
        let engine = settings.url.engine();
        let (schema, table) = settings.table_parts();
        let quoted = |name: &str| match schema {
            Some(schema) => format!("{}.{}", engine.quote(schema), engine.quote(name)),
            None => engine.quote(name),
        };
        let columns = settings.columns.iter().filter_map(|column| {
            Some(TargetColumn::new(engine, column, self.column(engine, &column.name)?))
        });
        let position = |name: &String| settings.columns.iter().position(|c| c.name == *name);
        Target {
            engine,
            table: quoted(table),
            ledger: quoted(LEDGER),
            versions: quoted(VERSIONS),
            columns: columns.collect(),
            key: settings.key.iter().filter_map(position).collect(),
            kept: settings.keep.iter().filter_map(position).collect(),
            on_conflict: settings.on_conflict,
        }
    }
}

/// Makes what is missing and allowed to be made, and reads the table.
pub(super) async fn prepare(
    session: &mut Session,
    settings: &Settings,
    types: &[ColumnType],
) -> Result<Target, PrepareError> {
    let engine = settings.url.engine();
    session.lock("schema").await?;
    let mut real = read(session, settings, settings.table_parts().1).await?;
    let target = RealTable::default().target(settings);
    if settings.create_table {
        for sql in missing(settings, types, &real, &target.table) {
            session.execute(Statement::new(sql, Vec::new())).await?;
        }
        real = read(session, settings, settings.table_parts().1).await?;
    }
    // Not `IF NOT EXISTS` alone: PostgreSQL wants the right to create even where nothing is to be
    // created.
    if read(session, settings, LEDGER).await?.columns.is_empty() {
        session.execute(Statement::new(engine.create_ledger(&target.ledger), Vec::new())).await?;
    }
    if settings.version.is_some() && read(session, settings, VERSIONS).await?.columns.is_empty() {
        let sql = engine.create_versions(&target.versions);
        session.execute(Statement::new(sql, Vec::new())).await?;
    }
    let objections = real.objections(settings);
    if objections.is_empty() {
        Ok(real.target(settings))
    } else {
        Err(PrepareError::Objections(objections))
    }
}

/// Why a table cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// It is not as the configuration says.
    #[error("{}", .0.join("; "))]
    Objections(Vec<String>),
    /// The database said no.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// The statements that make the table, or the columns that it lacks.
fn missing(
    settings: &Settings,
    types: &[ColumnType],
    real: &RealTable,
    table: &str,
) -> Vec<String> {
    let engine = settings.url.engine();
    let columns = settings.columns.iter().zip(types).map(|(Column { name, .. }, holds)| {
        let role = if settings.key.contains(name) { Role::Key } else { Role::Plain };
        NewColumn { name, holds: *holds, role }
    });
    if real.columns.is_empty() {
        return vec![engine.create_table(table, &columns.collect::<Vec<_>>())];
    }
    columns
        .filter(|column| real.column(engine, column.name).is_none())
        .map(|column| engine.add_column(table, &column))
        .collect()
}
