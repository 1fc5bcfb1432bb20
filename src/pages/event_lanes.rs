//! What each handler did with an event, try by try, as its page shows it.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::time::Duration;

use askama::filters::HtmlSafe;

use super::widgets::{Sign, Ticked, When, state_word};
use super::words;
use super::words::Room;
use crate::api::{AttemptView, DeliveryView, TRY_ON_TIME, WaitReason, WantsView, Wish};
use crate::clock::{Timestamp, whole_millis};
use crate::event::{Excerpt, Stream};
use crate::queue::DeliveryState;

/// What the other side said in one try: so many pieces of so many lines of so many characters.
const SAID_MAX: usize = 3;
const SAID_LINES_MAX: usize = 8;
const SAID_CHARS_MAX: usize = 200;

/// What one handler did with it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) handler: String,
    /// Whether the handler has a page: one that was forgotten has none.
    pub(super) is_here: bool,
    pub(super) kind: String,
    pub(super) sign: Sign,
    pub(super) word: &'static str,
    /// How long it took until it was delivered, from when it was stored.
    pub(super) took: String,
    /// Why it is not tried now, where that is not the delivery's own doing.
    pub(super) held: String,
    pub(super) is_dead: bool,
    pub(super) n_earlier: usize,
    pub(super) steps: Vec<Step>,
    /// The try that is being made: its number, and since when.
    pub(super) under_way: Option<(u32, When)>,
    /// The try that comes: its number, and when.
    pub(super) next: Option<(u32, When)>,
    /// Whether the other side asked for it to come so late.
    pub(super) is_next_asked: bool,
    /// When it is given up if it keeps failing.
    pub(super) given_up: Option<GivenUp>,
    pub(super) track: Track,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) after: String,
    pub(super) number: u32,
    pub(super) is_good: bool,
    pub(super) text: Ticked,
    pub(super) took: String,
    /// How long the next one was waited for, and why.
    pub(super) waited: String,
    pub(super) at: When,
    /// What the other side said, by where it said it.
    pub(super) said: Vec<(&'static str, Vec<String>)>,
}

/// When a delivery that keeps failing is given up.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// The last try, where tries are counted.
    pub(super) attempts_max: Option<u32>,
    /// `on` a day, `at` a time of this day.
    pub(super) on: &'static str,
    pub(super) at: When,
}

impl GivenUp {
    fn new(at: Timestamp, attempts_max: Option<u32>, now: Timestamp) -> Self {
        let is_today = !words::clock(at, now, false).contains(',');
        let on = if is_today { "at" } else { "on" };
        Self { attempts_max, on, at: When::clock(at, now) }
    }
}

/// Why a handler was not called.
#[derive(Debug)]
pub(super) struct NotCalled {
    pub(super) handler: String,
    pub(super) kind: String,
    pub(super) sentence: &'static str,
    pub(super) because: String,
    pub(super) values: Vec<(String, String)>,
}

/// The tries of one handler on a line that begins when the event was stored and is the same for all.
#[derive(Debug)]
pub(super) struct Track {
    /// Where each try begins and how long it is, in thousandths, and whether it was good.
    marks: Vec<(u64, u64, bool)>,
    /// Where the next one is.
    next: Option<u64>,
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<svg class=\"track\" viewBox=\"0 0 1040 70\" aria-hidden=\"true\">")?;
        f.write_str("<path class=\"grid\" d=\"M0 35H1040\"/>")?;
        for (class, is_good) in [("f-ok", true), ("f-bad", false)] {
            let marks = self.marks.iter().filter(|(_, _, good)| *good == is_good);
            let mut path = String::new();
            for (at, length, _) in marks {
                write!(path, "M{at} 10h{length}v50h-{length}z")?;
            }
            if !path.is_empty() {
                write!(f, "<path class=\"{class}\" d=\"{path}\"/>")?;
            }
        }
        if let Some(at) = self.next {
            write!(f, "<circle class=\"ring\" cx=\"{}\" cy=\"35\" r=\"22\"/>", at.clamp(30, 1010))?;
        }
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Track {}

/// What lanes are made with.
pub(super) struct LaneContext<'a> {
    pub(super) received_at: Timestamp,
    pub(super) now: Timestamp,
    /// Until when the line of all lanes goes.
    pub(super) until: Timestamp,
    /// Of all handlers that there are; empty where one is not configured.
    pub(super) kinds: &'a HashMap<String, String>,
    pub(super) held: &'a HashMap<String, String>,
    pub(super) steps_max: usize,
}

/// The moment at which the newest try of all ended, or the next one comes.
pub(super) fn until(deliveries: &[&DeliveryView], received_at: Timestamp) -> Timestamp {
    let ends = deliveries.iter().flat_map(|delivery| {
        let tries = delivery.attempts.iter().map(ended_at);
        tries.chain(delivery.under_way_since).chain(delivery.next_try_at)
    });
    ends.max().unwrap_or(received_at)
}

fn ended_at(attempt: &AttemptView) -> Timestamp {
    attempt.started_at.after(Duration::from_millis(attempt.duration_ms))
}

pub(super) fn lane(delivery: &DeliveryView, of: &LaneContext<'_>, room: &mut Room) -> Lane {
    let name = delivery.handler.to_string();
    let n_earlier = delivery.attempts.len().saturating_sub(of.steps_max);
    let shown = delivery.attempts.iter().skip(n_earlier);
    let next = delivery.attempts.iter().skip(n_earlier + 1).map(Some).chain([None]);
    let number = delivery.attempts.last().map_or(1, |one| one.number.saturating_add(1));
    let is_open = matches!(
        delivery.state,
        DeliveryState::Pending | DeliveryState::Retry | DeliveryState::Held
    );
    Lane {
        held: of.held.get(&name).filter(|_| is_open).cloned().unwrap_or_default(),
        is_here: of.kinds.contains_key(&name),
        kind: of.kinds.get(&name).cloned().unwrap_or_default(),
        handler: name,
        sign: if delivery.under_way_since.is_some() { Sign::Run } else { Sign::of(delivery.state) },
        // Not by its filter: the handler had nothing to do with it.
        word: match delivery.state {
            _ if delivery.under_way_since.is_some() => "being delivered",
            DeliveryState::Skipped if !delivery.attempts.is_empty() => "skipped",
            state => state_word(state),
        },
        took: took(delivery, of),
        is_dead: delivery.state == DeliveryState::Dead,
        n_earlier,
        steps: shown.zip(next).map(|(one, next)| step(one, next, of, room)).collect(),
        is_next_asked: delivery
            .attempts
            .last()
            .is_some_and(|one| is_why(one, WaitReason::RetryAfter)),
        under_way: delivery.under_way_since.map(|at| (number, When::ago(at, of.now))),
        next: delivery.next_try_at.map(|at| (number, When::ahead(at, of.now))),
        given_up: delivery.given_up_at.map(|at| GivenUp::new(at, delivery.attempts_max, of.now)),
        track: track(delivery, of),
    }
}

/// ` in 9 ms`; nothing where it is not delivered, or no try of it is kept.
fn took(delivery: &DeliveryView, of: &LaneContext<'_>) -> String {
    // The first that was good: it may have been delivered again since.
    match delivery.attempts.iter().find(|one| is_good(one)) {
        Some(good) if delivery.state == DeliveryState::Delivered => {
            format!(" in {}", words::span(ended_at(good).since(of.received_at)))
        }
        Some(_) | None => String::new(),
    }
}

fn track(delivery: &DeliveryView, of: &LaneContext<'_>) -> Track {
    let whole = whole_millis(of.until.since(of.received_at)).max(1);
    let scaled = |time: Duration| whole_millis(time).saturating_mul(1_000) / whole;
    let at = |moment: Timestamp| scaled(moment.since(of.received_at)).min(1_000);
    let tries = delivery.attempts.iter().rev().take(of.steps_max);
    let marks = tries.map(|one| {
        let length = scaled(Duration::from_millis(one.duration_ms)).clamp(20, 1_020);
        // What is short is seen all the same.
        (at(one.started_at).min(1_020 - length.min(1_020)), length, is_good(one))
    });
    Track {
        marks: marks.collect(),
        next: delivery.under_way_since.or(delivery.next_try_at).map(at),
    }
}

fn is_good(attempt: &AttemptView) -> bool {
    attempt.led_to == DeliveryState::Delivered
}

fn step(
    attempt: &AttemptView,
    next: Option<&AttemptView>,
    of: &LaneContext<'_>,
    room: &mut Room,
) -> Step {
    let took = Duration::from_millis(attempt.duration_ms);
    let is_good = is_good(attempt);
    let status = attempt.status.map(|status| format!("status {status}"));
    let error = room.shown(attempt.error.as_str(), 400);
    let text = match (status, error.is_empty()) {
        (Some(status), false) if !error.contains(status.trim_start_matches("status ")) => {
            format!("{status}: {error}")
        }
        (_, false) => error,
        (Some(status), true) => status,
        (None, true) if is_good => "delivered".to_owned(),
        (None, true) => "failed".to_owned(),
    };
    let waited = next.map(|next| waited(attempt, next.started_at.since(ended_at(attempt))));
    Step {
        after: format!("+{}", words::span(attempt.started_at.since(of.received_at))),
        number: attempt.number,
        is_good,
        text: Ticked::of(&text),
        took: if took.is_zero() { "< 1 ms".to_owned() } else { precise(took) },
        waited: waited.unwrap_or_default(),
        at: When::exact(attempt.started_at, of.now),
        said: said(attempt, room),
    }
}

fn is_why(attempt: &AttemptView, reason: WaitReason) -> bool {
    attempt.wait.as_ref().is_some_and(|wait| wait.why.contains(&reason))
}

/// How long the try behind this one was waited for, and why, as far as that is known.
fn waited(attempt: &AttemptView, waited: Duration) -> String {
    let text = format!("waited {}", words::span(waited));
    if is_why(attempt, WaitReason::Asked) {
        return format!("{text}, until it was asked for again");
    }
    if is_why(attempt, WaitReason::Line) {
        return format!("{text} for an earlier event of its line");
    }
    let planned = attempt.wait.as_ref().and_then(|wait| wait.planned_ms);
    let Some(planned) = planned.map(Duration::from_millis) else { return text };
    let is_asked = is_why(attempt, WaitReason::RetryAfter);
    let shown = words::span(planned);
    if waited.saturating_add(TRY_ON_TIME) < planned {
        return format!("{text} of the {shown} that its retry rules say");
    }
    if waited <= planned.saturating_add(TRY_ON_TIME) {
        let by = if is_asked { "as Retry-After asked" } else { "as its retry rules say" };
        return format!("{text}, {by}");
    }
    let held_up = [
        (WaitReason::Started, "was started again"),
        (WaitReason::Paused, "was paused"),
        (WaitReason::Down, "was down"),
    ];
    let held_up = held_up.into_iter().filter(|(reason, _)| is_why(attempt, *reason));
    let held_up = held_up.map(|(_, words)| words).collect::<Vec<_>>().join(" and ");
    match (is_asked, held_up.is_empty()) {
        (true, true) => {
            format!("{text}: Retry-After asked for {shown}, and why it came later is not known")
        }
        (false, true) => {
            format!("{text}: it was due after {shown}, and why it came later is not known")
        }
        (true, false) => {
            format!("{text}: Retry-After asked for {shown}, then the handler {held_up}")
        }
        (false, false) => format!("{text}: it was due after {shown}, then the handler {held_up}"),
    }
}

/// What the other side said: of a program the end, which says what went wrong, else the beginning.
pub(super) fn said(attempt: &AttemptView, room: &mut Room) -> Vec<(&'static str, Vec<String>)> {
    let excerpts = attempt.output.excerpts().iter().take(SAID_MAX);
    excerpts.map(|excerpt| (excerpt.stream.name(), lines(excerpt, room))).collect()
}

fn lines(excerpt: &Excerpt, room: &mut Room) -> Vec<String> {
    let all: Vec<&str> = excerpt.text().lines().filter(|line| !line.trim().is_empty()).collect();
    let kept = match excerpt.stream {
        Stream::Stdout | Stream::Stderr => {
            all.get(all.len().saturating_sub(SAID_LINES_MAX)..).unwrap_or_default().to_vec()
        }
        Stream::Response => lines_of_answer(excerpt.text()),
    };
    kept.into_iter().map(|line| room.shown(line.trim_end(), SAID_CHARS_MAX)).collect()
}

/// The beginning of the head and, where it is kept, that of the body.
fn lines_of_answer(text: &str) -> Vec<&str> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let body: Vec<&str> =
        body.lines().filter(|line| !line.trim().is_empty()).take(SAID_LINES_MAX / 2).collect();
    let head = head.lines().take(SAID_LINES_MAX.saturating_sub(body.len()));
    head.chain(body).collect()
}

/// `812 ms`, `30.0 s`
fn precise(took: Duration) -> String {
    match took.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

pub(super) fn not_called(wants: &WantsView, room: &mut Room) -> NotCalled {
    let values = wants.values.iter();
    NotCalled {
        handler: wants.handler.to_string(),
        kind: wants.kind.to_string(),
        sentence: match wants.answer {
            Wish::Wanted => {
                "It would be called today: it was configured otherwise then, or began later"
            }
            Wish::NotNamed => "does not name it",
            Wish::Filtered => "said no",
            Wish::Unclear => "could not be worked out",
            Wish::Disabled => "is in its table",
        },
        because: room.shown(&wants.because, 300),
        values: values
            .map(|seen| (room.shown(&seen.field, 80), room.shown(&seen.value, 80)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wait_says_why_it_was_as_long_and_nothing_that_is_not_known() {
        for (seconds, wait, expected) in [
            (14, json!(null), "waited 14 s"),
            (14, json!({ "planned_ms": 13_990, "why": [] }), "waited 14 s, as its retry rules say"),
            (
                30,
                json!({ "planned_ms": 30_000, "why": ["retry_after"] }),
                "waited 30 s, as Retry-After asked",
            ),
            (
                5,
                json!({ "planned_ms": 14_000, "why": [] }),
                "waited 5 s of the 14 s that its retry rules say",
            ),
            (
                300,
                json!({ "planned_ms": 14_000, "why": [] }),
                "waited 5 min: it was due after 14 s, and why it came later is not known",
            ),
            (
                300,
                json!({ "planned_ms": 14_000, "why": ["paused", "down"] }),
                "waited 5 min: it was due after 14 s, then the handler was paused and was down",
            ),
            (
                300,
                json!({ "planned_ms": 14_000, "why": ["retry_after", "started"] }),
                "waited 5 min: Retry-After asked for 14 s, then the handler was started again",
            ),
            (300, json!({ "why": ["line"] }), "waited 5 min for an earlier event of its line"),
            (300, json!({ "why": ["asked"] }), "waited 5 min, until it was asked for again"),
        ] {
            let attempt: AttemptView = serde_json::from_value(json!({
                "number": 1, "started_at": Timestamp::from_millis(0), "duration_ms": 0,
                "led_to": "retry", "error": "", "status": null, "wait": wait,
            }))
            .unwrap();
            assert_eq!(waited(&attempt, Duration::from_secs(seconds)), expected);
        }
    }
}
