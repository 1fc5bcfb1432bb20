//! The admin side's paths.

use std::str::FromStr;

use crate::api::{RolloutStep, Run};
use crate::event::{EventId, HandlerName, SourceName};

use crate::http::problem::Problem;

/// One thing that can be asked or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Ready,
    Metrics,
    Status,
    Cluster,
    Events,
    Event(EventId),
    EventRaw(EventId),
    EventPlan(EventId),
    EventFixture(EventId),
    EventReplay(EventId),
    EventEdit(EventId),
    EventsReplay,
    Dead,
    DeadRedrive,
    DeadDrop,
    /// Read: all rollouts; posted: one more begins.
    Rollouts,
    Rollout(u64),
    RolloutStep(u64, RolloutStep),
    Rejected,
    RejectedOne(u64),
    RejectedExplain(u64),
    RejectedRelease(u64),
    RejectedReleaseAll,
    Handlers,
    Handler(HandlerName),
    Sources,
    Source(SourceName),
    HandlerRun(HandlerName, Run),
    HandlerRetry(HandlerName),
    HandlerForget(HandlerName),
    /// Read: what a reload would change; posted: reload.
    Reload,
    Stream,
    Rates,
    Config,
    Actions,
    OpenApi,
    Export,
    Import,
    Compact,
    StandbyHello,
    StandbyPull,
}

/// Which method a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It is read.
    Get,
    /// It changes something.
    Post,
    /// It can be read, and it changes something.
    Both,
}

impl Route {
    /// What `path` asks for.
    pub(super) fn parse(path: &str) -> Result<Self, Problem> {
        match path {
            "/healthz" => return Ok(Self::Health),
            "/readyz" => return Ok(Self::Ready),
            "/metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        let rest = path.strip_prefix("/api/v1/").ok_or(Problem::NotFound)?;
        let parts: Vec<&str> = rest.split('/').collect();
        Ok(match parts.as_slice() {
            ["status"] => Self::Status,
            ["cluster"] => Self::Cluster,
            ["events"] => Self::Events,
            ["events", "replay"] => Self::EventsReplay,
            ["events", id] => Self::Event(part(id)?),
            ["events", id, "raw"] => Self::EventRaw(part(id)?),
            ["events", id, "plan"] => Self::EventPlan(part(id)?),
            ["events", id, "fixture"] => Self::EventFixture(part(id)?),
            ["events", id, "replay"] => Self::EventReplay(part(id)?),
            ["events", id, "edit"] => Self::EventEdit(part(id)?),
            ["dead"] => Self::Dead,
            ["dead", "redrive"] => Self::DeadRedrive,
            ["dead", "drop"] => Self::DeadDrop,
            ["rollouts"] => Self::Rollouts,
            ["rollouts", number] => Self::Rollout(part(number)?),
            ["rollouts", number, step] => Self::RolloutStep(part(number)?, rollout_step(step)?),
            ["rejected"] => Self::Rejected,
            ["rejected", "release"] => Self::RejectedReleaseAll,
            ["rejected", number] => Self::RejectedOne(part(number)?),
            ["rejected", number, "explain"] => Self::RejectedExplain(part(number)?),
            ["rejected", number, "release"] => Self::RejectedRelease(part(number)?),
            ["handlers"] => Self::Handlers,
            ["handlers", name] => Self::Handler(handler(name)?),
            ["sources"] => Self::Sources,
            ["sources", name] => Self::Source(part(name)?),
            ["handlers", name, "pause"] => Self::HandlerRun(handler(name)?, Run::Pause),
            ["handlers", name, "resume"] => Self::HandlerRun(handler(name)?, Run::Resume),
            ["handlers", name, "retry"] => Self::HandlerRetry(handler(name)?),
            ["handlers", name, "forget"] => Self::HandlerForget(handler(name)?),
            ["reload"] => Self::Reload,
            ["stream"] => Self::Stream,
            ["rates"] => Self::Rates,
            ["config"] => Self::Config,
            ["actions"] => Self::Actions,
            ["openapi.json"] => Self::OpenApi,
            ["export"] => Self::Export,
            ["import"] => Self::Import,
            ["compact"] => Self::Compact,
            ["standby", "hello"] => Self::StandbyHello,
            ["standby", "pull"] => Self::StandbyPull,
            _ => return Err(Problem::NotFound),
        })
    }

    /// Which method it needs.
    pub(super) fn need(&self) -> Need {
        match self {
            Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::Status
            | Self::Cluster
            | Self::Events
            | Self::Event(_)
            | Self::EventRaw(_)
            | Self::EventPlan(_)
            | Self::EventFixture(_)
            | Self::Dead
            | Self::Rollout(_)
            | Self::Rejected
            | Self::RejectedOne(_)
            | Self::RejectedExplain(_)
            | Self::Handlers
            | Self::Handler(_)
            | Self::Sources
            | Self::Source(_)
            | Self::Stream
            | Self::Rates
            | Self::Config
            | Self::Actions
            | Self::OpenApi
            | Self::Export => Need::Get,
            Self::EventReplay(_)
            | Self::EventEdit(_)
            | Self::EventsReplay
            | Self::DeadRedrive
            | Self::DeadDrop
            | Self::RolloutStep(..)
            | Self::RejectedRelease(_)
            | Self::RejectedReleaseAll
            | Self::HandlerRun(..)
            | Self::HandlerRetry(_)
            | Self::HandlerForget(_)
            | Self::Import
            | Self::Compact
            | Self::StandbyHello
            | Self::StandbyPull => Need::Post,
            Self::Reload | Self::Rollouts => Need::Both,
        }
    }

    /// The paths below `/api/v1` as [`Route::parse`] lists them.
    #[cfg(test)]
    pub(super) fn paths() -> std::collections::BTreeSet<String> {
        let lines = include_str!("route.rs").lines().map(str::trim_start);
        let lists = lines
            .filter(|line| line.starts_with("[\""))
            .filter_map(|line| line.get(1..)?.split_once(']'));
        let path = |parts: &str, step: &str| -> String {
            let parts = parts.split(", ").map(|part| match part.strip_prefix('"') {
                Some(word) => format!("/{}", word.trim_end_matches('"')),
                None if part == "step" => format!("/{step}"),
                None => format!("/{{{part}}}"),
            });
            parts.collect()
        };
        let each = |(parts, _)| ["pause", "resume", "cancel"].map(|step| path(parts, step));
        lists.flat_map(each).collect()
    }

    /// Whether its query says anything. What is open to all is asked by programs that add things of
    /// their own (`/metrics?collect[]=…`), and is answered whatever they add.
    pub(super) fn takes_query(&self) -> bool {
        self.is_open()
            || matches!(
                self,
                Self::Events
                    | Self::EventPlan(_)
                    | Self::Dead
                    | Self::Rejected
                    | Self::Stream
                    | Self::Actions
                    | Self::Export
            )
    }

    /// Whether it is a change whose body says nothing.
    pub(super) fn asks_for_nothing(&self) -> bool {
        matches!(
            self,
            Self::RolloutStep(..)
                | Self::RejectedRelease(_)
                | Self::HandlerRun(_, Run::Resume)
                | Self::HandlerRetry(_)
                | Self::HandlerForget(_)
                | Self::Reload
                | Self::Compact
        )
    }

    /// Whether a standby asks it.
    pub(super) fn is_for_standby(&self) -> bool {
        matches!(self, Self::StandbyHello | Self::StandbyPull)
    }

    /// Whether it is open to every client on loopback: it gives figures and
    /// what is wrong, and nothing of any event or of what an engine said.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Health | Self::Ready | Self::Metrics)
    }
}

fn part<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::NotFound)
}

fn rollout_step(text: &str) -> Result<RolloutStep, Problem> {
    RolloutStep::parse(text).ok_or(Problem::NotFound)
}

fn handler(text: &str) -> Result<HandlerName, Problem> {
    HandlerName::parse(text).map_err(|_| Problem::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_path_is_known() {
        let id = "0199c3f6-5b5e-7000-8000-000000000001";
        for path in [
            "status",
            "cluster",
            "events",
            &format!("events/{id}"),
            "events/replay",
            &format!("events/{id}/replay"),
            &format!("events/{id}/edit"),
            &format!("events/{id}/raw"),
            "dead",
            "dead/redrive",
            "rollouts",
            "rollouts/3",
            "rollouts/3/pause",
            "rejected",
            "rejected/7/explain",
            "stream",
            "handlers/mail/pause",
            "handlers/mail",
            "sources/hyvor",
            &format!("events/{id}/plan"),
        ] {
            assert!(Route::parse(&format!("/api/v1/{path}")).is_ok(), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "/api/v1",
            "/api/v1/",
            "/api/v1/events/",
            "/api/v1/events/x",
            "/metrics/",
            "/api/v1/rejected/-1",
            "/api/v1/rollouts/3/stop",
            "/api/v1/handlers/No/pause",
        ] {
            assert_eq!(Route::parse(path), Err(Problem::NotFound), "{path}");
        }
    }
}
