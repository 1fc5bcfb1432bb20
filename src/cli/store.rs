//! How a verb reaches the queue: through the running server's socket, or where none runs, by
//! opening the store itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{Api, ApiError, error_chain};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::files;
use crate::http::admin::NEXT;
use crate::metrics::Metrics;
use crate::queue::embedded::{EmbeddedQueue, is_of_version_1};
use crate::text::percent_encoded;

use super::CliError;
use super::progress::{Progress, Unit};
use crate::queue::Queue as _;

/// How often is looked how far the index is.
const INDEX_LOOK: Duration = Duration::from_millis(200);
/// After so many looks at which it was no further it is not waited for.
const INDEX_IDLE_LOOKS: u32 = 25;
/// How long the server may take for one answer: a redrive of many dead letters takes a while.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The admin socket of a running server.
#[derive(Debug)]
pub(super) struct Server {
    client: reqwest::Client,
    socket: PathBuf,
}

/// Whether a server runs.
pub(super) enum Reached {
    /// It does.
    Server(Server),
    /// No server listens on the socket.
    Nobody,
}

impl Server {
    /// Connects to the server of `config`, where one runs.
    pub(super) async fn reach(config: &Config) -> Result<Reached, CliError> {
        let socket = &config.admin.socket;
        match tokio::net::UnixStream::connect(socket).await {
            Ok(_stream) => Ok(Reached::Server(Self::new(socket)?)),
            Err(err) => match err.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                    Ok(Reached::Nobody)
                }
                std::io::ErrorKind::PermissionDenied => {
                    Err(CliError::Unreachable(anothers_socket(socket)))
                }
                _ => Err(CliError::Unreachable(format!(
                    "the admin socket `{}` cannot be opened: {err}",
                    socket.display()
                ))),
            },
        }
    }

    /// The same where there is no way without a server.
    pub(super) async fn require(config: &Config) -> Result<Self, CliError> {
        match Self::reach(config).await? {
            Reached::Server(server) => Ok(server),
            Reached::Nobody => Err(CliError::Unreachable(format!(
                "no server is running (nobody listens on `{}`); start one with `gatepost serve`",
                config.admin.socket.display()
            ))),
        }
    }

    fn new(socket: &Path) -> Result<Self, CliError> {
        let client = reqwest::Client::builder()
            .unix_socket(socket)
            .timeout(TIMEOUT)
            // Nothing is encrypted on the socket: a machine without root certificates is no
            // reason to fail.
            .tls_certs_only([])
            .build()
            .map_err(|err| CliError::failed(&err))?;
        Ok(Self { client, socket: socket.to_owned() })
    }

    /// Asks for `path` below `/api/v1/`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(String, String)],
    ) -> Result<T, CliError> {
        let request = self.client.get(url(path, query));
        self.json(request).await
    }

    /// The same for a list, with the position to go on with where it says one.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(String, String)],
    ) -> Result<(T, Option<u64>), CliError> {
        let response = self.answered(self.client.get(url(path, query))).await?;
        let next = response.headers().get(NEXT).and_then(|next| next.to_str().ok());
        let next = next.and_then(|next| next.parse().ok());
        let body = response.bytes().await.map_err(|err| self.unreachable(&err))?;
        let list = serde_json::from_slice(&body).map_err(|err| CliError::failed(&err))?;
        Ok((list, next))
    }

    /// Whether it is ready: an error that says why not where it is not.
    pub(super) async fn ready(&self) -> Result<Readiness, CliError> {
        self.json(self.client.get("http://localhost/readyz")).await
    }

    /// Changes something at `path` below `/api/v1/`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CliError> {
        let body = serde_json::to_vec(body).map_err(|err| CliError::failed(&err))?;
        let request = self.client.post(url(path, &[]));
        self.json(request.header("content-type", "application/json").body(body)).await
    }

    /// The bytes at `path` below `/api/v1/`.
    pub(super) async fn bytes(&self, path: &str) -> Result<Vec<u8>, CliError> {
        self.send(self.client.get(url(path, &[]))).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, CliError> {
        let body = self.send(request).await?;
        serde_json::from_slice(&body).map_err(|err| CliError::failed(&err))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CliError> {
        let response = self.answered(request).await?;
        let body = response.bytes().await.map_err(|err| self.unreachable(&err))?;
        Ok(body.into())
    }

    fn unreachable(&self, err: &reqwest::Error) -> CliError {
        let (socket, why) = (self.socket.display(), error_chain(err));
        CliError::Unreachable(format!("the server on `{socket}` does not answer: {why}"))
    }

    /// The answer of a success; an error in the server's words else.
    async fn answered(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, CliError> {
        let response = request.send().await.map_err(|err| self.unreachable(&err))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // The one thing that is asked there is the configuration.
        let is_reload = response.url().path().ends_with("/reload");
        let body = response.bytes().await.map_err(|err| self.unreachable(&err))?;
        let problem: ToldProblem = serde_json::from_slice(&body).unwrap_or_default();
        let detail = match (problem.detail.or(problem.title), problem.problems) {
            (Some(detail), _) => detail,
            (None, Some(problems)) => format!("not ready: {}", problems.join("; ")),
            (None, None) => "no reason given".to_owned(),
        };
        let is_passing = status == reqwest::StatusCode::SERVICE_UNAVAILABLE;
        Err(match status {
            _ if is_passing => CliError::Unavailable(detail),
            reqwest::StatusCode::BAD_REQUEST if is_reload => CliError::ConfigurationRefused(detail),
            _ => CliError::Failed(detail),
        })
    }
}

/// The answer of a server that is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Readiness {
    /// `ready`
    pub(super) status: String,
    /// What is to be known all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// What an answer without success says: RFC 9457's fields, or what is not ready.
#[derive(Debug, Default, Deserialize)]
struct ToldProblem {
    title: Option<String>,
    detail: Option<String>,
    problems: Option<Vec<String>>,
}

/// The host is ours to choose: the socket says where it goes.
fn url(path: &str, query: &[(String, String)]) -> String {
    let mut url = format!("http://localhost/api/v1/{path}");
    for (index, (key, value)) in query.iter().enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.push_str(key);
        url.push('=');
        url.push_str(&percent_encoded(value));
    }
    url
}

/// Opens the store of `config` while no server runs, to be asked.
pub(super) async fn open(config: &Config) -> Result<Api, CliError> {
    Ok(api(open_queue(config).await?, config))
}

/// The same once look-ups have all of the log, which a bar tells of: before that they would know less.
pub(super) async fn open_indexed(config: &Config) -> Result<Api, CliError> {
    let queue = open_queue(config).await?;
    wait_for_index(&queue).await;
    Ok(api(queue, config))
}

/// Waits for the index; not for one that does not get on.
async fn wait_for_index(queue: &EmbeddedQueue) {
    if queue.is_indexed(INDEX_LOOK).await {
        return;
    }
    let total = queue.stats().lag_bytes;
    let progress = Progress::new("making the index", Unit::Bytes, Some(total));
    let (mut least, mut n_idle) = (total, 0);
    while n_idle < INDEX_IDLE_LOOKS && !queue.is_indexed(INDEX_LOOK).await {
        let left = queue.stats().lag_bytes;
        n_idle = if left < least { 0 } else { n_idle + 1 };
        least = least.min(left);
        progress.set(total.saturating_sub(left));
    }
}

fn api(queue: Arc<EmbeddedQueue>, config: &Config) -> Api {
    let api = Api::offline(queue, Arc::new(SystemClock::new()));
    let handlers = config.handlers.iter();
    let policies = handlers.map(|(name, settings)| (name.clone(), settings.policy.clone()));
    api.hiding(config.credentials()).judging(policies.collect())
}

/// That the socket is another user's, and whose command it takes.
fn anothers_socket(socket: &Path) -> String {
    let user = files::owner_of(socket).unwrap_or_else(|| "gatepost".to_owned());
    format!(
        "the admin socket `{}` is another user's; run this as that user: sudo -u '{user}' gatepost …",
        socket.display()
    )
}

/// Whom to ask.
pub(super) enum Via {
    Server(Server),
    Store(Box<Api>),
}

impl Via {
    /// The server that runs, else the store itself.
    pub(super) async fn reach(config: &Config) -> Result<Self, CliError> {
        Ok(match Server::reach(config).await? {
            Reached::Server(server) => Self::Server(server),
            Reached::Nobody => Self::Store(Box::new(open_indexed(config).await?)),
        })
    }

    /// The same for what is stored: where there is no store one is made, as `serve` does.
    pub(super) async fn reach_or_make(config: &Config) -> Result<Self, CliError> {
        Ok(match Server::reach(config).await? {
            Reached::Server(server) => Self::Server(server),
            Reached::Nobody => Self::Store(Box::new(api(open_or_make(config).await?, config))),
        })
    }

    /// The same for what asks nothing but the log.
    pub(super) async fn reach_log(config: &Config) -> Result<Self, CliError> {
        Ok(match Server::reach(config).await? {
            Reached::Server(server) => Self::Server(server),
            Reached::Nobody => Self::Store(Box::new(open(config).await?)),
        })
    }
}

/// Says so where there is no store: opening would make one.
pub(super) fn require_store(config: &Config) -> Result<(), CliError> {
    let path = &config.queue.path;
    match path.try_exists() {
        Ok(true) if is_of_version_1(path) => {
            return Err(CliError::Unreachable(format!(
                "`{}` is a queue of gatepost 0.1; `gatepost serve` takes it over when it starts, and 0.1 refuses it from then \
                 on: back it up first",
                path.display()
            )));
        }
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(err) => {
            let user = files::owner_of(path).unwrap_or_else(|| "gatepost".to_owned());
            return Err(CliError::Unreachable(format!(
                "the store in `{}` is another user's ({err}); run this as that user: \
                 sudo -u '{user}' gatepost …",
                path.display()
            )));
        }
    }
    let path = path.display();
    Err(CliError::Unreachable(format!(
        "no server is running, and there is no store in `{path}` yet; `gatepost serve` makes one"
    )))
}

/// Opens the store of `config` while no server runs. Makes none where there is none.
pub(super) async fn open_queue(config: &Config) -> Result<Arc<EmbeddedQueue>, CliError> {
    require_store(config)?;
    open_or_make(config).await
}

/// The same; makes one where there is none.
async fn open_or_make(config: &Config) -> Result<Arc<EmbeddedQueue>, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let opened = crate::app::open_queue(config, clock, &Metrics::new()).await;
    opened.map_err(|err| CliError::Unreachable(error_chain(&err)))
}

impl From<ApiError> for CliError {
    fn from(err: ApiError) -> Self {
        Self::failed(&err)
    }
}

/// Any answer as JSON, as the server would send it.
pub(super) fn value(answer: &impl Serialize) -> Result<Value, CliError> {
    serde_json::to_value(answer).map_err(|err| CliError::failed(&err))
}

/// A question as the pairs of a query; what is not said is left out.
pub(super) fn pairs(ask: &impl Serialize) -> Result<Vec<(String, String)>, CliError> {
    let Value::Object(fields) = value(ask)? else { return Ok(Vec::new()) };
    let said = fields.into_iter().filter(|(_, value)| !value.is_null());
    Ok(said
        .map(|(key, value)| match value {
            Value::String(text) => (key, text),
            other => (key, other.to_string()),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_percent_encoded() {
        let query = [("type", "a b&c=*é"), ("limit", "5")];
        let query = query.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let expected = "http://localhost/api/v1/events?type=a%20b%26c%3D%2A%C3%A9&limit=5";
        assert_eq!(url("events", &query), expected);
    }
}
