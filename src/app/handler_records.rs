//! How each handler did, in a file: a restart does not make a failure of three days one of five minutes,
//! and what was told of a handler that is down is over once it answers, in whichever process that is.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::clock::Timestamp;
use crate::deliver::HealthRecord;
use crate::event::HandlerName;
use crate::files;
use crate::sync::lock;

/// How often a file is written that says nothing new but when something was delivered last.
const SAME_TROUBLE_EVERY: Duration = Duration::from_mins(1);

/// One handler's line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HandlerRecord {
    pub(super) health: HealthRecord,
    /// What people were told of it, and not that it is over.
    pub(super) told: Option<ToldRecord>,
}

/// An own event about a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ToldRecord {
    pub(super) event_type: String,
    /// Since when it is as it was told.
    pub(super) since: Timestamp,
}

/// The file, and what it holds.
pub(super) struct HandlerRecords {
    path: PathBuf,
    /// Of handlers whose task was not started since.
    before: Mutex<BTreeMap<HandlerName, HealthRecord>>,
    told: Mutex<BTreeMap<HandlerName, ToldRecord>>,
    written: Mutex<SavedRecords>,
}

/// What the file holds, and since when.
#[derive(Default)]
struct SavedRecords {
    records: BTreeMap<HandlerName, HandlerRecord>,
    /// `None` = it was not written since the start.
    at: Option<Timestamp>,
    is_failing: bool,
}

impl HandlerRecords {
    /// What the file holds. Where it cannot be read, only times that people see are lost.
    pub(super) fn open(path: PathBuf) -> Self {
        let read = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(err) => Err(err),
        };
        let records: BTreeMap<HandlerName, HandlerRecord> = read.unwrap_or_else(|err| {
            warn!(path = %path.display(), error = %err, "How handlers did before cannot be read");
            BTreeMap::new()
        });
        let health = records.iter().map(|(name, record)| (name.clone(), record.health.clone()));
        let told = records.iter().filter_map(|(name, record)| Some((name, record.told.as_ref()?)));
        Self {
            path,
            before: Mutex::new(health.collect()),
            told: Mutex::new(told.map(|(name, told)| (name.clone(), told.clone())).collect()),
            written: Mutex::new(SavedRecords { records, ..SavedRecords::default() }),
        }
    }

    /// How a handler did before the task that is started for it now.
    pub(super) fn take(&self, handler: &HandlerName) -> Option<HealthRecord> {
        lock(&self.before).remove(handler)
    }

    /// Keeps how a handler did for its next task.
    pub(super) fn put(&self, handler: HandlerName, health: HealthRecord) {
        lock(&self.before).insert(handler, health);
    }

    /// What people were told, and not that it is over.
    pub(super) fn told(&self) -> BTreeMap<HandlerName, ToldRecord> {
        lock(&self.told).clone()
    }

    /// Notes what people were told; the next write has it.
    pub(super) fn tell(&self, told: BTreeMap<HandlerName, ToldRecord>) {
        *lock(&self.told) = told;
    }

    /// Writes how handlers do at `now`, where that is news: at once where one fails or does no more, each
    /// minute where one has only delivered or failed again since.
    pub(super) fn keep(&self, health: BTreeMap<HandlerName, HealthRecord>, now: Timestamp) {
        // All of them have ended with the process.
        if health.is_empty() {
            return;
        }
        let records = self.records(health);
        let mut written = lock(&self.written);
        let is_soon = written.at.is_some_and(|at| now >= at && now.since(at) < SAME_TROUBLE_EVERY);
        if !(is_soon && have_same_trouble(&records, &written.records)) {
            self.write(records, now, &mut written);
        }
    }

    /// Writes how handlers do, the last time in this process.
    pub(super) fn close(&self, health: BTreeMap<HandlerName, HealthRecord>, now: Timestamp) {
        self.write(self.records(health), now, &mut lock(&self.written));
    }

    fn records(
        &self,
        health: BTreeMap<HandlerName, HealthRecord>,
    ) -> BTreeMap<HandlerName, HandlerRecord> {
        let (before, told) = (lock(&self.before), lock(&self.told));
        let records = health.into_iter().map(|(name, health)| {
            // One that could not be started yet did what it did.
            let health = before.get(&name).cloned().unwrap_or(health);
            let told = told.get(&name).cloned();
            (name, HandlerRecord { health, told })
        });
        records.filter(|(_, record)| *record != HandlerRecord::default()).collect()
    }

    fn write(
        &self,
        records: BTreeMap<HandlerName, HandlerRecord>,
        now: Timestamp,
        written: &mut SavedRecords,
    ) {
        if records == written.records {
            return;
        }
        let bytes = serde_json::to_vec(&records).map_err(io::Error::from);
        match bytes.and_then(|bytes| files::replace_privately(&self.path, bytes)) {
            Ok(()) => *written = SavedRecords { records, at: Some(now), is_failing: false },
            Err(err) if written.is_failing => debug!(error = %err, "Still not kept"),
            Err(err) => {
                warn!(path = %self.path.display(), error = %err, "How handlers do cannot be kept");
                written.is_failing = true;
            }
        }
    }
}

/// Whether the same handlers fail, and the same was told of them.
fn have_same_trouble(
    these: &BTreeMap<HandlerName, HandlerRecord>,
    others: &BTreeMap<HandlerName, HandlerRecord>,
) -> bool {
    these.len() == others.len()
        && these.iter().all(|(name, one)| {
            others.get(name).is_some_and(|other| {
                one.told == other.told && one.health.has_same_trouble(&other.health)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn delivered(at: Timestamp) -> BTreeMap<HandlerName, HealthRecord> {
        let health = HealthRecord { last_success_at: Some(at), ..HealthRecord::default() };
        BTreeMap::from([(mail(), health)])
    }

    fn failing(since: Timestamp) -> BTreeMap<HandlerName, HealthRecord> {
        let (failing_since, n_failures) = (Some(since), 3);
        let health = HealthRecord { failing_since, n_failures, ..HealthRecord::default() };
        BTreeMap::from([(mail(), health)])
    }

    fn mail() -> HandlerName {
        HandlerName::parse("mail").unwrap()
    }

    #[test]
    fn records_of_handlers_come_back_once_and_with_what_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handlers");
        let records = HandlerRecords::open(path.clone());
        assert_eq!(records.take(&mail()), None);
        records.keep(BTreeMap::from([(mail(), HealthRecord::default())]), NOW);
        assert!(!path.exists(), "nothing is known");
        let told = ToldRecord { event_type: "handler.down".to_owned(), since: NOW };
        records.tell(BTreeMap::from([(mail(), told.clone())]));
        records.keep(failing(NOW), NOW);
        let again = HandlerRecords::open(path.clone());
        assert_eq!(again.told(), BTreeMap::from([(mail(), told)]));
        // It could not be started: what was known of it is kept.
        again.keep(BTreeMap::from([(mail(), HealthRecord::default())]), NOW);
        let again = HandlerRecords::open(path);
        assert_eq!(again.take(&mail()), failing(NOW).remove(&mail()));
        assert_eq!(again.take(&mail()), None);
    }

    #[test]
    fn records_are_written_at_once_where_one_fails_and_else_each_minute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handlers");
        let records = HandlerRecords::open(path.clone());
        let kept = || HandlerRecords::open(path.clone()).take(&mail()).unwrap();
        records.keep(delivered(NOW), NOW);
        let later = |secs: u64| NOW.after(Duration::from_secs(secs));
        records.keep(delivered(later(5)), later(5));
        assert_eq!(kept().last_success_at, Some(NOW));
        records.keep(failing(later(6)), later(6));
        assert_eq!(kept().failing_since, Some(later(6)));
        records.keep(delivered(later(7)), later(7));
        assert_eq!(kept().last_success_at, Some(later(7)));
        records.keep(delivered(later(66)), later(66));
        assert_eq!(kept().last_success_at, Some(later(7)));
        records.keep(delivered(later(67)), later(67));
        assert_eq!(kept().last_success_at, Some(later(67)));
        records.close(delivered(later(68)), later(68));
        assert_eq!(kept().last_success_at, Some(later(68)));
    }

    #[test]
    fn file_that_cannot_be_read_is_as_if_it_was_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handlers");
        for text in ["", "{", "[1]", r#"{"mail":{"health":{"n_failures":-1}}}"#, "no json"] {
            std::fs::write(&path, text).unwrap();
            let records = HandlerRecords::open(path.clone());
            assert_eq!(records.take(&mail()), None, "{text}");
            records.keep(failing(NOW), NOW);
            assert!(HandlerRecords::open(path.clone()).take(&mail()).is_some(), "{text}");
        }
    }
}
