//! Requests that are in memory already.

use bytes::Bytes;
use tokio::time::Instant;

use super::{BodyError, BodyLimits, BodyRoom, Limits, RequestHead, RequestReader};
use crate::event::Headers;

/// Limits that no test reaches by accident.
pub(crate) fn limits() -> Limits {
    Limits {
        body_max: 1 << 20,
        body_timeout: std::time::Duration::from_secs(10),
        unverified: None,
        unverified_bytes: 1 << 26,
    }
}

/// A POST to `source` from nowhere.
pub(crate) fn head<'a>(source: &'a str, path_and_query: &'a str) -> RequestHead<'a> {
    RequestHead {
        source,
        method: "POST",
        path_and_query,
        is_preflight: false,
        content_length: None,
        header_bytes: 0,
        client: None,
        is_behind_unnamed_proxy: false,
        began: Instant::now(),
    }
}

/// What is there to be read.
pub(crate) struct InMemory {
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

impl RequestReader for InMemory {
    fn headers(&self) -> Headers {
        self.headers.clone()
    }

    async fn body(
        &mut self,
        _limits: BodyLimits,
        _room: &mut BodyRoom<'_>,
    ) -> Result<Bytes, BodyError> {
        Ok(self.body.clone())
    }
}
