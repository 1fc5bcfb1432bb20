//! What NATS' errors mean for a caller.

use serde::Deserialize;

use crate::cluster::engine::contract::{EngineAppendError, EngineError, EngineReadError};

/// What came of a request that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NatsFailure {
    /// It waits for its owner: permissions, a stream of another shape.
    Refused(String),
    /// There is no room, and nothing was done.
    Full(String),
    /// There is no such stream.
    NoStream,
    /// There is no such message.
    NoMessage,
    /// No answer, or none that says what came of it.
    Unavailable(String),
}

/// An error as JetStream writes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct JetStreamError {
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

/// `JSStreamNotFoundErr`.
const NO_STREAM: u32 = 10_059;
/// `JSNoMessageFoundErr`.
const NO_MESSAGE: u32 = 10_037;
/// Where there is no room: resources of the server, of the account and of the stream.
const FULL: &[u32] = &[10_023, 10_028, 10_047, 10_002, 10_077, 10_122];
/// Errors of a stream that cannot store at present, whatever their code says.
const FULL_TEXTS: &[&str] =
    &["maximum messages exceeded", "maximum bytes exceeded", "no space left"];

impl From<JetStreamError> for NatsFailure {
    fn from(err: JetStreamError) -> Self {
        let text = format!("{} (code {})", err.description, err.err_code);
        match err.err_code {
            NO_STREAM => Self::NoStream,
            NO_MESSAGE => Self::NoMessage,
            code if FULL.contains(&code) || is_full(&err.description) => Self::Full(text),
            // 503: there is no leader, or none yet.
            _ if err.code >= 500 => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }
}

fn is_full(description: &str) -> bool {
    FULL_TEXTS.iter().any(|text| description.contains(text))
}

impl From<NatsFailure> for EngineError {
    fn from(failure: NatsFailure) -> Self {
        match failure {
            NatsFailure::Refused(why) => Self::Refused(why),
            NatsFailure::NoStream => Self::Refused(
                "the stream is not there any more: start Gatepost again to have it made anew"
                    .to_owned(),
            ),
            NatsFailure::NoMessage => Self::Unavailable("a message is not there".to_owned()),
            NatsFailure::Full(why) | NatsFailure::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<NatsFailure> for EngineAppendError {
    fn from(failure: NatsFailure) -> Self {
        match failure {
            NatsFailure::Full(why) => Self::Full(why),
            failure => EngineError::from(failure).into(),
        }
    }
}

impl From<NatsFailure> for EngineReadError {
    fn from(failure: NatsFailure) -> Self {
        EngineError::from(failure).into()
    }
}
