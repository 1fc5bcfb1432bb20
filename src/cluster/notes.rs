//! What was done on each node by people and programs, as all nodes tell it: short texts that the shared log carries,
//! in its order and with the same number on every node. They mean nothing here.
//!
//! The file `notes` in the copy's folder holds a line for each. It is synced before the commit that says how far
//! the log is applied; what a crash in between lets come twice is known by its unit.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::engine::Sequence;
use super::node::NodeName;
use crate::files;
use crate::sync::lock;

/// The most that are kept; the oldest go first.
pub const NOTES_MAX: usize = 500;
/// The longest text, in bytes.
pub const NOTE_BYTES_MAX: usize = 8 << 10;

/// What one node noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedNote {
    /// They ascend, the same on every node.
    pub number: u64,
    /// Who noted it.
    pub node: NodeName,
    /// Its node's own name for it.
    pub id: u64,
    pub text: String,
}

/// A note in the file, and the unit that it was applied with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NoteLine {
    unit: u64,
    note: SharedNote,
}

/// The newest notes.
#[derive(Debug)]
pub(super) struct Notes {
    path: PathBuf,
    kept: Mutex<KeptNotes>,
}

#[derive(Debug, Default)]
struct KeptNotes {
    lines: VecDeque<NoteLine>,
    next: u64,
    /// The newest unit that had one.
    newest_unit: u64,
    /// Lines of the file.
    n_lines: usize,
    /// Numbers of those that the file lacks, or has with another text.
    unwritten: Vec<u64>,
}

impl Notes {
    /// What the file in a copy's folder holds. A line that cannot be read is left out.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("notes");
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
            Err(err) => return Err(err),
        };
        let mut kept = KeptNotes { next: 1, ..KeptNotes::default() };
        for line in text.lines().filter_map(|line| serde_json::from_str::<NoteLine>(line).ok()) {
            kept.newest_unit = kept.newest_unit.max(line.unit);
            kept.next = kept.next.max(line.note.number.saturating_add(1));
            match kept.lines.iter_mut().rev().find(|one| one.note.number == line.note.number) {
                Some(earlier) => *earlier = line,
                None => kept.lines.push_back(line),
            }
        }
        kept.lines.drain(..kept.lines.len().saturating_sub(NOTES_MAX));
        // Nothing is added to a line that was torn: the next one writes the file anew.
        let is_torn = !text.is_empty() && !text.ends_with('\n');
        kept.n_lines = if is_torn { 2 * NOTES_MAX } else { text.lines().count() };
        Ok(Self { path, kept: Mutex::new(kept) })
    }

    /// Takes in what stands in the unit at `unit`: one of the same id is the same note with another text.
    pub(super) fn apply(&self, unit: Sequence, node: &NodeName, (id, text): (u64, String)) {
        let kept = &mut *lock(&self.kept);
        if unit.0 < kept.newest_unit {
            return;
        }
        kept.newest_unit = unit.0;
        let is_same = |line: &&mut NoteLine| line.note.id == id && line.note.node == *node;
        let number = if let Some(known) = kept.lines.iter_mut().rev().find(is_same) {
            (known.unit, known.note.text) = (unit.0, text);
            known.note.number
        } else {
            let (number, node) = (kept.next, node.clone());
            kept.next += 1;
            let line = NoteLine { unit: unit.0, note: SharedNote { number, node, id, text } };
            kept.lines.push_back(line);
            if kept.lines.len() > NOTES_MAX {
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

    /// Makes durable what was applied; `Ok` also where nothing was.
    pub(super) fn write(&self) -> io::Result<()> {
        let kept = &mut *lock(&self.kept);
        if kept.unwritten.is_empty() {
            return Ok(());
        }
        let line = |line: &NoteLine| serde_json::to_string(line).map(|text| text + "\n");
        if kept.n_lines + kept.unwritten.len() > 2 * NOTES_MAX {
            let lines = kept.lines.iter().map(line).collect::<Result<String, _>>()?;
            files::replace_durably(&self.path, lines)?;
            kept.n_lines = kept.lines.len();
        } else {
            let is_unwritten = |line: &&NoteLine| kept.unwritten.contains(&line.note.number);
            let lines = kept.lines.iter().filter(is_unwritten);
            let lines = lines.map(line).collect::<Result<String, _>>()?;
            // Where it fails in the middle of a line, the next one writes the file anew.
            let n_lines = std::mem::replace(&mut kept.n_lines, 2 * NOTES_MAX);
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(lines.as_bytes())?;
            file.sync_all()?;
            kept.n_lines = n_lines + kept.unwritten.len();
        }
        kept.unwritten.clear();
        Ok(())
    }

    /// All that are kept, the oldest first.
    pub(super) fn list(&self) -> Vec<SharedNote> {
        lock(&self.kept).lines.iter().map(|line| line.note.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(notes: &Notes) -> Vec<(u64, String)> {
        notes.list().into_iter().map(|note| (note.number, note.text)).collect()
    }

    #[test]
    fn notes_of_a_unit_that_comes_again_are_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (NodeName::parse("a").unwrap(), NodeName::parse("b").unwrap());
        let notes = Notes::open(folder.path()).unwrap();
        let apply = |notes: &Notes, from: u64| {
            for unit in from..=3 * NOTES_MAX as u64 {
                notes.apply(Sequence(unit), &a, (unit, format!("a {unit}")));
                notes.apply(Sequence(unit), &b, (unit, format!("b {unit}")));
            }
        };
        apply(&notes, 1);
        notes.write().unwrap();
        let again = Notes::open(folder.path()).unwrap();
        apply(&again, 1);
        assert_eq!(texts(&again), texts(&notes));
        assert_eq!(notes.list().len(), NOTES_MAX);
        assert_eq!(texts(&notes).pop().unwrap(), (6 * NOTES_MAX as u64, "b 1500".to_owned()));
        // One that goes on stays where it is.
        again.apply(Sequence(2_000), &a, (1_500, "a, and more".to_owned()));
        again.write().unwrap();
        let third = Notes::open(folder.path()).unwrap();
        assert_eq!(texts(&third)[NOTES_MAX - 2..], texts(&again)[NOTES_MAX - 2..]);
        assert_eq!(texts(&third)[NOTES_MAX - 2].1, "a, and more");
    }

    #[test]
    fn file_of_notes_stays_small_and_a_torn_line_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let (path, a) = (folder.path().join("notes"), NodeName::parse("a").unwrap());
        let notes = Notes::open(folder.path()).unwrap();
        for unit in 1..=5 * NOTES_MAX as u64 {
            notes.apply(Sequence(unit), &a, (unit, "x".to_owned()));
            notes.write().unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 2 * NOTES_MAX);
        std::fs::write(&path, text.strip_suffix("}}\n").unwrap()).unwrap();
        let torn = Notes::open(folder.path()).unwrap();
        torn.apply(Sequence(9_000), &a, (9_000, "behind".to_owned()));
        torn.write().unwrap();
        let again = Notes::open(folder.path()).unwrap();
        assert_eq!(texts(&again), texts(&torn));
        assert_eq!(texts(&again).pop().unwrap().1, "behind");
    }
}
