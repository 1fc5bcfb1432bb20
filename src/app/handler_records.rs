//! How each handler did, in a file: a restart does not make a failure of three days one of five minutes,
//! and what was told of a handler that is down is over once it answers, in whichever process that is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
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
    pub(super) alert: Option<AlertRecord>,
}

/// An own event about a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlertRecord {
    pub(super) event_type: String,
    /// Since when it is as it was told.
    pub(super) since: Timestamp,
}

/// The file, and what it holds.
pub(super) struct HandlerRecords {
    /// `None` = what they hold ends with the process.
    path: Option<PathBuf>,
    /// Of handlers whose task was not started since.
    before: Mutex<BTreeMap<HandlerName, HealthRecord>>,
    alerts: Mutex<BTreeMap<HandlerName, AlertRecord>>,
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
    /// What the file holds. Where it cannot be read, only times that people see are lost; what is there may
    /// be the owner's, and stays.
    pub(super) fn open(path: PathBuf) -> Self {
        match read(&path) {
            Ok(records) => Self::of(Some(path), records),
            Err(err) => {
                warn!(path = %path.display(), error = %err, "How handlers do is not kept over a restart: \
                    move what is there, and restart");
                Self::in_memory()
            }
        }
    }

    /// Records without a file. Gateways that share a log have these: each start frees the leases of the
    /// process before, and how a handler did under another one's lease is not known here.
    pub(super) fn in_memory() -> Self {
        Self::of(None, BTreeMap::new())
    }

    fn of(path: Option<PathBuf>, records: BTreeMap<HandlerName, HandlerRecord>) -> Self {
        let health = records.iter().map(|(name, record)| (name.clone(), record.health.clone()));
        let alerts = records.iter().filter_map(|(name, record)| {
            let alert = record.alert.clone()?;
            Some((name.clone(), alert))
        });
        Self {
            path,
            before: Mutex::new(health.collect()),
            alerts: Mutex::new(alerts.collect()),
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
    pub(super) fn alerts(&self) -> BTreeMap<HandlerName, AlertRecord> {
        lock(&self.alerts).clone()
    }

    /// Notes what people were told; the next write has it.
    pub(super) fn set_alerts(&self, alerts: BTreeMap<HandlerName, AlertRecord>) {
        *lock(&self.alerts) = alerts;
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

    /// Writes how handlers did at their end, the last time in this process.
    pub(super) fn close(&self, health: BTreeMap<HandlerName, HealthRecord>, now: Timestamp) {
        // There were none, or they were ended before: what the file holds is newer.
        if health.is_empty() {
            return;
        }
        self.write(self.records(health), now, &mut lock(&self.written));
    }

    fn records(
        &self,
        health: BTreeMap<HandlerName, HealthRecord>,
    ) -> BTreeMap<HandlerName, HandlerRecord> {
        let (before, alerts) = (lock(&self.before), lock(&self.alerts));
        let records = health.into_iter().map(|(name, health)| {
            // One that could not be started yet did what it did.
            let health = before.get(&name).cloned().unwrap_or(health);
            let alert = alerts.get(&name).cloned();
            (name, HandlerRecord { health, alert })
        });
        records.filter(|(_, record)| *record != HandlerRecord::default()).collect()
    }

    fn write(
        &self,
        records: BTreeMap<HandlerName, HandlerRecord>,
        now: Timestamp,
        written: &mut SavedRecords,
    ) {
        let Some(path) = &self.path else { return };
        if records == written.records {
            return;
        }
        let bytes = serde_json::to_vec(&records).map_err(io::Error::from);
        match bytes.and_then(|bytes| files::replace_privately(path, bytes)) {
            Ok(()) => *written = SavedRecords { records, at: Some(now), is_failing: false },
            Err(err) if written.is_failing => debug!(error = %err, "Still not kept"),
            Err(err) => {
                warn!(path = %path.display(), error = %err, "How handlers do cannot be kept");
                written.is_failing = true;
            }
        }
    }
}

/// What keeps the records from being kept at `path`; `None` = nothing, or it is not for this user to see.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    let err = read(path).err().filter(|err| err.kind() != io::ErrorKind::PermissionDenied)?;
    Some(format!("`{}` is not Gatepost's list of how handlers do ({err})", path.display()))
}

/// What is at `path`: an error where something else is, which may be the owner's.
fn read(path: &Path) -> io::Result<BTreeMap<HandlerName, HandlerRecord>> {
    files::read_json(path)
}

/// Whether the same handlers fail, and the same was told of them.
fn have_same_trouble(
    these: &BTreeMap<HandlerName, HandlerRecord>,
    others: &BTreeMap<HandlerName, HandlerRecord>,
) -> bool {
    these.len() == others.len()
        && these.iter().all(|(name, one)| {
            others.get(name).is_some_and(|other| {
                one.alert == other.alert && one.health.has_same_trouble(&other.health)
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
        let path = folder.path().join("handler-records");
        let records = HandlerRecords::open(path.clone());
        assert_eq!(records.take(&mail()), None);
        records.keep(BTreeMap::from([(mail(), HealthRecord::default())]), NOW);
        assert!(!path.exists(), "nothing is known");
        let alert = AlertRecord { event_type: "handler.down".to_owned(), since: NOW };
        records.set_alerts(BTreeMap::from([(mail(), alert.clone())]));
        records.keep(failing(NOW), NOW);
        let again = HandlerRecords::open(path.clone());
        assert_eq!(again.alerts(), BTreeMap::from([(mail(), alert)]));
        // It could not be started: what was known of it is kept.
        again.keep(BTreeMap::from([(mail(), HealthRecord::default())]), NOW);
        let again = HandlerRecords::open(path);
        assert_eq!(again.take(&mail()), failing(NOW).remove(&mail()));
        assert_eq!(again.take(&mail()), None);
    }

    #[test]
    fn records_are_written_at_once_where_one_fails_and_else_each_minute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handler-records");
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
    fn records_of_a_good_file_stay_where_no_handler_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handler-records");
        let records = HandlerRecords::open(path.clone());
        records.close(failing(NOW), NOW);
        records.close(BTreeMap::new(), NOW);
        assert_eq!(HandlerRecords::open(path).take(&mail()), failing(NOW).remove(&mail()));
    }

    #[test]
    fn records_of_gateways_that_share_a_log_end_with_the_process() {
        let records = HandlerRecords::in_memory();
        records.put(mail(), HealthRecord { last_success_at: Some(NOW), ..HealthRecord::default() });
        records.close(failing(NOW), NOW);
        assert_eq!(records.take(&mail()).and_then(|one| one.last_success_at), Some(NOW));
    }

    #[test]
    fn what_is_not_ours_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handler-records");
        for text in ["{", "[1]", r#"{"mail":{"health":{"n_failures":-1}}}"#, "my own notes"] {
            std::fs::write(&path, text).unwrap();
            assert!(obstacle(&path).unwrap().contains("handler-records` is not"), "{text}");
            let records = HandlerRecords::open(path.clone());
            assert_eq!(records.take(&mail()), None, "{text}");
            records.keep(failing(NOW), NOW);
            records.close(failing(NOW), NOW);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        // What a power cut may leave of ours is replaced.
        for text in ["", "\0\0\0"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(obstacle(&path), None, "{text:?}");
            HandlerRecords::open(path.clone()).keep(failing(NOW), NOW);
            assert!(HandlerRecords::open(path.clone()).take(&mail()).is_some(), "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(obstacle(&path), None);
        std::fs::create_dir(&path).unwrap();
        assert!(obstacle(&path).is_some());
    }
}
