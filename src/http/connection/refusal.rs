//! Whole answers to what never becomes a request, each with its problem (RFC 9457).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// An answer that is written in place of another one.
#[derive(Debug, Default)]
pub(super) struct ReplacementAnswer(Option<&'static [u8]>);

impl ReplacementAnswer {
    pub(super) const fn of(answer: &'static [u8]) -> Self {
        Self(Some(answer))
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Writes what is left of it. The `n_bytes` of the other one count as written once all of it is.
    pub(super) fn poll(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
        n_bytes: usize,
    ) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.0.filter(|rest| !rest.is_empty()) {
            let n_written = ready!(Pin::new(&mut *io).poll_write(context, rest))?;
            if n_written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.0 = rest.get(n_written..);
        }
        self.0 = None;
        Poll::Ready(Ok(n_bytes))
    }
}

/// An answer with `$body`, whose length is `$length`, after which the connection ends.
macro_rules! refusal {
    ($status:literal, $length:literal, $body:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\ncontent-type: application/problem+json\r\ncontent-length: ",
            $length,
            "\r\nconnection: close\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

/// What was sent is no request.
pub(super) const BAD_REQUEST: &[u8] = refusal!(
    "400 Bad Request",
    "86",
    r#"{"title":"Bad Request","status":400,"detail":"this is no request that HTTP/1.1 knows"}"#
);

/// The head of a request did not come in time.
pub(super) const TOO_SLOW: &[u8] = refusal!(
    "408 Request Timeout",
    "81",
    r#"{"title":"Request Timeout","status":408,"detail":"the head did not come in time"}"#
);

/// A head over the limit.
pub(super) const HEAD_TOO_LARGE: &[u8] = refusal!(
    "431 Request Header Fields Too Large",
    "132",
    r#"{"title":"Request Header Fields Too Large","status":431,"detail":"path and headers are longer than 48 KiB, or more than 96 headers"}"#
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_the_length_and_the_status_that_it_says() {
        for answer in [BAD_REQUEST, TOO_SLOW, HEAD_TOO_LARGE, crate::http::connections::NO_ROOM] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", body["status"])), "{text}");
            assert!(head.contains(body["title"].as_str().unwrap()), "{text}");
        }
    }
}
