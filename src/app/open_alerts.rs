//! What people were told of sources, the disk, the engine and the standby and not that it is over, in a file: it is
//! told in whichever process it is over, and no second time because of a restart. Of handlers `handler_records`
//! keeps the same.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::clock::Timestamp;
use crate::files;
use crate::sync::lock;

/// An own event, and whose trouble it is: a source's name, or nothing.
type AlertKey = (String, String);

/// When a trouble began that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenAlert {
    pub(super) since: Timestamp,
    /// When it was told last.
    pub(super) told_at: Timestamp,
}

/// One alert as the file has it.
#[derive(Serialize, Deserialize)]
struct StoredAlert {
    event_type: String,
    of: String,
    #[serde(flatten)]
    alert: OpenAlert,
}

/// The file, and what it holds.
#[derive(Debug)]
pub(super) struct KeptAlerts {
    /// `None` = what it holds ends with the process.
    path: Option<PathBuf>,
    open: Mutex<BTreeMap<AlertKey, OpenAlert>>,
    saved: Mutex<BTreeMap<AlertKey, OpenAlert>>,
}

impl KeptAlerts {
    /// What the file holds. Where it cannot be read nothing is known to be open; what is there stays.
    pub(super) fn open(path: PathBuf) -> Self {
        match files::read_json::<Vec<StoredAlert>>(&path) {
            Ok(stored) => {
                let open = stored.into_iter().map(|one| ((one.event_type, one.of), one.alert));
                let open: BTreeMap<_, _> = open.collect();
                Self { path: Some(path), saved: Mutex::new(open.clone()), open: Mutex::new(open) }
            }
            Err(err) => {
                warn!(path = %path.display(), error = %err, "What was told of troubles is not kept over a \
                    restart: move what is there, and restart");
                Self::in_memory()
            }
        }
    }

    pub(super) fn in_memory() -> Self {
        Self { path: None, open: Mutex::default(), saved: Mutex::default() }
    }

    /// The alert of this event that is open, of this source or the like.
    pub(super) fn get(&self, event_type: &str, of: &str) -> Option<OpenAlert> {
        self.alerts().get(&key(event_type, of)).copied()
    }

    /// All that are open, with their event and whose they are.
    pub(super) fn all(&self) -> Vec<(String, String, OpenAlert)> {
        let alerts = self.alerts();
        alerts.iter().map(|((what, of), alert)| (what.clone(), of.clone(), *alert)).collect()
    }

    /// Notes one that was told at `now`. It began at `since`, or earlier where it is open by then.
    pub(super) fn begin(&self, event_type: &str, of: &str, (since, now): (Timestamp, Timestamp)) {
        let mut alerts = self.alerts();
        let open = alerts.entry(key(event_type, of));
        open.or_insert(OpenAlert { since, told_at: now }).told_at = now;
    }

    /// Takes one out; gives what it was.
    pub(super) fn end(&self, event_type: &str, of: &str) -> Option<OpenAlert> {
        self.alerts().remove(&key(event_type, of))
    }

    /// Writes what changed. Not before the events about it are stored: the next process would take for told what
    /// no owner was told of.
    pub(super) fn save(&self) {
        let Some(path) = &self.path else { return };
        let mut saved = lock(&self.saved);
        let open = self.alerts().clone();
        if open == *saved {
            return;
        }
        let lines = open.iter().map(|((event_type, of), alert)| {
            let (event_type, of) = (event_type.clone(), of.clone());
            StoredAlert { event_type, of, alert: *alert }
        });
        let bytes = serde_json::to_vec(&lines.collect::<Vec<_>>()).map_err(io::Error::from);
        match bytes.and_then(|bytes| files::replace_privately(path, bytes)) {
            Ok(()) => *saved = open,
            Err(err) => {
                warn!(path = %path.display(), error = %err, "What was told of troubles cannot be kept");
            }
        }
    }

    fn alerts(&self) -> MutexGuard<'_, BTreeMap<AlertKey, OpenAlert>> {
        lock(&self.open)
    }
}

fn key(event_type: &str, of: &str) -> AlertKey {
    (event_type.to_owned(), of.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_090_000);
    const THEN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn alerts_that_are_open_outlive_the_process_once_they_are_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open-alerts");
        let alerts = KeptAlerts::open(path.clone());
        alerts.begin("disk.low", "", (THEN, THEN));
        assert_eq!(KeptAlerts::open(path.clone()).all(), []);
        alerts.begin("disk.low", "", (NOW, NOW));
        alerts.save();
        let again = KeptAlerts::open(path.clone());
        assert_eq!(again.get("disk.low", ""), Some(OpenAlert { since: THEN, told_at: NOW }));
        assert!(again.end("disk.low", "").is_some() && again.end("disk.low", "").is_none());
        again.save();
        assert_eq!(KeptAlerts::open(path).all(), []);
    }

    #[test]
    fn file_of_another_kind_is_left_alone_and_one_that_a_power_cut_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open-alerts");
        for (text, is_replaced) in [("a list of mine", false), ("", true), ("\0\0", true)] {
            std::fs::write(&path, text).unwrap();
            let alerts = KeptAlerts::open(path.clone());
            alerts.begin("disk.low", "", (NOW, NOW));
            alerts.save();
            assert_eq!(std::fs::read_to_string(&path).unwrap() != text, is_replaced, "{text:?}");
        }
    }
}
