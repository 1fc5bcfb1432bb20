//! An event, as it is named on the command line.

use std::str::FromStr;

use crate::event::EventId;

/// An event, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidEvent {
    /// By its id.
    Id(EventId),
    /// The newest one.
    Last,
}

impl FromStr for SaidEvent {
    type Err = <EventId as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => Ok(Self::Last),
            text => text.parse().map(Self::Id),
        }
    }
}
