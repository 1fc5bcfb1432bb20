//! Old rows of our own two tables, removed now and then beside the deliveries.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::database::SqlDatabase;
use super::target::Target;
use super::{failure, moment};
use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

/// How often old rows are looked for.
const EVERY: Duration = Duration::from_hours(1);

/// How long they are removed at most: the next time goes on. Steps of 5,000 rows that take 50 ms make
/// 30 million in that time.
const BUDGET: Duration = Duration::from_mins(10);

/// The shortest pause between two steps. It is as long as the step before: the deliveries have the
/// database to themselves for half of the time.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// The removal that is under way, and when the next one is due. No delivery waits for it.
#[derive(Debug, Default)]
pub(super) struct Housekeeping(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the steady clock.
    begun_at: Option<Timestamp>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Housekeeping {
    /// Begins to remove old rows, where it is time to.
    #[expect(
        clippy::disallowed_methods,
        reason = "the handler ends the task: shutdown knows of it by the handler"
    )]
    pub(super) fn begin_if_due(
        &self,
        database: &Arc<SqlDatabase>,
        target: &Arc<Target>,
        clock: &dyn Clock,
    ) {
        let mut state = lock(&self.0);
        let now = clock.steady();
        let is_due = state.begun_at.is_none_or(|at| now.since(at) >= EVERY);
        if !is_due || state.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        state.begun_at = Some(now);
        let cutoff = moment(clock.now().before(database.settings().ledger_retention));
        let (database, target) = (Arc::clone(database), Arc::clone(target));
        let task = async move {
            if let Err(err) = remove(&database, &target, cutoff).await {
                let err = failure::of(&err, &database.settings().url);
                warn!(handler.name = database.handler(), error = %err, "Old ledger rows could not be removed");
            }
        };
        state.task = Some(AbortOnDropHandle::new(tokio::spawn(task)));
    }

    /// Ends what is under way.
    pub(super) async fn close(&self) {
        let task = lock(&self.0).task.take();
        if let Some(task) = task {
            task.abort();
            // It ends at its next step: what it had begun is rolled back.
            drop(task.await);
        }
    }
}

async fn remove(
    database: &SqlDatabase,
    target: &Target,
    cutoff: jiff::Timestamp,
) -> Result<(), sqlx::Error> {
    let until = Instant::now() + BUDGET;
    for removal in database.removals(target, cutoff) {
        let mut after = None;
        while Instant::now() < until {
            let began = Instant::now();
            after = database.remove_step(&removal, after.as_deref()).await?;
            if after.is_none() {
                break;
            }
            tokio::time::sleep(began.elapsed().max(PAUSE_MIN)).await;
        }
    }
    Ok(())
}
