//! What any gateway of the cluster was told to do with a handler: to pause it, or to try it at once.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::control::Server;

/// How often is looked whether a pause is over, or a lease was taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Has the handlers of this gateway follow what any was told, until `stop`.
pub(in super::super) async fn follow(server: Arc<Server>, stop: CancellationToken) {
    let Some(log) = server.handlers.pauses().shared() else { return };
    let mut changed = log.watch_steering();
    loop {
        changed.borrow_and_update();
        server.handlers.follow_pauses();
        for handler in log.tries() {
            match server.handlers.retry_now(&handler) {
                Ok(true) => {}
                Ok(false) => server.retry_failed().await,
                // It was paused since, or finishes its calls: it is tried if it goes on soon.
                Err(_) => continue,
            }
            log.end_try(&handler);
        }
        let now = server.core.clock.now();
        tokio::select! {
            () = stop.cancelled() => return,
            () = server.handlers.pauses().end_shared(now) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            // An error means that the queue is gone.
            changed = changed.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
