//! How long a program has of its call's time.

use std::fmt;
use std::time::Duration;

use crate::settings::show_duration;

/// A call's time, a little of which is kept back: so that the program is ended in order and the reason told.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgramTime {
    /// As its owner wrote it.
    pub(super) of_call: Duration,
}

impl ProgramTime {
    /// What the program has.
    pub(super) fn own(self) -> Duration {
        self.of_call.saturating_sub((self.of_call / 10).min(Duration::from_secs(1)))
    }

    /// What is kept back.
    pub(super) fn kept_back(self) -> Duration {
        self.of_call.saturating_sub(self.own())
    }
}

/// As in `2s700ms of its 3s`.
impl fmt::Display for ProgramTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of its {}", show_duration(self.own()), show_duration(self.of_call))
    }
}
