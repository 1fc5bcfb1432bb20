//! Gatepost's own events: they go the same way as all others, so that any handler can tell people
//! of them.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::deliver::{OWN_SOURCE, SystemEvents};
use crate::event::{Dedupe, SourceName};
use crate::queue::DeadLetter;
use crate::source::dedupe_key;
use crate::sync::lock;

use super::core::Core;
use super::dead_news::DeadNews;
use super::held_events::{HeldEvent, HeldEvents};
use super::open_alerts::KeptAlerts;
use super::own_events::{event, is_like_sample};

/// How long the same event is not made again: a crash or a busy hour would repeat it.
const WINDOW: Duration = Duration::from_hours(24);

/// The built-in source `gatepost`.
pub(super) struct SystemSource {
    core: Core,
    dead: Mutex<DeadNews>,
    /// Held while they are stored, which waits: "back" must not come before "down".
    held: tokio::sync::Mutex<HeldEvents>,
    /// What was told of troubles that are not over, but for those of handlers.
    alerts: KeptAlerts,
}

impl SystemSource {
    #[cfg(test)]
    pub(super) fn new(core: Core) -> Self {
        Self::with_alerts(core, KeptAlerts::in_memory())
    }

    /// One that knows what an earlier process told.
    pub(super) fn with_alerts(core: Core, alerts: KeptAlerts) -> Self {
        Self { core, dead: Mutex::default(), held: tokio::sync::Mutex::default(), alerts }
    }

    /// What was told of troubles that are not over. What is changed is kept with the event that is appended next.
    pub(super) const fn alerts(&self) -> &KeptAlerts {
        &self.alerts
    }

    /// Looks every so often, until `stop`, and appends what is to be told: type, key and payload.
    pub(super) async fn watch(
        &self,
        every: Duration,
        stop: CancellationToken,
        mut look: impl FnMut() -> Option<(&'static str, String, Value)>,
    ) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Some((event_type, key, payload)) = look() {
                // A queue that hangs must not keep the process from ending.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.append(event_type, &key, &payload) => {}
                }
            }
        }
    }

    /// Appends an event of `event_type`, unless one with the same `key` was made within a day. Where the queue
    /// has no room it waits in memory, and the ones behind it too, until [`Self::store_held`] finds some.
    pub(super) async fn append(&self, event_type: &str, key: &str, payload: &Value) {
        let source = match SourceName::parse(OWN_SOURCE) {
            Ok(source) => source,
            Err(err) => return error!(error = %err, "Own event not stored"),
        };
        // What `check` and `handlers try` say of it holds.
        debug_assert!(is_like_sample(event_type, payload), "{event_type}: {payload}");
        let delivery_id = format!("{event_type} {key}");
        let dedupe =
            Dedupe::Within { key: dedupe_key(&source, Some(&delivery_id), b""), window: WINDOW };
        let event = event(source, event_type, self.core.clock.now(), payload, dedupe);
        let mut held = self.held.lock().await;
        held.push(HeldEvent::new(event, key, reason(payload)));
        self.store(&mut held).await;
    }

    async fn store(&self, held: &mut HeldEvents) {
        held.store(&*self.core.queue).await;
        // What waits in memory is gone with the process: the next one tells it again.
        if held.is_empty() {
            self.alerts.save();
        }
    }

    /// Stores what the queue had no room for when it was made.
    pub(super) async fn store_held(&self) {
        self.store(&mut *self.held.lock().await).await;
    }

    /// Whether some are in memory only, and would be gone with the process.
    pub(super) async fn holds_some(&self) -> bool {
        !self.held.lock().await.is_empty()
    }
}

/// Why, where the event says so in words.
fn reason(payload: &Value) -> Option<&str> {
    payload.get("reason").and_then(Value::as_str)
}

impl SystemSource {
    /// Tells of the dead letters that were too many to be told one by one.
    pub(super) async fn tell_gathered(&self) {
        let gathered = lock(&self.dead).gathered(self.core.clock.steady());
        for (count, newest) in gathered {
            self.tell_dead(&newest, count).await;
        }
    }

    /// Tells all that is not told yet: the process ends.
    pub(super) async fn tell_rest(&self) {
        let rest = lock(&self.dead).rest();
        for (count, newest) in rest {
            self.tell_dead(&newest, count).await;
        }
        self.store_held().await;
    }

    /// `count` = how many are told with it, itself included.
    async fn tell_dead(&self, letter: &DeadLetter, count: u64) {
        // A death after a redrive is another one. So is one that a crash brings again before it is
        // recorded: better told twice than not at all.
        let key = format!("{} {} {}", letter.handler, letter.id, letter.died_at);
        let payload = json!({
            "handler": letter.handler,
            "id": letter.id,
            "source": letter.source,
            "type": letter.event_type,
            "received_at": letter.received_at,
            "attempts": letter.attempts,
            "died_at": letter.died_at,
            "reason": letter.reason,
            "count": count,
        });
        self.append("dead_letter", &key, &payload).await;
    }
}

#[async_trait]
impl SystemEvents for SystemSource {
    async fn dead_letter(&self, letter: DeadLetter) {
        let now = self.core.clock.steady();
        let is_told = lock(&self.dead).is_told_at_once(&letter, now);
        if is_told {
            self.tell_dead(&letter, 1).await;
        }
    }
}

#[cfg(test)]
mod tests;
