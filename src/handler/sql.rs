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
//!    database by its own means. Old rows of the ledger are removed beside them (`sql/housekeeping`).
//! 5. Names are quoted and values are bound: nothing of an event is ever SQL.
//! 6. With `statements` the owner's own ones run in place of 2, each event's in their order, under the same
//!    ledger: 1, 3, 4 and 5 hold for them as they are.

use std::sync::Arc;

use async_trait::async_trait;

use super::{BuildContext, BuildError, Exempt, Handler, Kind, KindSettings};
use crate::clock::Timestamp;
use crate::event::{Delivery, Failure, Output};

mod cell;
mod database;
mod engine;
mod failure;
mod file;
mod fit;
mod housekeeping;
mod introspect;
mod ledger;
mod made;
mod online;
mod own_keys;
mod owner;
mod plan;
mod preview;
mod rights;
mod session;
mod settings;
mod statement;
mod table;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod transaction;
mod url;
mod writer;

pub use cell::ColumnType;
pub use engine::Engine;
pub use settings::{Column, OnConflict, Settings};
pub use template::StatementTemplate;
pub use url::{BadUrl, DatabaseUrl, postgres_options};

use database::SqlDatabase;
use writer::Writer;

/// The most events in one transaction: some megabytes of rows.
const BATCH_MAX: usize = 1_000;
/// The most events in one transaction where no batches are asked for: the sync is shared by enough
/// of them, and a row that is refused makes few others be tried again.
const BATCH_UNASKED: usize = 128;

/// The same where the owner's own statements run, one after the other for each event: with slow ones a
/// call has to end in its time all the same.
const BATCH_UNASKED_OWN: usize = 16;

/// `[handler.NAME.sql]`.
pub static KIND: Kind = Kind {
    name: "sql",
    batch_max: BATCH_MAX,
    statuses: None,
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
        let help = if self.statements.is_empty() {
            "make it, or write `create_table = true`"
        } else {
            "make it, with the tables of the statements"
        };
        let doubt = path.and_then(|path| file::doubt(&path, self.create_table, help));
        doubt.into_iter().map(|doubt| ("url", doubt)).collect()
    }

    fn check(&self, context: &BuildContext) -> Result<(), BuildError> {
        // Whether the database is there is for `--online`.
        self.password.as_ref().map(|place| context.secret(place)).transpose()?;
        Ok(())
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        let password = self.password.as_ref().map(|place| context.secret(place)).transpose()?;
        if let (DatabaseUrl::Sqlite(path), true) = (&self.url, self.create_table)
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder).map_err(|err| {
                BuildError::io(format_args!("creating folder `{}`", folder.display()), err)
            })?;
        }
        let database = SqlDatabase::new(&context.handler, self, password);
        let types = made::types(self, &context.samples).to_vec();
        Ok(Box::new(SqlHandler(Arc::new(Writer::new(database, types, &context.clock)))))
    }

    fn wants_samples(&self) -> bool {
        self.create_table
    }

    fn needs_order(&self) -> Option<&'static str> {
        if self.statements.iter().any(|statement| statement.overwrites) {
            return Some(
                "write `order_by` with what the `WHERE` compares, or compare what is newer in the statement: \
                 `… AND updated_at < {{ data.updated_at }}`",
            );
        }
        let is_update = match self.on_conflict {
            OnConflict::Update => true,
            OnConflict::Ignore => !self.deletes.is_empty(),
        };
        (is_update && !self.key.is_empty() && self.newer_by.is_none())
            .then_some("write `order_by` with what `key` is made from, or `newer_by`")
    }

    fn exempt(&self) -> Exempt {
        self.deletes.clone()
    }

    fn other_end(&self) -> Option<String> {
        Some(self.url.place())
    }

    fn makes_other_end(&self) -> bool {
        matches!(&self.url, DatabaseUrl::Sqlite(path) if self.create_table && !path.exists())
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        let password = self.password.as_ref().map(|place| context.secret(place)).transpose()?;
        let objections = online::objections(self, &context.samples, password.as_ref())
            .await
            .map_err(|err| BuildError::Unfit(failure::of(&err, &self.url).to_string()))?;
        if objections.is_empty() { Ok(()) } else { Err(BuildError::Unfit(objections.join("; "))) }
    }
}

struct SqlHandler(Arc<Writer>);

#[async_trait]
impl Handler for SqlHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        self.0.write(deliveries).await?;
        Ok(Output::default())
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn default_batch(&self) -> usize {
        self.0.default_batch()
    }

    fn tells_replays(&self) -> bool {
        true
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// The same moment; the calendar's end where it is beyond it.
fn moment(timestamp: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(timestamp.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}
