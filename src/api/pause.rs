//! The pause of a handler: as it is asked for, and as it is.

use serde::{Deserialize, Serialize};

use super::ApiError;
use super::actions::Actor;
use crate::clock::Timestamp;
use crate::settings::parse_duration;

/// Why a handler is paused, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// When it is resumed by itself; `None` = not.
    pub until: Option<Timestamp>,
    /// What the one who did it said.
    pub reason: Option<String>,
    /// Who did it.
    pub by: Option<Actor>,
}

/// How long to pause a handler, and why. Nothing said = until it is resumed by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseAsk {
    /// For so long: `30m`, `2h`.
    pub r#for: Option<String>,
    /// Until this moment.
    pub until: Option<Timestamp>,
    /// Why, for others who look.
    pub reason: Option<String>,
}

/// The longest reason of a pause.
const REASON_CHARS_MAX: usize = 200;

impl PauseAsk {
    /// The pause that it asks for.
    pub(super) fn parse(self, now: Timestamp, by: Actor) -> Result<PauseView, ApiError> {
        let until = match (self.r#for, self.until) {
            (None, until) => until,
            (Some(text), None) => {
                let length =
                    parse_duration(&text).map_err(|err| ApiError::Bad(format!("`for`: {err}")))?;
                Some(now.after(length))
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::Bad("`for` and `until` exclude each other".into()));
            }
        };
        if until.is_some_and(|until| until <= now) {
            return Err(ApiError::Bad("the pause would be over already: say a later time".into()));
        }
        let reason = self.reason.map(|text| text.chars().take(REASON_CHARS_MAX).collect());
        Ok(PauseView { until, reason, by: Some(by) })
    }
}
