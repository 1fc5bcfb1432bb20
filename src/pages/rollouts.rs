//! Redrives by stages on `/dead`: how far each is, and what one can do about it.

use super::widgets::{Sign, Ticked, When};
use super::words;
use crate::api::{
    Api, ApiError, HandlerStatus, HandlerView, LetGoResult, RolloutState, RolloutView,
};
use crate::clock::Timestamp;

/// Rollouts that are shown: all that have not ended, and the newest of the others.
const ROLLOUTS_MAX: usize = 6;

/// A rollout as it is shown.
#[derive(Debug)]
pub(super) struct RolloutCard {
    pub(super) number: u64,
    pub(super) sign: Sign,
    pub(super) state: &'static str,
    pub(super) sentence: String,
    pub(super) target: String,
    /// The most letters a second.
    pub(super) rate: u32,
    pub(super) began: When,
    pub(super) by: &'static str,
    /// The gateway that carries it on, where that is another one, and when that told this.
    pub(super) on: Option<(String, When)>,
    pub(super) why: Option<Ticked>,
    /// The event that stopped it.
    pub(super) event: Option<String>,
    /// The handler that takes nothing of what was let go.
    pub(super) held: Option<HeldBy>,
    pub(super) stages: Vec<StageRow>,
    pub(super) may_pause: bool,
    pub(super) may_resume: bool,
    pub(super) may_cancel: bool,
}

/// A handler that takes nothing now.
#[derive(Debug)]
pub(super) struct HeldBy {
    pub(super) handler: String,
    pub(super) why: &'static str,
    /// When it is tried next.
    pub(super) next: Option<When>,
    /// Whether it can be tried at once.
    pub(super) may_retry: bool,
    pub(super) is_paused: bool,
}

impl HeldBy {
    fn new(handler: &HandlerView, now: Timestamp) -> Self {
        Self {
            handler: handler.name.to_string(),
            why: handler.why_idle().unwrap_or_default(),
            next: handler.probe_at.map(|at| When::ahead(at, now)),
            may_retry: matches!(handler.state, HandlerStatus::Down | HandlerStatus::Failed),
            is_paused: handler.state == HandlerStatus::Paused,
        }
    }
}

#[derive(Debug)]
pub(super) struct StageRow {
    pub(super) name: String,
    pub(super) sign: Sign,
    pub(super) text: String,
    pub(super) is_present: bool,
}

/// The rollouts that a person wants to see.
pub(super) async fn cards(api: &Api, now: Timestamp) -> Result<Vec<RolloutCard>, ApiError> {
    let mut rollouts = api.rollouts()?;
    // Newest first within each half.
    rollouts.sort_by_key(|one| one.state.is_end());
    let n_open = rollouts.iter().filter(|one| !one.state.is_end()).count();
    rollouts.truncate(ROLLOUTS_MAX.max(n_open));
    let handlers = api.handlers();
    let mut cards = Vec::with_capacity(rollouts.len());
    for one in &rollouts {
        // It may be forgotten since it was listed.
        let whole = (one.under_way > 0).then(|| api.rollout(one.number).ok()).flatten();
        let held = whole
            .and_then(|whole| whole.held_by(&handlers).map(|handler| HeldBy::new(handler, now)));
        cards.push(RolloutCard { event: stopped_by(api, one).await?, held, ..card(one, now) });
    }
    Ok(cards)
}

/// The event that failed again, by its id.
async fn stopped_by(api: &Api, one: &RolloutView) -> Result<Option<String>, ApiError> {
    if one.state != RolloutState::Stopped {
        return Ok(None);
    }
    // It may be forgotten since it was listed.
    let Ok(RolloutView { let_go, .. }) = api.rollout(one.number) else { return Ok(None) };
    let failed = let_go.iter().rfind(|letter| letter.result == LetGoResult::Failed);
    let Some(failed) = failed else { return Ok(None) };
    Ok(api.summary_at(failed.position).await?.map(|event| event.id.to_string()))
}

fn card(one: &RolloutView, now: Timestamp) -> RolloutCard {
    let sign = match one.state {
        RolloutState::Running => Sign::Run,
        RolloutState::Paused => Sign::Pause,
        RolloutState::Stopped => Sign::Bad,
        RolloutState::Cancelled => Sign::Skip,
        RolloutState::Done => Sign::Ok,
    };
    RolloutCard {
        number: one.number,
        sign,
        state: one.state.as_str(),
        sentence: one.figures(),
        target: words::shown(&one.target, 160),
        rate: one.rate,
        began: When::ago(one.began_at, now),
        by: one.actor.as_str(),
        on: one.reported_by.as_ref().map(|by| (by.node.to_string(), When::ago(by.at, now))),
        why: one.why.as_deref().map(|why| Ticked::new(why, 300)),
        event: None,
        held: None,
        stages: one.stages.iter().enumerate().map(|(index, _)| stage(one, index)).collect(),
        may_pause: one.state == RolloutState::Running,
        may_resume: matches!(one.state, RolloutState::Paused | RolloutState::Stopped),
        may_cancel: !one.state.is_end(),
    }
}

fn stage(one: &RolloutView, index: usize) -> StageRow {
    let stage = one.stages.get(index).copied().unwrap_or_default();
    let is_whole = stage.let_go >= stage.size && stage.done >= stage.size;
    let is_present = index == one.stage && !one.state.is_end();
    let (sign, text) = match (stage.failed, is_whole, stage.let_go) {
        (1.., _, _) => (Sign::Bad, format!("{} failed", words::count(stage.failed))),
        (0, true, _) => (Sign::Ok, "delivered".to_owned()),
        (0, false, 0) if one.state.is_end() => (Sign::None, "not begun".to_owned()),
        (0, false, 0) => (Sign::None, "waits".to_owned()),
        (0, false, _) => {
            let done = words::count(stage.done);
            (Sign::Run, format!("{done} of {} delivered", words::count(stage.size)))
        }
    };
    StageRow { name: words::count(stage.size), sign, text, is_present }
}
