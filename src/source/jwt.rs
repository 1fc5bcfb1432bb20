//! JSON Web Tokens (RFC 7515, RFC 7519) that sign a request: a claim holds the body's hash, the payload
//! is detached and is the body itself, or the body is the token.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::clock::Timestamp;

use super::algorithm::Algorithm;
use super::keys::Key;
use super::rejection::Rejection;
use super::signature::Encoding;
use super::template::Message;

/// What a token must say beside its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRule {
    /// The claim that holds the body's hash, in hexadecimal or base64.
    pub body_hash: Option<String>,
    /// Whether the token's payload is left out, for it is the body (RFC 7515, appendix F).
    pub is_detached: bool,
    /// Whether the body is the token, so that its claims are what was sent.
    pub is_body: bool,
    pub issuer: Option<String>,
    /// What `aud` must be or hold.
    pub audience: Option<String>,
    /// How long after its `iat` it is taken; without it only `exp` limits that.
    pub max_age: Option<Duration>,
    /// How far the sender's clock may be off.
    pub leeway: Duration,
}

impl JwtRule {
    /// How far the sender's clock may be off: what the libraries of the senders allow is 0 to 60 s.
    pub const LEEWAY: Duration = Duration::from_mins(1);

    /// A token of which this claim holds the body's hash, and that ends as it says itself.
    pub(super) fn with_body_hash(claim: &str) -> Self {
        Self {
            body_hash: Some(claim.to_owned()),
            is_detached: false,
            is_body: false,
            issuer: None,
            audience: None,
            max_age: None,
            leeway: Self::LEEWAY,
        }
    }

    /// Whether the body is under the signature.
    pub(super) fn covers_body(&self) -> bool {
        self.is_detached || self.is_body || self.body_hash.is_some()
    }

    /// Which of `keys` has signed `token`, where that says what it must.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        token: &[u8],
        keys: &[Option<Key>],
        body: &[u8],
        now: Timestamp,
    ) -> Result<usize, Rejection> {
        let parts: Vec<&[u8]> = token.splitn(4, |byte| *byte == b'.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            return Err(Rejection::NotWrapped);
        };
        check_header(algorithm, header)?;
        let detached;
        let payload = match (self.is_detached, payload) {
            (true, b"") => {
                detached = BASE64_URL_SAFE_NO_PAD.encode(body);
                detached.as_bytes()
            }
            (true, _) => return Err(Rejection::NotWrapped),
            (false, payload) => payload,
        };
        let signature = decode(signature)?;
        if !algorithm.takes_length(signature.len()) {
            return Err(Rejection::WrongLength);
        }
        let message = Message::whole_of([header, b".", payload].concat());
        let candidates = [signature];
        let matches =
            |key: &Option<Key>| key.as_ref().is_some_and(|key| key.matches(&message, &candidates));
        let key_index = keys.iter().position(matches).ok_or(Rejection::Mismatch)?;
        if !self.is_detached {
            self.check_claims(&object(payload)?, body, now)?;
        }
        Ok(key_index)
    }

    fn check_claims(
        &self,
        claims: &Map<String, Value>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if self.issuer.is_some() && text("iss") != self.issuer.as_deref() {
            return Err(Rejection::Claim("iss".to_owned()));
        }
        let is_for = |audience: &String| match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
            Some(one) => one.as_str() == Some(audience),
            None => false,
        };
        if self.audience.as_ref().is_some_and(|audience| !is_for(audience)) {
            return Err(Rejection::Claim("aud".to_owned()));
        }
        if let Some(claim) = &self.body_hash {
            let hash =
                text(claim).ok_or_else(|| Rejection::NoVariable(format!("claim `{claim}`")))?;
            if !is_hash_of(hash, body) {
                return Err(Rejection::Claim(claim.clone()));
            }
        }
        self.check_times(claims, now)
    }

    /// A token that is not bound to a body could be sent for ever with others: `exp` or a `max_age`
    /// must end it.
    fn check_times(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Rejection> {
        let time = |name: &str| match claims.get(name) {
            Some(value) => value.as_f64().and_then(millis).ok_or(Rejection::BadTimestamp).map(Some),
            None => Ok(None),
        };
        let (issued_at, not_before, expires_at) = (time("iat")?, time("nbf")?, time("exp")?);
        let stale = |since: Timestamp| {
            let off = now.as_millis().saturating_sub(since.as_millis());
            Rejection::Stale { seconds: off / 1000 }
        };
        if let Some(expires_at) = expires_at
            && now.since(expires_at) > self.leeway
        {
            return Err(stale(issued_at.unwrap_or(expires_at)));
        }
        for begin in [issued_at, not_before].into_iter().flatten() {
            if begin.since(now) > self.leeway {
                return Err(stale(begin));
            }
        }
        match (self.max_age, issued_at) {
            (Some(max_age), Some(issued_at)) => {
                let is_old = now.since(issued_at) > max_age.saturating_add(self.leeway);
                if is_old { Err(stale(issued_at)) } else { Ok(()) }
            }
            (Some(_), None) => Err(Rejection::NoVariable("claim `iat`".to_owned())),
            (None, _) if expires_at.is_none() && !self.covers_body() => {
                Err(Rejection::NoVariable("claim `exp`".to_owned()))
            }
            (None, _) => Ok(()),
        }
    }

    /// The token that a sender with this rule would make of `body`, but for its signature. `None` = the
    /// body would have to be claims, and is none.
    pub(super) fn draft(
        &self,
        algorithm: Algorithm,
        body: &[u8],
        now: Timestamp,
    ) -> Option<String> {
        let mut claims = if self.is_body { serde_json::from_slice(body).ok()? } else { Map::new() };
        let seconds = now.as_millis().div_euclid(1000);
        claims.insert("iat".to_owned(), seconds.into());
        claims.insert("exp".to_owned(), seconds.saturating_add(300).into());
        let texts = [("iss", &self.issuer), ("aud", &self.audience)];
        for (name, text) in texts {
            claims.extend(text.as_ref().map(|text| (name.to_owned(), text.as_str().into())));
        }
        let hash = || hex::encode(Sha256::digest(body)).into();
        claims.extend(self.body_hash.as_ref().map(|claim| (claim.clone(), hash())));
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.jws_name().unwrap_or(""));
        let payload = Value::from(claims).to_string();
        let payload = if self.is_detached { body } else { payload.as_bytes() };
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Some(format!("{}.{}", encode(header.as_bytes()), encode(payload)))
    }
}

/// What a token says of itself, whether it is signed or not: for words, never to believe it.
pub(super) struct SentToken {
    /// By what it is signed, where that is known here.
    pub(super) algorithm: Option<Algorithm>,
    /// Its claims; none where its payload is left out or is no map.
    pub(super) claims: Map<String, Value>,
    /// Whether its payload is left out.
    pub(super) is_detached: bool,
}

/// So many claims are compared with the body's hash, each of which costs a hash of the body.
const CLAIMS_READ_MAX: usize = 32;

impl SentToken {
    /// `None` = it is no token.
    pub(super) fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let &[header, payload, _] = parts.as_slice() else { return None };
        let header = object(header.as_bytes()).ok()?;
        let named = header.get("alg").and_then(Value::as_str)?;
        let mut all = Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm);
        Some(Self {
            algorithm: all.find(|algorithm| algorithm.jws_name() == Some(named)),
            claims: object(payload.as_bytes()).unwrap_or_default(),
            is_detached: payload.is_empty(),
        })
    }

    /// The claims that are a hash of `body`, of the first that a stranger wrote.
    pub(super) fn claims_with_hash_of(&self, body: &[u8]) -> impl Iterator<Item = &str> {
        let is_hash =
            move |value: &Value| value.as_str().is_some_and(|text| is_hash_of(text, body));
        let claims = self.claims.iter().take(CLAIMS_READ_MAX);
        claims.filter(move |(_, value)| is_hash(value)).map(|(name, _)| name.as_str())
    }
}

/// The algorithm is the configuration's and never the token's to choose; extensions that must be
/// understood are not.
fn check_header(algorithm: Algorithm, header: &[u8]) -> Result<(), Rejection> {
    let header = object(header)?;
    let named = header.get("alg").and_then(Value::as_str);
    if named != algorithm.jws_name() || header.contains_key("crit") {
        return Err(Rejection::Claim("alg".to_owned()));
    }
    Ok(())
}

fn object(text: &[u8]) -> Result<Map<String, Value>, Rejection> {
    serde_json::from_slice(&decode(text)?).map_err(|_| Rejection::Undecodable)
}

/// base64url without padding, and no other text for the same bytes.
fn decode(text: &[u8]) -> Result<Vec<u8>, Rejection> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Rejection::Undecodable)
}

/// Seconds, with or without a fraction, as a moment.
fn millis(seconds: f64) -> Option<Timestamp> {
    // Beyond this no date is meant, and within it every second is exact.
    let is_date = seconds.abs() < 1e12;
    #[expect(clippy::cast_possible_truncation, reason = "it is bounded")]
    is_date.then(|| Timestamp::from_millis((seconds * 1000.0) as i64))
}

/// Whether `text` is a hash of `body`: which one, its length says.
fn is_hash_of(text: &str, body: &[u8]) -> bool {
    let text = text.as_bytes();
    let forms = [Encoding::Hex.decode(text), Encoding::Base64.decode(text)];
    forms.into_iter().flatten().any(|hash| match hash.len() {
        32 => hash == Sha256::digest(body).as_slice(),
        48 => hash == Sha384::digest(body).as_slice(),
        64 => hash == Sha512::digest(body).as_slice(),
        _ => false,
    })
}
