//! Rollouts of the other gateways that share the log: seen as these told them, steered by asking them, and gone on
//! with where they are gone.
//!
//! A number names one rollout on all gateways: one that begins takes a number above all that were told of. Each is
//! carried on by one gateway, whose file it is in. One that asks and the one that answers do so in their reports.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

use super::rollout::Rollout;
use super::view::{RolloutAnswer, RolloutRequest, RolloutView};
use super::{RolloutStep, no_rollout, unwritten};
use crate::api::{Api, ApiError, NodeReport, NodeReportView, ReportedBy, Server};
use crate::cluster::{ClusterView, NodeName};
use crate::sync::lock;

/// How often is looked whether another gateway asks for anything, and whether it has answered.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// For how long an answer is waited for: it takes two reports, some 0.5 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What was asked for longer ago is not done any more, by the gateways' clocks.
const ASKED_WITHIN: Duration = Duration::from_mins(1);
/// Requests, and answers, that are told: one who asked looks for an answer within [`ANSWER_WITHIN`].
const ANSWERS_MAX: usize = 8;
/// The most rollouts that are told; each takes some 700 bytes of a report.
const TOLD_MAX: usize = 6;

/// What is asked of other gateways, and what they are answered.
#[derive(Debug, Default)]
pub(in crate::api) struct RolloutExchange {
    exchanged: Mutex<Exchanged>,
    /// Rung when there is something to tell for which an owner waits.
    pub(in crate::api) bell: Notify,
}

#[derive(Debug, Default)]
struct Exchanged {
    requests: Vec<RolloutRequest>,
    answers: VecDeque<RolloutAnswer>,
}

impl RolloutExchange {
    fn ask(&self, to: &NodeName, (number, step): (u64, RolloutStep), api: &Api) -> u64 {
        let asked_at = api.clock.now();
        let requests = &mut lock(&self.exchanged).requests;
        let millis = u64::try_from(asked_at.as_millis()).unwrap_or_default();
        let id = requests.iter().map(|one| one.id + 1).max().unwrap_or_default().max(millis);
        // One whose caller hung up is withdrawn by nothing else.
        requests.retain(|one| asked_at.since(one.asked_at) < ASKED_WITHIN);
        requests.drain(..requests.len().saturating_sub(ANSWERS_MAX - 1));
        let (to, actor) = (to.clone(), api.actor);
        requests.push(RolloutRequest { to, id, asked_at, number, step, actor });
        self.bell.notify_one();
        id
    }

    /// Its owner has an answer, or waits for none any more.
    fn withdraw(&self, id: u64) {
        lock(&self.exchanged).requests.retain(|one| one.id != id);
        self.bell.notify_one();
    }

    fn is_answered(&self, to: &NodeName, id: u64) -> bool {
        lock(&self.exchanged).answers.iter().any(|one| one.to == *to && one.id == id)
    }

    fn answer(&self, answer: RolloutAnswer) {
        let answers = &mut lock(&self.exchanged).answers;
        answers.push_back(answer);
        if answers.len() > ANSWERS_MAX {
            answers.pop_front();
        }
        self.bell.notify_one();
    }

    /// Puts what is told into a report: rollouts that have not ended first, then the newest.
    pub(in crate::api) fn add_to(&self, report: &mut NodeReport, mut rollouts: Vec<RolloutView>) {
        rollouts.sort_by_key(|one| one.state.is_end());
        rollouts.truncate(TOLD_MAX);
        let exchanged = lock(&self.exchanged);
        report.rollouts = rollouts;
        report.rollout_requests.clone_from(&exchanged.requests);
        report.rollout_answers = exchanged.answers.iter().cloned().collect();
    }
}

/// Those that the other gateways told of, but for those that one goes on with since.
fn told(reports: &[NodeReportView]) -> Vec<RolloutView> {
    let of = |told: &NodeReportView| {
        let by = ReportedBy { node: told.node.clone(), at: told.at };
        let with_node =
            move |one: &RolloutView| RolloutView { reported_by: Some(by.clone()), ..one.clone() };
        told.report.rollouts.iter().map(with_node).collect::<Vec<_>>()
    };
    let all: Vec<RolloutView> = reports.iter().flat_map(of).collect();
    let is_continued = |one: &RolloutView| {
        let node = one.reported_by.as_ref().map(|by| &by.node);
        all.iter().any(|other| other.number == one.number && other.continues.as_ref() == node)
    };
    all.iter().filter(|one| !is_continued(one)).cloned().collect()
}

impl Api {
    /// Rollouts that other gateways carry on or have, newest first, without their letters.
    pub(super) fn rollouts_elsewhere(&self, server: &Server) -> Vec<RolloutView> {
        let mut all = told(&self.node_reports());
        all.retain(|one| {
            let own = server.rollouts.get(one.number);
            let node = one.reported_by.as_ref().map(|by| &by.node);
            own.is_none_or(|own| own.continues.as_ref() != node)
        });
        all.sort_by_key(|one| std::cmp::Reverse(one.number));
        all
    }

    /// The one of a number that another gateway carries on or has: none of that number is here, or that one goes on
    /// with it.
    pub(super) fn rollout_elsewhere(&self, server: &Server, number: u64) -> Option<RolloutView> {
        let elsewhere = self.rollouts_elsewhere(server);
        let own = server.rollouts.get(number);
        if own.is_some_and(|own| !self.is_continued(&own, &elsewhere)) {
            return None;
        }
        elsewhere.into_iter().find(|one| one.number == number)
    }

    /// Whether one of `elsewhere` goes on with a rollout of this gateway.
    pub(super) fn is_continued(&self, own: &RolloutView, elsewhere: &[RolloutView]) -> bool {
        let Some(cluster) = self.cluster() else { return false };
        let is_it = |one: &RolloutView| {
            one.number == own.number && one.continues.as_ref() == Some(&cluster.node)
        };
        elsewhere.iter().any(is_it)
    }

    /// Has the gateway that carries a rollout on change it, or this one go on with it where that is gone.
    pub(super) async fn change_elsewhere(
        &self,
        view: RolloutView,
        step: RolloutStep,
    ) -> Result<RolloutView, ApiError> {
        let (server, number) = (self.server()?, view.number);
        let (Some(by), Some(cluster)) = (view.reported_by.clone(), self.cluster()) else {
            return Err(no_rollout(number));
        };
        if !is_alive(&cluster, &by.node) {
            return match step {
                RolloutStep::Resume => self.take_over(view, by.node).await,
                RolloutStep::Pause | RolloutStep::Cancel => Err(ApiError::Conflict(format!(
                    "gateway `{}` gives no sign of life, and nothing of rollout {number} is let go meanwhile: \
                     `resume` has this gateway go on with it",
                    by.node
                ))),
            };
        }
        let exchange = &server.rollouts.exchange;
        let id = exchange.ask(&by.node, (number, step), self);
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.answer_of(&by.node, &cluster, id));
        let answered = answered.await;
        exchange.withdraw(id);
        match answered {
            Ok(RolloutAnswer { refused: None, .. }) => self.rollout(number),
            Ok(RolloutAnswer { refused: Some(why), .. }) => Err(ApiError::Conflict(why)),
            Err(_elapsed) => Err(ApiError::Conflict(format!(
                "gateway `{}`, which carries rollout {number} on, has not answered within {} s: see whether it \
                 changed, and ask again",
                by.node,
                ANSWER_WITHIN.as_secs()
            ))),
        }
    }

    async fn answer_of(&self, node: &NodeName, cluster: &ClusterView, id: u64) -> RolloutAnswer {
        loop {
            let reports = self.node_reports().into_iter().filter(|told| told.node == *node);
            let mut answers = reports.flat_map(|told| told.report.rollout_answers);
            if let Some(answer) = answers.find(|one| one.to == cluster.node && one.id == id) {
                return answer;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Goes on with a rollout of a gateway that is gone. What that had let go and not told has no result here: so it
    /// begins anew with one letter, as after a failure.
    async fn take_over(&self, view: RolloutView, node: NodeName) -> Result<RolloutView, ApiError> {
        let Server { rollouts, .. } = self.server()?;
        let (number, now) = (view.number, self.clock.now());
        if view.state.is_end() {
            return Err(ApiError::Conflict(format!("rollout {number} is {}", view.state.as_str())));
        }
        let view = RolloutView { reported_by: None, continues: Some(node), ..view };
        let taken_over = Rollout::begin_anew(view, now);
        if !rollouts.insert(taken_over) {
            return Err(ApiError::Conflict(format!("there is a rollout {number} here")));
        }
        if let Err(err) = rollouts.save(number).await {
            rollouts.take_back(number);
            return Err(unwritten(&err));
        }
        rollouts.bell.notify_waiters();
        rollouts.exchange.bell.notify_one();
        self.rollout(number)
    }

    /// Does what other gateways ask for, without an end; returns where the queue is this machine's alone.
    pub async fn follow_rollout_requests(&self) {
        let (Some(server), Some(cluster)) = (&self.server, self.cluster()) else { return };
        loop {
            for told in self.node_reports() {
                self.answer_requests(server, &cluster.node, &told).await;
                self.end_continued(server, &cluster.node, &told).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn answer_requests(&self, server: &Server, own: &NodeName, told: &NodeReportView) {
        let (exchange, now) = (&server.rollouts.exchange, self.clock.now());
        for request in told.report.rollout_requests.iter().filter(|one| one.to == *own) {
            let RolloutRequest { id, asked_at, number, step, actor, .. } = request;
            if exchange.is_answered(&told.node, *id) || now.since(*asked_at) > ASKED_WITHIN {
                continue;
            }
            let done = self.by(*actor).change_own_rollout(*number, *step).await;
            let refused = done.err().map(|err| err.to_string());
            exchange.answer(RolloutAnswer { to: told.node.clone(), id: *id, refused });
        }
    }

    /// Ends what another gateway goes on with since this one was away.
    async fn end_continued(&self, server: &Server, own: &NodeName, told: &NodeReportView) {
        let (rollouts, now) = (&server.rollouts, self.clock.now());
        let continued = told.report.rollouts.iter();
        for one in continued.filter(|one| one.continues.as_ref() == Some(own)) {
            let ended = rollouts.change(one.number, |here| {
                let is_ended = here.cancel(now);
                if is_ended {
                    here.view.why = Some(format!("gateway {} goes on with it", told.node));
                }
                is_ended
            });
            if ended == Some(true) {
                info!(rollout = one.number, node = %told.node, "Another gateway goes on with a rollout");
                if let Err(err) = rollouts.save(one.number).await {
                    warn!(rollout = one.number, error = %err, "A rollout cannot be written down");
                }
            }
        }
    }
}

fn is_alive(cluster: &ClusterView, name: &NodeName) -> bool {
    cluster.nodes.iter().any(|node| node.name == *name && node.alive)
}
