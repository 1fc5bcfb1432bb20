//! A refused request beside the source that refused it.

use serde::{Deserialize, Serialize};

use super::super::configured::Source;
use super::super::fetched::{FetchRule, verify_by_fetched};
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::settings::SigningProfile;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// A request that was refused, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    pub request: Inbound<'a>,
    /// When it came: it is judged as of that moment.
    pub received_at: Timestamp,
}

/// Why a request was refused, for its owner. Says nothing of secrets, signatures or bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub line: String,
    /// What to write into the configuration, or to do, where that is known.
    pub config_hint: Option<String>,
    /// A table of the configuration that the hint speaks of, whole, ready to be pasted.
    #[serde(default)]
    pub config_table: Option<String>,
    /// Whether it would be taken as of now: then it can be released.
    pub is_good_now: bool,
}

/// A body as it may have been, with a word for people.
pub(super) type WrittenAnew = (&'static str, Vec<u8>);

pub(super) fn because(line: &str, hint: Option<&str>) -> Explanation {
    let config_hint = hint.map(str::to_owned);
    Explanation { line: line.to_owned(), config_hint, config_table: None, is_good_now: false }
}

pub(super) struct Case<'a> {
    pub(super) source: &'a Source,
    pub(super) rejected: &'a Rejected<'a>,
}

impl Case<'_> {
    /// Whether a sender of this `profile` with `secret` would have been believed `request`, its age
    /// aside. Keys that are fetched are those that are at hand.
    pub(super) fn fits_request(
        &self,
        profile: &SigningProfile,
        secret: &Secret,
        request: &Inbound<'_>,
    ) -> bool {
        let now = self.rejected.received_at;
        let (keys, _) = profile.keys(secret);
        profile.schemes.iter().zip(keys).any(|(scheme, key)| {
            let keys = [key];
            let judged = match &scheme.fetch {
                Some(rule) => {
                    let cache = self.source.fetched.as_ref();
                    verify_by_fetched(cache, scheme, rule, &keys, request, now)
                }
                None => scheme.verify(&keys, request, now),
            };
            matches!(judged, Ok(_) | Err(Rejection::Stale { .. }))
        })
    }

    pub(super) fn fits(&self, profile: &SigningProfile, secret: &Secret) -> bool {
        self.fits_request(profile, secret, &self.rejected.request)
    }

    /// Whether any of the source's secrets fits.
    pub(super) fn any_fits(&self, profile: &SigningProfile) -> bool {
        self.source.secrets.iter().any(|secret| self.fits(profile, secret))
    }

    pub(super) fn profile(&self) -> SigningProfile {
        self.source.settings.profile.clone()
    }

    /// Where its sender's keys are.
    pub(super) fn key_places(&self) -> String {
        let mut places: Vec<String> = self.source.fetch_rules().map(FetchRule::place).collect();
        places.dedup();
        places.join(" or ")
    }

    /// Where a setting of the scheme is to be written.
    pub(super) fn table(&self) -> String {
        match self.source.settings.profile.provider {
            None => format!("[source.{}.verify]", self.source.name()),
            Some(provider) => format!(
                "[source.{}.verify] (a table of your own, in place of `provider = \"{}\"`)",
                self.source.name(),
                provider.name
            ),
        }
    }
}
