//! Does what other gateways ask for, and ends what another one goes on with.

use tracing::{info, warn};

use super::super::registry::Rollouts;
use super::super::view::{RolloutAnswer, RolloutRequest};
use super::{ASKED_WITHIN, LONG_AGO, LOOK_EVERY, TakeOver, has_continued, is_alive};
use crate::api::{Api, NodeReportView, Server};
use crate::cluster::NodeName;

/// What follows from reports and from the gateway's own rollouts is the same while these are: all reports are 8 KiB of
/// JSON each, and are not read again for nothing.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    n_reports: u64,
    open: Vec<TakeOver>,
}

impl Seen {
    fn new(n_reports: u64, rollouts: &Rollouts) -> Self {
        Self { n_reports, open: rollouts.open_take_overs() }
    }
}

impl Api {
    /// Does what other gateways ask for, without an end; returns where the queue is this machine's alone.
    pub async fn follow_rollout_requests(&self) {
        let (Some(server), Some(cluster)) = (&self.server, self.cluster()) else { return };
        let mut seen = None;
        loop {
            // Before it is looked: what comes meanwhile is looked at the next time.
            let news = Seen::new(server.control.n_reports(), &server.rollouts);
            if seen.as_ref() != Some(&news) {
                seen = Some(news);
                for told in self.node_reports() {
                    self.answer_requests(server, &cluster.node, &told).await;
                    self.end_continued(server, &cluster.node, &told).await;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn answer_requests(&self, server: &Server, own: &NodeName, told: &NodeReportView) {
        let (exchange, now) = (&server.rollouts.exchange, self.clock.now());
        for request in told.report.rollout_requests.iter().filter(|one| one.to == *own) {
            let RolloutRequest { id, asked_at, number, step, actor, .. } = request;
            if exchange.is_answered(&told.node, *id) {
                continue;
            }
            let refused = if now.since(*asked_at) <= ASKED_WITHIN {
                let done = self.by(*actor).change_own_rollout(*number, *step).await;
                done.err().map(|err| err.to_string())
            } else if self.cluster().is_some_and(|cluster| is_alive(&cluster, &told.node)) {
                Some(LONG_AGO.to_owned())
            } else {
                // What one told last that is gone stays, and no command waits there for an answer.
                continue;
            };
            exchange.answer(RolloutAnswer { to: told.node.clone(), id: *id, refused }, now);
        }
    }

    /// Ends what another gateway goes on with since this one was away.
    pub(in crate::api::rollouts) async fn end_continued(
        &self,
        server: &Server,
        own: &NodeName,
        told: &NodeReportView,
    ) {
        let (rollouts, now) = (&server.rollouts, self.clock.now());
        for (number, ..) in rollouts.open_take_overs() {
            let ended = rollouts.change(number, |here| {
                let is_ended =
                    has_continued(told, (here.view.take_over(), own)) && here.cancel(now);
                if is_ended {
                    here.view.why = Some(format!("gateway {} goes on with it", told.node));
                }
                is_ended
            });
            if ended == Some(true) {
                info!(rollout = number, node = %told.node, "Another gateway goes on with a rollout");
                if let Err(err) = rollouts.save(number).await {
                    warn!(rollout = number, error = %err, "A rollout cannot be written down");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rollout::Rollout;
    use super::super::tests::view;
    use super::*;

    #[test]
    fn reports_are_looked_at_where_one_came_or_an_own_rollout_is_another() {
        let rollouts = Rollouts::none();
        let seen = Seen::new(7, &rollouts);
        assert_eq!(seen, Seen::new(7, &rollouts));
        assert_ne!(seen, Seen::new(8, &rollouts), "a report came");
        assert!(rollouts.insert(Rollout::kept(view(1, 2))));
        let one = Seen::new(7, &rollouts);
        assert_ne!(
            seen, one,
            "it was taken over here, and another gateway may have told that it did so too"
        );
        rollouts.change(1, |one| one.pause(None));
        assert_eq!(one, Seen::new(7, &rollouts), "it is carried on by the same");
    }
}
