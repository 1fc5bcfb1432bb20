//! What became of an event, in a sentence.

use super::words;
use crate::api::DeliveryView;
use crate::clock::Timestamp;
use crate::queue::DeliveryState;

/// What is the case, in a sentence.
pub(super) fn lead(deliveries: &[&DeliveryView], is_for_nobody: bool, now: Timestamp) -> String {
    let named = |wanted: &[DeliveryState]| -> Vec<String> {
        let found = deliveries.iter().filter(|one| wanted.contains(&one.state));
        found.map(|one| one.handler.to_string()).collect()
    };
    let done = named(&[DeliveryState::Delivered]);
    let waiting = named(&[DeliveryState::Retry, DeliveryState::Held]);
    let pending = named(&[DeliveryState::Pending]);
    let dead = named(&[DeliveryState::Dead]);
    let n_asking = done.len() + waiting.len() + pending.len() + dead.len();
    let had_nothing =
        |one: &&&DeliveryView| one.state == DeliveryState::Skipped && !one.attempts.is_empty();
    let n_skipped = deliveries.iter().filter(had_nothing).count();
    if n_asking == 0 {
        return if n_skipped > 0 {
            let asking = if n_skipped == 1 { "handler asks" } else { "handlers ask" };
            format!("{n_skipped} {asking} for it and had nothing to do: see why below.")
        } else if is_for_nobody {
            "No handler is configured: nobody gets it.".to_owned()
        } else {
            "No handler asks for it.".to_owned()
        };
    }
    let mut text = match (done.len(), n_asking) {
        (n, all) if n == all && all == 1 => "The handler that asks for it has it.".to_owned(),
        (n, all) if n == all => format!("All {all} handlers that ask for it have it."),
        (n, all) => {
            let have = if n == 1 { "has" } else { "have" };
            format!("{n} of the {all} handlers that ask for it {have} it.")
        }
    };
    for (names, one, many) in [
        (dead, "gave it up: it is a dead letter.", "gave it up: they are dead letters."),
        (waiting, "tries again.", "try again."),
        (pending, "has not had it yet.", "have not had it yet."),
    ] {
        if !names.is_empty() {
            let names_text = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
            text.extend([" ", &names_text, " ", if names.len() == 1 { one } else { many }]);
        }
    }
    let next = deliveries.iter().filter_map(|one| one.next_try_at).min();
    if let Some(at) = next {
        text.extend([" The next try is due ", &due(at, now), "."]);
    }
    text
}

fn due(at: Timestamp, now: Timestamp) -> String {
    if at.since(now).as_secs() == 0 {
        return "now".to_owned();
    }
    format!("in {}", words::between(now, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn try_that_is_due_is_due_now() {
        let at = Timestamp::from_millis;
        assert_eq!(due(at(5_400), at(5_000)), "now");
        assert_eq!(due(at(5_000), at(5_400)), "now");
        assert_eq!(due(at(14_000), at(5_000)), "in 9 s");
    }
}
