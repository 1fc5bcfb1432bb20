//! Which provider a request is of, where that is not the source's own: several sign in one header.

use std::cmp::Reverse;

use super::super::field_ref::FieldRef;
use super::super::providers::{PROVIDERS, Provider};
use super::super::scheme::Scheme;
use super::super::settings::SigningProfile;
use super::super::signature::SignatureRule;
use super::case::Case;
use super::sighting::{sightings, values};

/// How much speaks for a provider, what says most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Evidence {
    /// The request says that it is of this provider.
    is_said: bool,
    /// The signature is written as this provider writes it.
    is_in_form: bool,
    /// No other preset signs in this header: Gitea sends GitHub's headers beside its own.
    is_alone: bool,
}

/// A header of the request in which a preset signs by `scheme`.
struct ForeignHeader {
    provider: &'static Provider,
    name: String,
    scheme: Scheme,
}

/// Whether no other preset signs in this header.
fn is_alone(found: &[ForeignHeader], one: &ForeignHeader) -> bool {
    found.iter().all(|other| other.name != one.name || other.provider.name == one.provider.name)
}

impl Evidence {
    /// Whether nothing speaks for it but a header that others have, too.
    fn is_none(self) -> bool {
        !(self.is_said || self.is_in_form || self.is_alone)
    }
}

impl Case<'_> {
    /// Whether something in the request looks as if it were signed, by another sender or at another place.
    pub(super) fn may_be_signed(&self) -> bool {
        !self.signature_headers().is_empty() || self.looks_like_a_signature().is_some()
    }

    /// A signature header of another provider that is in the request, of the one for which most speaks.
    pub(super) fn foreign_header(&self) -> Option<(String, &'static str)> {
        if self.is_of_own_provider() {
            return None;
        }
        let found = self.signature_headers();
        let evidence = |one: &ForeignHeader| Evidence {
            is_said: self.is_said_to_be(one.provider),
            is_in_form: self.is_in_form(one),
            is_alone: is_alone(&found, one),
        };
        let ranked = found.iter().map(|one| (evidence(one), one));
        let ranked = ranked.filter(|(evidence, _)| !evidence.is_none());
        let (_, likeliest) = ranked.min_by_key(|(evidence, _)| Reverse(*evidence))?;
        Some((likeliest.name.clone(), likeliest.provider.name))
    }

    /// The one of `providers`, all of which sign alike, for which most speaks.
    pub(super) fn likeliest(&self, providers: &[&'static Provider]) -> Option<&'static Provider> {
        let found = self.signature_headers();
        let rank = |provider: &&&'static Provider| {
            let mut own = found.iter().filter(|one| one.provider.name == provider.name);
            let is_alone = own.any(|one| is_alone(&found, one));
            Reverse((self.is_said_to_be(provider), is_alone))
        };
        providers.iter().min_by_key(rank).copied()
    }

    /// Whether the request has the header of the type of the source's own provider: it is of no other one.
    pub(super) fn is_of_own_provider(&self) -> bool {
        let SigningProfile { provider, event_type, .. } = &self.source.settings.profile;
        provider.is_some() && event_type.places().iter().any(|place| self.has_header(place))
    }

    /// The headers of the request in which other presets sign, in the order of the list.
    fn signature_headers(&self) -> Vec<ForeignHeader> {
        let mut found = Vec::new();
        for provider in PROVIDERS.iter().filter(|one| one.name != self.source.provider()) {
            let schemes = SigningProfile::provider(provider.name).map(|profile| profile.schemes);
            for scheme in schemes.unwrap_or_default() {
                for place in &scheme.signature.places {
                    // That of every password says nothing.
                    if place.name() != "authorization" && self.has_header(place) {
                        let name = place.name().to_owned();
                        found.push(ForeignHeader { provider, name, scheme: scheme.clone() });
                    }
                }
            }
        }
        found
    }

    /// Whether the request says that it is of `provider`: by the header of its types, where it has none of
    /// those by that of its ids, or by its user agent. Ids alone say less: `X-Request-Id` is of every proxy.
    fn is_said_to_be(&self, provider: &Provider) -> bool {
        let agent = self.rejected.request.headers.get("user-agent").unwrap_or_default();
        let agent = String::from_utf8_lossy(agent).to_ascii_lowercase();
        let is_header = |place: &FieldRef| matches!(place, FieldRef::Header(_));
        let has_types = provider.event_type.iter().any(is_header);
        let places = if has_types { &provider.event_type } else { &provider.delivery_id };
        provider.user_agents.iter().any(|known| agent.starts_with(known))
            || places.iter().any(|place| self.has_header(place))
    }

    /// Whether what stands in the header has the prefix and the length of its provider's signature.
    fn is_in_form(&self, one: &ForeignHeader) -> bool {
        let ForeignHeader { name, scheme, .. } = one;
        let values = SignatureRule::values(&FieldRef::header(name), &self.rejected.request);
        let found = values.and_then(|values| scheme.signature.candidates(&values));
        let fits = |found: &Vec<u8>| scheme.algorithm.takes_length(found.len());
        found.is_ok_and(|found| found.iter().any(fits))
    }

    fn has_header(&self, place: &FieldRef) -> bool {
        matches!(place, FieldRef::Header(name) if self.rejected.request.headers.get(name).is_some())
    }

    /// Something at the place of the signature, or at another, that is as long as one.
    pub(super) fn looks_like_a_signature(&self) -> Option<String> {
        let seen = sightings(&values(&self.rejected.request));
        let is_named = |place: &FieldRef| {
            let name = place.name().to_ascii_lowercase();
            ["sig", "hmac", "digest", "hash"].iter().any(|part| name.contains(part))
        };
        let seen = seen.into_iter().find(|sighting| is_named(&sighting.place))?;
        let name = seen.place.name().escape_debug().to_string();
        Some(match seen.place {
            FieldRef::Query(_) => format!("the query parameter `{name}`"),
            _ => format!("the header `{name}`"),
        })
    }
}
