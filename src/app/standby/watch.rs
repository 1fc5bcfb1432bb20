//! Looks how far the second copy of the queue is behind, and tells of one that is too far.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::control::Server;
use super::super::open_alerts::OpenAlert;
use super::super::system_events::SystemSource;
use crate::clock::Timestamp;
use crate::standby::{Rule, StandbyView};

/// How often to look: what is told of a lag is no older than that.
const EVERY: Duration = Duration::from_secs(1);

/// How long a lag is not told of again: one that comes and goes about `lag_max` is told of once.
const PAUSE: Duration = Duration::from_mins(10);

const LAG: &str = "standby.lag";
const CAUGHT_UP: &str = "standby.caught_up";

/// Looks now and then, until `stop`, and tells of a copy that is too far behind, and that it is not
/// any more.
pub(in super::super) async fn run(
    server: Arc<Server>,
    own: Arc<SystemSource>,
    stop: CancellationToken,
) {
    let mut told = Told::recalled(own.alerts().get(LAG, ""));
    let look = || {
        server.standbys.look();
        let view = server.standbys.view();
        let (now, steady) = (server.core.clock.now(), server.core.clock.steady());
        let (what, payload) = told.look(view, server.standbys.rule(), (now, steady))?;
        if what == LAG {
            own.alerts().begin(LAG, "", (told.since.unwrap_or(now), now));
        } else {
            own.alerts().end(LAG, "");
        }
        Some((what, now.as_millis().to_string(), payload))
    };
    own.watch(EVERY, stop, look).await;
}

/// What was told of the copy.
#[derive(Debug, Default)]
struct Told {
    /// Since when it is too far behind.
    since: Option<Timestamp>,
    /// Whether that was told, and its end was not.
    is_open: bool,
    /// When that was told last, by the steady clock.
    last: Option<Timestamp>,
}

impl Told {
    /// What an earlier process told: that it is over is told in this one.
    fn recalled(open: Option<OpenAlert>) -> Self {
        Self { since: open.map(|open| open.since), is_open: open.is_some(), last: None }
    }

    /// What is to be told of a copy that stands like this.
    fn look(
        &mut self,
        view: Option<StandbyView>,
        rule: Rule,
        (now, steady): (Timestamp, Timestamp),
    ) -> Option<(&'static str, Value)> {
        let view = view?;
        let is_late = view.lag.seconds > rule.lag_max.as_secs_f64();
        let is_time = self.last.is_none_or(|last| steady.since(last) >= PAUSE);
        let since = *self.since.get_or_insert(now);
        // Of a copy that has not asked since the start it is not known how far it is.
        let is_over = !is_late && view.connected;
        if is_over || !(is_late || self.is_open) {
            self.since = None;
        }
        match (is_late, self.is_open) {
            (true, false) if is_time => {
                (self.is_open, self.last) = (true, Some(steady));
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
            (false, true) if is_over => {
                self.is_open = false;
                let seconds = now.since(since).as_secs();
                let payload = json!({
                    "standby": view.name,
                    "since": since,
                    "seconds": seconds,
                });
                Some((CAUGHT_UP, payload))
            }
            (true | false, _) => None,
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
    fn a_lag_is_open_once_and_so_is_its_end() {
        let rule = Rule {
            acknowledge: Acknowledge::Local,
            timeout: Duration::from_secs(5),
            is_expected: true,
            lag_max: Duration::from_secs(10),
        };
        let mut told = Told::default();
        assert_eq!(told.look(None, rule, (NOW, NOW)), None);
        // The wall clock may be set back meanwhile.
        let mut look =
            |view, steady| told.look(Some(view), rule, (NOW, steady)).map(|(what, _)| what);
        assert_eq!(look(view(10.0), NOW), None);
        assert_eq!(look(view(10.1), NOW), Some(LAG));
        assert_eq!(look(view(99.0), NOW), None);
        assert_eq!(look(view(0.0), NOW.after(Duration::from_mins(1))), Some(CAUGHT_UP));
        assert_eq!(look(view(0.0), NOW), None);
        let later = |minutes| NOW.after(Duration::from_mins(minutes));
        assert_eq!(look(view(11.0), later(2)), None, "not each time that it swings");
        assert_eq!(look(view(1.0), later(3)), None);
        assert_eq!(look(view(11.0), later(10)), Some(LAG));
    }

    #[test]
    fn lag_that_was_told_before_a_restart_is_over_once_the_copy_asks_again() {
        let rule = Rule {
            acknowledge: Acknowledge::Local,
            timeout: Duration::from_secs(5),
            is_expected: true,
            lag_max: Duration::from_secs(10),
        };
        let mut told = Told::recalled(Some(OpenAlert { since: NOW, told_at: NOW }));
        let now = NOW.after(Duration::from_mins(9));
        let not_yet = StandbyView { connected: false, ..view(1.0) };
        assert_eq!(told.look(None, rule, (now, now)), None);
        assert_eq!(told.look(Some(not_yet), rule, (now, now)), None, "nobody knows yet");
        assert_eq!(told.look(Some(view(11.0)), rule, (now, now)), None, "it was told");
        let (what, payload) = told.look(Some(view(1.0)), rule, (now, now)).unwrap();
        assert_eq!((what, &payload["seconds"]), (CAUGHT_UP, &json!(540)));
        assert_eq!(told.look(Some(view(1.0)), rule, (now, now)), None);
    }
}
