//! Rejected requests as they are shown: from the running server's ring, or from its file while none
//! runs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::clock::Timestamp;
use crate::event::{EventId, SourceName};
use crate::ingest::{Accepted, Ingest, RejectedRequest, RejectedRing, Stored};
use crate::source::{Explanation, Source, SourceCredentials};

use super::acted_on::{ActedOn, ActionTarget};
use super::{Api, ApiError, Changed, ListName, RejectedAsk, view};

/// One rejected request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RejectedView {
    pub number: u64,
    pub received_at: Timestamp,
    /// The source that it was sent to.
    pub source: SourceName,
    /// The caller's address.
    pub client: Option<std::net::IpAddr>,
    /// `POST` and the like.
    pub method: String,
    /// The path with the query, as sent.
    pub path: String,
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

/// A page of rejected requests.
#[derive(Debug)]
pub struct ListedRejected {
    pub requests: Vec<RejectedView>,
    /// The number to go on with, as `before`; `None` = nothing is behind it.
    pub next: Option<u64>,
}

impl RejectedView {
    /// What `ring` keeps, newest first, at most `limit`. Nothing shows what `credentials` say, or a secret
    /// of the one of `sources` that it was sent to.
    pub fn list(
        ring: &RejectedRing,
        credentials: &SourceCredentials,
        sources: &[&Source],
        limit: usize,
    ) -> Vec<Self> {
        let requests = ring.list(limit);
        requests.iter().map(|request| Self::new(request, credentials, sources)).collect()
    }

    /// One of them with headers and body.
    pub fn one(
        ring: &RejectedRing,
        credentials: &SourceCredentials,
        sources: &[&Source],
        number: u64,
    ) -> Result<Self, ApiError> {
        let request = ring.get(number).ok_or_else(|| gone(number))?;
        let (masks, source) = (credentials.get(&request.source), source_of(&request, sources));
        let masks = masks.cloned().unwrap_or_default();
        let mut headers = view::headers(&masks.mask_headers(&request.headers));
        for (_, value) in &mut headers {
            *value = shown(source, value);
        }
        let body = masks.mask_body(&request.headers, &request.body);
        Ok(Self {
            headers: Some(headers),
            body_base64: Some(STANDARD.encode(without_secrets(source, &body))),
            ..Self::new(&request, credentials, sources)
        })
    }

    fn new(
        request: &RejectedRequest,
        credentials: &SourceCredentials,
        sources: &[&Source],
    ) -> Self {
        let path = &request.path_and_query;
        let masks = credentials.get(&request.source);
        let path = masks.map_or_else(|| path.clone(), |masks| masks.mask_path(path));
        Self {
            number: request.number,
            received_at: request.received_at,
            source: request.source.clone(),
            client: request.client,
            method: request.method.clone(),
            path: shown(source_of(request, sources), &path),
            body_bytes: request.body.len(),
            reason: request.reason.clone(),
            headers: None,
            body_base64: None,
        }
    }
}

fn source_of<'s>(request: &RejectedRequest, sources: &[&'s Source]) -> Option<&'s Source> {
    sources.iter().copied().find(|source| *source.name() == request.source)
}

fn shown(source: Option<&Source>, text: &str) -> String {
    String::from_utf8_lossy(&without_secrets(source, text.as_bytes())).into_owned()
}

/// `text` without the secrets of a source, where one has them still.
fn without_secrets<'t>(source: Option<&Source>, text: &'t [u8]) -> Cow<'t, [u8]> {
    source.map_or(Cow::Borrowed(text), |source| source.hide_secrets(text))
}

/// Which rejected requests to verify again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAsk {
    /// Only those to this source.
    pub source: Option<String>,
    /// Only those that were rejected for this reason, word for word.
    pub reason: Option<String>,
    /// At most this many, oldest first.
    pub limit: Option<usize>,
    /// Every one: must be said where nothing else says less.
    #[serde(default)]
    pub all: bool,
    /// Only count those that would be stored.
    #[serde(default)]
    pub dry_run: bool,
}

/// Why a request was rejected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainView {
    pub number: u64,
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

impl Api {
    /// Rejected requests, newest first.
    pub fn rejected(&self, limit: usize) -> Result<Vec<RejectedView>, ApiError> {
        let ingest = &self.server()?.ingest;
        let endpoints = ingest.endpoints();
        let sources: Vec<&Source> = endpoints.iter().map(|endpoint| endpoint.source()).collect();
        Ok(RejectedView::list(ingest.rejected(), &self.credentials(), &sources, limit))
    }

    /// A page of rejected requests, newest first.
    pub fn rejected_page(&self, ask: &RejectedAsk) -> Result<ListedRejected, ApiError> {
        let mut requests = self.rejected(usize::MAX)?;
        requests.retain(|request| {
            ask.source.as_deref().is_none_or(|source| request.source.as_str() == source)
                && ask.reason.as_ref().is_none_or(|reason| request.reason == *reason)
                && ask.before.is_none_or(|before| request.number < before)
        });
        let has_more = requests.len() > ask.limit();
        requests.truncate(ask.limit());
        let next = requests.last().filter(|_| has_more).map(|last| last.number);
        Ok(ListedRejected { requests, next })
    }

    /// One rejected request, with headers and body.
    pub fn rejected_one(&self, number: u64) -> Result<RejectedView, ApiError> {
        let ingest = &self.server()?.ingest;
        let endpoints = ingest.endpoints();
        let sources: Vec<&Source> = endpoints.iter().map(|endpoint| endpoint.source()).collect();
        let found = RejectedView::one(ingest.rejected(), &self.credentials(), &sources, number);
        found.map_err(|err| self.or_elsewhere(err, number))
    }

    /// A request that is not kept here may be on another gateway that shares the log: its body is on no other.
    fn or_elsewhere(&self, err: ApiError, number: u64) -> ApiError {
        match err {
            ApiError::NotFound(text) => ApiError::NotFound(text + &self.kept_elsewhere(number)),
            other => other,
        }
    }

    /// How many rejected requests this gateway keeps.
    pub fn n_rejected(&self) -> usize {
        self.server.as_ref().map_or(0, |server| server.ingest.rejected().len())
    }

    /// Why one request was rejected, in words an owner understands.
    pub async fn explain(&self, number: u64) -> Result<ExplainView, ApiError> {
        let ingest = &self.server()?.ingest;
        let turn = ingest.rejected().explanations().turn().await;
        let explained = self.explain_in_turn(number, Arc::clone(ingest), turn).await;
        explained.map_err(|err| self.or_elsewhere(err, number))
    }

    /// Why one of `numbers`, newest first, was rejected: what was found out of late, or can be within `time`.
    /// `None` = it is not known yet. What was begun goes on, so that it is known a little later.
    pub async fn explain_one_of(
        &self,
        numbers: &[u64],
        time: Duration,
    ) -> Result<Option<ExplainView>, ApiError> {
        let ingest = &self.server()?.ingest;
        let explanations = ingest.rejected().explanations();
        let known = explanations.of(numbers.iter().copied(), self.clock.steady());
        if let Some((number, explanation)) = known {
            return Ok(Some(ExplainView { number, explanation }));
        }
        let Some(turn) = explanations.turn_now().filter(|_| !time.is_zero()) else {
            return Ok(None);
        };
        let Some(newest) = numbers.first() else { return Ok(None) };
        let explaining = self.explain_in_turn(*newest, Arc::clone(ingest), turn);
        tokio::time::timeout(time, explaining).await.ok().transpose()
    }

    /// Holds the turn until it is done, also where the future was dropped before that.
    fn explain_in_turn(
        &self,
        number: u64,
        ingest: Arc<Ingest>,
        turn: OwnedMutexGuard<()>,
    ) -> impl Future<Output = Result<ExplainView, ApiError>> + use<> {
        let as_of = (self.clock.steady(), ingest.rejected().explanations().n_changes());
        // Hundreds of ways to sign are tried on what may be some megabytes.
        let explaining = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let endpoints = ingest.endpoints();
            let sources: Vec<&Source> =
                endpoints.iter().map(|endpoint| endpoint.source()).collect();
            let view = ExplainView::new(ingest.rejected(), &sources, number)?;
            ingest.rejected().explanations().note(number, as_of, view.explanation.clone());
            Ok(view)
        });
        async move {
            let explained = explaining.await;
            explained.unwrap_or_else(|err| Err(ApiError::Bad(format!("explaining failed: {err}"))))
        }
    }

    /// Verifies a rejected request again as of the time it was received, and stores it if it
    /// passes.
    pub async fn release(&self, number: u64) -> Result<EventId, ApiError> {
        let released = self.try_release(number).await;
        let released = released.map_err(|err| self.or_elsewhere(err, number));
        let event = released.as_ref().ok().copied();
        let about = ActedOn { event, rejected: Some(number), ..ActedOn::default() };
        let target = ActionTarget::new(format!("rejected request {number}"), about);
        self.note("release", target, &released, |id| format!("stored as {id}"));
        released
    }

    async fn try_release(&self, number: u64) -> Result<EventId, ApiError> {
        let released = self.server()?.ingest.release(number).await;
        match released.ok_or_else(|| gone(number))? {
            Ok(accepted) => match accepted {
                Accepted::Stored(Stored { appended, answer, .. }) => {
                    // Its sender was answered 401 long ago.
                    answer.confirm();
                    Ok(appended.id())
                }
                Accepted::EmptyList(_) => {
                    Err(ApiError::Bad("its list is empty: there is nothing to store".into()))
                }
                Accepted::Handshake(_) | Accepted::Probe => {
                    Err(ApiError::Bad("it is a question, which is answered and not stored".into()))
                }
            },
            Err(err) => Err(ApiError::Conflict(match err.retry_after() {
                Some(wait) => format!("try again in {} s", wait.as_secs().max(1)),
                None => format!("request {number} still fails verification"),
            })),
        }
    }
}

impl ReleaseAsk {
    /// Itself, where it says which ones it is for: nothing at all must not become "all".
    fn for_change(self) -> Result<Self, ApiError> {
        if self.all || self.dry_run || self.source.is_some() || self.reason.is_some() {
            return Ok(self);
        }
        Err(ApiError::Bad(
            "it would be for every rejected request: say which ones by `source` or `reason`, or say `\"all\": true`"
                .to_owned(),
        ))
    }

    /// In words, for the action log.
    fn target(&self) -> String {
        let said = [("source", &self.source), ("reason", &self.reason)];
        let said = said.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let said: Vec<String> = said.map(|(name, value)| format!("{name} {value}")).collect();
        let what = if said.is_empty() { "all".to_owned() } else { said.join(", ") };
        format!("rejected requests: {what}")
    }

    fn is_for(&self, request: &RejectedRequest) -> bool {
        self.source.as_ref().is_none_or(|source| request.source.as_str() == source)
            && self.reason.as_ref().is_none_or(|reason| request.reason == *reason)
    }
}

impl Api {
    /// [`Api::release`] of all that `ask` names, oldest first. What still fails verification counts as
    /// failed and stays.
    pub async fn release_all(&self, ask: ReleaseAsk) -> Result<Changed, ApiError> {
        let ingest = &self.server()?.ingest;
        let ask = ask.for_change()?;
        if let Some(source) = &ask.source {
            super::values::source(source)?;
        }
        let mut requests = ingest.rejected().list(usize::MAX);
        requests.retain(|request| ask.is_for(request));
        requests.reverse();
        requests.truncate(ask.limit.unwrap_or(usize::MAX));
        let mut changed = Changed::new(requests.len() as u64, 0);
        changed.skipped = 0;
        for request in requests {
            let released = if ask.dry_run {
                ingest.is_good_by_now(request.number)
            } else {
                match self.try_release(request.number).await {
                    Ok(_id) => Some(true),
                    Err(ApiError::NotFound(_)) => None,
                    Err(ApiError::Queue(err)) => return Err(err.into()),
                    Err(ApiError::Bad(_) | ApiError::Conflict(_) | ApiError::TooLarge(_)) => {
                        Some(false)
                    }
                }
            };
            match released {
                Some(true) => changed.done += 1,
                Some(false) => changed.failed += 1,
                None => changed.skipped += 1,
            }
            // Each is verified anew: others get their turn in between.
            tokio::task::yield_now().await;
        }
        changed.count = changed.done;
        if !ask.dry_run {
            let about = ActedOn::list(ListName::Rejected, &ask, &["source", "reason"]);
            let target = ActionTarget::new(ask.target(), about);
            self.note("release", target, &Ok::<_, ApiError>(changed.clone()), |changed| {
                let Changed { matched, done, failed, .. } = changed;
                format!("{done} of {matched}, {failed} still fail verification")
            });
        }
        Ok(changed)
    }

    /// How many of these requests would be stored by now, of at most `most` that are looked at.
    pub fn good_by_now(&self, numbers: &[u64], most: usize) -> Result<(usize, usize), ApiError> {
        let ingest = &self.server()?.ingest;
        let looked_at = numbers.iter().take(most);
        let n_good =
            looked_at.clone().filter(|number| ingest.is_good_by_now(**number) == Some(true));
        Ok((n_good.count(), looked_at.count()))
    }
}

fn gone(number: u64) -> ApiError {
    ApiError::NotFound(format!("no rejected request {number} is kept"))
}
