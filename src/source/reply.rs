//! An answer to a request.

use std::borrow::Cow;

/// An answer to a request. To a question it holds a stranger's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status: 200 or another of success.
    pub status: u16,
    /// What the body is; to be sent with `nosniff`.
    pub content_type: Cow<'static, str>,
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

impl Reply {
    /// Plain text.
    pub(super) fn text(body: String) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=utf-8".into(),
            headers: Vec::new(),
            body: body.into_bytes(),
        }
    }

    pub(super) fn json(body: &serde_json::Value) -> Self {
        Self::json_text(body.to_string())
    }

    /// What is JSON already.
    pub(super) fn json_text(body: String) -> Self {
        Self { content_type: "application/json".into(), ..Self::text(body) }
    }
}
