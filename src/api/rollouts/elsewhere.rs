//! Rollouts of the other gateways that share the log: seen as these told them, steered by asking them, and gone on
//! with where they are gone.
//!
//! A number names one rollout on all gateways: one that begins claims a number above all that were told of. Each is
//! carried on by one gateway, whose file it is in. One that asks and the one that answers do so in their reports.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use super::rollout::Rollout;
use super::view::{RolloutAnswer, RolloutRequest, RolloutView};
use super::{RolloutStep, no_rollout, unwritten};
use crate::api::{Api, ApiError, NodeReport, NodeReportView, ReportedBy, Server};
use crate::clock::Timestamp;
use crate::cluster::{ClusterView, NodeName, NodeView};
use crate::sync::lock;

mod follow;

/// How often is looked whether another gateway asks for anything, and whether it has answered.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// For how long an answer is waited for: it takes two reports, some 0.5 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What was asked for longer ago is not done any more, by the gateways' clocks.
const ASKED_WITHIN: Duration = Duration::from_mins(1);
/// What the asking one is told of such a step.
const LONG_AGO: &str =
    "it was asked over a minute ago by this gateway's clock: do the gateways' clocks agree?";
/// Requests, and answers, that are told: one who asked looks for an answer within [`ANSWER_WITHIN`].
const ANSWERS_MAX: usize = 8;
/// The most rollouts that are told; each takes some 700 bytes of a report.
const TOLD_MAX: usize = 6;
/// The most take-overs that are told; each takes some 35 bytes.
const TAKEN_OVER_MAX: usize = 40;

/// A rollout's number, when it began, and how often another gateway went on with it.
pub(in crate::api) type TakeOver = (u64, Timestamp, u32);

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
    /// With when each was given. One that is not told any more is kept: what it answers may still be asked for.
    answers: VecDeque<(Timestamp, RolloutAnswer)>,
    /// The highest number that was claimed for a rollout, which has not begun yet or did not.
    claimed: u64,
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

    /// A number above `highest`, which is told from now on and not given again.
    pub(super) fn claim(&self, highest: u64) -> u64 {
        let claimed = &mut lock(&self.exchanged).claimed;
        *claimed = highest.max(*claimed).saturating_add(1);
        *claimed
    }

    /// Its owner has an answer, or waits for none any more.
    fn withdraw(&self, id: u64) {
        lock(&self.exchanged).requests.retain(|one| one.id != id);
        self.bell.notify_one();
    }

    fn is_answered(&self, to: &NodeName, id: u64) -> bool {
        let answers = &lock(&self.exchanged).answers;
        answers.iter().any(|(_, one)| one.to == *to && one.id == id)
    }

    fn answer(&self, answer: RolloutAnswer, now: Timestamp) {
        let answers = &mut lock(&self.exchanged).answers;
        answers.push_back((now, answer));
        if answers.len() > ANSWERS_MAX {
            answers.pop_front();
        }
        self.bell.notify_one();
    }

    /// Puts what is told into a report: rollouts that have not ended first, then the newest.
    pub(in crate::api) fn add_to(
        &self,
        report: &mut NodeReport,
        mut rollouts: Vec<RolloutView>,
        now: Timestamp,
    ) {
        let highest = rollouts.iter().map(|one| one.number).max();
        rollouts.sort_by_key(|one| one.state.is_end());
        let taken_over = rollouts.iter().filter(|one| one.takeovers > 0);
        report.taken_over = taken_over.take(TAKEN_OVER_MAX).map(RolloutView::take_over).collect();
        rollouts.truncate(TOLD_MAX);
        report.rollouts = rollouts;
        let mut exchanged = lock(&self.exchanged);
        report.last_rollout = exchanged.claimed.max(highest.unwrap_or_default());
        exchanged.requests.retain(|one| now.since(one.asked_at) < ASKED_WITHIN);
        report.rollout_requests.clone_from(&exchanged.requests);
        let fresh = exchanged.answers.iter().filter(|(at, _)| now.since(*at) < ASKED_WITHIN);
        report.rollout_answers = fresh.map(|(_, answer)| answer.clone()).collect();
    }
}

impl RolloutView {
    pub(super) const fn take_over(&self) -> TakeOver {
        (self.number, self.began_at, self.takeovers)
    }
}

/// Whether one gateway's view of a rollout is carried on in place of another one's: the one that was taken over more
/// often, and of two gateways that did so at once the first by name.
fn goes_on_with((one, by): (TakeOver, &NodeName), (other, of): (TakeOver, &NodeName)) -> bool {
    let (takeovers, before) = (one.2, other.2);
    (one.0, one.1) == (other.0, other.1)
        && (takeovers > before || (takeovers > 0 && takeovers == before && by < of))
}

/// Whether a gateway told that it goes on with a rollout of `of`. Of one for which its report has no room it tells
/// that alone.
fn has_continued(told: &NodeReportView, (other, of): (TakeOver, &NodeName)) -> bool {
    let views = told.report.rollouts.iter().map(RolloutView::take_over);
    let mut all = views.chain(told.report.taken_over.iter().copied());
    all.any(|one| goes_on_with((one, &told.node), (other, of)))
}

/// The highest number of a rollout that another gateway told.
pub(super) fn highest_told(reports: &[NodeReportView]) -> u64 {
    let of = |told: &NodeReportView| {
        let views = told.report.rollouts.iter().map(|one| one.number);
        let taken_over = told.report.taken_over.iter().map(|one| one.0);
        views.chain(taken_over).fold(told.report.last_rollout, u64::max)
    };
    reports.iter().map(of).max().unwrap_or_default()
}

/// Those that the other gateways told of, but for those that one goes on with since.
fn told(reports: &[NodeReportView]) -> Vec<RolloutView> {
    let of = |told: &NodeReportView| {
        let by = ReportedBy { node: told.node.clone(), at: told.at };
        let with_node =
            move |one: &RolloutView| RolloutView { reported_by: Some(by.clone()), ..one.clone() };
        told.report.rollouts.iter().map(with_node).collect::<Vec<_>>()
    };
    let mut all: Vec<RolloutView> = reports.iter().flat_map(of).collect();
    all.retain(|one| {
        let Some(by) = &one.reported_by else { return true };
        let mut others = reports.iter();
        !others.any(|told| has_continued(told, (one.take_over(), &by.node)))
    });
    all
}

impl Api {
    /// Rollouts that other gateways carry on or have, newest first, without their letters.
    pub(super) fn rollouts_elsewhere(&self, server: &Server) -> Vec<RolloutView> {
        let (mut all, cluster) = (told(&self.node_reports()), self.cluster());
        all.retain(|one| {
            let Some(own) = server.rollouts.get(one.number) else { return true };
            let (Some(by), Some(cluster)) = (&one.reported_by, &cluster) else { return true };
            !goes_on_with((own.take_over(), &cluster.node), (one.take_over(), &by.node))
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

    /// Whether one of `elsewhere` goes on with a rollout of this gateway, and is shown in its place.
    pub(super) fn is_continued(&self, own: &RolloutView, elsewhere: &[RolloutView]) -> bool {
        let Some(cluster) = self.cluster() else { return false };
        let own = (own.take_over(), &cluster.node);
        let goes_on = |one: &RolloutView| {
            let by = one.reported_by.as_ref();
            by.is_some_and(|by| goes_on_with((one.take_over(), &by.node), own))
        };
        elsewhere.iter().any(goes_on)
    }

    /// A number that no other rollout has. It is told before it is taken, through the log that all gateways share: of
    /// two that claim one at the same moment the later one in the log sees that, and claims the next.
    pub(super) async fn claim_number(&self, server: &Server) -> Result<u64, ApiError> {
        let Some(cluster) = self.cluster() else { return Ok(server.rollouts.claim(0)) };
        let mut told = self.node_reports();
        let has_told = |name: &NodeName| told.iter().any(|one| one.node == *name);
        let is_missing =
            |one: &&NodeView| one.alive && one.name != cluster.node && !has_told(&one.name);
        if let Some(missing) = cluster.nodes.iter().find(is_missing) {
            return Err(ApiError::Conflict(format!(
                "gateway `{}` has not told yet which rollouts it has: ask again in some 10 s",
                missing.name
            )));
        }
        // One that is gone may have had some, and this one may have been started anew since.
        let noted = server.actions.highest_rollout();
        loop {
            let number = server.rollouts.claim(highest_told(&told).max(noted));
            let report = self.report().and_then(|report| self.report_text(report));
            let report = report.ok_or_else(|| {
                ApiError::Conflict("its number cannot be told to the other gateways".to_owned())
            })?;
            let before = server.control.tell(report).await?;
            told = before.into_iter().filter_map(NodeReportView::read).collect();
            if highest_told(&told) < number {
                return Ok(number);
            }
        }
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
            let done = self.try_take_over(view, by.node, step).await;
            self.note_step(number, step, &done);
            return done;
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

    /// Goes on with a rollout of a gateway that is gone, or ends it. What that had let go and not told has no result
    /// here: so it begins anew with one letter, as after a failure.
    async fn try_take_over(
        &self,
        view: RolloutView,
        node: NodeName,
        step: RolloutStep,
    ) -> Result<RolloutView, ApiError> {
        let Server { rollouts, .. } = self.server()?;
        let (number, now) = (view.number, self.clock.now());
        if view.state.is_end() {
            return Err(ApiError::Conflict(format!("rollout {number} is {}", view.state.as_str())));
        }
        let takeovers = view.takeovers.saturating_add(1);
        let view =
            RolloutView { reported_by: None, continues: Some(node.clone()), takeovers, ..view };
        let mut taken_over = Rollout::begin_anew(view, now);
        match step {
            RolloutStep::Resume => {}
            RolloutStep::Cancel => drop(taken_over.cancel(now)),
            RolloutStep::Pause => {
                return Err(ApiError::Conflict(format!(
                    "gateway `{node}` gives no sign of life, and nothing of rollout {number} is let go meanwhile: \
                     `resume` has this gateway go on with it"
                )));
            }
        }
        let before = rollouts.get(number);
        if !rollouts.insert(taken_over) {
            return Err(ApiError::Conflict(format!("there is a rollout {number} here")));
        }
        if let Err(err) = rollouts.save(number).await {
            rollouts.take_back(number);
            // This gateway had it once: its file is as it was.
            if let Some(before) = before {
                rollouts.insert(Rollout::kept(before));
            }
            return Err(unwritten(&err));
        }
        rollouts.bell.notify_waiters();
        rollouts.exchange.bell.notify_one();
        self.rollout(number)
    }
}

fn is_alive(cluster: &ClusterView, name: &NodeName) -> bool {
    cluster.nodes.iter().any(|node| node.name == *name && node.alive)
}

#[cfg(test)]
mod tests;
