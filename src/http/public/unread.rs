//! The part of a request that is read only where its head is good.

use actix_http::Payload;
use actix_http::header::HeaderMap;
use bytes::Bytes;
use tokio::time::Instant;

use crate::event::Headers;
use crate::http::body::{self, Collect};
use crate::http::connections::ConnectionHandle;
use crate::ingest::{BodyError, BodyLimits, BodyRoom, RequestReader};

pub(super) struct Unread<'a> {
    pub(super) payload: Payload,
    pub(super) headers: &'a HeaderMap,
    /// How long the body is said to be.
    pub(super) length: Option<usize>,
    pub(super) connection: ConnectionHandle<'a>,
    pub(super) began: Instant,
    /// It has a stream of HTTP/2, whose frames wake the request by themselves.
    pub(super) is_stream: bool,
}

impl RequestReader for Unread<'_> {
    /// All headers, once, in the form in which they are stored. The order among different names is
    /// the HTTP library's; repeated names keep theirs.
    fn headers(&self) -> Headers {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }

    async fn body(
        &mut self,
        limits: BodyLimits,
        room: &mut BodyRoom<'_>,
    ) -> Result<Bytes, BodyError> {
        let collect = Collect {
            bytes_max: limits.bytes_max,
            length: self.length,
            room: Some(room),
            end: body::end_of(self.headers),
        };
        let payload = self.payload.take();
        let body = if self.is_stream {
            body::read_all(payload, collect, limits.time).await?
        } else {
            body::read_soon(payload, collect, limits.time).await?
        };
        self.connection.has_body(self.began);
        Ok(body)
    }
}
