//! The action log: who changed what, and what came of it. Bounded, in a small file beside the
//! token, so that it outlives a restart; a power cut may lose the last lines. Of several gateways on one log each
//! keeps its own actions so, and puts them into that log for the others (`shared`).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::clock::Timestamp;
use crate::files;
use crate::sync::lock;

use super::acted_on::ActionTarget;
use super::ask::LIMIT;
use super::{ActedOn, Api, ApiError};
use crate::cluster::NodeName;

mod actor;
mod import_run;
mod shared;

pub use actor::Actor;
use import_run::ImportRun;
use shared::SharedActions;

/// The most actions that are kept.
pub const ACTIONS_MAX: usize = 500;
/// The longest text of one field.
const CHARS_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionView {
    /// Its number. Where gateways share a log: the same on each once the log has it, and the gateway's own until
    /// then, and of what it did before it shared one.
    pub number: u64,
    /// On which gateway, of those that share a log.
    #[serde(default)]
    pub node: Option<NodeName>,
    pub at: Timestamp,
    pub actor: Actor,
    /// What: `redrive`, `drop`, `replay`, `pause`, …
    pub action: String,
    /// Which things: a filter, an event or a handler.
    pub target: String,
    /// The same as it is found again; empty of actions that an earlier version noted.
    #[serde(default)]
    pub about: ActedOn,
    pub result: String,
    pub is_done: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionsAsk {
    /// Only those of this actor.
    pub actor: Option<Actor>,
    /// Only what is called so: `redrive`, `pause`, …
    pub action: Option<String>,
    /// Only those with this text in what they were for.
    pub target: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// Only what comes behind the one with this number, newest first.
    pub before: Option<u64>,
    pub limit: Option<usize>,
}

impl ActionsAsk {
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).max(1)
    }

    fn is_for(&self, action: &ActionView) -> bool {
        self.actor.is_none_or(|actor| action.actor == actor)
            && self.action.as_ref().is_none_or(|wanted| action.action == *wanted)
            && self.target.as_ref().is_none_or(|text| action.target.contains(text))
            && self.since.is_none_or(|since| action.at >= since)
            && self.until.is_none_or(|until| action.at < until)
    }
}

#[derive(Debug)]
pub struct ListedActions {
    /// What is in it, newest first.
    pub actions: Vec<ActionView>,
    /// The number to go on with, as `before`; `None` = nothing is behind it.
    pub next: Option<u64>,
}

impl Api {
    /// A page of actions, newest first.
    pub fn actions(&self, ask: &ActionsAsk) -> Result<ListedActions, ApiError> {
        Ok(self.server()?.actions.list(ask))
    }

    /// What was done, each word once.
    pub fn action_words(&self) -> Result<Vec<String>, ApiError> {
        Ok(self.server()?.actions.words())
    }

    /// Writes down what came of a change.
    pub(super) fn note<T>(
        &self,
        action: &str,
        target: impl Into<ActionTarget>,
        result: &Result<T, ApiError>,
        text: impl FnOnce(&T) -> String,
    ) {
        let Some(server) = &self.server else { return };
        server.dead_lately.forget();
        server.actions.add(self.noted(action, target, result, text));
    }

    fn noted<T>(
        &self,
        action: &str,
        target: impl Into<ActionTarget>,
        result: &Result<T, ApiError>,
        text: impl FnOnce(&T) -> String,
    ) -> ActionView {
        let (result, is_done) = match result {
            Ok(value) => (text(value), true),
            Err(err) => (err.to_string(), false),
        };
        let (at, actor, action) = (self.clock.now(), self.actor, action.to_owned());
        let ActionTarget { words: target, about } = target.into();
        ActionView { number: 0, node: None, at, actor, action, target, about, result, is_done }
    }

    /// What was done last on this gateway, as [`Self::action_called`] finds it again; 0 = nothing was.
    pub fn newest_action(&self) -> String {
        self.server.as_ref().map(|server| server.actions.newest()).unwrap_or_default()
    }

    /// The action that [`Self::newest_action`] called so.
    pub fn action_called(&self, name: &str) -> Option<ActionView> {
        self.server.as_ref()?.actions.called(name)
    }
}

#[derive(Debug)]
pub struct Actions {
    path: Option<PathBuf>,
    /// Those of this gateway.
    kept: Mutex<Kept>,
    shared: Option<SharedActions>,
}

/// An action as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredAction {
    #[serde(flatten)]
    action: ActionView,
    /// How it is called beside its gateway's name, for good: numbers begin anew with the file, these ascend with
    /// the time. 0 = an earlier version wrote it.
    #[serde(default)]
    id: u64,
    /// Whether the log that gateways share is still to get it. What was done before there was one never gets there.
    #[serde(default)]
    is_unshared: bool,
}

impl StoredAction {
    fn is_line_of(&self, action: &ActionView) -> bool {
        (self.action.at, self.action.number) == (action.at, action.number)
    }
}

#[derive(Debug, Default)]
struct Kept {
    actions: VecDeque<StoredAction>,
    next: u64,
    newest_id: u64,
    /// Whether what is added goes into a log that gateways share.
    is_sharing: bool,
    /// Lines of the file.
    n_lines: usize,
    import: Option<ImportRun>,
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
        let read = text.lines().filter_map(|line| serde_json::from_str::<StoredAction>(line).ok());
        let mut actions: VecDeque<StoredAction> = VecDeque::new();
        for stored in read {
            // What went on, and what is shared by now, has its line once more.
            match actions.iter_mut().rev().find(|one| one.is_line_of(&stored.action)) {
                Some(begun) => *begun = stored,
                None => actions.push_back(stored),
            }
        }
        // Nothing is added to a line that was torn: the next one writes the file anew.
        let is_torn = !text.is_empty() && !text.ends_with('\n');
        let n_lines = if is_torn { 2 * ACTIONS_MAX } else { text.lines().count() };
        actions.drain(..actions.len().saturating_sub(ACTIONS_MAX));
        let newest = actions.iter().map(|one| one.action.number).max().unwrap_or_default();
        let newest_id = actions.iter().map(|one| one.id).max().unwrap_or_default();
        let next = newest.saturating_add(1);
        let kept = Kept { actions, next, newest_id, n_lines, ..Kept::default() };
        Self { path: Some(path), kept: Mutex::new(kept), shared: None }
    }

    /// One that keeps nothing.
    pub fn none() -> Self {
        Self { path: None, kept: Mutex::default(), shared: None }
    }

    /// Adds one; gives its number.
    pub(super) fn add(&self, action: ActionView) -> u64 {
        self.add_to(&mut self.kept(), action)
    }

    fn add_to(&self, kept: &mut Kept, action: ActionView) -> u64 {
        let number = kept.next;
        kept.next = number.saturating_add(1);
        let cut = |text: String| text.chars().take(CHARS_MAX).collect();
        let (target, result) = (cut(action.target), cut(action.result));
        // Also where the clock was put back.
        let by_time = action.at.as_millis().max(0).cast_unsigned() << 16;
        kept.newest_id = by_time.max(kept.newest_id.saturating_add(1));
        kept.actions.push_back(StoredAction {
            action: ActionView { number, target, result, ..action },
            id: kept.newest_id,
            is_unshared: kept.is_sharing,
        });
        if kept.actions.len() > ACTIONS_MAX {
            kept.actions.pop_front();
        }
        self.keep(kept, number);
        number
    }

    fn keep(&self, kept: &mut Kept, number: u64) {
        if let Some(path) = &self.path
            && let Err(err) = write(path, kept, number)
        {
            warn!(error = %err, "The action log cannot be written");
        }
        if let Some(shared) = &self.shared {
            shared.notify();
        }
    }

    /// Those that `ask` asks for, newest first.
    pub fn list(&self, ask: &ActionsAsk) -> ListedActions {
        let mut all = self.all();
        // By its place: several gateways' numbers do not ascend with the time. One that is gone: by its number.
        match ask.before.map(|before| (before, all.iter().rposition(|one| one.number == before))) {
            Some((_, Some(place))) => all.truncate(place),
            Some((before, None)) => all.retain(|one| one.number < before),
            None => {}
        }
        let mut found = all.iter().rev().filter(|action| ask.is_for(action));
        let actions: Vec<ActionView> = found.by_ref().take(ask.limit()).cloned().collect();
        let next = found.next().and(actions.last()).map(|last| last.number);
        ListedActions { actions, next }
    }

    /// What was done, each word once.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.all().into_iter().map(|action| action.action).collect();
        words.sort();
        words.dedup();
        words
    }

    /// The newest one of this gateway: its number; of several gateways its id and the gateway, since numbers change.
    fn newest(&self) -> String {
        let kept = self.kept();
        match (kept.actions.back(), &self.shared) {
            (Some(newest), Some(shared)) => format!("{}-{}", newest.id, shared.node()),
            (Some(newest), None) => newest.action.number.to_string(),
            (None, _) => "0".to_owned(),
        }
    }

    fn called(&self, name: &str) -> Option<ActionView> {
        let is_meant = |one: &StoredAction| match (name.split_once('-'), &one.action.node) {
            (Some((id, node)), Some(of)) => id.parse() == Ok(one.id) && of.as_str() == node,
            (None, None) => name.parse() == Ok(one.action.number),
            _ => false,
        };
        self.stored().into_iter().rev().find(is_meant).map(|one| one.action)
    }

    /// All that are kept, the oldest first.
    fn all(&self) -> Vec<ActionView> {
        self.stored().into_iter().map(|one| one.action).collect()
    }

    fn stored(&self) -> Vec<StoredAction> {
        let own: Vec<StoredAction> = self.kept().actions.iter().cloned().collect();
        match &self.shared {
            Some(shared) => shared.with(own),
            None => own,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves the list whole.
        lock(&self.kept)
    }
}

/// Adds an action to the file, or writes it anew once it holds twice as many lines as are kept.
fn write(path: &PathBuf, kept: &mut Kept, number: u64) -> io::Result<()> {
    let line = |stored: &StoredAction| {
        serde_json::to_string(stored).map(|line| line + "\n").map_err(io::Error::other)
    };
    if kept.n_lines >= 2 * ACTIONS_MAX {
        let lines = kept.actions.iter().map(line).collect::<io::Result<String>>()?;
        kept.n_lines = kept.actions.len();
        return files::replace(path, lines);
    }
    let Some(changed) = kept.actions.iter().rev().find(|one| one.action.number == number) else {
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line(changed)?.as_bytes())?;
    kept.n_lines += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn action(target: String) -> ActionView {
        ActionView {
            number: 0,
            node: None,
            at: Timestamp::from_millis(0),
            actor: Actor::Token,
            action: "redrive".into(),
            target,
            about: ActedOn::default(),
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
        let all = ActionsAsk { limit: Some(usize::MAX), ..ActionsAsk::default() };
        assert_eq!(again.list(&all).actions, actions.list(&all).actions);
        assert_eq!(again.list(&all).actions.len(), ACTIONS_MAX);
        assert_eq!(again.list(&all).actions[0].target, (3 * ACTIONS_MAX).to_string());
        assert!(std::fs::read_to_string(path).unwrap().lines().count() <= 2 * ACTIONS_MAX);
    }

    #[test]
    fn names_of_actors_are_those_of_their_json() {
        for actor in Actor::ALL {
            assert_eq!(serde_json::to_value(actor).unwrap(), actor.name());
        }
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
            assert_eq!(Actions::open(path.clone()).list(&ActionsAsk::default()).actions.len(), 1);
        }
    }
}
