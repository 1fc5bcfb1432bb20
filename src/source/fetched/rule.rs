//! Where a key may be fetched from.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::super::field_ref::FieldRef;
use super::super::keys::Key;
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::signature::SignatureRule;
use super::fetch::{KeyRequest, PostedJson};

/// The longest address of a key: those that are known have 120 bytes.
const ADDRESS_BYTES_MAX: usize = 512;
/// The longest id of a key that is asked for: those that are known are UUIDs.
const KEY_ID_BYTES_MAX: usize = 128;

/// Where a scheme's keys are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRule {
    pub address: KeyAddress,
    /// Private networks that they may be fetched from; in any case public ones.
    pub allow: Vec<IpNet>,
    /// What must be one of the source's secrets, where any account can have a request signed by the
    /// sender's key: the topic of Amazon SNS.
    pub owner: Option<FieldRef>,
    /// Whether the source has a secret beside the keys.
    pub needs_secret: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAddress {
    /// Always this one: a JSON Web Key Set, a certificate or a public key.
    Fixed(Url),
    /// The request names it, on one of these origins.
    Named {
        at: FieldRef,
        /// Where it may lead.
        origins: Vec<OriginPattern>,
        /// What its path must look like; nothing where that is open.
        path: Option<PathPattern>,
    },
    /// Posted to, with the id that is in the head of the token and the owner's `client_id` and
    /// secret, it answers with that one key (Plaid).
    ById(Url),
}

/// How the path of a key's address begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub prefix: &'static str,
    pub suffix: &'static str,
}

/// An origin, in whose host `*` stands for one label: `https://sns.*.amazonaws.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(String);

/// What an owner says of a source's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySettings {
    pub url: Option<Url>,
    /// Where an address in the request may lead.
    pub origins: Vec<OriginPattern>,
    /// Private networks that they may be fetched from.
    pub allow: Vec<IpNet>,
}

impl FetchRule {
    /// Keys that stand at one address.
    pub(in crate::source) fn fixed(url: Url, allow: Vec<IpNet>) -> Self {
        Self { address: KeyAddress::Fixed(url), allow, owner: None, needs_secret: false }
    }

    /// The same as its owner wants it.
    pub(in crate::source) fn change(&mut self, settings: &KeySettings) {
        self.allow.clone_from(&settings.allow);
        match &mut self.address {
            KeyAddress::Fixed(url) | KeyAddress::ById(url) => {
                if let Some(own) = &settings.url {
                    url.clone_from(own);
                }
            }
            KeyAddress::Named { origins, path, .. } => {
                if !settings.origins.is_empty() {
                    origins.clone_from(&settings.origins);
                    *path = None;
                }
            }
        }
    }
}

/// Text that is no address of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKeyAddress {
    /// It is no URL, or has a user, a password or a fragment in it.
    #[error("it is not a plain URL")]
    NotPlain,
    /// An attacker on the network path could replace the key.
    #[error("it is not `https`, so anybody on the way could send a key of his own")]
    NotHttps,
    #[error("an origin is a scheme, a host and a port only")]
    NotOrigin,
}

impl OriginPattern {
    /// One that is known to be good.
    pub(in crate::source) fn of_preset(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Reads `https://HOST` or `https://HOST:PORT`. Without TLS only where `is_own`: on the owner's
    /// own network.
    pub fn parse(text: &str, is_own: bool) -> Result<Self, BadKeyAddress> {
        let (scheme, host) = text.split_once("://").ok_or(BadKeyAddress::NotOrigin)?;
        let is_host =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:*[]".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(BadKeyAddress::NotOrigin);
        }
        match scheme {
            "https" => Ok(Self(text.to_owned())),
            "http" if is_own => Ok(Self(text.to_owned())),
            "http" => Err(BadKeyAddress::NotHttps),
            _ => Err(BadKeyAddress::NotOrigin),
        }
    }

    /// Whether `url` lies there.
    fn matches(&self, url: &Url) -> bool {
        let origin = url.origin().ascii_serialization();
        let (mut wanted, mut given) = (self.0.split('.'), origin.split('.'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if is_label(wanted, given) => {}
                _ => return false,
            }
        }
    }
}

/// Whether a label fits its pattern, which may be `*`, or `https://*` in front.
fn is_label(wanted: &str, given: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(before) => given.strip_prefix(before).is_some_and(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
        None => wanted == given,
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address of keys as an owner writes it.
pub(in crate::source) fn read_address(text: &str, is_own: bool) -> Result<Url, BadKeyAddress> {
    let url = Url::parse(text).map_err(|_| BadKeyAddress::NotPlain)?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.has_host();
    match url.scheme() {
        "https" | "http" if !is_plain => Err(BadKeyAddress::NotPlain),
        "https" => Ok(url),
        "http" if is_own => Ok(url),
        "http" => Err(BadKeyAddress::NotHttps),
        _ => Err(BadKeyAddress::NotPlain),
    }
}

/// One key, or set of keys, that is to be fetched.
#[derive(Debug)]
pub(in crate::source) struct KeyId {
    /// What it is known by in the cache.
    pub(in crate::source) name: String,
    /// How it is fetched.
    pub(in crate::source) request: KeyRequest,
    /// Whether the same address may have another key later: then a signature that does not match is
    /// a reason to look again.
    pub(in crate::source) may_change: bool,
}

impl FetchRule {
    /// The key that `request` is signed with. `secret` is the owner's, for a key that is asked for
    /// with it.
    pub(in crate::source) fn key(
        &self,
        signature: &SignatureRule,
        request: &Inbound<'_>,
        secret: &[u8],
    ) -> Result<KeyId, Rejection> {
        match &self.address {
            KeyAddress::Fixed(url) => Ok(KeyId {
                name: url.to_string(),
                request: KeyRequest { url: url.clone(), post: None },
                may_change: true,
            }),
            KeyAddress::Named { at, origins, path } => {
                let text =
                    at.find(request).text().ok_or_else(|| Rejection::NoVariable(at.to_string()))?;
                let foreign = || Rejection::ForeignKey(at.to_string());
                let url = Some(text).filter(|text| text.len() <= ADDRESS_BYTES_MAX);
                let url =
                    url.and_then(|text| read_address(&text, true).ok()).ok_or_else(foreign)?;
                let is_path = path.is_none_or(|path| {
                    url.path().starts_with(path.prefix) && url.path().ends_with(path.suffix)
                });
                let is_its_own = is_path
                    && url.query().is_none()
                    && origins.iter().any(|origin| origin.matches(&url));
                let request = KeyRequest { url, post: None };
                let name = request.url.to_string();
                is_its_own.then_some(KeyId { name, request, may_change: false }).ok_or_else(foreign)
            }
            KeyAddress::ById(url) => {
                let id = key_id(signature, request)?;
                let name = format!("{url}#{id}");
                let post = Some(ask_for(&id, secret));
                let request = KeyRequest { url: url.clone(), post };
                Ok(KeyId { name, request, may_change: false })
            }
        }
    }

    /// Which of the source's secrets `request` is for; nothing where it says nothing of that.
    pub(in crate::source) fn owner_in(
        &self,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
    ) -> Result<Option<usize>, Rejection> {
        let Some(place) = &self.owner else { return Ok(None) };
        let text = place.find(request).text();
        let text = text.ok_or_else(|| Rejection::NoVariable(place.to_string()))?;
        let is_owner =
            |key: &Option<Key>| key.as_ref().is_some_and(|key| key.is_text(text.as_bytes()));
        let found = keys.iter().position(is_owner);
        found.map(Some).ok_or_else(|| Rejection::Claim(place.name().to_owned()))
    }

    /// Where its keys are, for people.
    pub(in crate::source) fn place(&self) -> String {
        match &self.address {
            KeyAddress::Fixed(url) | KeyAddress::ById(url) => {
                url.host_str().unwrap_or("its host").to_owned()
            }
            KeyAddress::Named { origins, .. } => {
                let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
                origins.join(" or ")
            }
        }
    }
}

/// `kid` in the head of the token.
fn key_id(signature: &SignatureRule, request: &Inbound<'_>) -> Result<String, Rejection> {
    let mut closest = Rejection::Missing;
    for place in &signature.places {
        match SignatureRule::values(place, request) {
            Err(rejection) => closest = closest.max(rejection),
            Ok(values) => {
                let tokens = signature.raw_signatures(&values);
                match tokens.iter().find_map(|token| kid(token)) {
                    Some(id) => return Ok(id),
                    None => closest = closest.max(Rejection::NotWrapped),
                }
            }
        }
    }
    Err(closest)
}

fn kid(token: &[u8]) -> Option<String> {
    let head = token.split(|byte| *byte == b'.').next()?;
    let head = BASE64_URL_SAFE_NO_PAD.decode(head).ok()?;
    let head: Value = serde_json::from_slice(&head).ok()?;
    let id = head.get("kid")?.as_str()?;
    let is_good = (1..=KEY_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_good.then(|| id.to_owned())
}

/// The question for a key, with the owner's `client_id:secret`.
fn ask_for(id: &str, secret: &[u8]) -> PostedJson {
    let text = Zeroizing::new(String::from_utf8_lossy(secret).into_owned());
    let (client_id, secret) = text.trim().split_once(':').unwrap_or(("", text.trim()));
    let question = json!({ "client_id": client_id, "secret": secret, "key_id": id });
    PostedJson(Zeroizing::new(question.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, url: &str, expected: bool) {
        let pattern = OriginPattern::parse(pattern, true).unwrap();
        assert_eq!(pattern.matches(&Url::parse(url).unwrap()), expected, "{pattern} {url}");
    }

    #[test]
    fn origin_is_matched_label_by_label() {
        let sns = "https://sns.*.amazonaws.com";
        check(sns, "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem", true);
        check(sns, "https://SNS.us-east-1.AmazonAWS.com:443/x.pem", true);
        for other in [
            "http://sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com:8443/x.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
            "https://sns.evil.example/.amazonaws.com",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://evil.sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com.:443/x.pem",
            "https://sns.us-east-1.amazonaws.comx/x.pem",
            "https://sns%2eus-east-1.amazonaws.com@evil.example/x.pem",
        ] {
            check(sns, other, false);
        }
        check("https://*.paypal.com", "https://api.paypal.com/v1/", true);
        check("https://*.paypal.com", "https://paypal.com/v1/", false);
        check("https://*.paypal.com", "https://notpaypal.com/v1/", false);
        check("http://localhost:4566", "http://localhost:4566/x", true);
        check("http://localhost:4566", "http://localhost:4567/x", false);
    }

    #[test]
    fn address_of_an_owner_is_plain_and_by_https() {
        assert!(read_address("https://id.example.com/jwks?v=1", false).is_ok());
        assert!(read_address("http://127.0.0.1:8080/jwks", true).is_ok());
        for (text, expected) in [
            ("http://id.example.com/jwks", BadKeyAddress::NotHttps),
            ("ftp://id.example.com/jwks", BadKeyAddress::NotPlain),
            ("file:///etc/passwd", BadKeyAddress::NotPlain),
            ("https://user@id.example.com/jwks", BadKeyAddress::NotPlain),
            ("https://:p@id.example.com/jwks", BadKeyAddress::NotPlain),
            ("https://id.example.com/jwks#a", BadKeyAddress::NotPlain),
            ("jwks", BadKeyAddress::NotPlain),
            ("", BadKeyAddress::NotPlain),
        ] {
            assert_eq!(read_address(text, false), Err(expected), "{text}");
        }
        for text in ["example.com", "https://", "https://a/b", "https://u@a", "ftp://a"] {
            assert_eq!(OriginPattern::parse(text, true), Err(BadKeyAddress::NotOrigin), "{text}");
        }
        assert_eq!(OriginPattern::parse("http://a", false), Err(BadKeyAddress::NotHttps));
    }

    #[test]
    fn key_is_asked_for_with_the_owners_names() {
        let PostedJson(text) = ask_for("a-1", b"client:se:cret\n");
        let question: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({ "client_id": "client", "secret": "se:cret", "key_id": "a-1" });
        assert_eq!(question, expected);
        assert_eq!(format!("{:?}", PostedJson(text)), "PostedJson(…)");
    }

    #[test]
    fn id_of_a_key_is_plain() {
        let token = |head: &str| format!("{}.e30.x", BASE64_URL_SAFE_NO_PAD.encode(head));
        assert_eq!(kid(token(r#"{"kid":"bfbd-1_.x"}"#).as_bytes()).as_deref(), Some("bfbd-1_.x"));
        let long = format!(r#"{{"kid":"{}"}}"#, "a".repeat(KEY_ID_BYTES_MAX + 1));
        for head in [r#"{"kid":""}"#, r#"{"kid":1}"#, "{}", "x", r#"{"kid":"a\"b"}"#, &long] {
            assert_eq!(kid(token(head).as_bytes()), None, "{head}");
        }
    }
}
