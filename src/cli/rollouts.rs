//! `rollouts`, and `dead redrive --rollout`: the server carries them on, so one must run.

use crate::api::{
    HandlerStatus, HandlerView, LetGo, LetGoResult, ROLLOUT_STAGES, RolloutAsk, RolloutState,
    RolloutStep, RolloutView,
};
use crate::config::Config;
use crate::text::{count, counted};

use super::args::RolloutsVerb;
use super::human::{ago, ahead};
use super::output::{Column, Output, Page, plain, table};
use super::store::Server;
use super::{CliError, known};

const COLUMNS: &[Column<RolloutView>] = &[
    ("ROLLOUT", |one| one.number.to_string()),
    ("STATE", |one| one.state.as_str().to_owned()),
    ("STAGE", |one| format!("{} of {}", one.stage + 1, one.stages.len())),
    ("DEAD LETTERS", |one| count(one.matched)),
    ("DELIVERED", |one| count(one.delivered)),
    ("FAILED", |one| count(one.failed)),
    ("BEGAN", |one| ago(one.began_at)),
    ("WHICH", |one| plain(&one.target)),
];

/// Whose each is, where several gateways share the log.
const GATEWAY: Column<RolloutView> = ("GATEWAY", |one| match &one.reported_by {
    Some(by) => format!("{}, told {}", by.node, ago(by.at)),
    None => "this one".to_owned(),
});

const LETTERS: &[Column<LetGo>] = &[
    ("POSITION", |one| one.position.0.to_string()),
    ("HANDLER", |one| one.handler.to_string()),
    ("LET GO", |one| ago(one.at)),
    ("RESULT", |one| {
        let result = match one.result {
            LetGoResult::UnderWay => "under way",
            LetGoResult::Delivered => "delivered",
            LetGoResult::Skipped => "skipped",
            LetGoResult::Failed => "failed",
            LetGoResult::Gone => "gone",
        };
        match &one.error {
            Some(error) => format!("{result}: {}", plain(error)),
            None => result.to_owned(),
        }
    }),
];

/// Results that are shown of one.
const SHOWN_MAX: usize = 20;

pub(super) async fn run(
    verb: RolloutsVerb,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    let (number, step) = match verb {
        RolloutsVerb::List => {
            let rollouts: Vec<RolloutView> = server.get("rollouts", &[]).await?;
            let mut columns = COLUMNS.to_vec();
            if rollouts.iter().any(|one| one.reported_by.is_some()) {
                columns.insert(1, GATEWAY);
            }
            return output.list(&rollouts, &columns, "nothing was redriven by stages");
        }
        RolloutsVerb::Show { number } => {
            let one: RolloutView = server.get(&format!("rollouts/{number}"), &[]).await?;
            let handlers: Vec<HandlerView> = server.get("handlers", &[]).await?;
            return output.one(&one, |one| text(one, one.held_by(&handlers)));
        }
        RolloutsVerb::Pause { number } => (number, RolloutStep::Pause),
        RolloutsVerb::Resume { number } => (number, RolloutStep::Resume),
        RolloutsVerb::Cancel { number } => (number, RolloutStep::Cancel),
    };
    let path = format!("rollouts/{number}/{}", step.as_str());
    let one: RolloutView = server.post(&path, &serde_json::json!({})).await?;
    output.one(&one, |one| format!("rollout {} is {}", one.number, one.state.as_str()))
}

pub(super) async fn begin(
    ask: RolloutAsk,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    let begun = server.post("rollouts", &ask).await;
    let one: RolloutView = known::or_named(begun, ask.handler.as_deref(), config)?;
    output.one(&one, |one| {
        let letters = counted(one.matched, "dead letter", "dead letters");
        let (number, stages) = (one.number, stages(one.matched));
        format!(
            "rollout {number} of {letters} began: {stages}\nnext: gatepost rollouts show {number}"
        )
    })
}

/// `1, 10, 100, then 301`
pub(super) fn stages(n_letters: u64) -> String {
    let mut left = n_letters;
    let mut sizes = Vec::new();
    for size in ROLLOUT_STAGES.into_iter().chain([u64::MAX]) {
        let size = size.min(left);
        left -= size;
        if size > 0 {
            sizes.push(count(size));
        }
    }
    let last = sizes.pop().unwrap_or_else(|| "0".to_owned());
    if sizes.is_empty() { last } else { format!("{}, then {last}", sizes.join(", ")) }
}

/// Why what it let go does not arrive, and what to do about it.
fn held_line(handler: &HandlerView) -> String {
    let mut page = Page::default();
    let (name, why) = (&handler.name, handler.why_idle().unwrap_or_default());
    let next = handler.probe_at.map(|at| format!(", next try {}", ahead(at))).unwrap_or_default();
    page.line(format_args!("handler `{name}` {why}{next}: what was let go waits for it"));
    match handler.state {
        HandlerStatus::Down | HandlerStatus::Failed => {
            page.line(format_args!("next: gatepost handlers retry {name}"));
        }
        HandlerStatus::Paused => {
            page.line(format_args!("next: gatepost handlers resume {name}"));
        }
        HandlerStatus::Running
        | HandlerStatus::Disabled
        | HandlerStatus::Finishing
        | HandlerStatus::Stopped
        | HandlerStatus::Unconfigured => {}
    }
    page.finish()
}

/// `held` = of the handlers that it waits for the first that takes nothing.
fn text(one: &RolloutView, held: Option<&HandlerView>) -> String {
    let mut page = Page::default();
    let RolloutView { number, state, rate, .. } = one;
    page.line(format_args!("rollout {number}: {}", state.as_str()));
    if let Some(by) = &one.reported_by {
        page.line(format_args!(
            "gateway `{}` carries it on, and told this {}",
            by.node,
            ago(by.at)
        ));
    }
    if let Some(node) = &one.continues {
        page.line(format_args!("gateway `{node}` had it before, and was gone"));
    }
    if let Some(why) = &one.why {
        page.line(format_args!("{}", plain(why)));
    }
    page.line(format_args!("which: {}", plain(&one.target)));
    page.line(format_args!("{}; at most {rate} a second", one.figures()));
    if let Some(held) = held {
        page.text(&held_line(held));
    }
    for (index, stage) in one.stages.iter().enumerate() {
        let mark = if index == one.stage && !state.is_end() { ">" } else { " " };
        page.line(format_args!(
            "{mark} stage {}: {} of {} let go, {} done, {} failed",
            index + 1,
            stage.let_go,
            stage.size,
            stage.done,
            stage.failed
        ));
    }
    let newest = one.let_go.len().saturating_sub(SHOWN_MAX);
    if let Some(newest) = one.let_go.get(newest..).filter(|newest| !newest.is_empty()) {
        page.line(format_args!(""));
        page.text(&table(newest, LETTERS));
    }
    if *state == RolloutState::Stopped {
        page.line(format_args!("\nnext: see why, mend it, then gatepost rollouts resume {number}"));
    }
    page.finish()
}
