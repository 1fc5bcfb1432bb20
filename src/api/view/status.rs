//! The state of everything.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::handler::HandlerView;
use crate::api::GatewayCounts;
use crate::clock::Timestamp;
use crate::cluster::ClusterView;
use crate::config::NO_PUBLIC_URL;
use crate::event::{Position, SourceName};
use crate::ingest::{ProxyRow, RefusedRow};
use crate::queue::QueueStats;
use crate::standby::StandbyView;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusView {
    pub version: Cow<'static, str>,
    /// Whether a server answered, or the store was read while none runs.
    pub running: bool,
    pub started_at: Option<Timestamp>,
    pub queue: QueueView,
    /// What is not as it should be, as `readyz` says it, but for the damage of the queue: no event is
    /// taken in, a handler or a certificate is not there, the second copy is late.
    #[serde(default)]
    pub problems: Vec<String>,
    pub sources: Vec<SourceView>,
    /// Every handler that is configured or has a place in the log.
    pub handlers: Vec<HandlerView>,
    /// How many rejected requests are kept.
    pub rejected: usize,
    /// What was not stored since the start for another reason than its signature: refused, but for a good
    /// GET, which is answered 200.
    pub refused: Vec<RefusedRow>,
    /// The proxies that requests came through since the start.
    pub proxies: Vec<ProxyRow>,
    /// How the second copy of the queue stands; nothing = there is none, and none is expected.
    #[serde(default)]
    pub standby: Option<StandbyView>,
    /// How the cluster stands; nothing = the queue is this machine's alone.
    #[serde(default)]
    pub cluster: Option<ClusterView>,
    /// What each gateway has counted of what `sources`, `rejected` and `refused` are the sums of, as it told last;
    /// empty = the queue is this machine's alone.
    #[serde(default)]
    pub gateways: Vec<GatewayCounts>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueView {
    /// Retained events.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes of files that could not be read and were put aside; no part of `bytes`.
    #[serde(default)]
    pub aside_bytes: u64,
    /// The newest position.
    pub last: Position,
    /// Bytes of the log that the index has not taken in yet.
    pub lag_bytes: u64,
    /// Damage found in the log.
    pub damage: Vec<String>,
    /// Why no event is taken in just now: senders are told to come back.
    #[serde(default)]
    pub refuses: Option<String>,
}

impl QueueView {
    /// The figures that `stats` holds.
    pub fn new(stats: &QueueStats) -> Self {
        let QueueStats {
            events,
            bytes,
            aside_bytes,
            last,
            lag_bytes,
            handlers: _,
            damage,
            refuses,
        } = stats;
        Self {
            events: *events,
            bytes: *bytes,
            aside_bytes: *aside_bytes,
            last: *last,
            lag_bytes: *lag_bytes,
            damage: damage.clone(),
            refuses: refuses.clone(),
        }
    }
}

/// One configured source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceView {
    pub name: SourceName,
    /// Its provider, or `custom`.
    pub provider: String,
    /// Where senders post to, below the public address.
    pub path: String,
    /// The whole address that is pasted into the sender's console; nothing = the owner has not said by which
    /// address senders know this machine (`[server] public_url`).
    #[serde(default)]
    pub url: Option<String>,
    /// By which methods events come.
    #[serde(default)]
    pub methods: Vec<String>,
    /// A type that `send` has a sample of: of those the one that most of the enabled handlers ask for.
    pub sample_type: Option<Cow<'static, str>>,
    /// All types that it has one of.
    pub sample_types: Vec<Cow<'static, str>>,
    /// What its owner does in the provider's console, step by step; `{url}` stands for the source's
    /// public address, `{secret}` for the place of its secret.
    pub setup: Vec<Cow<'static, str>>,
    /// Whether anything of what comes is checked: `algorithm = "none"` takes all.
    #[serde(default = "is_so")]
    pub is_verified: bool,
    /// Requests stored since the start.
    pub accepted: u64,
    /// Requests that were stored before, and items of lists that were.
    pub duplicate: u64,
    /// Requests that were answered and brought no event: handshakes, and lists without items.
    #[serde(default)]
    pub handshakes: u64,
    /// The newest question of its sender that is kept, by its number among the rejected requests.
    #[serde(default)]
    pub newest_handshake: Option<u64>,
    /// Requests that failed verification.
    pub rejected: u64,
    /// Requests that were turned away because too many from there failed it.
    pub turned_away: u64,
    /// When a request was last verified by one of its secrets since the start.
    #[serde(default)]
    pub last_verified_at: Option<Timestamp>,
    /// When its newest event came in, as far as that is known: since the start, and soon after it of those before.
    #[serde(default)]
    pub last_event_at: Option<Timestamp>,
    /// How many requests failed verification on this gateway since the last one that did not.
    #[serde(default)]
    pub rejected_in_a_row: u64,
    /// How many of those had a signature.
    #[serde(default)]
    pub rejected_signed: u64,
    #[serde(default)]
    pub rejected_since: Option<Timestamp>,
    #[serde(default)]
    pub last_rejected_at: Option<Timestamp>,
    /// Since when it is looked after for silence.
    #[serde(default)]
    pub watched_since: Option<Timestamp>,
    /// How long it may be silent before `gatepost:source.silent` says so (`expect_every`).
    #[serde(default)]
    pub expect_every_seconds: Option<u64>,
    /// Its secrets in the order of the configuration.
    pub secrets: Vec<SecretView>,
}

/// A source that worked is called in trouble after so many rejected requests in a row: one or two may be a
/// stranger's.
const REJECTED_MANY: u64 = 3;
/// And for so long after the last of them.
const REJECTED_FOR: Duration = Duration::from_hours(1);

impl SourceView {
    /// Whether nothing gets in any more, or ever did: all that came was rejected, and nothing accepted since.
    pub fn rejects_all(&self, now: Timestamp) -> bool {
        let (Some(since), Some(last_at)) = (self.rejected_since, self.last_rejected_at) else {
            return false;
        };
        // Another gateway that shares the log may have had a good one.
        if self.last_verified_at.max(self.last_event_at).is_some_and(|at| at >= since) {
            return false;
        }
        let was_good = self.last_verified_at.or(self.last_event_at).is_some() || self.accepted > 0;
        if !was_good && self.rejected_signed > 0 {
            return true;
        }
        // A sender that was told no secret signs nothing; of a source that worked that is a stranger.
        let n_rejected = if was_good { self.rejected_signed } else { self.rejected_in_a_row };
        n_rejected >= REJECTED_MANY && now.since(last_at) <= REJECTED_FOR
    }

    /// Since when it has been silent, where that is longer than its owner expects. One of which no event is known
    /// is so since it is looked after.
    pub fn silent_since(&self, newest_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let expected = Duration::from_secs(self.expect_every_seconds?);
        let since = newest_at.or(self.watched_since)?;
        (now.since(since) > expected).then_some(since)
    }

    /// The address to paste, with [`NO_PUBLIC_URL`] in it where the real one is not known.
    pub fn url_shown(&self) -> String {
        self.url.clone().unwrap_or_else(|| format!("{NO_PUBLIC_URL}{}", self.path))
    }
}

/// What a server of an older version does not say of its sources.
const fn is_so() -> bool {
    true
}

/// One secret of a source: never its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretView {
    /// Which one, counted from 0.
    pub index: usize,
    /// Where it is kept, as the configuration says.
    pub place: String,
    /// Eight digits by which it is told from others; nothing where there is none yet.
    pub fingerprint: Option<String>,
    /// When a request was last signed with it since the start.
    pub last_matched_at: Option<Timestamp>,
}
