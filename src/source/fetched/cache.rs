//! What was fetched, for a while.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

use super::super::algorithm::Algorithm;
use super::super::public_key::{self, PublicKey};
use super::super::rejection::Rejection;
use super::fetch::{KeyFetch, KeyFetchError};
use super::rule::KeyId;

/// How long keys are used before they are fetched again: one that its sender takes back is good for
/// so long at most. Providers let them be cached for hours.
const FRESH: Duration = Duration::from_hours(1);
/// How long keys are used that cannot be fetched again: an outage of their host is no reason to
/// refuse everything.
const KEPT: Duration = Duration::from_hours(24);
/// How long nothing is tried after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);
/// How often a signature that does not match is a reason to look for new keys.
const RENEWAL_PAUSE: Duration = Duration::from_mins(1);
/// The most keys of a source. Its sender has a few; the rest is what others made up.
const ENTRIES_MAX: usize = 32;
/// The most keys of a source that are fetched at a time. They are on hosts of the sender, so that
/// others can have nothing but these asked.
const FETCHES_MAX: usize = 4;

/// A key's file, as it came.
#[derive(Debug)]
pub(in crate::source) struct FetchedKey {
    text: Vec<u8>,
    /// When its certificate is good, where it is one.
    validity: Option<(Timestamp, Timestamp)>,
    /// What was read of it, by algorithm: a sender has one or two.
    read: Mutex<Vec<(Algorithm, Arc<[PublicKey]>)>>,
}

impl FetchedKey {
    fn new(text: Vec<u8>) -> Self {
        Self { validity: public_key::validity(&text), text, read: Mutex::default() }
    }

    /// The keys for `algorithm`, as of `now`.
    pub(in crate::source) fn of(
        &self,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Arc<[PublicKey]>, Rejection> {
        let refused = |why: &str| Rejection::KeyNotFetched(why.to_owned());
        if let Some((not_before, not_after)) = self.validity {
            if now > not_after {
                return Err(refused("its certificate has expired"));
            }
            if now < not_before {
                return Err(refused("its certificate is not good yet: is the clock right?"));
            }
        }
        let mut all = lock(&self.read);
        if let Some((_, keys)) = all.iter().find(|(known, _)| *known == algorithm) {
            return Ok(Arc::clone(keys));
        }
        let keys = public_key::read(algorithm, &self.text);
        let keys = keys.map_err(|_| refused("what came is no key of its algorithm"))?;
        let keys: Arc<[PublicKey]> = keys.into();
        all.push((algorithm, Arc::clone(&keys)));
        Ok(keys)
    }
}

/// The keys of one source.
pub(in crate::source) struct KeyCache {
    fetch: Arc<dyn KeyFetch>,
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<String, CachedKey>>,
    fetches: tokio::sync::Semaphore,
}

#[derive(Default)]
struct CachedKey {
    key: Option<Arc<FetchedKey>>,
    fetched_at: Timestamp,
    /// When and why the last try failed.
    failure: Option<(Timestamp, KeyFetchError)>,
    used_at: Timestamp,
    /// Held while it is fetched: who needs it meanwhile waits for that one.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").finish_non_exhaustive()
    }
}

impl KeyCache {
    pub(in crate::source) fn new(fetch: Arc<dyn KeyFetch>, clock: Arc<dyn Clock>) -> Self {
        let fetches = tokio::sync::Semaphore::new(FETCHES_MAX);
        Self { fetch, clock, entries: Mutex::default(), fetches }
    }

    /// Takes over what `before` has at hand, as if it had been fetched here.
    pub(in crate::source) fn take_over(&self, before: &Self) {
        let theirs = lock(&before.entries);
        let kept = theirs.iter().filter(|(_, entry)| entry.key.is_some());
        let taken = kept.map(|(name, entry)| {
            let CachedKey { key, fetched_at, used_at, .. } = entry;
            let (key, fetched_at, used_at) = (key.clone(), *fetched_at, *used_at);
            (name.clone(), CachedKey { key, fetched_at, used_at, ..CachedKey::default() })
        });
        lock(&self.entries).extend(taken);
    }

    /// What is at hand of `key`.
    pub(super) fn get(&self, key: &KeyId) -> Result<Arc<FetchedKey>, Rejection> {
        let now = self.clock.steady();
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(&key.name);
        let entry = entry.ok_or_else(|| Rejection::KeyNotFetched("it is not at hand".into()))?;
        entry.used_at = now;
        let kept = entry.key.as_ref().filter(|_| now.since(entry.fetched_at) < KEPT);
        kept.map(Arc::clone).ok_or_else(|| {
            let why = entry.failure.as_ref().map(|(_, err)| err.to_string());
            Rejection::KeyNotFetched(why.unwrap_or_else(|| "it is not at hand".into()))
        })
    }

    /// Fetches `key` where it is not at hand, or was fetched long ago.
    pub(in crate::source) async fn prepare(&self, key: &KeyId) {
        if self.is_due(key, FRESH) {
            self.fetch(key, FRESH).await;
        }
    }

    /// Fetches `key` once more, unless that was done just now. Whether it has changed.
    pub(in crate::source) async fn renew(&self, key: &KeyId) -> bool {
        let before = self.get(key).ok();
        if self.is_due(key, RENEWAL_PAUSE) {
            self.fetch(key, RENEWAL_PAUSE).await;
        }
        let after = self.get(key).ok();
        let text = |key: Option<Arc<FetchedKey>>| key.map(|key| key.text.clone());
        text(before) != text(after)
    }

    /// Whether `key` is to be fetched, where it is good for `fresh`.
    fn is_due(&self, key: &KeyId, fresh: Duration) -> bool {
        let now = self.clock.steady();
        let entries = lock(&self.entries);
        let Some(entry) = entries.get(&key.name) else { return true };
        let has_failed = entry.failure.as_ref();
        let has_failed = has_failed.is_some_and(|(at, _)| now.since(*at) < FAILURE_PAUSE);
        let is_fresh = entry.key.is_some() && now.since(entry.fetched_at) < fresh;
        !has_failed && !is_fresh
    }

    async fn fetch(&self, key: &KeyId, fresh: Duration) {
        let fetching = {
            let mut entries = lock(&self.entries);
            make_room(&mut entries, &key.name);
            let entry = entries.entry(key.name.clone()).or_default();
            entry.used_at = self.clock.steady();
            Arc::clone(&entry.fetching)
        };
        let _alone = match fetching.try_lock() {
            Ok(alone) => alone,
            // Old keys are good enough while another request fetches new ones.
            Err(_) if self.get(key).is_ok() => return,
            Err(_) => fetching.lock().await,
        };
        if !self.is_due(key, fresh) {
            return;
        }
        let Ok(_permit) = self.fetches.try_acquire() else { return };
        let fetched = self.fetch.fetch(key.request.clone()).await;
        let now = self.clock.steady();
        let mut entries = lock(&self.entries);
        let entry = entries.entry(key.name.clone()).or_default();
        match fetched {
            Ok(text) => {
                entry.key = Some(Arc::new(FetchedKey::new(text)));
                entry.fetched_at = now;
                entry.failure = None;
            }
            Err(err) => entry.failure = Some((now, err)),
        }
    }
}

/// Room for one more: what has no key goes first, then what was not used for longest.
fn make_room(entries: &mut HashMap<String, CachedKey>, name: &str) {
    if entries.len() < ENTRIES_MAX || entries.contains_key(name) {
        return;
    }
    let worst = entries.iter().min_by_key(|(_, entry)| (entry.key.is_some(), entry.used_at));
    if let Some(name) = worst.map(|(name, _)| name.clone()) {
        entries.remove(&name);
    }
}
