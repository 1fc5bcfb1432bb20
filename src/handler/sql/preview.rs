//! What a call would write, without the database: the table is taken to be as the settings say.

use std::collections::HashMap;

use jiff::Timestamp as Moment;
use serde_json::{Value, json};

use super::statement::{self, Param};
use super::{ColumnType, Settings, plan, table};
use crate::event::{Delivery, Failure};
use crate::handler::{Plan, Step};

/// The statements for the table itself; those for Gatepost's own tables say nothing about an event.
pub(super) fn plan(
    settings: &Settings,
    types: &[ColumnType],
    deliveries: &[Delivery],
    now: Moment,
) -> Result<Plan, Failure> {
    let target = table::assumed(settings, types);
    let changes = plan::changes(settings, &target, deliveries)?;
    let (own, changes): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| !change.statements.is_empty());
    let merged = plan::merge(&target, changes, HashMap::new(), now);
    let deletes = statement::delete(&target, &merged.deletes);
    let statements = own.into_iter().flat_map(|change| change.statements);
    let statements = statements.chain(deletes).chain(statement::upsert(&target, &merged.rows));
    let steps = statements.map(|statement| Step::Sql {
        statement: statement.sql,
        values: statement.params.iter().map(shown).collect(),
    });
    Ok(steps.collect())
}

fn shown(param: &Param) -> Value {
    match param {
        Param::Null => Value::Null,
        Param::Text(text) => json!(text),
        Param::Integer(number) => json!(number),
        Param::Real(number) => json!(number),
        Param::Bytes(bytes) => json!(hex::encode(bytes)),
        Param::Texts(texts) => json!(texts),
    }
}
