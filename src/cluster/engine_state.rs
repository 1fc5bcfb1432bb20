//! Whether the shared log can be reached, and whether it takes events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};

/// How often the log says that an engine which is away is so for another reason.
const REASON_EVERY: Duration = Duration::from_secs(10);

/// Whether the engine can be reached, and has room for events.
#[derive(Debug)]
pub(super) struct EngineState {
    clock: Arc<dyn Clock>,
    reached: watch::Sender<EngineReach>,
    /// Since when, by the wall clock, it has no room for what is to be forwarded, and what it says. Signs of life and
    /// outcomes, which are smaller, may go on.
    no_room: watch::Sender<Option<(Timestamp, String)>>,
}

/// Whether the engine can be reached.
#[derive(Clone, Debug)]
struct EngineReach {
    /// Why not; `None` = it can.
    error: Option<String>,
    /// Since when, by the wall clock.
    since: Timestamp,
    /// When a reason was logged last, by the steady clock.
    logged_at: Timestamp,
}

impl EngineState {
    /// It can be reached, until it is found to be away.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let reached = EngineReach { error: None, since: clock.now(), logged_at: clock.steady() };
        Self { clock, reached: watch::Sender::new(reached), no_room: watch::Sender::new(None) }
    }

    /// Notes whether the engine was there. The first time of each is logged, and another reason once in a while.
    pub(super) fn note(&self, error: Option<String>) {
        self.reached.send_if_modified(|state| {
            if state.error == error {
                return false;
            }
            let is_turn = state.error.is_some() != error.is_some();
            let now = self.clock.steady();
            if is_turn || now.since(state.logged_at) >= REASON_EVERY {
                state.logged_at = now;
                match &error {
                    None => tracing::info!("The shared log can be reached again"),
                    Some(why) => tracing::error!(error = why, "The shared log cannot be reached"),
                }
            }
            state.error = error;
            if is_turn {
                state.since = self.clock.now();
            }
            true
        });
    }

    /// Notes that it has no room for events.
    pub(super) fn note_no_room(&self, why: String) {
        self.no_room.send_if_modified(|no_room| {
            let since = no_room.as_ref().map(|(since, _)| *since);
            if since.is_none() {
                tracing::error!(error = why, "The shared log has no room for events");
            }
            *no_room = Some((since.unwrap_or_else(|| self.clock.now()), why));
            since.is_none()
        });
    }

    /// Notes that it has taken an event.
    pub(super) fn note_room(&self) {
        self.no_room.send_if_modified(|no_room| {
            let is_turn = no_room.take().is_some();
            if is_turn {
                tracing::info!("The shared log has room for events again");
            }
            is_turn
        });
    }

    /// Whether it could be reached when it was last asked.
    pub(super) fn is_there(&self) -> bool {
        self.reached.borrow().error.is_none()
    }

    /// Whether it had room for the newest event.
    pub(super) fn has_room(&self) -> bool {
        self.no_room.borrow().is_none()
    }

    /// Since when it can be reached and has room, or why not.
    pub(super) fn since(&self) -> (Timestamp, Option<String>) {
        let EngineReach { error, since, .. } = self.reached.borrow().clone();
        match &*self.no_room.borrow() {
            Some((since, why)) if error.is_none() => {
                (*since, Some(format!("it has no room for events: {why}")))
            }
            _ => (since, error),
        }
    }

    /// Returns once it cannot be reached.
    pub(super) async fn until_away(&self) {
        // An error means that this is gone.
        drop(self.reached.subscribe().wait_for(|state| state.error.is_some()).await);
    }

    /// Returns once it has no room for events.
    pub(super) async fn until_full(&self) {
        drop(self.no_room.subscribe().wait_for(Option::is_some).await);
    }
}
