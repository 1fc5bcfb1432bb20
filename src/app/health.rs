//! Tells of handlers that are down, cannot be started, are back or gone, by Gatepost's own events;
//! tries those again that could not be started, and lets go of those that are gone for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::api::HandlerControl;
use crate::clock::Timestamp;
use crate::event::HandlerName;

use super::control::Server;
use super::handler_records::AlertRecord;
use super::handlers::Condition;
use super::system_events::SystemSource;

/// How often to look: trouble is reported within a minute.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// How often what could not be started is tried again, and what is gone looked at, in looks.
pub(super) const RETRY_EVERY: u32 = 12;

/// Looks now and then, until `stop`.
pub(super) async fn watch(server: Arc<Server>, own: Arc<SystemSource>, stop: CancellationToken) {
    let mut look = tokio::time::interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let alerts = server.handlers.records().alerts();
    let (mut alerts, mut n_looks) = (OpenAlerts::recalled(alerts), 0_u32);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        n_looks = n_looks.wrapping_add(1);
        // A store that hangs must not keep the process from ending.
        tokio::select! {
            () = stop.cancelled() => return,
            () = look_once(&server, &own, &mut alerts, n_looks) => {}
        }
    }
}

/// Looks for the `n_looks`th time.
pub(super) async fn look_once(
    server: &Server,
    own: &SystemSource,
    alerts: &mut OpenAlerts,
    n_looks: u32,
) {
    let (is_retry, is_orphans) = due(n_looks);
    server.look_at_rates();
    let now = server.core.clock.now();
    if is_retry {
        server.retry_failed().await;
    }
    if is_orphans && let Some(payload) = server.look_after_orphans().await {
        // Once a day: the same key is not told again within one.
        own.append(ORPHANED, &names(&payload), &payload).await;
    }
    own.store_held().await;
    own.tell_gathered().await;
    alerts.forget(&server.handlers.forget_elsewhere());
    let conditions = server.handlers.conditions();
    // All of them have ended with the process, which ends no trouble.
    if conditions.is_empty() {
        return;
    }
    for News { event_type, key, payload } in alerts.look(conditions, now) {
        own.append(event_type, &key, &payload).await;
    }
    let records = server.handlers.records();
    // What waits in memory is gone with the process: the next one tells it again.
    if !own.holds_some().await {
        records.set_alerts(alerts.records());
    }
    records.keep(server.handlers.health(), now);
}

/// Whether what could not be started is tried again, and what is gone is looked at, at this look.
fn due(n_looks: u32) -> (bool, bool) {
    // Not at the first look: the queue has not counted its bytes by then.
    (n_looks.is_multiple_of(RETRY_EVERY), n_looks % RETRY_EVERY == 2)
}

/// How long a handler that comes and goes is told of no second time: two mails in ten minutes are enough.
/// What still fails then is told.
const PAUSE: Duration = Duration::from_mins(10);

/// What people were told.
#[derive(Debug, Default)]
pub(super) struct OpenAlerts {
    /// And not that it is over.
    open: BTreeMap<HandlerName, Trouble>,
    /// When, last.
    last: BTreeMap<HandlerName, (Timestamp, &'static str)>,
}

/// What was told of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trouble {
    event_type: &'static str,
    since: Timestamp,
}

/// An own event.
#[derive(Debug, PartialEq)]
struct News {
    event_type: &'static str,
    key: String,
    payload: Value,
}

const DOWN: &str = "handler.down";
const FAILED: &str = "handler.failed";
const BACK: &str = "handler.back";
const ORPHANED: &str = "handler.orphaned";

/// The names of the handlers in a payload.
fn names(payload: &Value) -> String {
    let handlers = payload.get("handlers").and_then(Value::as_array);
    let names = handlers.into_iter().flatten().filter_map(|one| one.get("name")?.as_str());
    names.collect::<Vec<_>>().join(" ")
}

impl OpenAlerts {
    /// What was told in an earlier process: that it is over is told in this one.
    fn recalled(records: BTreeMap<HandlerName, AlertRecord>) -> Self {
        let open = records.into_iter().filter_map(|(name, record)| {
            let event_type = [DOWN, FAILED].into_iter().find(|one| *one == record.event_type)?;
            Some((name, Trouble { event_type, since: record.since }))
        });
        Self { open: open.collect(), ..Self::default() }
    }

    /// What the next process has to know.
    fn records(&self) -> BTreeMap<HandlerName, AlertRecord> {
        let open = self.open.iter().map(|(name, trouble)| {
            let event_type = trouble.event_type.to_owned();
            (name.clone(), AlertRecord { event_type, since: trouble.since })
        });
        open.collect()
    }

    /// What was told of them is another gateway's to tell on: whether it is over is not known here.
    fn forget(&mut self, handlers: &[HandlerName]) {
        for name in handlers {
            self.open.remove(name);
        }
    }

    /// What is to be told of handlers that stand like this.
    fn look(&mut self, handlers: Vec<(HandlerControl, Condition)>, now: Timestamp) -> Vec<News> {
        let is_there = |name: &HandlerName| handlers.iter().any(|(one, _)| one.name == *name);
        self.open.retain(|name, _| is_there(name));
        self.last.retain(|name, _| is_there(name));
        handlers.into_iter().filter_map(|(handler, one)| self.look_at(&handler, one, now)).collect()
    }

    fn look_at(
        &mut self,
        handler: &HandlerControl,
        condition: Condition,
        now: Timestamp,
    ) -> Option<News> {
        let HandlerControl { name, kind, .. } = handler;
        let told = self.open.get(name).copied();
        let (event_type, since, payload) = match condition {
            Condition::Unclear => return None,
            Condition::Well => {
                let Trouble { since, .. } = self.open.remove(name)?;
                let seconds = now.since(since).as_secs();
                (BACK, since, json!({ "down_since": since, "down_seconds": seconds }))
            }
            Condition::Down { since, n_failures, error } => {
                (DOWN, since, json!({ "since": since, "failures": n_failures, "error": error }))
            }
            Condition::Failed { since, reason } => {
                (FAILED, since, json!({ "since": since, "reason": reason }))
            }
        };
        if event_type != BACK {
            if told.is_some_and(|told| told.event_type == event_type) {
                return None;
            }
            let is_again = |(at, what): &(Timestamp, &str)| {
                *what == event_type && now.since(*at) < PAUSE && now >= *at
            };
            if self.last.get(name).is_some_and(is_again) {
                return None;
            }
            self.last.insert(name.clone(), (now, event_type));
            self.open.insert(name.clone(), Trouble { event_type, since });
        }
        let mut payload = payload;
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("handler".to_owned(), json!(name));
            fields.insert("kind".to_owned(), json!(kind));
        }
        Some(News { event_type, key: format!("{name} {}", since.as_millis()), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::HandlerStatus;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_090_000);
    const THEN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn mail() -> HandlerName {
        HandlerName::parse("mail").unwrap()
    }

    /// Looks once, where handler `mail` is in this state: what is told, and its payload.
    fn look(told: &mut OpenAlerts, condition: Condition) -> Vec<(&'static str, Value)> {
        look_at(told, condition, NOW)
    }

    fn look_at(
        told: &mut OpenAlerts,
        condition: Condition,
        now: Timestamp,
    ) -> Vec<(&'static str, Value)> {
        let handler = HandlerControl::idle(mail(), "email", HandlerStatus::Running);
        let news = told.look(vec![(handler, condition)], now);
        news.into_iter().map(|news| (news.event_type, news.payload)).collect()
    }

    fn down() -> Condition {
        Condition::Down { since: THEN, n_failures: 3, error: "535 wrong password".to_owned() }
    }

    fn failed() -> Condition {
        Condition::Failed { since: THEN, reason: "a secret is missing".to_owned() }
    }

    #[test]
    fn what_could_not_be_started_is_tried_again_every_minute() {
        let retries = (1..=36).filter(|n_looks| due(*n_looks).0).map(|n_looks| EVERY * n_looks);
        let minutes = (1..=3).map(Duration::from_mins);
        assert_eq!(retries.collect::<Vec<_>>(), minutes.collect::<Vec<_>>());
        let orphans = (1..=36).filter(|n_looks| due(*n_looks).1);
        assert_eq!(orphans.collect::<Vec<_>>(), [2, 14, 26]);
    }

    #[test]
    fn each_trouble_is_told_once_and_so_is_its_end() {
        let mut told = OpenAlerts::default();
        assert_eq!(look(&mut told, Condition::Well), []);
        let expected = json!({ "handler": "mail", "kind": "email", "since": THEN, "failures": 3,
            "error": "535 wrong password" });
        assert_eq!(look(&mut told, down()), [(DOWN, expected)]);
        assert_eq!(look(&mut told, down()), []);
        // It was started anew and has not been called yet.
        assert_eq!(look(&mut told, Condition::Unclear), []);
        let back = json!({ "handler": "mail", "kind": "email", "down_since": THEN,
            "down_seconds": 90 });
        assert_eq!(look(&mut told, Condition::Well), [(BACK, back)]);
        assert_eq!(look(&mut told, Condition::Well), []);
        assert_eq!(look_at(&mut told, down(), NOW.after(PAUSE)).len(), 1);
    }

    #[test]
    fn what_was_told_before_a_restart_ends_after_it_and_is_not_told_again() {
        let mut told = OpenAlerts::default();
        look(&mut told, down());
        let mut told = OpenAlerts::recalled(told.records());
        assert_eq!(look(&mut told, Condition::Unclear), []);
        assert_eq!(look(&mut told, down()), []);
        assert_eq!(look(&mut told, Condition::Well)[0].0, BACK);
        assert_eq!(OpenAlerts::recalled(told.records()).open, BTreeMap::new());
    }

    #[test]
    fn trouble_of_a_handler_that_another_gateway_took_over_is_forgotten() {
        let mut told = OpenAlerts::default();
        look(&mut told, down());
        told.forget(&[mail()]);
        assert_eq!(told.records(), BTreeMap::new());
        // It delivers to it again, later.
        assert_eq!(look(&mut told, Condition::Unclear), []);
        assert_eq!(look(&mut told, Condition::Well), []);
    }

    #[test]
    fn handler_that_comes_and_goes_is_told_of_once_in_a_while() {
        let mut told = OpenAlerts::default();
        let mut n_told = 0;
        for minute in 0..60 {
            let now = NOW.after(Duration::from_mins(minute));
            n_told += look_at(&mut told, down(), now).len();
            n_told += look_at(&mut told, Condition::Well, now).len();
        }
        assert_eq!(n_told, 12, "six times that it is down, and each time that it is back");
        // What is still down when the pause is over is told then.
        let later = NOW.after(Duration::from_hours(2));
        assert_eq!(look_at(&mut told, down(), later).len(), 1);
        assert_eq!(look_at(&mut told, Condition::Well, later).len(), 1);
        let within = later.after(Duration::from_mins(3));
        assert_eq!(look_at(&mut told, down(), within), []);
        assert_eq!(look_at(&mut told, down(), later.after(PAUSE)).len(), 1);
    }

    #[test]
    fn one_that_is_down_and_then_cannot_be_started_is_another_trouble() {
        let mut told = OpenAlerts::default();
        look(&mut told, down());
        let expected = json!({ "handler": "mail", "kind": "email", "since": THEN,
            "reason": "a secret is missing" });
        assert_eq!(look(&mut told, failed()), [(FAILED, expected)]);
        assert_eq!(look(&mut told, failed()), []);
    }

    #[test]
    fn of_a_handler_that_is_gone_nothing_is_told() {
        let mut told = OpenAlerts::default();
        look(&mut told, down());
        assert_eq!(told.look(Vec::new(), NOW), []);
        assert_eq!(look(&mut told, Condition::Well), []);
    }
}
