//! Follows a gateway.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::held::HeldCopy;
use super::local::CopyError;
use super::wire::{Garbled, Hello, Pull, PulledParts, Welcome};
use crate::clock::{Clock, whole_millis};
use crate::queue::embedded::COPY_FORMAT;
use crate::secret::Secret;
use crate::text::error_chain;

/// How long the gateway may wait for something new before it answers.
const WAIT: Duration = Duration::from_secs(1);
/// How long an answer may take: a hundred times what one over a slow line takes.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before the gateway is asked again that did not answer: doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whom to follow, and how.
#[derive(Debug)]
pub struct FollowOptions {
    /// The gateway's admin listener.
    pub from: Url,
    /// What opens it.
    pub token: Secret,
    /// This machine's name, for people.
    pub name: String,
}

/// Why following has ended for good, or was interrupted.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("the gateway refuses this standby: {0}")]
    Refused(String),
    #[error(
        "the gateway does not know the token: take the one in the file that `standby.token` names \
         there"
    )]
    Token,
    #[error(
        "the gateway ({version}) keeps its queue in format {format}, this standby in format {ours}: \
         run the same version on both",
        ours = COPY_FORMAT
    )]
    Version { version: String, format: u32 },
    /// What answers is no gateway, or one without standbys.
    #[error("what answers at `{0}` is not a gateway's admin listener of this version ({1})")]
    NoGateway(Url, StatusCode),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("the gateway cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the gateway cannot answer just now: {0}")]
    Unavailable(String),
    /// It was restarted, or has forgotten us.
    #[error("the gateway was restarted")]
    Forgotten,
    /// What came is not what was sent.
    #[error(transparent)]
    Garbled(#[from] Garbled),
    #[error("the gateway's answer cannot be read")]
    Answer(#[source] serde_json::Error),
}

impl FollowError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Unavailable(_)
            | Self::Forgotten
            | Self::Garbled(_)
            | Self::Answer(_) => true,
            Self::Copy(err) => err.may_pass(),
            Self::Refused(_) | Self::Token | Self::Version { .. } | Self::NoGateway(..) => false,
        }
    }
}

/// What the owner who watches is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The gateway with this id answers.
    Following(String),
    /// The copy has all that the gateway has.
    Complete,
}

/// A standby's side.
#[derive(Debug)]
pub struct CopyFollower {
    options: FollowOptions,
    client: Client,
    copy: Box<dyn HeldCopy>,
    clock: Arc<dyn Clock>,
    session: Option<String>,
    /// The gateway that was told of: a session that is begun anew is no news.
    told: Option<String>,
}

impl CopyFollower {
    /// Holds `copy` and brings it up to date.
    pub fn new(
        options: FollowOptions,
        copy: Box<dyn HeldCopy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FollowError> {
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT);
        // A proxy of the environment is for the web, and would be given the token and all events.
        let client = client.redirect(reqwest::redirect::Policy::none()).no_proxy();
        // Without TLS a machine without root certificates is no reason to fail.
        let client =
            if options.from.scheme() == "http" { client.tls_certs_only([]) } else { client };
        let client = client.build().map_err(FollowError::Unreachable)?;
        Ok(Self { options, client, copy, clock, session: None, told: None })
    }

    /// Follows until that is not possible any more. What passes is waited for.
    pub async fn run(mut self, tell: impl Fn(Progress)) -> FollowError {
        let (mut pause, mut is_told, mut is_complete) = (PAUSE_MIN, false, false);
        loop {
            match self.step(&tell).await {
                Ok(()) => {
                    if is_told {
                        info!("The gateway answers again");
                    }
                    (pause, is_told) = (PAUSE_MIN, false);
                    if !is_complete && self.copy.is_complete() {
                        tell(Progress::Complete);
                    }
                    is_complete = self.copy.is_complete();
                    tokio::time::sleep(self.copy.pause()).await;
                }
                Err(err) if err.may_pass() => {
                    if !is_told {
                        let why = error_chain(&err);
                        warn!(why, "The gateway is not followed just now; it is tried again");
                    }
                    is_told = true;
                    self.session = None;
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
                Err(err) => return err,
            }
        }
    }

    /// Asks once, and writes what comes.
    async fn step(&mut self, tell: &impl Fn(Progress)) -> Result<(), FollowError> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.hello(tell).await?,
        };
        let wait_ms = whole_millis(WAIT);
        let stand = self.copy.stand();
        let pull = Pull {
            session: session.clone(),
            from: stand,
            durable: stand.map(|stand| stand.place()).unwrap_or_default(),
            kept: self.copy.kept_parts(),
            keys: self.copy.key_parts(),
            wait_ms,
        };
        let answer = self.ask("pull", &pull).await?;
        let answer = answer.bytes().await.map_err(FollowError::Unreachable)?;
        let (batch, parts) = PulledParts::decode(&answer)?;
        let is_idle = batch.chunks.is_empty();
        // Known only once it was let in: a gateway that refuses is asked anew.
        self.session = Some(session);
        self.copy.apply(batch, &parts, self.clock.now()).await?;
        if is_idle {
            self.copy.look_again().await;
        }
        Ok(())
    }

    async fn hello(&mut self, tell: &impl Fn(Progress)) -> Result<String, FollowError> {
        let hello = Hello {
            format: COPY_FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.options.name.clone(),
            gateway: self.copy.gateway().map(str::to_owned),
            stand: self.copy.checked_end().await?,
        };
        let answer = self.ask("hello", &hello).await?;
        let answer = answer.bytes().await.map_err(FollowError::Unreachable)?;
        let welcome: Welcome = serde_json::from_slice(&answer).map_err(FollowError::Answer)?;
        let Welcome { format, version, gateway, session } = welcome;
        if format != COPY_FORMAT {
            return Err(FollowError::Version { version, format });
        }
        self.copy.begin(&gateway).await?;
        if self.told.as_ref() != Some(&gateway) {
            tell(Progress::Following(gateway.clone()));
            self.told = Some(gateway);
        }
        Ok(session)
    }

    async fn ask(&self, what: &str, body: &impl Serialize) -> Result<Response, FollowError> {
        let mut url = self.options.from.clone();
        url.set_path(&format!("/api/v1/standby/{what}"));
        let body = serde_json::to_vec(body).map_err(FollowError::Answer)?;
        let request = self.client.post(url).header("content-type", "application/json").body(body);
        let response = self.with_token(request).send().await.map_err(FollowError::Unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.bytes().await.unwrap_or_default();
        let detail = serde_json::from_slice::<Told>(&text).ok().and_then(|told| told.detail);
        let detail = detail.unwrap_or_else(|| status.to_string());
        Err(match status {
            StatusCode::UNAUTHORIZED => FollowError::Token,
            StatusCode::CONFLICT | StatusCode::FORBIDDEN => FollowError::Refused(detail),
            StatusCode::MISDIRECTED_REQUEST => FollowError::Refused(
                "it is asked by a name that is not its own: name its address, or come by a tunnel \
                 to localhost"
                    .into(),
            ),
            StatusCode::NOT_FOUND if what == "pull" => FollowError::Forgotten,
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                FollowError::Unavailable(detail)
            }
            status => FollowError::NoGateway(self.options.from.clone(), status),
        })
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        // What is no text opens nothing: it is answered like any wrong token.
        request.bearer_auth(String::from_utf8_lossy(self.options.token.expose()))
    }
}

/// What an answer without success says.
#[derive(Deserialize)]
struct Told {
    detail: Option<String>,
}
