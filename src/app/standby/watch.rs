//! Looks how far the second copy of the queue is behind, and tells of one that is too far.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::control::Server;
use super::super::system_events::SystemSource;
use crate::clock::Timestamp;
use crate::standby::{Rule, StandbyView};

/// How often to look: what is told of a lag is no older than that.
const EVERY: Duration = Duration::from_secs(1);

const LAG: &str = "standby.lag";
const CAUGHT_UP: &str = "standby.caught_up";

/// Looks now and then, until `stop`, and tells of a copy that is too far behind, and that it is not
/// any more.
pub(in super::super) async fn run(
    server: Arc<Server>,
    own: Arc<SystemSource>,
    stop: CancellationToken,
) {
    let mut told = Told::default();
    let look = || {
        server.standbys.look();
        let view = server.standbys.view();
        let now = server.core.clock.now();
        let (what, payload) = told.look(view, server.standbys.rule(), now)?;
        Some((what, now.as_millis().to_string(), payload))
    };
    own.watch(EVERY, stop, look).await;
}

/// Since when the copy is too far behind, where that was told.
#[derive(Debug, Default)]
struct Told(Option<Timestamp>);

impl Told {
    /// What is to be told of a copy that stands like this.
    fn look(
        &mut self,
        view: Option<StandbyView>,
        rule: Rule,
        now: Timestamp,
    ) -> Option<(&'static str, Value)> {
        let view = view?;
        let is_late = view.lag.seconds > rule.lag_max.as_secs_f64();
        match (is_late, self.0) {
            (true, None) => {
                self.0 = Some(now);
                let payload = json!({
                    "standby": view.name,
                    "connected": view.connected,
                    "lag_seconds": view.lag.seconds,
                    "lag_bytes": view.lag.bytes,
                    "lag_max_seconds": rule.lag_max.as_secs(),
                    "last_seen_at": view.last_seen_at,
                });
                Some((LAG, payload))
            }
            (false, Some(since)) => {
                self.0 = None;
                let seconds = now.since(since).as_secs();
                let payload = json!({
                    "standby": view.name,
                    "since": since,
                    "seconds": seconds,
                });
                Some((CAUGHT_UP, payload))
            }
            (true, Some(_)) | (false, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standby::{Acknowledge, Lag};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_090_000);

    fn view(seconds: f64) -> StandbyView {
        StandbyView {
            name: Some("two".to_owned()),
            connected: true,
            last_seen_at: None,
            lag: Lag { seconds, bytes: 7 },
            acknowledges: false,
        }
    }

    #[test]
    fn a_lag_is_told_once_and_so_is_its_end() {
        let rule = Rule {
            acknowledge: Acknowledge::Local,
            timeout: Duration::from_secs(5),
            is_expected: true,
            lag_max: Duration::from_secs(10),
        };
        let mut told = Told::default();
        assert_eq!(told.look(None, rule, NOW), None);
        let mut look = |view, now| told.look(Some(view), rule, now).map(|(what, _)| what);
        assert_eq!(look(view(10.0), NOW), None);
        assert_eq!(look(view(10.1), NOW), Some(LAG));
        assert_eq!(look(view(99.0), NOW), None);
        assert_eq!(look(view(0.0), NOW.after(Duration::from_mins(1))), Some(CAUGHT_UP));
        assert_eq!(look(view(0.0), NOW), None);
        assert_eq!(look(view(11.0), NOW), Some(LAG));
    }
}
