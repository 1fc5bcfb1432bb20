//! What PostgreSQL's errors mean for a caller.

use sqlx::postgres::PgDatabaseError;

use crate::cluster::engine::authority;
use crate::cluster::engine::contract::{EngineAppendError, EngineError, EngineReadError, Sequence};

/// What came of a statement that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PgFailure {
    /// It waits for its owner: permissions, a table that is gone.
    Refused(String),
    /// There is no room, and nothing was done.
    Full(String),
    /// Nothing was done, only because of what others did at the same time.
    Conflict(String),
    /// A block or a row cannot be read.
    Corrupt(String),
    /// No answer, or none that says what came of it.
    Unavailable(String),
}

impl PgFailure {
    pub(super) fn no_answer(what: &str) -> Self {
        Self::Unavailable(format!("PostgreSQL did not answer in time while {what}"))
    }

    /// What is told of it.
    fn why(&self) -> &str {
        match self {
            Self::Refused(why)
            | Self::Full(why)
            | Self::Conflict(why)
            | Self::Corrupt(why)
            | Self::Unavailable(why) => why,
        }
    }

    /// What came of each of several servers, none of which could be used.
    pub(super) fn of_all(failures: &[(&str, Self)]) -> Self {
        let told: Vec<String> =
            failures.iter().map(|(place, failure)| format!("{place}: {}", failure.why())).collect();
        let told = format!("no server takes writes: {}", told.join("; "));
        let is_refused = |(_, failure): &(&str, Self)| matches!(failure, Self::Refused(_));
        if failures.iter().any(is_refused) { Self::Refused(told) } else { Self::Unavailable(told) }
    }
}

impl From<sqlx::Error> for PgFailure {
    fn from(err: sqlx::Error) -> Self {
        if let Some(why) = authority::untrusted(&err) {
            return Self::Refused(why);
        }
        let text = text(&err);
        let Some(code) = err.as_database_error().and_then(|err| Some(err.code()?.into_owned()))
        else {
            return match err {
                // TLS that cannot be had waits for the owner, not for better times.
                sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Refused(text),
                _ => Self::Unavailable(text),
            };
        };
        match code.as_str() {
            "53100" => Self::Full(text),
            // Serialization, deadlock, and a lock that others held for too long.
            "40001" | "40P01" | "55P03" => Self::Conflict(text),
            "XX001" | "XX002" => Self::Corrupt(text),
            // A standby, or a role that may only read; after a failover the next connection may lead to
            // another server.
            "25006" => Self::Unavailable(format!("it takes no writes: {text}")),
            // Log-in, database, permissions, tables, columns, schema, what this version does not know.
            "3D000" | "42501" | "42P01" | "42703" | "3F000" | "42883" | "42601" | "54000" => {
                Self::Refused(text)
            }
            code if code.starts_with("28") => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// The server's own words where it is the server that speaks.
fn text(err: &sqlx::Error) -> String {
    let database =
        err.as_database_error().and_then(|err| err.try_downcast_ref::<PgDatabaseError>());
    match database {
        Some(err) => format!("{} (SQLSTATE {})", err.message(), err.code()),
        None => err.to_string(),
    }
}

impl From<PgFailure> for EngineError {
    fn from(failure: PgFailure) -> Self {
        match failure {
            PgFailure::Refused(why) => Self::Refused(why),
            PgFailure::Full(why)
            | PgFailure::Conflict(why)
            | PgFailure::Corrupt(why)
            | PgFailure::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<PgFailure> for EngineAppendError {
    fn from(failure: PgFailure) -> Self {
        match failure {
            PgFailure::Full(why) => Self::Full(why),
            failure => EngineError::from(failure).into(),
        }
    }
}

impl PgFailure {
    /// What it is for the reader of the unit at `from`.
    pub(super) fn of_read(self, from: Sequence) -> EngineReadError {
        match self {
            Self::Corrupt(_) => EngineReadError::Damaged { from, to: from.next() },
            failure => EngineError::from(failure).into(),
        }
    }
}
