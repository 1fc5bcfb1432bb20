//! A request whose key is fetched, judged by what the cache holds.

use crate::clock::Timestamp;

use super::super::keys::Key;
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::scheme::{Accepted, Scheme};
use super::cache::KeyCache;
use super::rule::FetchRule;

/// Judges a request of which the key is fetched, by what was.
pub(in crate::source) fn verify_by_fetched(
    cache: Option<&KeyCache>,
    scheme: &Scheme,
    rule: &FetchRule,
    keys: &[Option<Key>],
    request: &Inbound<'_>,
    now: Timestamp,
) -> Result<Accepted, Rejection> {
    if !scheme.has_signature(request) {
        return Err(Rejection::Missing);
    }
    let index = rule.owner_in(keys, request)?;
    let key = rule.key(&scheme.signature, request, b"")?;
    let unknown = || Rejection::KeyNotFetched("nothing fetches keys here".to_owned());
    let fetched = cache.ok_or_else(unknown)?.get(&key)?;
    let public = fetched.of(scheme.algorithm, now)?;
    let ready: Vec<Option<Key>> = match keys {
        [] => vec![Some(Key::fetched(None, &public))],
        keys => {
            let fetched = |key: &Key| Key::fetched(Some(key), &public);
            keys.iter().map(|key| key.as_ref().map(fetched)).collect()
        }
    };
    let accepted = scheme.verify(&ready, request, now)?;
    Ok(Accepted { key_index: index.unwrap_or(accepted.key_index), ..accepted })
}
