//! The dashboard's paths.

use crate::api::{RolloutStep, Run};
use crate::event::{EventId, HandlerName, SourceName};

/// A page, or a change that a form posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/`
    Overview,
    /// `/events`
    Events,
    /// `/events/latest`: the newest event that the filter finds.
    EventsLatest,
    /// `/events/{id}`
    Event(EventId),
    /// `/dead`
    Dead,
    /// `/rejected`
    Rejected,
    /// `/rejected/{number}`
    RejectedOne(u64),
    /// `/handlers`
    Handlers,
    /// `/handlers/{name}`
    Handler(HandlerName),
    /// `/sources`
    Sources,
    /// `/sources/{name}`
    Source(SourceName),
    /// `/config`
    Config,
    /// `/log`
    Log,
    /// Posted: `/events/{id}/replay`
    EventReplay(EventId),
    /// Posted: `/events/{id}/edit`
    EventEdit(EventId),
    /// Posted: `/dead/redrive`
    DeadRedrive,
    /// Posted: `/dead/rollout`
    DeadRollout,
    /// Posted: `/rollouts/{number}/pause`, `/resume`, `/cancel`
    RolloutStep(u64, RolloutStep),
    /// Posted: `/dead/drop`
    DeadDrop,
    /// Posted: `/rejected/release`
    RejectedReleaseAll,
    /// Posted: `/rejected/{number}/release`
    RejectedRelease(u64),
    /// Posted: `/events/replay`
    EventsReplay,
    /// Posted: `/handlers/{name}/pause`, `/handlers/{name}/resume`
    HandlerRun(HandlerName, Run),
    /// Posted: `/handlers/{name}/retry`
    HandlerRetry(HandlerName),
    /// Posted: `/handlers/{name}/forget`
    HandlerForget(HandlerName),
    /// Posted: `/sources/{name}/test`
    SourceTest(SourceName),
    /// Posted: `/config/reload`
    Reload,
}

/// Whether `path` is below a page: what is not there is told by a page too.
pub fn is_among_pages(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    parts.next().and_then(|first| Page::parse(&format!("/{first}"))).is_some()
}

impl Page {
    /// What `path` asks for; `None` = no page is there.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let handler = |name: &str| HandlerName::parse(name).ok();
        let source = |name: &str| SourceName::parse(name).ok();
        Some(match parts.as_slice() {
            [""] => Self::Overview,
            ["events"] => Self::Events,
            // As the command line names it, too.
            ["events", "latest" | "last"] => Self::EventsLatest,
            ["events", "replay"] => Self::EventsReplay,
            ["events", id] => Self::Event(id.parse().ok()?),
            ["events", id, "replay"] => Self::EventReplay(id.parse().ok()?),
            ["events", id, "edit"] => Self::EventEdit(id.parse().ok()?),
            ["dead"] => Self::Dead,
            ["dead", "redrive"] => Self::DeadRedrive,
            ["dead", "rollout"] => Self::DeadRollout,
            ["rollouts", number, step] => {
                Self::RolloutStep(number.parse().ok()?, RolloutStep::parse(step)?)
            }
            ["dead", "drop"] => Self::DeadDrop,
            ["rejected"] => Self::Rejected,
            ["rejected", "release"] => Self::RejectedReleaseAll,
            ["rejected", number] => Self::RejectedOne(number.parse().ok()?),
            ["rejected", number, "release"] => Self::RejectedRelease(number.parse().ok()?),
            ["handlers"] => Self::Handlers,
            ["handlers", name] => Self::Handler(handler(name)?),
            ["handlers", name, "pause"] => Self::HandlerRun(handler(name)?, Run::Pause),
            ["handlers", name, "resume"] => Self::HandlerRun(handler(name)?, Run::Resume),
            ["handlers", name, "retry"] => Self::HandlerRetry(handler(name)?),
            ["handlers", name, "forget"] => Self::HandlerForget(handler(name)?),
            ["sources"] => Self::Sources,
            ["sources", name] => Self::Source(source(name)?),
            ["sources", name, "test"] => Self::SourceTest(source(name)?),
            ["config"] => Self::Config,
            ["config", "reload"] => Self::Reload,
            ["log"] => Self::Log,
            _ => return None,
        })
    }

    /// Whether it is posted, and changes something.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Overview
            | Self::Events
            | Self::EventsLatest
            | Self::Event(_)
            | Self::Dead
            | Self::Rejected
            | Self::RejectedOne(_)
            | Self::Handlers
            | Self::Handler(_)
            | Self::Sources
            | Self::Source(_)
            | Self::Config
            | Self::Log => false,
            Self::EventReplay(_)
            | Self::EventEdit(_)
            | Self::DeadRedrive
            | Self::DeadRollout
            | Self::RolloutStep(..)
            | Self::DeadDrop
            | Self::RejectedRelease(_)
            | Self::RejectedReleaseAll
            | Self::EventsReplay
            | Self::HandlerRun(..)
            | Self::HandlerRetry(_)
            | Self::HandlerForget(_)
            | Self::SourceTest(_)
            | Self::Reload => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_their_paths_and_nothing_else_is() {
        let id = "0199c3f6-5b5e-7000-8000-000000000001";
        for path in [
            "/",
            "/events",
            "/events/latest",
            "/events/last",
            &format!("/events/{id}"),
            "/dead",
            "/log",
        ] {
            assert!(!Page::parse(path).unwrap().is_change(), "{path}");
        }
        for path in [
            "/dead/rollout",
            "/rollouts/3/pause",
            "/dead/drop",
            "/config/reload",
            "/handlers/mail/pause",
            "/sources/a/test",
        ] {
            assert!(Page::parse(path).unwrap().is_change(), "{path}");
        }
        for path in [
            "",
            "//",
            "/events/",
            "/events/x",
            "/handlers/No",
            "/rollouts/3/x",
            "/api/v1/status",
            "/x",
        ] {
            assert_eq!(Page::parse(path), None, "{path}");
        }
    }
}
