//! The table that events go to: its making, and what the statements need to know of it.

use super::cell::ColumnType;
use super::engine::{LEDGER, VERSIONS};
use super::engine::{NewColumn, Role};
use super::introspect::{TableSchema, read};
use super::session::Session;
use super::statement::Statement;
use super::target::Target;
use super::{Column, Settings, owner};

/// The table as it is where it has the columns that the settings name, of the types that they name.
pub(super) fn assumed(settings: &Settings, types: &[ColumnType]) -> Target {
    let mut table = TableSchema::default();
    table.add_missing(settings, types);
    table.target(settings)
}

impl TableSchema {
    /// What the statements need to know, once there are no objections.
    pub(super) fn target(&self, settings: &Settings) -> Target {
        let engine = settings.url.engine();
        let (schema, table) = settings.table_parts();
        let quoted = |name: &str| match schema {
            Some(schema) => format!("{}.{}", engine.quote(schema), engine.quote(name)),
            None => engine.quote(name),
        };
        let columns = settings.columns.iter().filter_map(|column| {
            let Column { name, declared, .. } = column;
            Some(self.column(engine, name)?.target(engine, name, *declared))
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
            statements: owner::assumed(settings),
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
    if !settings.statements.is_empty() {
        let target = TableSchema::default().target(settings);
        make_ledger(session, settings, &target).await?;
        let statements = owner::prepare(session, settings).await;
        let statements = statements
            .map_err(|(index, source)| PrepareError::Statement { number: index + 1, source })?;
        return Ok(Target { statements, ..target });
    }
    let mut real = read(session, settings, settings.table_parts().1).await?;
    let target = TableSchema::default().target(settings);
    if settings.create_table {
        for sql in missing(settings, types, &real, &target.table) {
            session.execute(Statement::new(sql, Vec::new())).await?;
        }
        real = read(session, settings, settings.table_parts().1).await?;
    }
    make_ledger(session, settings, &target).await?;
    if settings.newer_by.is_some() && read(session, settings, VERSIONS).await?.columns.is_empty() {
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

/// Not `IF NOT EXISTS` alone: PostgreSQL wants the right to create even where nothing is to be created.
async fn make_ledger(
    session: &mut Session,
    settings: &Settings,
    target: &Target,
) -> Result<(), sqlx::Error> {
    if read(session, settings, LEDGER).await?.columns.is_empty() {
        let sql = settings.url.engine().create_ledger(&target.ledger);
        session.execute(Statement::new(sql, Vec::new())).await?;
    }
    Ok(())
}

/// Why a table cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// It is not as the configuration says.
    #[error("{}", .0.join("; "))]
    Objections(Vec<String>),
    /// The database said no to one of the owner's own statements.
    #[error("statement {number} was refused")]
    Statement { number: usize, source: sqlx::Error },
    /// The database said no.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// The statements that make the table, or the columns that it lacks.
fn missing(
    settings: &Settings,
    types: &[ColumnType],
    real: &TableSchema,
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
