//! Fetches the keys that senders publish.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::handler::{BuildError, Downloader};
use crate::source::{FetchRule, KeyFetch, KeyFetchError, KeyRequest, Source};

/// How long a fetch may take: senders hang up after some 10 s, and come again.
const FETCH_TIME: Duration = Duration::from_secs(5);

/// Fetches over the guarded client, which refuses private addresses.
struct KeyFetcher {
    downloader: Arc<Downloader>,
    /// Where fetches run: the listeners' threads are for those who answer senders, and a connection
    /// that is kept belongs to the thread that made it.
    runtime: Handle,
}

impl fmt::Debug for KeyFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFetcher").finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyFetch for KeyFetcher {
    async fn fetch(&self, request: KeyRequest) -> Result<Vec<u8>, KeyFetchError> {
        let KeyRequest { url, post } = request;
        let host = url.host_str().unwrap_or_default().to_owned();
        let downloader = Arc::clone(&self.downloader);
        let json = post.map(|json| json.0.to_string());
        let fetching = self.runtime.spawn(async move { downloader.fetch(url, json).await });
        let fetched = match tokio::time::timeout(FETCH_TIME, fetching).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(err)) => Err(err.to_string()),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        };
        fetched.map_err(|why| KeyFetchError(format!("`{host}`: {why}")))
    }
}

/// The same source; where its sender publishes keys it fetches them.
pub(super) fn with_keys(source: Source, clock: &Arc<dyn Clock>) -> Result<Source, BuildError> {
    let Some(rule) = source.fetch_rules().next() else { return Ok(source) };
    let FetchRule { allow, .. } = rule;
    let downloader = Downloader::new(allow.clone(), FETCH_TIME, Arc::clone(clock))?;
    let fetch = KeyFetcher { downloader: Arc::new(downloader), runtime: Handle::current() };
    Ok(source.with_key_fetch(Arc::new(fetch), Arc::clone(clock)))
}
