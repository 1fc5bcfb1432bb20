//! The owner's own statements: what their values are bound as, and what one event makes of them.
//!
//! A value is never part of the SQL. PostgreSQL says which type each placeholder has, and gets the value as
//! text with a cast to it, as in a row of columns. MySQL and SQLite say nothing: there the column that a
//! value is beside counts, and where none is found the value is bound as JSON has it.

use super::Settings;
use super::cell::Cell;
use super::engine::Engine;
use super::fit::{as_it_is, fit};
use super::introspect::{SchemaColumn, TableSchema, read_table};
use super::session::Session;
use super::statement::{Param, Statement, bound, postgres_text};
use super::target::{Target, TargetColumn};
use super::template::{Beside, StatementTemplate, StatementValue};
use crate::event::Failure;
use crate::expr::Scope;

/// What the values of one statement are bound as.
type Bindings = Vec<Option<TargetColumn>>;

/// The bindings where the database was not asked.
pub(super) fn assumed(settings: &Settings) -> Vec<Bindings> {
    settings.statements.iter().map(|one| vec![None; one.values.len()]).collect()
}

/// Asks the database what each statement takes. An error comes with the statement's index.
pub(super) async fn prepare(
    session: &mut Session,
    settings: &Settings,
) -> Result<Vec<Bindings>, (usize, sqlx::Error)> {
    let mut prepared = Vec::new();
    for (index, template) in settings.statements.iter().enumerate() {
        let bindings = bindings(session, settings.url.engine(), template).await;
        prepared.push(bindings.map_err(|err| (index, err))?);
    }
    Ok(prepared)
}

async fn bindings(
    session: &mut Session,
    engine: Engine,
    template: &StatementTemplate,
) -> Result<Bindings, sqlx::Error> {
    let mut tables = Vec::new();
    for (schema, name) in &template.tables {
        tables.push(read_table(session, engine, schema.as_deref(), name).await?);
    }
    let beside = template.values.iter().map(|value| column(&tables, engine, &value.beside));
    let beside: Vec<Option<SchemaColumn>> = beside.collect();
    let of = |column: &SchemaColumn| column.target(engine, &column.name, None);
    if engine != Engine::Postgres {
        return Ok(beside.iter().map(|column| column.as_ref().map(of)).collect());
    }
    let types = if template.is_prepared {
        session.parameter_types(&template.sql(numbered)).await?
    } else {
        vec!["text".to_owned(); template.values.len()]
    };
    let bound = types.iter().zip(beside).map(|(real_type, beside)| {
        let full_type = beside.as_ref().filter(|column| column.real_type == *real_type);
        let full_type = full_type.map_or(real_type, |column| &column.full_type);
        let name = beside.as_ref().map_or("", |column| &column.name);
        Some(of(&SchemaColumn::of_type(name, real_type, full_type)))
    });
    Ok(bound.collect())
}

/// The column that a value is beside, where all tables of the statement that have one mean the same.
fn column(tables: &[TableSchema], engine: Engine, beside: &Beside) -> Option<SchemaColumn> {
    match beside {
        Beside::Nothing => None,
        Beside::Type(real_type) => Some(SchemaColumn::of_type("", real_type, real_type)),
        Beside::Column(name) => {
            let mut found = tables.iter().filter_map(|table| table.column(engine, name));
            let first = found.next()?;
            // `STRICT` tables of SQLite take other values for the same type.
            let is_same = found.all(|other| {
                other.real_type == first.real_type
                    && (engine != Engine::Sqlite || other.full_type == first.full_type)
            });
            is_same.then(|| SchemaColumn::of_type(name, &first.real_type, &first.full_type))
        }
    }
}

/// Lets the database read a statement without running it, and PostgreSQL plan it: only then it looks
/// at the rights.
pub(super) async fn try_out(
    session: &mut Session,
    settings: &Settings,
    index: usize,
) -> Result<(), sqlx::Error> {
    let Some(template) = settings.statements.get(index) else { return Ok(()) };
    if settings.url.engine() != Engine::Postgres {
        return session.read(template.sql(|_| "?".to_owned())).await;
    }
    if !template.is_prepared {
        return Ok(());
    }
    let types = session.parameter_types(&template.sql(numbered)).await?;
    let null = |index: usize| match types.get(index) {
        Some(real_type) => format!("(NULL::{real_type})"),
        None => "NULL".to_owned(),
    };
    session.execute(Statement::new(format!("EXPLAIN {}", template.sql(null)), Vec::new())).await
}

/// `$1`, by the number of the value.
fn numbered(index: usize) -> String {
    format!("${}", index + 1)
}

/// The statements of one event, in their order.
pub(super) fn statements(
    settings: &Settings,
    target: &Target,
    scope: &Scope,
) -> Result<Vec<Statement>, Failure> {
    let indexes = 0..settings.statements.len();
    indexes.map(|index| statement(settings, target, index, scope)).collect()
}

fn statement(
    settings: &Settings,
    target: &Target,
    index: usize,
    scope: &Scope,
) -> Result<Statement, Failure> {
    let (Some(template), Some(bindings)) =
        (settings.statements.get(index), target.statements.get(index))
    else {
        return Ok(Statement::new("", Vec::new()));
    };
    let cells = cells(settings, target, index, scope)?;
    let engine = target.engine;
    let sql = template.sql(|value| match (engine, bindings.get(value), cells.get(value)) {
        // Preparing said the type, which is as the database prints it.
        (Engine::Postgres, Some(Some(column)), _) => {
            format!("(({}::text)::{})", numbered(value), column.real_type)
        }
        (Engine::Postgres, _, _) => numbered(value),
        (Engine::MySql, _, Some(Cell::Decimal(digits))) => decimal(digits),
        (Engine::MySql | Engine::Sqlite, _, _) => "?".to_owned(),
    });
    let param = |cell: &Cell| match engine {
        Engine::Postgres => postgres_text(cell).map_or(Param::Null, Param::Text),
        Engine::MySql | Engine::Sqlite => bound(engine, cell),
    };
    Ok(Statement::new(sql, cells.iter().map(param).collect()))
}

/// The values of a statement as they are sent.
pub(super) fn cells(
    settings: &Settings,
    target: &Target,
    index: usize,
    scope: &Scope,
) -> Result<Vec<Cell>, Failure> {
    let values = settings.statements.get(index).map(|one| one.values.as_slice());
    let bindings = target.statements.get(index).map(Vec::as_slice).unwrap_or_default();
    let cell = |(value, binding): (&StatementValue, &Option<TargetColumn>)| {
        let of = |err: &dyn std::fmt::Display, at: &str| {
            Failure::permanent(format_args!("statement {}: {err}{at}", index + 1))
        };
        let came_to = value.expression.eval(scope).map_err(|err| of(&err, ""))?;
        let cell = match binding {
            Some(column) => fit(target.engine, &came_to, None, column),
            None => as_it_is(&came_to),
        };
        cell.map_err(|err| of(&err, &at(value.expression.source())))
    };
    values.unwrap_or_default().iter().zip(bindings).map(cell).collect()
}

/// Behind a failure: which expression it comes from, in the form that `check` finds in the statement.
fn at(expression: &str) -> String {
    format!(" (at `{expression}`)")
}

/// MySQL compares a text with a number by its nearest float: what has more digits goes as a decimal.
fn decimal(digits: &str) -> String {
    const DIGITS_MAX: usize = 65;
    const SCALE_MAX: usize = 30;
    let (_, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let n_digits = digits.bytes().filter(u8::is_ascii_digit).count();
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte));
    if is_plain && n_digits <= DIGITS_MAX && fraction.len() <= SCALE_MAX {
        format!("CAST(? AS DECIMAL({n_digits},{}))", fraction.len())
    } else {
        "?".to_owned()
    }
}

/// Which value a refused statement was refused for, as the end of the failure's text; empty where that
/// is not known. `is_refused` = PostgreSQL refuses the value for its type.
pub(super) fn culprit(
    settings: &Settings,
    target: &Target,
    index: usize,
    failure: &Failure,
    is_refused: &[bool],
) -> String {
    let (Some(template), Some(bindings)) =
        (settings.statements.get(index), target.statements.get(index))
    else {
        return String::new();
    };
    let expression = |index: usize| template.values.get(index).map(|v| v.expression.source());
    let is_named = |index: &usize| match template.values.get(*index).map(|value| &value.beside) {
        Some(Beside::Column(name)) => names(failure.text.as_str(), name),
        Some(Beside::Type(_) | Beside::Nothing) | None => false,
    };
    let only = |mut found: Vec<usize>| if found.len() == 1 { found.pop() } else { None };
    let all = 0..bindings.len();
    let refused = all.clone().find(|index| is_refused.get(*index) == Some(&true));
    let found = refused.or_else(|| only(all.clone().filter(is_named).collect()));
    found.or_else(|| only(all.collect())).and_then(expression).map(at).unwrap_or_default()
}

/// Whether a database's words name the column: `'paid'`, `"paid"`, `orders.paid`.
fn names(text: &str, column: &str) -> bool {
    text.match_indices(column).any(|(start, _)| {
        let before = text.get(..start).and_then(|text| text.chars().next_back());
        let behind = text.get(start + column.len()..).and_then(|text| text.chars().next());
        let is_end = behind.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        before.is_some_and(|c| "'\"`.".contains(c)) && is_end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_of_a_strict_table_is_not_that_of_another() {
        let table = |real_type: &str, full_type: &str| TableSchema {
            columns: vec![SchemaColumn::of_type("raw", real_type, full_type)],
            ..TableSchema::default()
        };
        let beside = Beside::Column("raw".to_owned());
        let is_known = |tables: &[TableSchema], engine| column(tables, engine, &beside).is_some();
        let (free, strict) = (|| table("BLOB", "BLOB"), || table("BLOB", "BLOB (STRICT)"));
        assert!(is_known(&[free(), free()], Engine::Sqlite));
        assert!(is_known(&[strict(), strict()], Engine::Sqlite));
        assert!(!is_known(&[free(), strict()], Engine::Sqlite));
        let texts = [table("varchar", "varchar(5)"), table("varchar", "varchar(6)")];
        assert!(is_known(&texts, Engine::Postgres));
    }
}
