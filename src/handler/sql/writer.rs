//! The batches of one handler: planned side by side, written one after the other.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::poll;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::task::AbortOnDropHandle;

use super::database::{SqlDatabase, WriteError};
use super::housekeeping::Housekeeping;
use super::target::Target;
use super::{BATCH_UNASKED, BATCH_UNASKED_OWN, ColumnType, failure, moment, owner, plan, table};
use crate::clock::Clock;
use crate::event::{Delivery, Failure, FailureKind};
use crate::expr::Scope;

/// How often a transaction is repeated at once that the database gave up for another one's sake.
const REPEATS_MAX: u32 = 5;
/// Each after a random wait below this, so that those who met do not meet again.
const REPEAT_WITHIN: Duration = Duration::from_millis(50);

pub(super) struct Writer {
    database: Arc<SqlDatabase>,
    /// Of the columns, where they are made.
    types: Vec<ColumnType>,
    clock: Arc<dyn Clock>,
    /// Held for a whole transaction: two at once of one handler would only wait for each other in
    /// the database, or meet in a deadlock there.
    state: Arc<Mutex<State>>,
    /// The table that was written to last: a batch that waits for its turn is planned by it.
    last_target: ArcSwapOption<Target>,
    housekeeping: Housekeeping,
}

#[derive(Debug, Default)]
struct State {
    /// The table as it was found; `None` = to be looked at.
    target: Option<Arc<Target>>,
}

/// A batch, and the table that it was planned for.
struct Planned {
    target: Arc<Target>,
    changes: Vec<plan::Change>,
}

impl Writer {
    pub(super) fn new(
        database: SqlDatabase,
        types: Vec<ColumnType>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            database: Arc::new(database),
            types,
            clock: Arc::clone(clock),
            state: Arc::default(),
            last_target: ArcSwapOption::empty(),
            housekeeping: Housekeeping::default(),
        }
    }

    /// Writes what `deliveries` ask for, all of it or nothing.
    pub(super) async fn write(self: &Arc<Self>, deliveries: &[Delivery]) -> Result<(), Failure> {
        let mut turn = None;
        if let Some(planned) = self.plan_ahead(deliveries) {
            let target = Arc::clone(&planned.target);
            match self.write_apart(planned).await {
                Ok(None) => return Ok(()),
                Ok(Some(had)) => turn = Some(had),
                Err(err) => return Err(self.explain(&err, &target, deliveries).await),
            }
        }
        let mut state = match turn {
            Some(state) => state,
            None => Arc::clone(&self.state).lock_owned().await,
        };
        let mut n_repeats = 0;
        loop {
            let target = match &state.target {
                Some(target) => Arc::clone(target),
                None => Arc::new(self.prepare().await?),
            };
            let changes = plan::changes(self.database.settings(), &target, deliveries)?;
            match self.transact(&mut state, &target, changes).await {
                Ok(()) => return Ok(()),
                Err(err) if failure::is_for_another(&err.source) && n_repeats < REPEATS_MAX => {
                    n_repeats += 1;
                    tokio::time::sleep(REPEAT_WITHIN.mul_f64(rand::random())).await;
                }
                Err(err) => return Err(self.explain(&err, &target, deliveries).await),
            }
        }
    }

    /// `None` = the table was not written to yet, or the deliveries do not fit what is known of it:
    /// it is looked at when it is their turn.
    fn plan_ahead(&self, deliveries: &[Delivery]) -> Option<Planned> {
        let target = self.last_target.load_full()?;
        let changes = plan::changes(self.database.settings(), &target, deliveries).ok()?;
        Some(Planned { target, changes })
    }

    /// [`Writer::transact`] in a task of its own, so that one transaction follows the other while the
    /// loop takes and settles: an eighth more a second, measured. Given up at its next step when this
    /// is dropped. `Some` = nothing was done: it is this batch's turn, and the table is to be looked at first.
    #[expect(
        clippy::disallowed_methods,
        reason = "the call waits for the task and takes it along: shutdown knows of it by the call"
    )]
    async fn write_apart(
        self: &Arc<Self>,
        planned: Planned,
    ) -> Result<Option<OwnedMutexGuard<State>>, WriteError> {
        // Turns come in the order in which they are asked for: here, not when the task begins.
        let mut turn = Box::pin(Arc::clone(&self.state).lock_owned());
        let at_once = poll!(&mut turn);
        let writer = Arc::clone(self);
        let Planned { target, changes } = planned;
        let task = async move {
            let mut state = match at_once {
                Poll::Ready(state) => state,
                Poll::Pending => turn.await,
            };
            let is_known = state.target.as_ref().is_some_and(|known| Arc::ptr_eq(known, &target));
            if !is_known {
                return Ok(Some(state));
            }
            match writer.transact(&mut state, &target, changes).await {
                Ok(()) => Ok(None),
                Err(err) if failure::is_for_another(&err.source) => {
                    tokio::time::sleep(REPEAT_WITHIN.mul_f64(rand::random())).await;
                    Ok(Some(state))
                }
                Err(err) => Err(err),
            }
        };
        let written = AbortOnDropHandle::new(tokio::spawn(task)).await;
        written.unwrap_or_else(|err| match err.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends.
            Err(_) => Err(sqlx::Error::WorkerCrashed.into()),
        })
    }

    async fn transact(
        &self,
        state: &mut State,
        target: &Arc<Target>,
        changes: Vec<plan::Change>,
    ) -> Result<(), WriteError> {
        // Where it fails the table is looked at anew: it may have been changed.
        state.target = None;
        let written = self.database.write(target, changes, moment(self.clock.now())).await;
        if let Err(err) = written {
            if failure::is_for_another(&err.source) {
                state.target = Some(Arc::clone(target));
            }
            return Err(err);
        }
        self.housekeeping.begin_if_due(&self.database, target, self.clock.as_ref());
        self.last_target.store(Some(Arc::clone(target)));
        state.target = Some(Arc::clone(target));
        Ok(())
    }

    async fn prepare(&self) -> Result<Target, Failure> {
        let mut session = self.database.begin().await.map_err(|err| self.failure(&err))?;
        let target = table::prepare(&mut session, self.database.settings(), &self.types).await;
        let target =
            target.map_err(|err| failure::of_prepare(&err, &self.database.settings().url))?;
        session.commit().await.map_err(|err| self.failure(&err))?;
        Ok(target)
    }

    fn failure(&self, err: &sqlx::Error) -> Failure {
        failure::of(err, &self.database.settings().url)
    }

    /// The failure that `err` is. PostgreSQL does not say whose value it refuses: where there is
    /// only one row, each column is asked.
    async fn explain(&self, err: &WriteError, target: &Target, deliveries: &[Delivery]) -> Failure {
        if let Some(index) = err.statement {
            let failure = self.failure(&err.source);
            return self.explain_own(err, index, failure, target, deliveries).await;
        }
        // Of several rows one may be bad by itself: they are tried one by one.
        let failure = match deliveries {
            [_] => failure::of_rows(&err.source, self.database.settings()),
            _ => self.failure(&err.source),
        };
        let ([_], Some(code)) = (deliveries, failure::refused_value(&err.source)) else {
            return failure;
        };
        let Ok(changes) = plan::changes(self.database.settings(), target, deliveries) else {
            return failure;
        };
        for (index, cell) in changes.iter().flat_map(|change| change.cells(target)) {
            let (Some(column), Some(real)) =
                (self.database.settings().columns.get(index), target.columns.get(index))
            else {
                continue;
            };
            if cell.is_longer_than(real.chars_max()) || self.database.refuses(real, cell).await {
                return failure::of_column(&column.name, &real.full_type, &code);
            }
        }
        failure
    }

    /// The same of one of the owner's own statements: which value it is about, where that can be known.
    async fn explain_own(
        &self,
        err: &WriteError,
        index: usize,
        failure: Failure,
        target: &Target,
        deliveries: &[Delivery],
    ) -> Failure {
        let number = index + 1;
        let settings = self.database.settings();
        let is_about_a_row = failure.kind == FailureKind::Permanent;
        let ([delivery], true) = (deliveries, is_about_a_row) else {
            // Where the database is away, the statement is no part of the matter.
            let is_refused = err.source.as_database_error().is_some();
            return if is_refused { failure::of_statement(number, &failure, "") } else { failure };
        };
        let scope = Scope::of(&delivery.event);
        let cells = owner::cells(settings, target, index, &scope).unwrap_or_default();
        let mut is_refused = Vec::new();
        if failure::refused_value(&err.source).is_some() {
            let bindings = target.statements.get(index).into_iter().flatten();
            for (cell, binding) in cells.iter().zip(bindings) {
                is_refused.push(match binding {
                    Some(column) if cell.is_longer_than(column.chars_max()) => true,
                    Some(column) => self.database.refuses(column, cell).await,
                    None => false,
                });
            }
        }
        let at = owner::culprit(settings, target, index, &failure, &is_refused);
        failure::of_statement(number, &failure, &at)
    }

    /// The most events in one transaction where no batches are asked for.
    pub(super) fn default_batch(&self) -> usize {
        let is_own = !self.database.settings().statements.is_empty();
        if is_own { BATCH_UNASKED_OWN } else { BATCH_UNASKED }
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.housekeeping.close().await;
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests;
