//! `sql`: each event is a row in SQLite, PostgreSQL or MySQL/MariaDB.
//!
//! What it guarantees:
//!
//! 1. Effectively once. A row in the ledger, `gatepost_ledger(handler, event_id, at)`, commits in
//!    the same transaction as the event's own row; an event whose id is in the ledger changes
//!    nothing any more. A replay is another entry of the ledger, and so writes the row once more.
//! 2. With `key`, a row is replaced as a whole, but for the columns of `keep`; of several events about one row the last one in the
//!    log's order counts. With `newer_by`, an event that is older than what the row was last made
//!    from changes nothing, also where the row was deleted since.
//! 3. A batch is one transaction: all of it is in, or none.
//! 4. Transactions of one handler run one after the other, in this process by a lock and in the
//!    database by its own means.
//! 5. Names are quoted and values are bound: nothing of an event is ever SQL.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tracing::warn;

use super::{BuildContext, BuildError, Exempt, Handler, Kind, KindSettings};
use crate::clock::{Clock, Timestamp};
use crate::event::{Delivery, Event, Failure, Output};
use crate::secret::Secret;

mod cell;
mod engine;
mod failure;
mod file;
mod introspect;
mod ledger;
mod made;
mod plan;
mod preview;
mod rights;
mod session;
mod settings;
mod statement;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod url;

pub use cell::ColumnType;
pub use engine::Engine;
pub use settings::{Column, OnConflict, Settings};
pub use url::{BadUrl, DatabaseUrl, postgres_options};

use cell::Cell;
use session::{Pool, Session};
use target::{Target, TargetColumn};

/// The most events in one transaction: some megabytes of rows.
const BATCH_MAX: usize = 1_000;
/// The most events in one transaction where no batches are asked for: the sync is shared by enough
/// of them, and a row that is refused makes few others be tried again.
const BATCH_UNASKED: usize = 128;
/// How often old ledger rows are looked for.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// `[handler.NAME.sql]`.
pub static KIND: Kind = Kind {
    name: "sql",
    batch_max: BATCH_MAX,
    targets: &[("url", "database")],
    planned: settings::PLANNED,
    read: |table| Some(Box::new(Arc::new(Settings::read(table)?))),
};

#[async_trait]
impl KindSettings for Arc<Settings> {
    fn plan(
        &self,
        context: &BuildContext,
        deliveries: &[Delivery],
    ) -> Result<super::Plan, Failure> {
        let types = made::types(self, &context.samples);
        preview::plan(self, types, deliveries, moment(context.clock.now()))
    }

    fn texts(&self) -> Vec<super::Text> {
        Settings::texts(self)
    }

    fn writes(&self) -> Vec<std::path::PathBuf> {
        match &self.url {
            DatabaseUrl::Sqlite(path) => vec![path.clone()],
            DatabaseUrl::Postgres { .. } | DatabaseUrl::MySql { .. } => Vec::new(),
        }
    }

    fn doubts(&self, _context: &BuildContext) -> Vec<(&'static str, String)> {
        let path = self.writes().pop();
        let doubt = path.and_then(|path| file::doubt(&path, self.create_table));
        doubt.into_iter().map(|doubt| ("url", doubt)).collect()
    }

    fn check(&self, _context: &BuildContext) -> Result<(), BuildError> {
        // Whether the database is there is for `--online`.
        self.password.as_ref().map(crate::secret::SecretRef::resolve).transpose()?;
        Ok(())
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        let password = self.password.as_ref().map(crate::secret::SecretRef::resolve).transpose()?;
        if let (DatabaseUrl::Sqlite(path), true) = (&self.url, self.create_table)
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder).map_err(|err| {
                BuildError::io(format_args!("creating folder `{}`", folder.display()), err)
            })?;
        }
        Ok(Box::new(SqlHandler {
            name: context.handler.to_string(),
            types: made::types(self, &context.samples).to_vec(),
            settings: Self::clone(self),
            password,
            clock: Arc::clone(&context.clock),
            pool: OnceLock::new(),
            state: tokio::sync::Mutex::default(),
        }))
    }

    fn wants_samples(&self) -> bool {
        self.create_table
    }

    fn needs_order(&self) -> bool {
        let is_update = match self.on_conflict {
            OnConflict::Update => true,
            OnConflict::Ignore => !self.deletes.is_empty(),
        };
        is_update && !self.key.is_empty() && self.newer_by.is_none()
    }

    fn exempt(&self) -> Exempt {
        self.deletes.clone()
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        let password = self.password.as_ref().map(crate::secret::SecretRef::resolve).transpose()?;
        let objections = check_online(self, &context.samples, password.as_ref())
            .await
            .map_err(|err| BuildError::Unfit(failure::of(&err).to_string()))?;
        if objections.is_empty() { Ok(()) } else { Err(BuildError::Unfit(objections.join("; "))) }
    }
}

/// What is in the way of writing the real table. Changes nothing.
async fn check_online(
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
    let mut session = pool.begin_reading().await?;
    let mut found = introspect::read(&mut session, settings, settings.table_parts().1).await?;
    if settings.create_table {
        found.add_missing(settings, made::types(settings, samples));
    }
    let mut objections = found.objections(settings);
    objections.extend(found.warnings(settings));
    if objections.is_empty() {
        objections
            .extend(rights::objection(&mut session, settings, &found.target(settings)).await?);
    }
    drop(session);
    pool.close().await;
    Ok(objections)
}

struct SqlHandler {
    name: String,
    /// Of the columns, where they are made.
    types: Vec<ColumnType>,
    settings: Arc<Settings>,
    password: Option<Secret>,
    clock: Arc<dyn Clock>,
    /// Made by the first call: it needs the runtime.
    pool: OnceLock<Pool>,
    /// Held for a whole transaction: two at once of one handler would only wait for each other in
    /// the database, or meet in a deadlock there.
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The table as it was found; `None` = to be looked at.
    target: Option<Arc<Target>>,
    /// By the steady clock.
    pruned_at: Option<Timestamp>,
}

#[async_trait]
impl Handler for SqlHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let mut state = self.state.lock().await;
        let target = match &state.target {
            Some(target) => Arc::clone(target),
            None => Arc::new(self.prepare().await?),
        };
        let changes = plan::changes(&self.settings, &target, deliveries)?;
        // Whatever fails from here on, the table is looked at anew: it may have been changed.
        state.target = None;
        if let Err(err) = self.write(&target, changes).await {
            return Err(self.explain(&err, &target, deliveries).await);
        }
        self.prune(&mut state, &target).await;
        state.target = Some(target);
        Ok(Output::default())
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn default_batch(&self) -> usize {
        BATCH_UNASKED
    }

    fn tells_replays(&self) -> bool {
        true
    }

    async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            pool.close().await;
        }
    }
}

impl SqlHandler {
    async fn begin(&self) -> Result<Session, sqlx::Error> {
        let pool = if let Some(pool) = self.pool.get() {
            pool
        } else {
            let pool = Pool::new(&self.settings, self.password.as_ref())?;
            self.pool.get_or_init(|| pool)
        };
        match pool.begin().await {
            Err(sqlx::Error::PoolTimedOut) => Err(pool.cause().await),
            begun => begun,
        }
    }

    async fn prepare(&self) -> Result<Target, Failure> {
        let mut session = self.begin().await.map_err(|err| failure::of(&err))?;
        let target = table::prepare(&mut session, &self.settings, &self.types).await;
        let target = target.map_err(|err| failure::of_prepare(&err))?;
        session.commit().await.map_err(|err| failure::of(&err))?;
        Ok(target)
    }

    async fn write(&self, target: &Target, changes: Vec<plan::Change>) -> Result<(), sqlx::Error> {
        let mut session = self.begin().await?;
        self.transact(&mut session, target, changes).await?;
        // Where the answer to the commit is lost, the next try learns from the ledger whether it
        // was made.
        session.commit().await
    }

    /// The failure that `err` is. PostgreSQL does not say whose value it refuses: where there is
    /// only one row, each column is asked.
    async fn explain(
        &self,
        err: &sqlx::Error,
        target: &Target,
        deliveries: &[Delivery],
    ) -> Failure {
        let failure = failure::of(err);
        let ([_], Some(code)) = (deliveries, failure::refused_value(err)) else { return failure };
        let Ok(changes) = plan::changes(&self.settings, target, deliveries) else { return failure };
        for (index, cell) in changes.iter().flat_map(|change| change.cells(target)) {
            let (Some(column), Some(real)) =
                (self.settings.columns.get(index), target.columns.get(index))
            else {
                continue;
            };
            if cell.is_longer_than(real.chars_max()) || self.is_refused(real, cell).await {
                return failure::of_column(&column.name, &real.full_type, &code);
            }
        }
        failure
    }

    async fn is_refused(&self, column: &TargetColumn, cell: &Cell) -> bool {
        let Ok(mut session) = self.begin().await else { return false };
        let tried = session.fetch(statement::try_cast(column, cell)).await;
        tried.is_err_and(|err| failure::refused_value(&err).is_some())
    }

    async fn transact(
        &self,
        session: &mut Session,
        target: &Target,
        changes: Vec<plan::Change>,
    ) -> Result<(), sqlx::Error> {
        session.lock(&self.name).await?;
        let ids = ledger_ids(&changes);
        let done =
            self.known(session, target, (&target.ledger, "event_id", "handler"), &ids).await?;
        let changes = plan::without_known(changes, &done.into_keys().collect::<HashSet<_>>());
        let ids = ledger_ids(&changes);
        if changes.is_empty() {
            return Ok(());
        }
        let mut versions = HashMap::new();
        if self.settings.newer_by.is_some() {
            let keys: Vec<String> = changes.iter().map(|change| change.row_key(target)).collect();
            let from = (target.versions.as_str(), "row_key", "version");
            let known = self.known(session, target, from, &keys).await?;
            // A value that another program wrote there is ignored.
            let parsed = known.into_iter().map(|(key, version)| Some((key, version.parse().ok()?)));
            versions = parsed.flatten().collect();
        }
        let now = moment(self.clock.now());
        let merged = plan::merge(target, changes, versions, now);
        let (engine, name) = (target.engine, self.name.as_str());
        let statements = statement::delete(target, &merged.deletes)
            .into_iter()
            .chain(statement::upsert(target, &merged.rows))
            .chain(ledger::write_versions(engine, &target.versions, name, &merged.versions))
            .chain(ledger::write_ledger(engine, &target.ledger, name, &ids, now));
        for statement in statements {
            session.execute(statement).await?;
        }
        Ok(())
    }

    /// Which of `keys` one of our own tables has, with the second column.
    async fn known(
        &self,
        session: &mut Session,
        target: &Target,
        (table, key, with): (&str, &'static str, &'static str),
        keys: &[String],
    ) -> Result<HashMap<String, String>, sqlx::Error> {
        let mut known = HashMap::new();
        for statement in ledger::known(target.engine, table, (key, with), &self.name, keys) {
            for row in session.fetch(statement).await? {
                let mut fields = row.into_iter().flatten();
                if let (Some(key), Some(with)) = (fields.next(), fields.next()) {
                    known.insert(key, with);
                }
            }
        }
        Ok(known)
    }

    /// Removes old ledger rows, now and then. It is housekeeping: a failure waits for the next
    /// time.
    async fn prune(&self, state: &mut State, target: &Target) {
        let now = self.clock.steady();
        if state.pruned_at.is_some_and(|at| now.since(at) < PRUNE_EVERY) {
            return;
        }
        state.pruned_at = Some(now);
        let cutoff = moment(self.clock.now().before(self.settings.ledger_retention));
        if let Err(err) = self.remove_before(target, cutoff).await {
            let err = failure::of(&err);
            warn!(handler.name = self.name, error = %err, "Old ledger rows could not be removed");
        }
    }

    async fn remove_before(
        &self,
        target: &Target,
        cutoff: jiff::Timestamp,
    ) -> Result<(), sqlx::Error> {
        let mut session = self.begin().await?;
        let (engine, name) = (target.engine, self.name.as_str());
        let mut statements = vec![ledger::prune_ledger(engine, &target.ledger, name, cutoff)];
        if self.settings.newer_by.is_some() {
            statements.push(ledger::prune_versions(engine, &target.versions, name, cutoff));
        }
        for statement in statements {
            session.execute(statement).await?;
        }
        session.commit().await
    }
}

fn ledger_ids(changes: &[plan::Change]) -> Vec<String> {
    changes.iter().filter_map(|change| change.ledger_id.clone()).collect()
}

/// The same moment; the calendar's end where it is beyond it.
fn moment(timestamp: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(timestamp.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}
