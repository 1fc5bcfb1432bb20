//! The database of one handler: what each transaction asks it, and in which order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp as Moment;

use super::cell::Cell;
use super::ledger::OldRows;
use super::session::{Pool, Session};
use super::target::{Target, TargetColumn};
use super::{Settings, ledger, plan, statement};
use crate::event::HandlerName;
use crate::secret::Secret;

/// Why nothing was written.
#[derive(Debug)]
pub(super) struct WriteError {
    pub(super) source: sqlx::Error,
    /// The index of the owner's own statement that it comes from.
    pub(super) statement: Option<usize>,
}

impl From<sqlx::Error> for WriteError {
    fn from(source: sqlx::Error) -> Self {
        Self { source, statement: None }
    }
}

pub(super) struct SqlDatabase {
    handler: String,
    settings: Arc<Settings>,
    password: Option<Secret>,
    /// Made by the first call: it needs the runtime.
    pool: OnceLock<Pool>,
}

impl SqlDatabase {
    pub(super) fn new(
        handler: &HandlerName,
        settings: &Arc<Settings>,
        password: Option<Secret>,
    ) -> Self {
        let (handler, settings) = (handler.to_string(), Arc::clone(settings));
        Self { handler, settings, password, pool: OnceLock::new() }
    }

    #[cfg(test)]
    pub(super) fn with_pool(handler: &HandlerName, settings: &Arc<Settings>, pool: Pool) -> Self {
        Self { pool: OnceLock::from(pool), ..Self::new(handler, settings, None) }
    }

    pub(super) fn handler(&self) -> &str {
        &self.handler
    }

    pub(super) const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(super) async fn begin(&self) -> Result<Session, sqlx::Error> {
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

    /// Writes `changes` and their rows in the ledger: all of them, or none where it fails.
    pub(super) async fn write(
        &self,
        target: &Target,
        changes: Vec<plan::Change>,
        now: Moment,
    ) -> Result<(), WriteError> {
        let mut session = self.begin().await?;
        if let Err(err) = self.transact(&mut session, target, changes, now).await {
            session.roll_back_after(&err.source).await;
            return Err(err);
        }
        // Where the answer to the commit is lost, the next try learns from the ledger whether it
        // was made.
        Ok(session.commit().await?)
    }

    async fn transact(
        &self,
        session: &mut Session,
        target: &Target,
        changes: Vec<plan::Change>,
        now: Moment,
    ) -> Result<(), WriteError> {
        session.lock(&self.handler).await?;
        let ids = ledger_ids(&changes);
        let done =
            self.known(session, target, (&target.ledger, "event_id", "handler"), &ids).await?;
        let changes = plan::without_known(changes, &done.into_keys().collect::<HashSet<_>>());
        let ids = ledger_ids(&changes);
        if changes.is_empty() {
            return Ok(());
        }
        if !self.settings.statements.is_empty() {
            return self.run_own(session, target, changes, &ids, now).await;
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
        let merged = plan::merge(target, changes, versions, now);
        let (engine, name) = (target.engine, self.handler.as_str());
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

    /// Runs the owner's own statements, event by event.
    async fn run_own(
        &self,
        session: &mut Session,
        target: &Target,
        changes: Vec<plan::Change>,
        ids: &[String],
        now: Moment,
    ) -> Result<(), WriteError> {
        for change in changes {
            for (index, statement) in change.statements.into_iter().enumerate() {
                let at = |source| WriteError { source, statement: Some(index) };
                session.execute(statement).await.map_err(at)?;
            }
        }
        for statement in
            ledger::write_ledger(target.engine, &target.ledger, &self.handler, ids, now)
        {
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
        for statement in ledger::known(target.engine, table, (key, with), &self.handler, keys) {
            for row in session.fetch(statement).await? {
                let mut fields = row.into_iter().flatten();
                if let (Some(key), Some(with)) = (fields.next(), fields.next()) {
                    known.insert(key, with);
                }
            }
        }
        Ok(known)
    }

    /// Whether the database refuses the value of `cell` for `column`.
    pub(super) async fn refuses(&self, column: &TargetColumn, cell: &Cell) -> bool {
        let Ok(mut session) = self.begin().await else { return false };
        let tried = session.fetch(statement::try_cast(column, cell)).await;
        tried.is_err_and(|err| super::failure::refused_value(&err).is_some())
    }

    /// What is older than `cutoff` in our own tables.
    pub(super) fn removals<'a>(&'a self, target: &'a Target, cutoff: Moment) -> Vec<OldRows<'a>> {
        let (engine, name) = (target.engine, self.handler.as_str());
        let mut removals = vec![OldRows::of_ledger(engine, &target.ledger, name, cutoff)];
        if self.settings.newer_by.is_some() {
            removals.push(OldRows::of_versions(engine, &target.versions, name, cutoff));
        }
        removals
    }

    /// One step of a removal, in a transaction of its own, behind the key `after`. Gives the key up to
    /// which it came; `None` = that was all.
    pub(super) async fn remove_step(
        &self,
        removal: &OldRows<'_>,
        after: Option<&str>,
    ) -> Result<Option<String>, sqlx::Error> {
        let mut session = self.begin().await?;
        let end = session.fetch(removal.step_end(after)).await?.into_iter().flatten().next();
        let end = end.flatten();
        session.execute(removal.remove(after, end.as_deref())).await?;
        session.commit().await?;
        Ok(end)
    }

    pub(super) async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            pool.close().await;
        }
    }
}

fn ledger_ids(changes: &[plan::Change]) -> Vec<String> {
    changes.iter().filter_map(|change| change.ledger_id.clone()).collect()
}
