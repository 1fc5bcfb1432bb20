//! `check --online`: what a handler would meet in its database.

use std::sync::Arc;

use super::engine::Engine;
use super::session::Pool;
use super::{DatabaseUrl, Settings, failure, introspect, made, owner, rights, table};
use crate::event::Event;
use crate::secret::Secret;

/// What is in the way of writing the real table. Changes nothing.
pub(super) async fn objections(
    settings: &Settings,
    samples: &[Arc<Event>],
    password: Option<&Secret>,
) -> Result<Vec<String>, sqlx::Error> {
    if let (DatabaseUrl::Sqlite(path), true) = (&settings.url, settings.create_table)
        && !path.exists()
    {
        return Ok(Vec::new());
    }
    let pool = Pool::new(settings, password)?;
    pool.try_connect().await?;
    if !settings.statements.is_empty() {
        let objections = of_statements(settings, &pool).await?;
        pool.close().await;
        return Ok(objections);
    }
    let mut session = pool.begin_reading().await?;
    let mut found = introspect::read(&mut session, settings, settings.table_parts().1).await?;
    let is_there = !found.columns.is_empty();
    let unmade =
        if settings.create_table && is_there { found.unmade(settings) } else { Vec::new() };
    if settings.create_table {
        found.add_missing(settings, made::types(settings, samples));
    }
    let mut objections = found.objections(settings);
    objections.extend(found.warnings(settings));
    if settings.url.engine() == Engine::MySql {
        objections.extend(found.unfilled(settings));
    }
    if objections.is_empty() {
        let target = found.target(settings);
        objections.extend(rights::objection(&mut session, settings, &target, &unmade).await?);
    }
    drop(session);
    pool.close().await;
    Ok(objections)
}

/// What is in the way of the owner's own statements: each is read by the database, and none runs.
async fn of_statements(settings: &Settings, pool: &Pool) -> Result<Vec<String>, sqlx::Error> {
    let mut objections = Vec::new();
    for index in 0..settings.statements.len() {
        // One that is refused ends its transaction.
        let mut session = pool.begin_reading().await?;
        match owner::try_out(&mut session, settings, index).await {
            Ok(()) => {}
            Err(err @ sqlx::Error::Database(_)) => {
                let failure = failure::of(&err, &settings.url);
                objections.push(failure::of_statement(index + 1, &failure, "").text.to_string());
            }
            Err(err) => return Err(err),
        }
    }
    if objections.is_empty() {
        let mut session = pool.begin_reading().await?;
        let target = table::assumed(settings, &[]);
        objections.extend(rights::objection(&mut session, settings, &target, &[]).await?);
    }
    Ok(objections)
}
