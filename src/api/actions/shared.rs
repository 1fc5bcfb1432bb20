//! The action log of several gateways: each action goes into the log that they share, and every one of them shows
//! all. Until the log has it, it is in the file and shown by its own gateway only.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::{ActionView, Actions};
use crate::api::{ActedOn, Api};
use crate::cluster::{ClusterQueue, NOTE_BYTES_MAX, NodeName};
use crate::files;
use crate::queue::QueueError;

/// How long an answer waits for the shared log to have what was done.
const SHARED_WITHIN: Duration = Duration::from_secs(2);
/// How long after a refusal it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So many are forwarded before the file is written without them; one that comes again is known.
const FORGOTTEN_AT_ONCE: usize = 64;

/// The log of all, and the bell of what waits for it.
#[derive(Debug)]
pub(super) struct SharedActions {
    cluster: Arc<ClusterQueue>,
    /// Counts up with each change of what waits.
    changed: watch::Sender<u64>,
}

impl SharedActions {
    pub(super) fn ring(&self) {
        self.changed.send_modify(|n_changes| *n_changes += 1);
    }

    /// Those of all gateways, then those that only this one has; numbered as they would be now.
    pub(super) fn with(&self, waiting: Vec<ActionView>) -> Vec<ActionView> {
        let own = self.cluster.name();
        let notes = self.cluster.notes();
        let next = notes.last().map_or(1, |last| last.number.saturating_add(1));
        // What goes on is in the log as it was, and newer here.
        let mut newer: BTreeMap<u64, ActionView> =
            waiting.iter().map(|action| (id(action), action.clone())).collect();
        let mut all: Vec<ActionView> = Vec::with_capacity(notes.len() + waiting.len());
        for note in notes {
            let here = if note.node == *own { newer.remove(&note.id) } else { None };
            let Some(action) = here.or_else(|| serde_json::from_str(&note.text).ok()) else {
                continue;
            };
            all.push(of_node(action, note.number, &note.node));
        }
        let rest = waiting.into_iter().filter(|action| newer.contains_key(&id(action)));
        let numbers = next..;
        all.extend(numbers.zip(rest).map(|(number, action)| of_node(action, number, own)));
        all
    }
}

fn of_node(action: ActionView, number: u64, node: &NodeName) -> ActionView {
    ActionView { number, node: Some(node.clone()), ..action }
}

/// What an action is called in the shared log: numbers begin anew with the file, and never within a millisecond.
fn id(action: &ActionView) -> u64 {
    (action.at.as_millis().cast_unsigned() << 16) | (action.number & 0xffff)
}

/// As the shared log has it: without the filter that it was for where that is as long as none is in earnest.
fn text(action: &ActionView) -> String {
    let text = |action: &ActionView| serde_json::to_string(action).unwrap_or_default();
    let whole = text(action);
    if whole.len() <= NOTE_BYTES_MAX {
        return whole;
    }
    text(&ActionView { about: ActedOn::default(), ..action.clone() })
}

impl Actions {
    /// The action log of all gateways that share `cluster`'s log, where there is one: what the file holds is not
    /// there yet then, also what this gateway noted before it shared one.
    pub fn open_shared(path: PathBuf, cluster: Option<Arc<ClusterQueue>>) -> Self {
        let shared =
            cluster.map(|cluster| SharedActions { cluster, changed: watch::Sender::new(0) });
        Self { shared, ..Self::open(path) }
    }

    /// The oldest one that the shared log does not have.
    fn waiting(&self) -> Option<ActionView> {
        self.kept().actions.front().cloned()
    }

    /// Puts each action into the shared log, without an end.
    async fn share(&self, shared: &SharedActions) {
        let mut changed = shared.changed.subscribe();
        let mut n_told = 0;
        loop {
            changed.borrow_and_update();
            let Some(action) = self.waiting() else {
                // An error means that the log is gone.
                if changed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match shared.cluster.note(id(&action), text(&action)).await {
                Ok(()) => {
                    n_told += 1;
                    self.forget(&action, n_told % FORGOTTEN_AT_ONCE == 0);
                    shared.ring();
                }
                Err(QueueError::Closed) => return,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// The shared log has it, unless it has gone on since.
    fn forget(&self, action: &ActionView, is_time: bool) {
        let kept = &mut *self.kept();
        if kept.actions.front() == Some(action) {
            kept.actions.pop_front();
        }
        if !(is_time || kept.actions.is_empty()) {
            return;
        }
        let Some(path) = &self.path else { return };
        match written(&kept.actions).and_then(|lines| files::replace(path, lines)) {
            Ok(()) => kept.n_lines = kept.actions.len(),
            Err(err) => warn!(error = %err, "The action log cannot be written"),
        }
    }
}

fn written(actions: &VecDeque<ActionView>) -> std::io::Result<String> {
    let line = |action| serde_json::to_string(action).map(|line| line + "\n");
    Ok(actions.iter().map(line).collect::<Result<String, _>>()?)
}

impl Api {
    /// The number of what was done last on this gateway; 0 = nothing was.
    pub fn newest_action(&self) -> u64 {
        let Some(actions) = self.server.as_ref().map(|server| &server.actions) else { return 0 };
        let own = actions.shared.as_ref().map(|shared| shared.cluster.name());
        let all = actions.all();
        let newest = all.iter().rev().find(|action| action.node.as_ref() == own);
        newest.map_or(0, |action| action.number)
    }

    /// Puts what is done on this gateway into the log that several share, without an end; returns where there is no
    /// such log.
    pub async fn share_actions(&self) {
        let Some(server) = &self.server else { return };
        if let Some(shared) = &server.actions.shared {
            server.actions.share(shared).await;
        }
    }

    /// Returns once the shared log has what was done until now, or does not have it soon: from then on its number
    /// stays.
    pub async fn until_shared(&self) {
        let Some(actions) = self.server.as_ref().map(|server| &server.actions) else { return };
        let Some(shared) = &actions.shared else { return };
        let mut changed = shared.changed.subscribe();
        // Looked at outside of the bell's own lock: who rings it holds the list.
        let is_shared = async {
            loop {
                changed.borrow_and_update();
                if actions.waiting().is_none() || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Late is told on the page.
        drop(tokio::time::timeout(SHARED_WITHIN, is_shared).await);
    }
}
