//! What was done on each node by people and programs, as all nodes tell it: short texts that the shared log carries,
//! in its order and with the same number on every node. They mean nothing here.
//!
//! The file `notes` in the copy's folder holds a line for each. It is synced before the commit that says how far
//! the log is applied; what a crash in between lets come twice is known by its unit.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::engine::Sequence;
use super::node::NodeName;
use crate::files;
use crate::sync::lock;

/// The most that are kept; the oldest go first.
pub const LOGGED_ACTIONS_MAX: usize = 500;
/// The longest text, in bytes.
pub const ACTION_BYTES_MAX: usize = 8 << 10;
/// More operations than a unit has (`proposer::OPERATIONS_MAX`).
const UNIT_NUMBERS: u64 = 512;

/// An action that was done on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedAction {
    /// They ascend, the same on every node: by the unit that had it first, and its place there.
    pub number: u64,
    /// Where it was done.
    pub node: NodeName,
    /// Its node's own name for it.
    pub id: u64,
    pub text: String,
}

/// An action in the file, and the unit that it was applied with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ActionLine {
    unit: u64,
    #[serde(rename = "note")]
    action: Arc<LoggedAction>,
}

/// The newest actions of all nodes.
#[derive(Debug)]
pub(super) struct ActionLog {
    path: PathBuf,
    kept: Mutex<KeptActions>,
}

#[derive(Debug, Default)]
struct KeptActions {
    lines: VecDeque<ActionLine>,
    /// The newest unit that had one.
    newest_unit: u64,
    /// Lines of the file.
    n_lines: usize,
    /// Whether there is no file yet, so that its name has to be made durable too.
    is_new: bool,
    /// Numbers of those that the file lacks, or has with another text.
    unwritten: Vec<u64>,
}

impl ActionLog {
    /// What the file in a copy's folder holds. A line that cannot be read is left out.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("notes");
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
            Err(err) => return Err(err),
        };
        let mut kept = KeptActions { is_new: text.is_empty(), ..KeptActions::default() };
        for line in text.lines().filter_map(|line| serde_json::from_str::<ActionLine>(line).ok()) {
            kept.newest_unit = kept.newest_unit.max(line.unit);
            match kept.lines.iter_mut().rev().find(|one| one.action.number == line.action.number) {
                Some(earlier) => *earlier = line,
                None => kept.lines.push_back(line),
            }
        }
        kept.lines.drain(..kept.lines.len().saturating_sub(LOGGED_ACTIONS_MAX));
        // Nothing is added to a line that was torn: the next one writes the file anew.
        let is_torn = !text.is_empty() && !text.ends_with('\n');
        kept.n_lines = if is_torn { 2 * LOGGED_ACTIONS_MAX } else { text.lines().count() };
        Ok(Self { path, kept: Mutex::new(kept) })
    }

    /// Takes in what stands in a unit, at a place among its operations: one of the same id is the same action with
    /// another text. A node's ids ascend, so that an older one that is not kept has been let go, and is not new.
    pub(super) fn apply(
        &self,
        (Sequence(unit), place): (Sequence, u64),
        node: &NodeName,
        (id, text): (u64, String),
    ) {
        let kept = &mut *lock(&self.kept);
        if unit < kept.newest_unit {
            return;
        }
        kept.newest_unit = unit;
        let is_same = |line: &&mut ActionLine| line.action.id == id && line.action.node == *node;
        let number = if let Some(known) = kept.lines.iter_mut().rev().find(is_same) {
            let number = known.action.number;
            let changed = LoggedAction { number, node: node.clone(), id, text };
            *known = ActionLine { unit, action: Arc::new(changed) };
            number
        } else if kept.lines.iter().any(|line| line.action.node == *node && line.action.id > id) {
            return;
        } else {
            let number = unit.saturating_mul(UNIT_NUMBERS).saturating_add(place);
            let added = LoggedAction { number, node: node.clone(), id, text };
            kept.lines.push_back(ActionLine { unit, action: Arc::new(added) });
            if kept.lines.len() > LOGGED_ACTIONS_MAX {
                kept.lines.pop_front();
            }
            number
        };
        if !kept.unwritten.contains(&number) {
            kept.unwritten.push(number);
        }
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !lock(&self.kept).unwritten.is_empty()
    }

    /// Makes durable what was applied; `Ok` also where nothing was. Called by one task only, and what is listed
    /// meanwhile does not wait for the disk.
    pub(super) fn write(&self) -> io::Result<()> {
        let Some(ActionsToWrite { lines, n_lines, is_whole }) = self.to_write()? else {
            return Ok(());
        };
        let written = if is_whole {
            files::replace_durably(&self.path, lines)
        } else {
            append_durably(&self.path, &lines)
        };
        let kept = &mut *lock(&self.kept);
        if let Err(err) = written {
            // It may have ended in the middle of a line: the next one writes the file anew.
            kept.n_lines = 2 * LOGGED_ACTIONS_MAX;
            return Err(err);
        }
        kept.is_new = false;
        kept.n_lines = if is_whole { n_lines } else { kept.n_lines + n_lines };
        kept.unwritten.clear();
        Ok(())
    }

    fn to_write(&self) -> io::Result<Option<ActionsToWrite>> {
        let kept = lock(&self.kept);
        if kept.unwritten.is_empty() {
            return Ok(None);
        }
        let is_whole = kept.is_new || kept.n_lines + kept.unwritten.len() > 2 * LOGGED_ACTIONS_MAX;
        let is_meant =
            |line: &&ActionLine| is_whole || kept.unwritten.contains(&line.action.number);
        let lines: Vec<ActionLine> = kept.lines.iter().filter(is_meant).cloned().collect();
        drop(kept);
        let text = |line: &ActionLine| serde_json::to_string(line).map(|text| text + "\n");
        let n_lines = lines.len();
        let lines = lines.iter().map(text).collect::<Result<String, _>>()?;
        Ok(Some(ActionsToWrite { lines, n_lines, is_whole }))
    }

    /// All that are kept, the oldest first.
    pub(super) fn list(&self) -> Vec<Arc<LoggedAction>> {
        lock(&self.kept).lines.iter().map(|line| Arc::clone(&line.action)).collect()
    }
}

/// What the file is to get.
struct ActionsToWrite {
    lines: String,
    n_lines: usize,
    /// In place of all that it holds.
    is_whole: bool,
}

fn append_durably(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &ActionLog) -> Vec<(u64, String)> {
        log.list().iter().map(|one| (one.number, one.text.clone())).collect()
    }

    #[test]
    fn action_of_a_unit_that_comes_again_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (NodeName::parse("a").unwrap(), NodeName::parse("b").unwrap());
        let log = ActionLog::open(folder.path()).unwrap();
        let apply = |log: &ActionLog, from: u64| {
            for unit in from..=3 * LOGGED_ACTIONS_MAX as u64 {
                log.apply((Sequence(unit), 0), &a, (unit, format!("a {unit}")));
                log.apply((Sequence(unit), 1), &b, (unit, format!("b {unit}")));
            }
        };
        apply(&log, 1);
        log.write().unwrap();
        let again = ActionLog::open(folder.path()).unwrap();
        apply(&again, 1);
        assert_eq!(texts(&again), texts(&log));
        assert_eq!(log.list().len(), LOGGED_ACTIONS_MAX);
        assert_eq!(texts(&log).pop().unwrap(), (1_500 * 512 + 1, "b 1500".to_owned()));
        // One that goes on stays where it is.
        again.apply((Sequence(2_000), 3), &a, (1_500, "a, and more".to_owned()));
        // What it was in a unit that comes again it is no more.
        again.apply((Sequence(1_500), 0), &a, (1_500, "a 1500".to_owned()));
        again.write().unwrap();
        let third = ActionLog::open(folder.path()).unwrap();
        assert_eq!(
            texts(&third)[LOGGED_ACTIONS_MAX - 2..],
            texts(&again)[LOGGED_ACTIONS_MAX - 2..]
        );
        assert_eq!(texts(&third)[LOGGED_ACTIONS_MAX - 2].1, "a, and more");
    }

    #[test]
    fn action_file_stays_small_and_a_torn_line_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let (path, a) = (folder.path().join("notes"), NodeName::parse("a").unwrap());
        let log = ActionLog::open(folder.path()).unwrap();
        for unit in 1..=5 * LOGGED_ACTIONS_MAX as u64 {
            log.apply((Sequence(unit), 0), &a, (unit, "x".to_owned()));
            // Each write is synced.
            if unit % 10 == 0 {
                log.write().unwrap();
            }
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 2 * LOGGED_ACTIONS_MAX);
        std::fs::write(&path, text.strip_suffix("}}\n").unwrap()).unwrap();
        let torn = ActionLog::open(folder.path()).unwrap();
        torn.apply((Sequence(9_000), 0), &a, (9_000, "behind".to_owned()));
        torn.write().unwrap();
        let again = ActionLog::open(folder.path()).unwrap();
        assert_eq!(texts(&again), texts(&torn));
        assert_eq!(texts(&again).pop().unwrap().1, "behind");
    }

    #[test]
    fn action_that_was_let_go_does_not_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| NodeName::parse(name).unwrap());
        let log = ActionLog::open(folder.path()).unwrap();
        for id in 1..=LOGGED_ACTIONS_MAX as u64 + 20 {
            log.apply((Sequence(id), 0), &a, (id, format!("a {id}")));
        }
        let before = texts(&log);
        assert_eq!(before[0].1, "a 21");
        log.apply((Sequence(1_000), 0), &a, (5, "a 5".to_owned()));
        assert_eq!(texts(&log), before);
        log.apply((Sequence(1_000), 1), &b, (5, "b 5".to_owned()));
        assert_eq!(texts(&log).pop().unwrap(), (1_000 * 512 + 1, "b 5".to_owned()));
    }
}
