//! Which dead letters are meant: as they are asked for, and as the queue is asked.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{EventId, HandlerName, Position};
use crate::queue::{DeadCursor, DeadFilter};

use super::values::{handler, words_of};
use super::{ActedOn, Api, ApiError, ListName};

/// What no filter asks for.
const ALL: &str = "all dead letters";
/// What narrows the list of dead letters.
const FILTER: [&str; 6] = ["handler", "id", "reason", "since", "until", "like"];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadAsk {
    pub handler: Option<String>,
    pub id: Option<String>,
    /// Only reasons that contain this text.
    pub reason: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// A list goes on behind this one: what `gatepost-next` said.
    pub after: Option<String>,
    pub limit: Option<usize>,
    /// Only reasons that are this one once numbers and ids are taken out of them, as groups show it.
    pub like: Option<String>,
    /// `reason`: groups in place of single dead letters.
    pub group: Option<GroupBy>,
    /// Every dead letter: must be said of a change where nothing else says less.
    #[serde(default)]
    pub all: bool,
    /// A change only counts what it would be for.
    #[serde(default)]
    pub dry_run: bool,
}

/// What dead letters are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// Handler and reason.
    Reason,
}

impl DeadAsk {
    fn check_no_after(&self) -> Result<(), ApiError> {
        match self.after {
            Some(_) => {
                Err(ApiError::Bad("a change has no `after`: it is for all that match".into()))
            }
            None => Ok(()),
        }
    }

    /// Itself, where it says which ones a change is for: nothing at all must not become "all".
    fn for_change(self) -> Result<Self, ApiError> {
        self.check_no_after()?;
        // An empty text is in every reason.
        let reason = self.reason.as_deref().filter(|reason| !reason.is_empty());
        let texts = [self.handler.as_deref(), self.id.as_deref(), self.like.as_deref(), reason];
        let is_limited = texts.iter().any(Option::is_some) || self.since.or(self.until).is_some();
        if self.all || self.dry_run || is_limited {
            return Ok(self);
        }
        Err(ApiError::Bad(
            "it would be for every dead letter: say which ones by `handler`, `id`, `reason`, `like`, `since` or \
             `until`, or say `\"all\": true`"
                .to_owned(),
        ))
    }

    /// The dead letters that a change is for: the API and the pages go by this alone.
    pub async fn parse_for_change(self, api: &Api) -> Result<DeadSelection, ApiError> {
        let ask = self.for_change()?;
        api.require_handler(ask.handler.as_deref())?;
        ask.parse(api).await
    }

    /// `api` knows the place of the event that is named.
    pub async fn parse(self, api: &Api) -> Result<DeadSelection, ApiError> {
        let about = self.about();
        let position = match self.id {
            None => None,
            Some(text) => {
                let id = EventId::from_str(&text).map_err(|err| ApiError::Bad(err.to_string()))?;
                Some(api.position(id).await?)
            }
        };
        let filter = DeadFilter {
            handler: self.handler.map(|name| handler(&name)).transpose()?,
            position,
            reason: self.reason,
            since: self.since,
            until: self.until,
            after: self.after.as_deref().map(cursor).transpose()?,
            limit: self.limit,
        };
        Ok(DeadSelection { filter, like: self.like, is_dry_run: self.dry_run, about })
    }
}

/// A place in the list, in the form in which `gatepost-next` says it.
fn cursor(text: &str) -> Result<DeadCursor, ApiError> {
    let mut parts = text.splitn(3, '.');
    let mut part = || parts.next().unwrap_or_default();
    let (millis, position, name) = (part().parse(), part().parse(), part());
    match (millis, position, HandlerName::parse(name)) {
        (Ok(millis), Ok(position), Ok(handler)) => Ok(DeadCursor {
            died_at: Timestamp::from_millis(millis),
            position: Position(position),
            handler,
        }),
        _ => Err(ApiError::Bad("`after` is not what `gatepost-next` said".to_owned())),
    }
}

/// [`cursor`] the other way round.
pub(super) fn cursor_text(cursor: &DeadCursor) -> String {
    let DeadCursor { died_at, position, handler } = cursor;
    format!("{}.{}.{handler}", died_at.as_millis(), position.0)
}

/// Which dead letters to redrive by stages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutAsk {
    pub handler: Option<String>,
    pub id: Option<String>,
    /// Only reasons that contain this text.
    pub reason: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    pub limit: Option<usize>,
    /// Only reasons that are this one once numbers and ids are taken out of them, or its key.
    pub like: Option<String>,
    /// Every dead letter: must be said where nothing else says less.
    #[serde(default)]
    pub all: bool,
    /// At most this many a second.
    pub rate: Option<u32>,
}

impl RolloutAsk {
    /// Itself, where it says which ones it is for, and there is such a handler.
    pub(super) fn for_change(self, api: &Api) -> Result<Self, ApiError> {
        DeadAsk::from(self.clone()).for_change()?;
        api.require_handler(self.handler.as_deref())?;
        Ok(self)
    }

    /// Which ones, in words. `group` = the reason that `like` names.
    pub(super) fn target(&self, group: Option<&str>) -> String {
        DeadAsk::from(self.clone()).target(group)
    }
}

impl From<RolloutAsk> for DeadAsk {
    fn from(ask: RolloutAsk) -> Self {
        let RolloutAsk { handler, id, reason, since, until, limit, like, all, rate: _ } = ask;
        Self {
            handler,
            id,
            reason,
            since,
            until,
            after: None,
            limit,
            like,
            group: None,
            all,
            dry_run: false,
        }
    }
}

impl DeadAsk {
    /// Which ones in words, for the action log. `group` = the reason that `like` names.
    fn target(&self, group: Option<&str>) -> String {
        let parts = [
            ("handler", self.handler.clone()),
            ("event", self.id.clone()),
            ("reason", self.reason.clone()),
            ("like", group.map(quoted).or(self.like.clone())),
            ("since", self.since.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
            ("at most", self.limit.map(|limit| limit.to_string())),
        ];
        words_of(parts).unwrap_or_else(|| ALL.to_owned())
    }

    /// The list of those that it is for.
    pub(super) fn about(&self) -> ActedOn {
        let event = self.id.as_deref().and_then(|id| id.parse().ok());
        ActedOn { event, ..ActedOn::list(ListName::Dead, self, &FILTER) }
    }

    /// The same as a rollout, which has no `after` either.
    pub fn into_rollout(self, rate: Option<u32>) -> Result<RolloutAsk, ApiError> {
        self.check_no_after()?;
        let Self { handler, id, reason, since, until, limit, like, all, .. } = self;
        Ok(RolloutAsk { handler, id, reason, since, until, limit, like, all, rate })
    }
}

/// Which dead letters a change is for, and how far it goes.
#[derive(Clone, Debug, Default)]
pub struct DeadSelection {
    pub filter: DeadFilter,
    /// Only those whose reason is this one once numbers and ids are taken out of it.
    pub like: Option<String>,
    /// Only count them.
    pub is_dry_run: bool,
    /// The list of them, for the action log.
    pub about: ActedOn,
}

impl DeadSelection {
    /// Which ones in words, for the action log. `group` = the reason that `like` names.
    pub(super) fn target(&self, group: Option<&str>) -> String {
        let DeadFilter { handler, position, reason, since, until, after: _, limit } = &self.filter;
        let parts = [
            ("handler", handler.as_ref().map(ToString::to_string)),
            ("position", position.map(|position| position.0.to_string())),
            ("reason", reason.clone()),
            ("like", group.map(quoted).or(self.like.clone())),
            ("since", since.map(|at| at.to_string())),
            ("until", until.map(|at| at.to_string())),
            ("at most", limit.map(|limit| limit.to_string())),
        ];
        words_of(parts).unwrap_or_else(|| ALL.to_owned())
    }
}

fn quoted(reason: &str) -> String {
    format!("“{reason}”")
}
