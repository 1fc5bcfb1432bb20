//! One HTTP request and what its answer means: shared by the kinds that speak HTTP.
//!
//! 1. A redirect is never followed: it could lead where no guard has looked.
//! 2. Every address is looked at after its name is resolved; see [`Guard`].
//! 3. The status counts once it is there. A body that is slow or endless is cut, and changes
//!    nothing. Where a repeat is harmless ([`Answer::judge_whole`]), a body of which less came than
//!    its length or its chunks promised makes a success none: a program that dies in mid-way has
//!    often sent its 200 by then. A body that ends with its connection promises nothing, and many
//!    servers end that without the last word of TLS.
//! 4. No error text contains a URL (it may hold a token), a header or a body.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING};
use reqwest::{Client, ClientBuilder, Method, Request, StatusCode, Url, Version};
use tokio::time::Instant;

use super::trust::Trust;
use super::{BuildContext, BuildError};
use crate::clock::{Clock, Timestamp};
use crate::event::{Failure, FailureClass, Output};
use crate::settings::show_duration;

mod download;
mod guard;
mod head;
mod other_side;
#[cfg(test)]
mod tests;

pub use download::Downloader;
use guard::Refused;
pub(super) use guard::{Guard, Private};

/// How much of an answer is read: the services' error words are short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long the rest of an answer may take once its status is there, at most.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// How long a connection may take to be made.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long an idle connection is kept: less than what servers usually keep it for.
const IDLE_TIME: Duration = Duration::from_secs(20);

/// How many headers an answer may have: one with more cannot be read at all, not even its status, and what was done
/// would be done again. The client's own limit is 100; 1,024 cost it two buffers of 32 KiB for each answer.
const HEADERS_MAX: usize = 1_024;
/// How long they may be together where the answer comes by HTTP/2, in bytes: as long as the client lets them be by
/// HTTP/1. Its own limit is 16 KiB.
const HEAD_BYTES_MAX: u32 = 400 * 1024;

/// The longest pause that an answer can ask for; longer ones are cut to it.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(7 * 24);

/// What the other side may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// It has no TLS, in whose beginning HTTP/2 is agreed upon.
    Http1,
    Any,
}

/// Sends requests.
pub(super) struct Web {
    client: Client,
    guard: Arc<Guard>,
    clock: Arc<dyn Clock>,
    /// How long the head of an answer may take.
    head_time: Duration,
    /// What the owner gave the call.
    whole_time: Duration,
    /// How long all of it may take.
    time: Duration,
}

/// What the other side said.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    /// At most [`ANSWER_BYTES_MAX`]; what was cut off is missing.
    pub(super) body: Vec<u8>,
    /// What is kept of it for people.
    pub(super) output: Output,
    end: End,
}

/// How an answer's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// By us: it was long or slow enough.
    Cut,
    /// By the other side, before all that it promised had come.
    BrokenOff,
}

/// A request for [`Web::send`].
pub(super) fn request(method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Request {
    let mut request = Request::new(method, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    request
}

impl Web {
    /// Believes the certificates in the file `ca` in place of the system's authorities.
    pub(super) fn new(
        guard: Guard,
        ca: Option<&Path>,
        speaks: Speaks,
        context: &BuildContext,
    ) -> Result<Self, BuildError> {
        let mut client = Client::builder();
        if speaks == Speaks::Http1 {
            // The client keeps a copy of each request for what only a server of HTTP/2 can say: that it
            // did not look at it.
            client = client.retry(reqwest::retry::never().max_retries_per_request(0));
        }
        if let Some(path) = ca {
            client = client.tls_backend_preconfigured(Trust::read(path)?.http_config()?);
        }
        let clock = Arc::clone(&context.clock);
        Self::with(client, guard, clock, context.timeout, context.concurrency)
    }

    /// A client whose calls end within `timeout`, with so many idle connections for each host.
    fn with(
        client: ClientBuilder,
        guard: Guard,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        concurrency: usize,
    ) -> Result<Self, BuildError> {
        let guard = Arc::new(guard);
        let client = client
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve the name by itself, behind the guard's back.
            .no_proxy()
            .dns_resolver(Arc::new(Resolver(Arc::clone(&guard))))
            .connect_timeout(CONNECT_TIME)
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(concurrency)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HEAD_BYTES_MAX)
            .build()
            .map_err(|err| BuildError::Unfit(format!("no HTTP client: {}", innermost(&err))))?;
        // A little less than the call itself, so that the reason is told; and a little between the
        // two, so that a status that came late still counts.
        let head_time = timeout.saturating_sub(timeout / 20);
        let time = timeout.saturating_sub(timeout / 40);
        Ok(Self { client, guard, clock, head_time, time, whole_time: timeout })
    }

    /// Sends one request. A failure is one to get an answer; what the answer says is for
    /// [`Answer::judge`] or [`Answer::judge_whole`].
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        self.guard.check_url(request.url()).map_err(Failure::permanent)?;
        let is_tls = request.url().scheme() == "https";
        let secrets = head::Secrets::of(request.headers());
        let began = Instant::now();
        let response = tokio::time::timeout(self.head_time, self.client.execute(request)).await;
        let Ok(response) = response else {
            // A little before the whole time is over, so that it is known what did not come.
            let time = show_duration(self.whole_time);
            let text = format_args!("no answer within {time}");
            return Err(Failure::transient(text).with_class(FailureClass::Timeout));
        };
        let response = response.map_err(|err| explain(&err, is_tls))?;
        let (status, retry_after) = (response.status(), self.retry_after(response.headers()));
        let head = head::head(response.version(), status, response.headers(), &secrets);
        let time = self.time.saturating_sub(began.elapsed()).min(ANSWER_TIME);
        let (body, end) = read_start(response, time).await;
        // What was refused says in its body why.
        let is_good = status.is_success() && end != End::BrokenOff;
        let said = if is_good { &[] } else { body.as_slice() };
        let output = head::output(head, said, &secrets);
        Ok(Answer { status, retry_after, body, output, end })
    }

    /// Whether a connection to the machine of `url` can be made. Nothing is said on it.
    pub(super) async fn reach(&self, url: &Url) -> Result<(), BuildError> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Ok(());
        };
        let place = format!("{host}:{port}");
        let connecting = async {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, port)).await?.collect();
            let permitted = self.guard.permitted(found.into_iter()).map_err(io::Error::other)?;
            tokio::net::TcpStream::connect(&*permitted).await
        };
        match tokio::time::timeout(CONNECT_TIME, connecting).await {
            Ok(Ok(_connection)) => Ok(()),
            Ok(Err(err)) => Err(BuildError::io(format_args!("connecting to `{place}`"), err)),
            Err(_elapsed) => Err(BuildError::Unfit(format!("`{place}` does not answer"))),
        }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
        parse_retry_after(value, self.clock.now())
    }
}

/// The machine and port of `url`, for people.
pub(super) fn place(url: &Url) -> Option<String> {
    Some(format!("`{}:{}`", url.host_str()?, url.port_or_known_default()?))
}

impl Answer {
    /// As [`Answer::judge`], and a success that was broken off is a transient failure: for
    /// receivers that know an event's repeat by its id.
    pub(super) fn judge_whole(&self) -> Result<(), Failure> {
        self.judge()?;
        match self.end {
            End::Whole | End::Cut => Ok(()),
            End::BrokenOff => {
                let status = self.status.as_u16();
                let text = format_args!("answered {status}, then broke off");
                Err(Failure::transient(text).with_status(status))
            }
        }
    }

    /// Success is 2xx. Permanent are redirects and what says that it is about this request: 400,
    /// 410 and 422. Everything else may be a deploy, a password or a route that is mended soon.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        let status = self.status;
        if status.is_success() {
            return Ok(());
        }
        let text = match status.canonical_reason() {
            Some(reason) => format!("answered {} {reason}", status.as_u16()),
            None => format!("answered {}", status.as_u16()),
        };
        let failure = if other_side::wants_tls(status, &self.body) {
            // About the address, not about this event.
            Failure::transient(format_args!("{text}: it speaks TLS on this port: write `https://`"))
        // 304 names no other place.
        } else if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            Failure::permanent(format_args!("{text}, which is not followed: configure the new URL"))
        } else if matches!(status.as_u16(), ..400 | 400 | 410 | 422) {
            Failure::permanent(text)
        } else {
            Failure::transient(text).with_retry_after(self.retry_after)
        };
        Err(failure.with_status(status.as_u16()))
    }
}

/// Seconds, which some write with a fraction, or a date in one of the three forms of HTTP
/// (RFC 9110, 5.6.7).
pub(crate) fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let wait = match value.parse::<f64>() {
        // So many seconds that they are none of a duration are more than enough.
        Ok(seconds) if is_number => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        Ok(_) | Err(_) => {
            let usual = jiff::fmt::rfc2822::parse(value).map(|date| date.timestamp());
            let date = usual.ok().or_else(|| obsolete_date(value))?;
            Timestamp::from_millis(date.as_millisecond()).since(now)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// A date as RFC 850 or `asctime` has it.
fn obsolete_date(text: &str) -> Option<jiff::Timestamp> {
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter().find_map(|form| {
        let date = jiff::civil::DateTime::strptime(form, text).ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

/// The beginning of the body, as far as it comes soon. Read to its end, the connection can be used
/// again; otherwise it is closed.
async fn read_start(mut response: reqwest::Response, time: Duration) -> (Vec<u8>, End) {
    let mut body = Vec::new();
    let promises_an_end = promises_an_end(response.version(), response.headers());
    let read = async {
        while body.len() < ANSWER_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
                    body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                }
                Err(_) if promises_an_end => return End::BrokenOff,
                Ok(None) | Err(_) => return End::Whole,
            }
        }
        End::Cut
    };
    let end = tokio::time::timeout(time, read).await.unwrap_or(End::Cut);
    (body, end)
}

/// Whether an answer with this head says where its body ends, in place of closing the connection.
fn promises_an_end(version: Version, headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut codings = codings.map(|value| value.as_bytes().to_ascii_lowercase());
    version >= Version::HTTP_2
        || headers.contains_key(CONTENT_LENGTH)
        || codings.any(|coding| coding.ends_with(b"chunked"))
}

fn explain(err: &reqwest::Error, is_tls: bool) -> Failure {
    let mut source: Option<&(dyn Error + 'static)> = Some(err);
    while let Some(one) = source {
        if let Some(refused) = one.downcast_ref::<Refused>() {
            return Failure::permanent(refused);
        }
        source = one.source();
    }
    let why = other_side::advised(innermost(err), is_tls);
    if err.is_builder() {
        return Failure::permanent(format_args!("the request cannot be made: {why}"));
    }
    let failure = if err.is_timeout() {
        Failure::transient("no connection in time")
    } else if err.is_connect() {
        Failure::transient(format_args!("no connection: {why}"))
    } else {
        Failure::transient(format_args!("the connection broke: {why}"))
    };
    failure.with_class(FailureClass::Connection)
}

/// The cause behind all causes. The outer ones name the URL or say nothing.
fn innermost(err: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = err;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<reqwest::Error>() {
        // Without a cause of its own: its text ends in the URL.
        return "unknown".to_owned();
    }
    innermost.to_string()
}

/// Resolves names as the system does and leaves out what the guard refuses.
struct Resolver(Arc<Guard>);

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses = guard.permitted(addresses)?;
            let addresses: reqwest::dns::Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

impl Guard {
    /// The addresses that may be used; an error where there were some and all are refused.
    fn permitted(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refused> {
        let mut permitted = Vec::new();
        let mut refused = None;
        for address in addresses {
            match self.check(address.ip()) {
                Ok(()) => permitted.push(address),
                Err(err) => refused = Some(err),
            }
        }
        match refused {
            Some(refused) if permitted.is_empty() => Err(refused),
            _ => Ok(permitted),
        }
    }
}
