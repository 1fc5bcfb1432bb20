//! What fetches keys, and what it is asked for.

use std::fmt;

use async_trait::async_trait;
use url::Url;
use zeroize::Zeroizing;

/// Fetches keys for a source. Implemented where requests can be sent, over the guard that keeps them
/// off private networks.
#[async_trait]
pub trait KeyFetch: Send + Sync + fmt::Debug {
    /// The body of a successful answer; ends within a few seconds.
    async fn fetch(&self, request: KeyRequest) -> Result<Vec<u8>, KeyFetchError>;
}

/// What is asked for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    pub url: Url,
    /// JSON to be posted; nothing where the key is simply there.
    pub post: Option<PostedJson>,
}

/// JSON that may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PostedJson(pub Zeroizing<String>);

impl fmt::Debug for PostedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostedJson(…)")
    }
}

/// Why a key was not fetched; says nothing of the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFetchError(pub String);
