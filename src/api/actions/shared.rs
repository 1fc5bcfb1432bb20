//! The action log of several gateways: each action goes into the log that they share, and every one of them shows
//! all. The file of each holds its own, whatever becomes of that log, with a mark of what it does not have yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::{ActionView, Actions, StoredAction};
use crate::api::{ActedOn, Api};
use crate::cluster::{ACTION_BYTES_MAX, ClusterQueue, LoggedAction, NodeName};
use crate::queue::QueueError;
use crate::sync::lock;

/// How long after a refusal it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The log of all, and who waits for something to put there.
#[derive(Debug)]
pub(super) struct SharedActions {
    cluster: Arc<ClusterQueue>,
    /// Counts up with each change of the own ones.
    changed: watch::Sender<u64>,
    parsed: Mutex<ParsedActions>,
}

/// What the shared log has, by its number there, with the text that it was read from.
type ParsedActions = BTreeMap<u64, (Arc<LoggedAction>, Option<StoredAction>)>;

impl SharedActions {
    pub(super) fn notify(&self) {
        self.changed.send_modify(|n_changes| *n_changes += 1);
    }

    pub(super) fn node(&self) -> &NodeName {
        self.cluster.name()
    }

    /// Those of all gateways, where `own` are this one's, the oldest first.
    pub(super) fn with(&self, own: Vec<StoredAction>) -> Vec<StoredAction> {
        let logged = self.cluster.logged_actions();
        let mut parsed = lock(&self.parsed);
        // Each text is read once, and forgotten with the log's.
        let mut before = std::mem::take(&mut *parsed);
        for one in logged {
            let known = before.remove(&one.number).filter(|(text, _)| Arc::ptr_eq(text, &one));
            parsed.insert(one.number, known.unwrap_or_else(|| (Arc::clone(&one), read(&one))));
        }
        let shared = parsed.values().filter_map(|(_, action)| action.clone()).collect();
        drop(parsed);
        merged(self.node(), own, shared)
    }
}

fn read(logged: &LoggedAction) -> Option<StoredAction> {
    let action: ActionView = serde_json::from_str(&logged.text).ok()?;
    let action = ActionView { number: logged.number, node: Some(logged.node.clone()), ..action };
    Some(StoredAction { action, id: logged.id, is_unshared: false })
}

/// The own ones as they are here, with the number of the shared log where that has them, and those of the others, by
/// time: a log that has lost some, or is another one, takes none of the own ones away.
fn merged(node: &NodeName, own: Vec<StoredAction>, shared: Vec<StoredAction>) -> Vec<StoredAction> {
    let mut all = own;
    for one in &mut all {
        one.action.node = Some(node.clone());
    }
    let places: BTreeMap<u64, usize> =
        all.iter().enumerate().map(|(place, one)| (one.id, place)).collect();
    for one in shared {
        let is_own = one.action.node.as_ref() == Some(node);
        let place = places.get(&one.id).filter(|_| is_own);
        match place.and_then(|place| all.get_mut(*place)) {
            Some(here) => here.action.number = one.action.number,
            None => all.push(one),
        }
    }
    all.sort_by_key(|one| (one.action.at, one.action.number));
    all
}

/// As the shared log has it: without the filter that it was for where that is as long as none is in earnest.
/// `None` = it is too long even so.
fn text(action: &ActionView) -> Option<String> {
    let text = |action: &ActionView| {
        let text = serde_json::to_string(action).ok();
        text.filter(|text| text.len() <= ACTION_BYTES_MAX)
    };
    text(action).or_else(|| text(&ActionView { about: ActedOn::default(), ..action.clone() }))
}

impl Actions {
    /// The action log of all gateways that share `cluster`'s log, where there is one.
    pub fn open_shared(path: PathBuf, cluster: Option<Arc<ClusterQueue>>) -> Self {
        let (changed, parsed) = (watch::Sender::new(0), Mutex::default());
        let shared = cluster.map(|cluster| SharedActions { cluster, changed, parsed });
        let actions = Self { shared, ..Self::open(path) };
        actions.kept().is_sharing = actions.shared.is_some();
        actions
    }

    /// The highest number of a rollout that began on any gateway; 0 = none is known.
    pub(in crate::api) fn highest_rollout(&self) -> u64 {
        let has_begun = |one: &StoredAction| one.action.is_done && one.action.action == "rollout";
        let all = self.stored().into_iter().filter(has_begun);
        all.filter_map(|one| one.action.about.rollout).max().unwrap_or_default()
    }

    /// The oldest one that the shared log is still to get, and its text there. What can never get there is left
    /// out, so that what comes behind it does.
    fn next_to_share(&self) -> Option<(StoredAction, String)> {
        loop {
            let next = self.kept().actions.iter().find(|one| one.is_unshared).cloned()?;
            if let Some(text) = text(&next.action) {
                return Some((next, text));
            }
            warn!(action = next.action.action, "An action is too long for the other gateways");
            self.mark_shared(&next);
        }
    }

    /// The shared log has it, unless it has gone on since.
    fn mark_shared(&self, action: &StoredAction) {
        let kept = &mut *self.kept();
        if let Some(here) = kept.actions.iter_mut().find(|one| *one == action) {
            here.is_unshared = false;
            self.keep(kept, action.action.number);
        }
    }

    /// Puts each action into the shared log, without an end.
    async fn share(&self, shared: &SharedActions) {
        let mut changed = shared.changed.subscribe();
        let mut is_outage_logged = false;
        loop {
            changed.borrow_and_update();
            let Some((action, text)) = self.next_to_share() else {
                // An error means that the log is gone.
                if changed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match shared.cluster.log_action(action.id, text).await {
                Ok(()) => {
                    is_outage_logged = false;
                    self.mark_shared(&action);
                }
                Err(QueueError::Closed) => return,
                Err(err) => {
                    if !std::mem::replace(&mut is_outage_logged, true) {
                        warn!(error = %err, "Actions do not get into the shared log; it is tried each second");
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

impl Api {
    /// Puts what is done on this gateway into the log that several share, without an end; returns where there is no
    /// such log.
    pub async fn share_actions(&self) {
        let Some(server) = &self.server else { return };
        if let Some(shared) = &server.actions.shared {
            server.actions.share(shared).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ActionsAsk;
    use super::super::tests::action;
    use super::*;
    use crate::clock::{SystemClock, Timestamp};
    use crate::cluster::{ClusterAck, ClusterBackend, ClusterOptions, MemoryEngine};
    use crate::queue::Queue;
    use crate::queue::embedded::Settings;

    fn at(seconds: i64, target: &str) -> ActionView {
        ActionView { at: Timestamp::from_millis(seconds * 1_000), ..action(target.to_owned()) }
    }

    fn targets(all: &[StoredAction]) -> Vec<&str> {
        all.iter().map(|one| one.action.target.as_str()).collect()
    }

    #[test]
    fn own_actions_stay_in_the_file_and_only_those_from_now_on_are_shared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions");
        // As an earlier version wrote it.
        let old = ActionView { number: 7, ..at(10, "before it joined") };
        std::fs::write(&path, serde_json::to_string(&old).unwrap() + "\n").unwrap();
        let open = || {
            let actions = Actions::open(path.clone());
            actions.kept().is_sharing = true;
            actions
        };
        let actions = open();
        assert_eq!(actions.next_to_share(), None);
        assert_eq!(actions.add(at(30, "since")), 8);
        let (next, _) = actions.next_to_share().unwrap();
        assert_eq!(next.action.target, "since");
        assert_eq!(open().next_to_share().unwrap().0, next, "after a restart");
        actions.mark_shared(&next);
        assert_eq!(actions.next_to_share(), None);
        let again = open();
        assert_eq!(again.next_to_share(), None);
        assert_eq!(targets(&again.stored()), ["before it joined", "since"]);
        // A clock that was put back makes no name that the log has seen.
        again.add(at(20, "by another clock"));
        assert!(again.next_to_share().unwrap().0.id > next.id);
    }

    #[test]
    fn actions_of_all_gateways_stand_by_time_and_keep_their_names() {
        let actions = Actions::none();
        for (seconds, target) in [(10, "old"), (30, "lost by the log"), (40, "newest")] {
            actions.kept().is_sharing = seconds > 10;
            actions.add(at(seconds, target));
        }
        let [a, b] = ["a", "b"].map(|name| NodeName::parse(name).unwrap());
        let own = actions.stored();
        let logged = |number: u64, node: &NodeName, id: u64, action: &ActionView| {
            let text = text(action).unwrap();
            read(&LoggedAction { number, node: node.clone(), id, text }).unwrap()
        };
        let name = |all: &[StoredAction]| {
            let newest = all.iter().find(|one| one.action.target == "newest").unwrap();
            (newest.action.node.clone(), newest.id)
        };
        let of_b = logged(512, &b, own[2].id, &at(20, "of b"));
        let before = merged(&a, own.clone(), vec![of_b.clone()]);
        let of_a = logged(1_024, &a, own[2].id, &own[2].action);
        let after = merged(&a, own.clone(), vec![of_b, of_a]);
        assert_eq!(targets(&after), ["old", "of b", "lost by the log", "newest"]);
        assert_eq!((targets(&before), name(&before)), (targets(&after), name(&after)));
        assert_eq!(after.last().unwrap().action.number, 1_024);
    }

    #[test]
    fn action_that_is_too_long_does_not_block_those_behind_it() {
        let actions = Actions::none();
        actions.kept().is_sharing = true;
        actions.add(ActionView { action: "x".repeat(ACTION_BYTES_MAX), ..at(1, "long") });
        actions.add(at(2, "behind"));
        assert_eq!(actions.next_to_share().unwrap().0.action.target, "behind");
        assert_eq!(actions.list(&ActionsAsk::default()).actions.len(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn action_for_which_the_log_has_no_room_is_shared_once_it_has() {
        let (folder, engine) = (tempfile::tempdir().unwrap(), MemoryEngine::default());
        let cluster = ClusterQueue::open(ClusterOptions {
            backend: ClusterBackend::Postgres,
            name: NodeName::parse("a").unwrap(),
            ack: ClusterAck::Engine,
            lease: Duration::from_secs(2),
            engine: Arc::new(engine.clone()),
            copy: Settings::new(folder.path().join("queue")),
            clock: Arc::new(SystemClock::new()),
        });
        let cluster = cluster.await.unwrap();
        let path = folder.path().join("actions");
        let actions = Actions::open_shared(path, Some(Arc::clone(&cluster)));
        engine.set_room(0);
        actions.add(at(1, "while it is full"));
        let room = async {
            // It is answered behind the one that is shared.
            let refused = cluster.log_action(1, "behind it".to_owned()).await;
            assert!(matches!(refused, Err(QueueError::Full(_))), "{refused:?}");
            engine.set_room(usize::MAX);
            while actions.next_to_share().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            biased;
            () = actions.share(actions.shared.as_ref().unwrap()) => panic!("it goes on"),
            room = tokio::time::timeout(Duration::from_mins(1), room) => room.unwrap(),
        }
        let logged: Vec<String> =
            cluster.logged_actions().iter().map(|one| one.text.clone()).collect();
        assert!(matches!(&logged[..], [one] if one.contains("while it is full")), "{logged:?}");
        cluster.close().await.unwrap();
    }
}
