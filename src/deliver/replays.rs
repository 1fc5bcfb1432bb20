//! Which deliveries are replays: of an event that the handler had already, and not of one whose end
//! was lost.

use futures_util::future::try_join_all;

use super::Context;
use crate::event::{Delivery, Failure, Origin};
use crate::queue::{DeliveryState, Queue, QueueError};

/// Fills in [`Delivery::replay`] where the handler asks for it. What comes out of the log was never
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
        delivery.replay = n_delivered(context, queue, delivery).await?;
        Ok::<_, QueueError>(())
    }));
    looked.await.map(drop).map_err(|err| {
        Failure::transient(format_args!("whether it is a replay cannot be looked up: {err}"))
    })
}

async fn n_delivered(
    context: &Context,
    queue: &dyn Queue,
    delivery: &Delivery,
) -> Result<u32, QueueError> {
    let histories = queue.history(delivery.event.position).await?;
    let own = histories.iter().filter(|history| history.handler == context.name);
    let tries = own.flat_map(|history| &history.attempts);
    let n_ends = tries.filter(|attempt| attempt.led_to == DeliveryState::Delivered).count();
    Ok(u32::try_from(n_ends).unwrap_or(u32::MAX))
}
