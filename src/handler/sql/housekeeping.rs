//! Old rows of our own two tables, removed now and then beside the deliveries.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::database::SqlDatabase;
use super::target::Target;
use super::{failure, moment};
use crate::clock::{Clock, Timestamp};
use crate::settings::show_duration;
use crate::sync::lock;

/// How often old rows are looked for.
const EVERY: Duration = Duration::from_hours(1);

/// How long they are removed at most, each of the two tables for its part of that: the next time goes on.
/// Steps of 5,000 rows that take 50 ms make 30 million in that time.
const BUDGET: Duration = Duration::from_mins(10);

/// How many times `statement_timeout` one step may take: it begins, selects, deletes and commits. Not every
/// database ends a statement by itself, and none one whose answer was lost on its way.
const STEP_TIMEOUTS: u32 = 4;

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
    reached: Arc<RemovalCursors>,
}

/// Behind which key of each table the next removal goes on; `None` = at its beginning. What is not to be
/// removed yet stays where it is, so that one which began anew each time would never come to the end.
#[derive(Debug, Default)]
struct RemovalCursors(Mutex<BTreeMap<usize, String>>);

impl RemovalCursors {
    fn of(&self, table: usize) -> Option<String> {
        lock(&self.0).get(&table).cloned()
    }

    /// `None` = all of it was gone through.
    fn set(&self, table: usize, key: Option<String>) {
        let mut reached = lock(&self.0);
        match key {
            Some(key) => reached.insert(table, key),
            None => reached.remove(&table),
        };
    }
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
        let reached = Arc::clone(&state.reached);
        let task = async move {
            if let Err(err) = remove(&database, &target, cutoff, &reached).await {
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
    reached: &RemovalCursors,
) -> Result<(), sqlx::Error> {
    let limit = database.settings().statement_timeout.saturating_mul(STEP_TIMEOUTS);
    let removals = database.removals(target, cutoff);
    let share = BUDGET / u32::try_from(removals.len()).unwrap_or(1).max(1);
    for (table, removal) in removals.iter().enumerate() {
        let until = Instant::now() + share;
        let mut after = reached.of(table);
        while Instant::now() < until {
            let began = Instant::now();
            after = within(limit, database.remove_step(removal, after.as_deref())).await?;
            reached.set(table, after.clone());
            if after.is_none() {
                break;
            }
            tokio::time::sleep(began.elapsed().max(PAUSE_MIN)).await;
        }
    }
    Ok(())
}

async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let timed_out = || {
        let text = format!("a step took longer than {}", show_duration(limit));
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
    };
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_elapsed| Err(timed_out()))
}

#[cfg(test)]
mod tests {
    use super::super::session::Session;
    use super::super::statement::Statement;
    use super::super::{Settings, made, table};
    use super::*;
    use crate::event::{FailureClass, FailureKind, HandlerName};

    const TABLE: &str = "url = \"sqlite:site.db\"\ntable = \"t\"\ncreate_table = true\nkey = \"id\"\n\
                         newer_by = \"data.at\"\ncolumns = { id = \"data.id\" }";

    /// 12,000 versions. The rows of 7000 and of all from 10001 on were deleted in 1970.
    const VERSIONS: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000) \
                            INSERT INTO gatepost_versions SELECT 'test', printf('%05d', n), '1', \
                            CASE WHEN n = 7000 OR n > 10000 THEN '1970-01-02T00:00:00.000Z' END FROM n";
    const FAILS: &str = "CREATE TRIGGER t BEFORE DELETE ON gatepost_versions WHEN old.row_key = '11000' \
                         BEGIN SELECT raise(abort, 'no'); END";

    async fn run(database: &SqlDatabase, sql: &str) {
        let mut session = database.begin().await.unwrap();
        session.execute(Statement::new(sql, Vec::new())).await.unwrap();
        session.commit().await.unwrap();
    }

    async fn count(database: &SqlDatabase) -> String {
        let mut session: Session = database.begin().await.unwrap();
        let sql = "SELECT count(*) || ' from ' || min(row_key) FROM gatepost_versions";
        let rows = session.fetch(Statement::new(sql, Vec::new())).await.unwrap();
        rows[0][0].clone().unwrap()
    }

    #[tokio::test]
    async fn removal_goes_on_where_the_last_one_came_to() {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::settings::read(TABLE, folder.path(), Settings::read).value.unwrap();
        let settings = Arc::new(settings);
        let database = SqlDatabase::new(&HandlerName::parse("test").unwrap(), &settings, None);
        let mut session = database.begin().await.unwrap();
        let types = made::types(&settings, &[]);
        let target = table::prepare(&mut session, &settings, types).await.unwrap();
        session.commit().await.unwrap();
        for sql in [VERSIONS, FAILS] {
            run(&database, sql).await;
        }
        let (cutoff, reached) =
            ("2026-01-01T00:00:00Z".parse().unwrap(), RemovalCursors::default());
        remove(&database, &target, cutoff, &reached).await.unwrap_err();
        assert_eq!(count(&database).await, "11999 from 00001", "up to 10000");
        run(&database, "DROP TRIGGER t").await;
        let one = "UPDATE gatepost_versions SET deleted_at = '1970-01-02T00:00:00.000Z' WHERE row_key = '00001'";
        run(&database, one).await;
        remove(&database, &target, cutoff, &reached).await.unwrap();
        assert_eq!(count(&database).await, "9999 from 00001", "what is behind 10000");
        remove(&database, &target, cutoff, &reached).await.unwrap();
        assert_eq!(count(&database).await, "9998 from 00002", "from the beginning again");
    }

    #[tokio::test]
    async fn delivery_that_waits_for_the_only_connection_of_sqlite_times_out() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("statement_timeout = \"5s\"\n{TABLE}");
        let settings = crate::settings::read(&text, folder.path(), Settings::read).value.unwrap();
        let settings = Arc::new(settings);
        let database = SqlDatabase::new(&HandlerName::parse("test").unwrap(), &settings, None);
        let housekeeping = database.begin().await.unwrap();
        let Err(err) = database.begin().await else { panic!("it has one connection") };
        let failure = failure::of(&err, &settings.url);
        assert_eq!(failure.class, Some(FailureClass::Timeout), "{failure}");
        assert_eq!(failure.kind, FailureKind::Transient);
        housekeeping.commit().await.unwrap();
        database.begin().await.unwrap().commit().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn step_without_an_answer_ends() {
        let step = std::future::pending::<Result<(), sqlx::Error>>();
        let err = within(Duration::from_secs(40), step).await.unwrap_err();
        assert_eq!(
            err.to_string(),
            "error communicating with database: a step took longer than 40s"
        );
    }
}
