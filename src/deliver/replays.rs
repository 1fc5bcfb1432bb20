//! What the log knows of a delivery's past: which deliveries are replays (of an event that the
//! handler had already, and not of one whose end was lost), and how far earlier tries came.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::context::Context;
use crate::event::{Delivery, Failure, Origin};
use crate::queue::{AttemptRecord, DeliveryHistory, DeliveryState, Queue, QueueError};

/// How long a delivery whose earlier attempts are not known yet waits.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Fills in [`Delivery::replay`] and [`Delivery::progress`] where the handler asks for it. What comes out of the log was never
/// delivered before, so that only entries cost a look-up.
pub(super) async fn count(
    context: &Context,
    queue: &dyn Queue,
    deliveries: &mut [Delivery],
) -> Result<(), Failure> {
    if !context.handler.tells_replays() {
        return Ok(());
    }
    let entries = deliveries.iter_mut().filter(|delivery| delivery.origin == Origin::Entry);
    let looked = try_join_all(entries.map(|delivery| async {
        let (attempts, n_let_go) = attempts_of(context, queue, delivery).await?;
        let is_end = |attempt: &&AttemptRecord| attempt.led_to == DeliveryState::Delivered;
        // What was done for some and let go counts as well: those who have it get it once more.
        let was_partly = attempts.iter().take(n_let_go).any(|attempt| attempt.progress.is_some());
        let n_ends = attempts.iter().filter(is_end).count() + usize::from(was_partly);
        delivery.replay = u32::try_from(n_ends).unwrap_or(u32::MAX);
        // What was let go is begun anew.
        let since_end = attempts.into_iter().skip(n_let_go).rev();
        let mut since_end = since_end.take_while(|attempt| !is_end(&attempt));
        delivery.progress = since_end.find_map(|attempt| attempt.progress);
        Ok(())
    }));
    looked.await.map(drop)
}

/// The handler's tries of the event, oldest first, and how many of them were let go.
async fn attempts_of(
    context: &Context,
    queue: &dyn Queue,
    delivery: &Delivery,
) -> Result<(Vec<AttemptRecord>, usize), Failure> {
    let histories = known(queue.whole_history(delivery.event.position).await)?;
    let own = histories.into_iter().filter(|history| history.handler == context.name);
    let (mut attempts, mut n_let_go) = (Vec::new(), 0);
    for history in own {
        if history.n_let_go > 0 {
            n_let_go = attempts.len() + history.n_let_go;
        }
        attempts.extend(history.attempts);
    }
    Ok((attempts, n_let_go))
}

/// Without its earlier attempts a delivery waits: a mail would go once more to those who have it,
/// and a row of a replay be left as it is.
fn known(
    history: Result<Option<Vec<DeliveryHistory>>, QueueError>,
) -> Result<Vec<DeliveryHistory>, Failure> {
    match history {
        Ok(Some(history)) => Ok(history),
        Ok(None) => {
            Err(Failure::deferred("earlier attempts are still being read from the log", ASK_AGAIN))
        }
        Err(err) => Err(Failure::transient(format_args!(
            "whether it is a replay cannot be looked up: {err}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FailureKind;

    #[test]
    fn delivery_whose_attempts_are_not_known_yet_is_asked_for_again_and_uses_up_no_try() {
        let failure = known(Ok(None)).unwrap_err();
        assert_eq!((failure.kind, failure.retry_after), (FailureKind::Deferred, Some(ASK_AGAIN)));
        let failure = known(Err(QueueError::Closed)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient);
        assert_eq!(known(Ok(Some(Vec::new()))).unwrap(), []);
    }
}
