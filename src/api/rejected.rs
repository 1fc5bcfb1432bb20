//! Rejected requests as they are shown: from the running server's ring, or from its file while none
//! runs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::event::SourceName;
use crate::ingest::{RejectedRequest, RejectedRing};
use crate::source::{Explanation, Source};

use super::{ApiError, view};

/// One rejected request.
#[derive(Debug, Serialize)]
pub struct RejectedView {
    /// Its number.
    pub number: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// The source that it was sent to.
    pub source: SourceName,
    /// The caller's address.
    pub client: Option<std::net::IpAddr>,
    /// `POST` and the like.
    pub method: String,
    /// The path with the query, as sent.
    pub path: String,
    /// The body's length.
    pub body_bytes: usize,
    /// Why it was not believed.
    pub reason: String,
    /// Only where one request is shown: its headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<(String, String)>>,
    /// Only where one request is shown: its body, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl RejectedView {
    /// What `ring` keeps, newest first, at most `limit`.
    pub fn list(ring: &RejectedRing, limit: usize) -> Vec<Self> {
        ring.list(limit).iter().map(|request| Self::new(request)).collect()
    }

    /// One of them with headers and body.
    pub fn one(ring: &RejectedRing, number: u64) -> Result<Self, ApiError> {
        let request = ring.get(number).ok_or_else(|| gone(number))?;
        Ok(Self {
            headers: Some(view::headers(&request.headers)),
            body_base64: Some(STANDARD.encode(&request.body)),
            ..Self::new(&request)
        })
    }

    fn new(request: &RejectedRequest) -> Self {
        Self {
            number: request.number,
            received_at: request.received_at,
            source: request.source.clone(),
            client: request.client,
            method: request.method.clone(),
            path: request.path_and_query.clone(),
            body_bytes: request.body.len(),
            reason: request.reason.clone(),
            headers: None,
            body_base64: None,
        }
    }
}

/// Why a request was rejected.
#[derive(Debug, Serialize)]
pub struct ExplainView {
    /// Its number.
    pub number: u64,
    /// What was found.
    #[serde(flatten)]
    pub explanation: Explanation,
}

impl ExplainView {
    /// Why one that `ring` keeps was rejected, with `sources` as they are configured by now.
    pub fn new(ring: &RejectedRing, sources: &[&Source], number: u64) -> Result<Self, ApiError> {
        let explanation = ring.explain(number, sources).ok_or_else(|| gone(number))?;
        Ok(Self { number, explanation })
    }
}

pub(super) fn gone(number: u64) -> ApiError {
    ApiError::NotFound(format!("no rejected request {number} is kept"))
}
