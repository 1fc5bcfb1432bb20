//! How long a try was waited for, and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, whole_millis};
use crate::event::{Output, Stream};
use crate::handler::parse_retry_after;
use crate::queue::{AttemptRecord, DeliveryState};

/// What a wait that the other side asked for is shorter by where it is noted: it was worked out a moment
/// before.
const NOTED_WITHIN: Duration = Duration::from_secs(1);
const NOTED_MORE: Duration = Duration::from_millis(5);

/// From here on a plan is told to a tenth of a second.
const LONG_MS: u64 = 10_000;

/// How long the try behind another one is waited for, and why. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitView {
    /// What was planned when the try before failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_ms: Option<u64>,
    /// Why it was as long.
    pub why: Vec<WaitReason>,
}

/// Why a wait was as long as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The other side asked for what was planned.
    RetryAfter,
    /// An event before it in its line was not done.
    Line,
    /// Nothing was planned: the owner redrove it or had it delivered again.
    Asked,
    /// When it was due, the handler was left alone because it was down.
    Down,
    /// When it was due, the owner held the handler.
    Paused,
    /// The handler was started again after it had been due.
    Started,
}

impl WaitView {
    /// What is known of it by the try before.
    pub(super) fn of(attempt: &AttemptRecord) -> Option<Self> {
        match attempt.led_to {
            DeliveryState::Delivered | DeliveryState::Skipped | DeliveryState::Dead => {
                Some(Self { planned_ms: None, why: vec![WaitReason::Asked] })
            }
            DeliveryState::Pending | DeliveryState::Retry | DeliveryState::Held => {
                let planned = attempt.planned?;
                if planned.is_held {
                    return Some(Self { planned_ms: None, why: vec![WaitReason::Line] });
                }
                let ended_at = attempt.started_at.after(attempt.duration);
                // Planned is the longer one of what the policy says and what the other side asks for.
                let asked = asked(&attempt.output, ended_at).filter(|asked| {
                    planned.wait.saturating_add(NOTED_WITHIN) >= *asked
                        && planned.wait <= asked.saturating_add(NOTED_MORE)
                });
                let noted = whole_millis(planned.wait);
                let (planned_ms, why) = match asked {
                    Some(asked) => (whole_millis(asked), vec![WaitReason::RetryAfter]),
                    // Some milliseconds pass until it is noted.
                    None if noted >= LONG_MS => ((noted + 50) / 100 * 100, Vec::new()),
                    None => (noted, Vec::new()),
                };
                Some(Self { planned_ms: Some(planned_ms), why })
            }
        }
    }
}

/// How long the answer that is kept asked to be left alone.
fn asked(output: &Output, ended_at: Timestamp) -> Option<Duration> {
    let answers = output.excerpts().iter().filter(|one| one.stream == Stream::Response);
    answers
        .filter_map(|answer| {
            let mut head = answer.text().lines().take_while(|line| !line.is_empty());
            let value = head.find_map(|line| line.strip_prefix("retry-after: "))?;
            parse_retry_after(value, ended_at)
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Excerpt;
    use crate::queue::PlannedWait;

    fn record(planned: u64, head: &str) -> AttemptRecord {
        AttemptRecord {
            number: 1,
            started_at: Timestamp::from_millis(1_000),
            duration: Duration::from_millis(10),
            led_to: DeliveryState::Retry,
            error: crate::event::ErrorText::default(),
            status: Some(503),
            output: Output::new([Excerpt::answer(head.into(), "retry-after: 7")]),
            progress: None,
            planned: Some(PlannedWait { wait: Duration::from_millis(planned), is_held: false }),
        }
    }

    #[test]
    fn wait_is_said_to_be_asked_for_where_it_is_as_long_only() {
        let head = "HTTP/1.1 503 Service Unavailable\nretry-after: 30\nx: y";
        for (planned, head, is_asked, told) in [
            (30_000, head, true, 30_000),
            (29_990, head, true, 30_000),
            // The policy's step was longer, or there was no more time.
            (31_000, head, false, 31_000),
            (19_999, head, false, 20_000),
            (7_001, "HTTP/1.1 503 Service Unavailable\nx: y", false, 7_001),
        ] {
            let wait = WaitView::of(&record(planned, head)).unwrap();
            assert_eq!(wait.planned_ms, Some(told));
            assert_eq!(wait.why == [WaitReason::RetryAfter], is_asked, "{planned} {head}");
        }
        let mut unknown = record(1, head);
        unknown.planned = None;
        assert_eq!(WaitView::of(&unknown), None);
    }
}
