//! Looks whether the shared log can be reached, and tells of it when it cannot, and when it can again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::control::Server;
use super::super::open_alerts::OpenAlert;
use super::super::system_events::SystemSource;
use super::ClusterSource;
use crate::clock::Timestamp;
use crate::cluster::ClusterView;

/// How often to look.
const EVERY: Duration = Duration::from_secs(5);
/// An election of a new leader or a primary that is started again takes some seconds, and needs no owner.
const TOLERATED: Duration = Duration::from_secs(15);
/// One that comes and goes is told of so often at most.
const PAUSE: Duration = Duration::from_mins(10);

const DOWN: &str = "engine.down";
const BACK: &str = "engine.back";

/// Looks now and then, until `stop`. Both events go the way of all others: what tells of the outage is
/// delivered once it is over, since nothing is delivered without the shared log.
pub(in super::super) async fn run(
    cluster: ClusterSource,
    server: Arc<Server>,
    own: Arc<SystemSource>,
    stop: CancellationToken,
) {
    let mut told = Told::recalled(own.alerts().get(DOWN, ""));
    let look = || {
        let (view, now) = (cluster(), server.core.clock.now());
        let (what, payload) = told.look(&view, now)?;
        if what == DOWN {
            own.alerts().begin(DOWN, "", (told.down_since.unwrap_or(now), now));
        } else {
            own.alerts().end(DOWN, "");
        }
        // Each node tells for itself: its spool and its way to the engine are its own.
        Some((what, format!("{} {}", view.node, now.as_millis()), payload))
    };
    own.watch(EVERY, stop, look).await;
}

/// What was told, and when.
#[derive(Debug, Default)]
struct Told {
    /// Since when the engine is away, where that was told.
    down_since: Option<Timestamp>,
    /// When an outage was told last.
    last: Option<Timestamp>,
    /// Whether an earlier process told it.
    is_recalled: bool,
}

impl Told {
    /// What an earlier process told: that it is over is told in this one.
    fn recalled(open: Option<OpenAlert>) -> Self {
        let (down_since, last) = (open.map(|open| open.since), open.map(|open| open.told_at));
        Self { down_since, last, is_recalled: open.is_some() }
    }

    /// What is to be told of an engine that stands like this.
    fn look(&mut self, view: &ClusterView, now: Timestamp) -> Option<(&'static str, Value)> {
        let engine = &view.engine;
        match (engine.up, self.down_since) {
            (false, None) => {
                let is_due = self.last.is_none_or(|at| now.since(at) >= PAUSE);
                if !is_due || now.since(engine.since) < TOLERATED {
                    return None;
                }
                (self.down_since, self.last) = (Some(engine.since), Some(now));
                let payload = json!({
                    "node": view.node,
                    "backend": view.backend,
                    "since": engine.since,
                    "error": engine.error,
                    "spilled": view.spilled,
                });
                Some((DOWN, payload))
            }
            // An engine counts as there from the start on, until it is found to be away.
            (true, Some(_)) if self.is_recalled && now.since(engine.since) < TOLERATED => None,
            (true, Some(since)) => {
                (self.down_since, self.is_recalled) = (None, false);
                let payload = json!({
                    "node": view.node,
                    "backend": view.backend,
                    "down_since": since,
                    "down_seconds": now.since(since).as_secs(),
                    "spilled": view.spilled,
                });
                Some((BACK, payload))
            }
            (false, Some(_)) | (true, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ClusterAck, ClusterBackend, EngineView, NodeName};

    fn view(error: Option<&str>, since: Timestamp) -> ClusterView {
        let error = error.map(ToOwned::to_owned);
        ClusterView {
            node: NodeName::parse("a").unwrap(),
            backend: ClusterBackend::Postgres,
            ack: ClusterAck::Both,
            engine: EngineView { up: error.is_none(), since, error, durability: None },
            applied: 1,
            head: Some(1),
            spilled: 3,
            oldest_spilled_at: None,
            void_settlements: 0,
            nodes: Vec::new(),
            handlers: Vec::new(),
        }
    }

    #[test]
    fn outage_is_told_within_a_minute_and_once_and_so_is_its_end() {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut told = Told::default();
        let mut look = |error, since, now| told.look(&view(error, at(since)), at(now));
        assert_eq!(look(None, 0, 0), None);
        assert_eq!(look(Some("refused"), 100, 105), None, "it may be a new election");
        let (what, payload) = look(Some("refused"), 100, 115).unwrap();
        assert_eq!((what, &payload["error"]), (DOWN, &json!("refused")));
        assert_eq!((&payload["since"], &payload["spilled"]), (&json!(at(100)), &json!(3)));
        assert_eq!(look(Some("refused"), 100, 900), None);
        let (what, payload) = look(None, 901, 905).unwrap();
        assert_eq!((what, &payload["down_seconds"]), (BACK, &json!(805)));
        assert_eq!(look(None, 901, 906), None);
        // It comes and goes: ten minutes after the last one it may be told again.
        assert!(look(Some("refused"), 907, 960).is_some());
        assert!(look(None, 961, 962).is_some());
        assert_eq!(look(Some("refused"), 963, 1_500), None);
        assert!(look(Some("refused"), 963, 1_560).is_some());
    }
    #[test]
    fn outage_that_was_told_before_a_restart_is_over_once_the_engine_is_there_for_a_while() {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut told = Told::recalled(Some(OpenAlert { since: at(0), told_at: at(15) }));
        let mut look = |error, since, now| told.look(&view(error, at(since)), at(now));
        assert_eq!(look(None, 100, 101), None, "it was not asked yet");
        assert_eq!(look(Some("refused"), 102, 130), None, "it was told");
        assert_eq!(look(None, 131, 140), None);
        let (what, payload) = look(None, 131, 146).unwrap();
        assert_eq!((what, &payload["down_seconds"]), (BACK, &json!(146)));
        assert_eq!(look(None, 131, 147), None);
    }
}
