//! What was refused before verification: one row for each place and reason, so that
//! an owner finds out why nothing comes in. Bounded, and forgotten with the process.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::rejected::{RejectedRequest, RejectedRing};
use super::shown_path::shown_path;
use crate::clock::Timestamp;
use crate::event::SourceName;
use crate::sync::lock;
use crate::throttle::Throttle;

/// The most rows of places where no source is: strangers try many.
const UNKNOWN_MAX: usize = 32;
/// The most rows of all.
const ROWS_MAX: usize = 256;
/// So much of a path is shown.
const PATH_CHARS_MAX: usize = 120;

/// Why a request was refused before its signature was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedFor {
    /// 404: no source has this name.
    UnknownSource,
    /// 404: something was brought to a path outside of `/hooks/`. All of them are one row, with the last path.
    Elsewhere,
    /// 405.
    Method,
    /// 405: a browser asks whether a page may send here.
    Preflight,
    /// 405: it is believed, and its method brings no events here.
    EventByMethod,
    /// 413: the body is over the limit.
    TooLarge,
    /// 401: the address is not one of those that may send.
    NotAllowed,
    /// The same, where a proxy that is not named as one passed it on.
    NotAllowedBehindProxy,
    /// 431: the head is over the limit.
    HeadTooLarge,
    /// 400: it is not HTTP.
    Malformed,
    /// It is a TLS handshake on a plain port.
    Tls,
    /// It is the PROXY protocol, which a proxy was told to speak.
    ProxyProtocol,
    /// It is HTTP/2 without TLS, as a client speaks it that was told so beforehand.
    Http2Clear,
    /// The TLS handshake failed, or took too long.
    TlsHandshake,
    /// It is plain HTTP on a TLS port.
    PlainHttp,
    /// 408: the head took too long.
    SlowHead,
    /// 408: the body took too long.
    TooSlow,
    /// 400: the body broke off.
    Broken,
    /// 429: too much of its client fails verification.
    TooManyUnverified,
    /// 429: more than the source's rate.
    RateLimited,
    /// 503: too many bodies are read at once.
    NoRoom,
    /// All connections are taken: an idle one was closed to make room.
    Shed,
    /// All connections are taken, and none of them is idle, or only some of others than the address that has
    /// most and wants one more.
    NoConnection,
    /// 200: it is believed and brings nothing, by a method that brings no events here.
    Look,
    /// 401: verification failed, and the rejected requests have no room for one so large.
    NotKept,
}

/// What helps where HTTP/2 comes without TLS.
const OF_HTTP2_CLEAR: &str = "HTTP/2 without TLS (h2c), which is not spoken here: have the proxy or platform in front speak \
    HTTP/1.1 to this port (Traefik: `http://` for `h2c://`, Envoy: no `http2_protocol_options`, Cloud \
    Run: no end-to-end HTTP/2); within TLS, HTTP/2 is spoken";

/// What is said of a request that was not believed and not kept.
const OF_NOT_KEPT: &str = "verification failed, and with more than 8 MiB the request is too large to be kept: \
    it is not among those of `rejected list`; the log says why it was not believed";

const N_REASONS: usize = 25;

impl RefusedFor {
    /// The answer's status; 0 = there was no answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Look => 200,
            Self::UnknownSource | Self::Elsewhere => 404,
            Self::Method | Self::Preflight | Self::EventByMethod => 405,
            Self::TooLarge => 413,
            Self::NotAllowed | Self::NotAllowedBehindProxy | Self::NotKept => 401,
            Self::HeadTooLarge => 431,
            Self::Malformed | Self::Tls | Self::ProxyProtocol | Self::Http2Clear | Self::Broken => {
                400
            }
            Self::SlowHead | Self::TooSlow => 408,
            Self::TooManyUnverified | Self::RateLimited => 429,
            Self::NoRoom | Self::NoConnection => 503,
            Self::TlsHandshake | Self::PlainHttp | Self::Shed => 0,
        }
    }

    /// What it means, and what helps.
    pub const fn words(self) -> &'static str {
        match self {
            Self::UnknownSource => "no source has this name: compare the sender's URL",
            Self::Elsewhere => {
                "nothing is at this path: the sender's URL should end with /hooks/ and the source's name"
            }
            Self::Method => "not a method that the source takes",
            Self::Preflight => {
                "a page in a browser wants to send (CORS preflight), and browsers get no leave: a \
                 webhook comes from a server; to test, use curl or `gatepost send`"
            }
            Self::EventByMethod => {
                "a good request by a method that is not in the source's `methods`: what it says \
                 would be lost; add the method there"
            }
            Self::Look => {
                "a good GET or HEAD, answered and not stored: to make it an event, write `methods = [\"GET\", \
                 \"POST\"]` in the source"
            }
            Self::TooLarge => "the body is too large: see `body_max`",
            Self::NotAllowed => "the address is not in the source's `allow`",
            Self::NotAllowedBehindProxy => {
                "the address is a proxy's, and not in `allow`: name it in `trusted_proxies`"
            }
            Self::HeadTooLarge => "the head has more than 48 KiB or 96 headers",
            Self::Malformed => "this is not HTTP/1.1 or HTTP/2",
            Self::Tls => {
                "TLS on a plain port: the address should begin with http://; TLS is ended by a proxy, or for \
                 senders by `[server.tls]`"
            }
            Self::ProxyProtocol => {
                "the PROXY protocol, which is not spoken here: turn it off at the proxy (HAProxy: \
                 `send-proxy`, nginx: `proxy_protocol on`), X-Forwarded-For says the same"
            }
            Self::Http2Clear => OF_HTTP2_CLEAR,
            Self::TlsHandshake => {
                "the TLS handshake failed: the sender does not trust the certificate, speaks no \
                 TLS 1.2 or 1.3, or was too slow"
            }
            Self::PlainHttp => {
                "plain HTTP on a TLS port: the sender's URL should begin with https://"
            }
            Self::SlowHead => {
                "the head took too long: for senders `request_timeout`, on the admin side 10 s"
            }
            Self::TooSlow => "the body took longer than `request_timeout`",
            Self::Broken => "the sender hung up amid its body, or the body's framing is wrong",
            Self::TooManyUnverified => {
                "too many requests from there cannot be verified: see `failed_verification_limit`"
            }
            Self::RateLimited => "more than the source's `rate_limit`",
            Self::NoRoom => "too many large bodies are read at once: see `unverified_bytes`",
            Self::Shed => "all connections are taken: the longest idle one was closed",
            Self::NoConnection => {
                "all connections are taken and in use, or too many send a head over 8 KiB: one more was \
                 answered 503"
            }
            Self::NotKept => OF_NOT_KEPT,
        }
    }

    /// Whether one row holds all of them, with the last path: of those paths anyone makes up as many as he likes.
    const fn is_one_row(self) -> bool {
        matches!(self, Self::Elsewhere)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// The answer's status; nothing where there was none.
    pub status: Option<u16>,
    /// Why, and what helps.
    pub reason: Cow<'static, str>,
    /// The request's path, cut off where it is long; nothing where it was not read, but `(admin listener)`
    /// or `(admin socket)` where it came there.
    pub path: Option<String>,
    pub source: Option<SourceName>,
    pub count: u64,
    /// When it happened last.
    pub last_at: Timestamp,
    /// Who it was then.
    pub client: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
pub struct RefusedRequest<'a> {
    pub reason: RefusedFor,
    /// Its path, where it was read.
    pub path: Option<&'a str>,
    pub source: Option<&'a SourceName>,
    /// Who sent it.
    pub client: Option<IpAddr>,
}

impl RefusedRequest<'_> {
    /// A source's own path has its name alone.
    fn shown_path(&self) -> Option<String> {
        let is_of_source = self.source.is_some();
        let path =
            self.path.map(|path| if is_of_source { path.to_owned() } else { shown_path(path) });
        path.map(|path| path.chars().take(PATH_CHARS_MAX).collect())
    }
}

/// The rows, and what is told to the log.
#[derive(Debug, Default)]
pub struct RefusedRequests {
    rows: Mutex<Vec<RefusedRow>>,
    lines: [Throttle; N_REASONS],
}

impl RefusedRequests {
    /// Counts it; at most one line a second for each reason.
    pub fn add(&self, refused: RefusedRequest<'_>, now: Timestamp) {
        let RefusedRequest { reason, source, client, .. } = refused;
        let path = refused.shown_path();
        let line = self.lines.get(reason.index()).and_then(|line| line.open(now));
        if let Some(n_silent) = line {
            warn!(
                status = reason.status(),
                path,
                source.name = source.map(tracing::field::display),
                client = client.map(tracing::field::display),
                n_silent,
                "Request refused: {}",
                reason.words()
            );
        }
        self.count_at(path, refused, now);
    }

    /// Counts it alone.
    pub(super) fn count(&self, refused: RefusedRequest<'_>, now: Timestamp) {
        self.count_at(refused.shown_path(), refused, now);
    }

    fn count_at(&self, path: Option<String>, refused: RefusedRequest<'_>, now: Timestamp) {
        let RefusedRequest { reason, source, client, .. } = refused;
        let mut rows = self.lock();
        let known = rows.iter_mut().find(|row| {
            let is_place = reason.is_one_row() || row.path == path;
            row.reason == reason.words() && is_place && row.source.as_ref() == source
        });
        if let Some(row) = known {
            row.count += 1;
            row.last_at = now;
            row.client = client;
            row.path = path;
            return;
        }
        make_room(&mut rows, source.is_some());
        rows.push(RefusedRow {
            status: (reason.status() > 0).then_some(reason.status()),
            reason: reason.words().into(),
            path,
            source: source.cloned(),
            count: 1,
            last_at: now,
            client,
        });
    }

    /// Counts a request that failed verification and is too large to be kept; no other.
    pub(super) fn add_unkept(&self, rejected: &RejectedRequest, now: Timestamp) {
        if RejectedRing::keeps(rejected) {
            return;
        }
        let path = rejected.path_and_query.split('?').next();
        let (source, client) = (Some(&rejected.source), rejected.client);
        self.add(RefusedRequest { reason: RefusedFor::NotKept, path, source, client }, now);
    }

    /// All rows, the newest first.
    pub fn list(&self) -> Vec<RefusedRow> {
        let mut rows = self.lock().clone();
        rows.sort_by_key(|row| std::cmp::Reverse(row.last_at));
        rows
    }

    /// A panic elsewhere leaves each row whole.
    fn lock(&self) -> MutexGuard<'_, Vec<RefusedRow>> {
        lock(&self.rows)
    }
}

/// What strangers try pushes out only what strangers tried: of the reason that has most rows, which is where names
/// are made up, the rarest, and then the oldest.
fn make_room(rows: &mut Vec<RefusedRow>, is_of_source: bool) {
    let is_one = |row: &RefusedRow| is_of_source || row.source.is_none();
    let n_rows = rows.iter().filter(|row| is_one(row)).count();
    let max = if is_of_source { ROWS_MAX } else { UNKNOWN_MAX };
    if n_rows < max {
        return;
    }
    let n_alike = |row: &RefusedRow| {
        let alike =
            rows.iter().filter(|other| other.source.is_none() && other.reason == row.reason);
        alike.count()
    };
    let candidates = rows.iter().enumerate().filter(|(_, row)| is_one(row));
    let rarest = candidates.min_by_key(|(_, row)| {
        let is_of_source = row.source.is_some();
        (is_of_source, std::cmp::Reverse(n_alike(row)), row.count, row.last_at)
    });
    if let Some((index, _)) = rarest {
        rows.swap_remove(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(refused: &RefusedRequests, reason: RefusedFor, path: &str, source: Option<&SourceName>) {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let request = RefusedRequest { reason, path: Some(path), source, client: None };
        refused.add(request, now);
    }

    #[test]
    fn what_strangers_try_is_bounded_and_pushes_nothing_else_out() {
        let refused = RefusedRequests::default();
        let source = SourceName::parse("hyvor").unwrap();
        add(&refused, RefusedFor::TooLarge, "/hooks/hyvor", Some(&source));
        add(&refused, RefusedFor::Tls, "", None);
        for _ in 0..3 {
            add(&refused, RefusedFor::UnknownSource, "/hooks/hyvor2", None);
        }
        for n in 0..10_000 {
            let path = format!("/hooks/{n}{}", "x".repeat(10_000));
            add(&refused, RefusedFor::UnknownSource, &path, None);
        }
        let rows = refused.list();
        assert_eq!(rows.len(), UNKNOWN_MAX + 1);
        assert!(rows.iter().any(|row| row.source.as_ref() == Some(&source) && row.count == 1));
        assert!(rows.iter().any(|row| row.reason == RefusedFor::Tls.words()), "it stays");
        let often = rows.iter().find(|row| row.path.as_deref() == Some("/hooks/hyvor2"));
        assert_eq!(often.map(|row| (row.count, row.status)), Some((3, Some(404))));
        let longest = rows.iter().filter_map(|row| row.path.as_ref()).map(String::len).max();
        assert!(longest <= Some(PATH_CHARS_MAX));
    }

    #[test]
    fn paths_outside_of_hooks_are_one_row_with_the_last_of_them() {
        let refused = RefusedRequests::default();
        add(&refused, RefusedFor::UnknownSource, "/hooks/hyvor2", None);
        for n in 0..10_000 {
            add(&refused, RefusedFor::Elsewhere, &format!("/{n}"), None);
        }
        add(&refused, RefusedFor::Elsewhere, "/webhook", None);
        let rows = refused.list();
        assert_eq!(rows.len(), 2);
        let row = rows.iter().find(|row| row.reason == RefusedFor::Elsewhere.words()).unwrap();
        assert_eq!((row.count, row.path.as_deref()), (10_001, Some("/webhook")));
    }

    #[test]
    fn every_reason_has_a_line_of_its_own() {
        assert_eq!(RefusedFor::NotKept.index() + 1, N_REASONS);
    }
}
