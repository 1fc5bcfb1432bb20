//! What makes two requests the same event.
//!
//! Losing an event is worse than delivering it twice. So an id counts alone only where it is under
//! the signature: whoever has seen one request can write another id into its headers, and the event
//! to which that id belongs must not be taken for a repeat.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::event::{Dedupe, DedupeKey, SourceName};
use crate::settings::show_duration;

use super::fields::Fields;
use super::scheme::Scheme;
use super::settings::{SigningProfile, SourceSettings};

/// Which requests count as repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupePolicy {
    /// As the sender can be told apart: by its id, else by a stamp in the body, both for
    /// [`DedupePolicy::WINDOW`]; else only where the first answer cannot have arrived.
    Identity,
    /// None: two equal requests are two events.
    Off,
    /// The same id and body, or without an id the same body, within this time.
    Window(Duration),
}

impl DedupePolicy {
    /// How long an identity is remembered: longer than any sender of the presets repeats without
    /// somebody's hand.
    pub const WINDOW: Duration = Duration::from_hours(24);
}

/// What a request is told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The sender's own id, under the signature.
    SignedId(String),
    /// The sender's own id, which anybody who repeats a request can change.
    Id(String),
    /// The body, which carries a stamp of its event: two events never have the same.
    Stamp,
    /// The body, which two events may share.
    Body,
}

impl Identity {
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::SignedId(id) | Self::Id(id) => Some(id),
            Self::Stamp | Self::Body => None,
        }
    }

    /// The same of one item of the request's list, where the id was the whole request's.
    pub(super) fn of_item(self, index: usize) -> Self {
        match self {
            Self::SignedId(id) => Self::SignedId(format!("{id}/{index}")),
            Self::Id(id) => Self::Id(format!("{id}/{index}")),
            Self::Stamp | Self::Body => self,
        }
    }
}

/// What a dedupe key is made of, beside the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestKey<'a> {
    pub(super) source: &'a SourceName,
    /// The request's method where it is another than POST: the same body may be put and deleted.
    pub(super) method: Option<&'a str>,
    pub(super) identity: &'a Identity,
}

/// What makes a repeat of this request a duplicate.
pub(super) fn dedupe(policy: DedupePolicy, request: RequestKey<'_>, body: &[u8]) -> Dedupe {
    let RequestKey { source, method, identity } = request;
    let key = || key(source, method, identity, body);
    match policy {
        DedupePolicy::Off => Dedupe::Off,
        DedupePolicy::Window(window) => Dedupe::Within { key: key(), window },
        DedupePolicy::Identity => match identity {
            Identity::SignedId(_) | Identity::Id(_) | Identity::Stamp => {
                Dedupe::Within { key: key(), window: DedupePolicy::WINDOW }
            }
            Identity::Body => Dedupe::Unanswered { key: key() },
        },
    }
}

/// Equal for two requests that are the same event: the sender's own id, else the body.
pub fn dedupe_key(source: &SourceName, delivery_id: Option<&str>, body: &[u8]) -> DedupeKey {
    let identity = match delivery_id {
        Some(id) => Identity::SignedId(id.to_owned()),
        None => Identity::Body,
    };
    key(source, None, &identity, body)
}

fn key(source: &SourceName, method: Option<&str>, identity: &Identity, body: &[u8]) -> DedupeKey {
    let mut hash = Sha256::new();
    // Neither a name nor a method has a zero byte, and the letter keeps an id from being taken for
    // a body.
    hash.update(source.as_str());
    hash.update([0]);
    if let Some(method) = method {
        hash.update(b"m");
        hash.update(method);
        hash.update([0]);
    }
    match identity {
        Identity::SignedId(id) => {
            hash.update(b"i");
            hash.update(id);
        }
        Identity::Id(id) => {
            hash.update(b"u");
            hash.update(u64::try_from(id.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(id);
            hash.update(body);
        }
        Identity::Stamp | Identity::Body => {
            hash.update(b"b");
            hash.update(body);
        }
    }
    let hash: [u8; 32] = hash.finalize().into();
    let (key, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    DedupeKey(*key)
}

impl SourceSettings {
    /// What counts as a repeat here, for people.
    pub fn repeats(&self) -> String {
        let profile = &self.profile;
        let ids =
            profile.delivery_id.iter().chain(profile.schemes.iter().filter_map(|s| s.id.as_ref()));
        let mut ids = ids.peekable();
        let has_id = ids.peek().is_some();
        let is_signed = |scheme: &Scheme| {
            let ids = scheme.id.iter().chain(&profile.delivery_id);
            ids.take(1).all(|place| scheme.signs(place))
        };
        let what = if has_id && profile.schemes.iter().all(is_signed) {
            "the same delivery id"
        } else if has_id {
            "the same delivery id and the same body"
        } else {
            "the same body"
        };
        let unanswered = format!(
            "an equal body is a repeat only where the answer to the first cannot have arrived \
             (remembered for {})",
            show_duration(Dedupe::UNANSWERED)
        );
        match self.dedupe {
            DedupePolicy::Off => "no request is taken for a repeat".to_owned(),
            DedupePolicy::Window(window) => {
                format!("{what} within {} is a repeat", show_duration(window))
            }
            DedupePolicy::Identity if has_id || !profile.stamps.is_empty() => {
                let window = show_duration(DedupePolicy::WINDOW);
                let rest = if has_id { "without an id" } else { "without its stamp" };
                format!("{what} within {window} is a repeat; {rest} {unanswered}")
            }
            DedupePolicy::Identity => {
                format!("{unanswered}; `dedupe = \"1h\"` takes every equal body within 1h for one")
            }
        }
    }
}

/// What tells a request from every other. `id_of_scheme` is the id that the scheme names.
pub(super) fn identify(
    profile: &SigningProfile,
    fields: &Fields<'_>,
    scheme: &Scheme,
    id_of_scheme: Option<String>,
) -> Identity {
    let of_scheme = scheme.id.as_ref().zip(id_of_scheme);
    let found = of_scheme.or_else(|| {
        profile.delivery_id.iter().find_map(|place| Some((place, fields.text(place)?)))
    });
    match found {
        Some((place, id)) if scheme.signs(place) => Identity::SignedId(id),
        Some((_, id)) => Identity::Id(id),
        None if profile.stamps.iter().any(|place| fields.text(place).is_some()) => Identity::Stamp,
        None => Identity::Body,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::source::tests::read;

    #[test]
    fn equal_events_have_equal_keys_and_no_others() {
        let (a, b) = (SourceName::parse("a").unwrap(), SourceName::parse("b").unwrap());
        let id = |id: &str| Identity::Id(id.to_owned());
        let keys = [
            dedupe_key(&a, None, b"1"),
            dedupe_key(&b, None, b"1"),
            dedupe_key(&a, None, b"2"),
            dedupe_key(&a, Some("1"), b"1"),
            dedupe_key(&a, Some("2"), b"1"),
            key(&a, None, &id("1"), b"1"),
            key(&a, None, &id("1"), b"2"),
            key(&a, None, &id("11"), b""),
            key(&a, Some("PUT"), &Identity::Body, b"1"),
            key(&a, Some("DELETE"), &Identity::Body, b"1"),
        ];
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(dedupe_key(&a, Some("1"), b"1"), dedupe_key(&a, Some("1"), b"changed"));
        assert_eq!(key(&a, None, &Identity::Stamp, b"1"), dedupe_key(&a, None, b"1"));
    }

    #[test]
    fn repeats_are_described_for_each_kind_of_source() {
        let check = |text: &str, expected: &str| {
            let (settings, problems) = read(&format!("secrets = [{{ env = \"A\" }}]\n{text}"));
            let settings = settings.unwrap_or_else(|| panic!("{problems}"));
            assert!(settings.repeats().starts_with(expected), "{}", settings.repeats());
        };
        check("provider = \"stripe\"", "the same delivery id within 1d is a repeat; without an id");
        check("provider = \"svix\"", "the same delivery id within 1d");
        check("provider = \"github\"", "the same delivery id and the same body within 1d");
        check("provider = \"zendesk\"", "the same delivery id and the same body within 1d");
        check("provider = \"userecho\"", "the same body within 1d is a repeat; without its stamp");
        check("provider = \"hyvor-talk\"", "an equal body is a repeat only where the answer to");
        check("provider = \"hyvor-talk\"\ndedupe = \"1h\"", "the same body within 1h is a repeat");
        check("provider = \"github\"\ndedupe = \"off\"", "no request is taken for a repeat");
        let custom = "algorithm = \"hmac-sha256\", header = \"X-S\"";
        check(&format!("verify = {{ {custom} }}"), "an equal body is a repeat only");
        let signed = "signed = \"{id}{body}\", id = { header = \"X-Id\" }";
        check(&format!("verify = {{ {custom}, {signed} }}"), "the same delivery id within");
        let unsigned = "id = { header = \"X-Id\" }";
        check(&format!("verify = {{ {custom}, {unsigned} }}"), "the same delivery id and the same");
        let token = "algorithm = \"token\", header = \"X-T\", id = { json = \"id\" }";
        check(&format!("verify = {{ {token} }}"), "the same delivery id and the same body");
    }
}
