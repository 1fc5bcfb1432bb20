//! Sends spans to a collector: OTLP over HTTP, as protobuf, some hundred at a time. No request waits for it:
//! what a collector does not take in time is dropped, counted and told in the log.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::api::error_chain;
use crate::clock::Clock;
use crate::config::{Config, TracesHeader, TracesSettings};
use crate::settings::SecretHeaderError;
use crate::throttle::Throttle;
use crate::trace::{Span, Traces};

use super::error::AppError;

mod otlp;

/// Spans of one request.
const BATCH_MAX: usize = 512;
/// How long the first one of a batch waits for others.
const BATCH_TIME: Duration = Duration::from_secs(2);
/// How long one request may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a batch is sent where the collector says that it cannot just now, or is not there.
const TRIES: u32 = 3;
/// How long is waited before the next try; twice as long before the one behind it.
const WAIT: Duration = Duration::from_secs(1);
/// How long the last spans may take when the process ends.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends what is recorded in [`Traces`].
pub(super) struct Exporter {
    traces: Traces,
    spans: Receiver<Span>,
    client: reqwest::Client,
    settings: TracesSettings,
    clock: Arc<dyn Clock>,
    log: Throttle,
}

/// The task that sends, where there is one.
#[derive(Debug, Default)]
pub(super) struct Exporting {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Exporting {
    pub(super) fn start(exporter: Option<Exporter>) -> Self {
        let exporting = Self::default();
        if let Some(exporter) = exporter {
            exporting.tasks.spawn(exporter.run(exporting.stop.clone()));
        }
        exporting.tasks.close();
        exporting
    }

    /// Sends what is left, and ends.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Where spans go, and what sends them: nowhere where the configuration names no collector.
pub(super) fn open(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<(Traces, Option<Exporter>), AppError> {
    let Some(settings) = config.traces.clone() else { return Ok((Traces::default(), None)) };
    let (traces, spans) = Traces::new();
    let exporter = Exporter::new((traces.clone(), spans), settings, Arc::clone(clock))?;
    Ok((traces, Some(exporter)))
}

/// What is sent with each request, read at the start.
fn headers(settings: &TracesSettings) -> Result<HeaderMap, AppError> {
    let mut headers = HeaderMap::new();
    for (name, header) in &settings.headers {
        let value = match header {
            TracesHeader::Text(value) => value.clone(),
            TracesHeader::Secret(header) => header.value().map_err(|err| match err {
                SecretHeaderError::Secret(err) => AppError::TracesHeader(err),
                SecretHeaderError::Unfit(_) => AppError::UnfitTracesHeader(name.to_string()),
            })?,
        };
        headers.append(name, value);
    }
    Ok(headers)
}

impl Exporter {
    fn new(
        (traces, spans): (Traces, Receiver<Span>),
        settings: TracesSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let headers = headers(&settings)?;
        let client = reqwest::Client::builder()
            .timeout(SEND_TIMEOUT)
            .default_headers(headers)
            // They may be a key, which another host must not learn.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let client =
            client.map_err(|err| AppError::Io("making a client", std::io::Error::other(err)))?;
        Ok(Self { traces, spans, client, settings, clock, log: Throttle::default() })
    }

    /// Sends until `stop`, and what is left then.
    async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_TIMEOUT).await;
        };
        tokio::pin!(too_late);
        loop {
            self.gather(&mut batch, &stop).await;
            tokio::select! {
                () = self.send(&batch) => batch.clear(),
                () = &mut too_late => return warn!("The newest spans could not be sent"),
            }
            if stop.is_cancelled() && self.spans.is_empty() {
                return;
            }
        }
    }

    /// Waits for a span, and then for a while for others; at the end takes what is there.
    async fn gather(&mut self, batch: &mut Vec<Span>, stop: &CancellationToken) {
        let gathered = async {
            self.spans.recv_many(batch, BATCH_MAX).await;
            let fill = async {
                while batch.len() < BATCH_MAX {
                    let room = BATCH_MAX - batch.len();
                    if self.spans.recv_many(batch, room).await == 0 {
                        return;
                    }
                }
            };
            if tokio::time::timeout(BATCH_TIME, fill).await.is_err() {
                // It is sent as it is.
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = gathered => {}
        }
        while stop.is_cancelled() && batch.len() < BATCH_MAX {
            let Ok(span) = self.spans.try_recv() else { return };
            batch.push(span);
        }
    }

    async fn send(&self, batch: &[Span]) {
        if batch.is_empty() {
            return;
        }
        let body = bytes::Bytes::from(otlp::request(&self.settings.service, batch));
        let mut wait = WAIT;
        for attempt in 1..=TRIES {
            let why = match self.post(body.clone()).await {
                Ok(()) => {
                    return self.tell(self.traces.take_dropped(), "more came than could be sent");
                }
                Err((why, true)) if attempt < TRIES => why,
                Err((why, _)) => {
                    let n_dropped = self.traces.take_dropped().saturating_add(batch.len() as u64);
                    return self.tell(n_dropped, &why);
                }
            };
            tracing::debug!(why, attempt, "Spans are sent again");
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    /// An error with whether another try may succeed.
    async fn post(&self, body: bytes::Bytes) -> Result<(), (String, bool)> {
        let request = self.client.post(self.settings.address());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response =
            request.send().await.map_err(|err| (error_chain(&err.without_url()), true))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        // OTLP 1.x, "Retryable Response Codes".
        let may_pass = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        Err((format!("the collector answered {}", status.as_u16()), may_pass))
    }

    fn tell(&self, n_dropped: u64, why: &str) {
        if n_dropped > 0
            && let Some(n_silent) = self.log.open(self.clock.now())
        {
            warn!(n_dropped, why, n_silent, "Spans were dropped");
        }
    }
}
