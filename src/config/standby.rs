//! `[standby]`.

use std::path::PathBuf;
use std::time::Duration;

use super::server::warn_of_token_itself;
use crate::settings::{Table, show_duration};

/// What is wanted of a second copy on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbySettings {
    /// The file of the token that opens the copy, and nothing else.
    pub token: PathBuf,
    /// How far the copy may be behind before the owner is told.
    pub lag_max: Duration,
    /// How long an answer waits for the copy, with `queue.ack = "standby"`.
    pub ack_timeout: Duration,
}

impl StandbySettings {
    /// Where nothing else is said.
    pub const LAG_MAX: Duration = Duration::from_secs(30);
    /// Where nothing else is said.
    pub const ACK_TIMEOUT: Duration = Duration::from_secs(5);
}

const TOKEN: &str = "data/standby-token";
/// Senders hang up after 10 s, and some of that is the commit's.
const ACK_TIMEOUT_MAX: Duration = Duration::from_secs(9);

/// Reads `[standby]`; `None` = there is none.
pub(super) fn read(root: &mut Table<'_>) -> Option<StandbySettings> {
    let token = root.folder().join(TOKEN);
    let mut table = root.table("standby")?;
    warn_of_token_itself(&table, "token");
    let settings = StandbySettings {
        token: table.take_or("token", token),
        lag_max: table
            .checked_or("lag_max", "for example `lag_max = \"30s\"`", check_lag_max)
            .unwrap_or(StandbySettings::LAG_MAX),
        ack_timeout: table
            .checked_or("ack_timeout", "for example `ack_timeout = \"5s\"`", check_ack_timeout)
            .unwrap_or(StandbySettings::ACK_TIMEOUT),
    };
    table.finish();
    Some(settings)
}

fn check_lag_max(lag_max: Duration) -> Result<Duration, String> {
    if lag_max < Duration::from_secs(1) {
        Err("a copy is always some moments behind: at least 1s".to_owned())
    } else {
        Ok(lag_max)
    }
}

fn check_ack_timeout(timeout: Duration) -> Result<Duration, String> {
    if timeout.is_zero() {
        Err("no copy would be in time".to_owned())
    } else if timeout > ACK_TIMEOUT_MAX {
        Err(format!("senders hang up before that: at most {}", show_duration(ACK_TIMEOUT_MAX)))
    } else {
        Ok(timeout)
    }
}
