//! The action log: who changed what, and what came of it. Bounded, in a small file beside the
//! token, so that it outlives a restart; a power cut may lose the last lines.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::clock::Timestamp;
use crate::files;
use crate::sync::lock;

/// The most actions that are kept.
const ACTIONS_MAX: usize = 500;
/// The longest text of one field.
const CHARS_MAX: usize = 300;

/// Who changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The command line, by the admin socket or without a server.
    CommandLine,
    /// A program with the token.
    Token,
    /// A signed-in user of the dashboard.
    Dashboard,
}

impl Actor {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandLine => "command line",
            Self::Token => "API",
            Self::Dashboard => "dashboard",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionView {
    /// Its number; they ascend.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What: `redrive`, `drop`, `replay`, `pause`, …
    pub action: String,
    /// Which things: a filter, an event or a handler.
    pub target: String,
    /// What came of it.
    pub result: String,
    /// Whether it was done.
    pub is_done: bool,
}

/// The newest actions.
#[derive(Debug)]
pub struct Actions {
    path: Option<PathBuf>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    actions: VecDeque<ActionView>,
    next: u64,
    /// Lines of the file.
    n_lines: usize,
}

impl Actions {
    /// What the file holds. A line that cannot be read is left out.
    pub fn open(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|err| {
            if err.kind() != io::ErrorKind::NotFound {
                warn!(error = %err, "The action log cannot be read");
            }
            String::new()
        });
        let read = text.lines().filter_map(|line| serde_json::from_str::<ActionView>(line).ok());
        let mut actions: VecDeque<ActionView> = read.collect();
        // Nothing is added to a line that was torn: the next one writes the file anew.
        let is_torn = !text.is_empty() && !text.ends_with('\n');
        let n_lines = if is_torn { 2 * ACTIONS_MAX } else { text.lines().count() };
        actions.drain(..actions.len().saturating_sub(ACTIONS_MAX));
        let next = actions.back().map_or(1, |last| last.number.saturating_add(1));
        Self { path: Some(path), kept: Mutex::new(Kept { actions, next, n_lines }) }
    }

    /// One that keeps nothing.
    pub fn none() -> Self {
        Self { path: None, kept: Mutex::default() }
    }

    /// Adds one; gives its number.
    pub(super) fn add(&self, action: ActionView) -> u64 {
        let mut kept = self.kept();
        let number = kept.next;
        kept.next = number.saturating_add(1);
        let cut = |text: String| text.chars().take(CHARS_MAX).collect();
        let (target, result) = (cut(action.target), cut(action.result));
        kept.actions.push_back(ActionView { number, target, result, ..action });
        if kept.actions.len() > ACTIONS_MAX {
            kept.actions.pop_front();
        }
        if let Some(path) = &self.path
            && let Err(err) = write(path, &mut kept)
        {
            warn!(error = %err, "The action log cannot be written");
        }
        number
    }

    /// The newest, newest first.
    pub fn list(&self, limit: usize) -> Vec<ActionView> {
        self.kept().actions.iter().rev().take(limit).cloned().collect()
    }

    /// The one with this number.
    pub fn get(&self, number: u64) -> Option<ActionView> {
        self.kept().actions.iter().find(|action| action.number == number).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves the list whole.
        lock(&self.kept)
    }
}

/// Adds the newest action to the file, or writes it anew once it holds twice as many as are kept.
fn write(path: &PathBuf, kept: &mut Kept) -> io::Result<()> {
    let line = |action: &ActionView| {
        serde_json::to_string(action).map(|line| line + "\n").map_err(io::Error::other)
    };
    if kept.n_lines >= 2 * ACTIONS_MAX {
        let lines = kept.actions.iter().map(line).collect::<io::Result<String>>()?;
        kept.n_lines = kept.actions.len();
        return files::replace(path, lines);
    }
    let Some(newest) = kept.actions.back() else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line(newest)?.as_bytes())?;
    kept.n_lines += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(target: String) -> ActionView {
        ActionView {
            number: 0,
            at: Timestamp::from_millis(0),
            actor: Actor::Token,
            action: "redrive".into(),
            target,
            result: "done 1".into(),
            is_done: true,
        }
    }

    #[test]
    fn actions_outlive_a_restart_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions");
        let actions = Actions::open(path.clone());
        for n in 1..=3 * ACTIONS_MAX {
            assert_eq!(actions.add(action(n.to_string())), n as u64);
        }
        let again = Actions::open(path.clone());
        assert_eq!(again.list(usize::MAX), actions.list(usize::MAX));
        assert_eq!(again.list(usize::MAX).len(), ACTIONS_MAX);
        assert_eq!(again.list(1)[0].target, (3 * ACTIONS_MAX).to_string());
        assert!(std::fs::read_to_string(path).unwrap().lines().count() <= 2 * ACTIONS_MAX);
    }

    #[test]
    fn a_torn_line_and_a_long_text_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions");
        for torn in ["{\"number\":4,\n", "{\"number\":4,"] {
            std::fs::write(&path, torn).unwrap();
            let actions = Actions::open(path.clone());
            actions.add(action("x".repeat(1 << 20)));
            assert!(std::fs::metadata(&path).unwrap().len() < 2_000);
            assert_eq!(Actions::open(path.clone()).list(9).len(), 1);
        }
    }
}
