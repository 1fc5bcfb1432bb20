//! Questions whose answer is a hash, as the senders of each want it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::secret::Secret;

use super::super::field_ref::{FieldRef, pairs, query};
use super::super::keys::{Algorithm, Key, KeyRule};
use super::super::reply::Reply;
use super::super::request::Inbound;
use super::super::template::{Message, Template, Values};
use super::answer::text_at;

/// The longest `crc_token` of X's: they are about 50 characters.
const TOKEN_BYTES_MAX: usize = 200;

/// Who asks for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Ebay,
    X,
    LinkedIn,
    Zoom,
}

impl Asker {
    /// Who asks in `place`: all but Zoom have names of their own for a parameter.
    pub(super) fn of(place: &FieldRef) -> Self {
        match place {
            FieldRef::Query(name) => match &**name {
                "challenge_code" => Self::Ebay,
                "crc_token" => Self::X,
                "challengeCode" => Self::LinkedIn,
                _ => Self::Zoom,
            },
            FieldRef::Header(_) | FieldRef::Json(_) | FieldRef::Form(_) | FieldRef::List(_) => {
                Self::Zoom
            }
        }
    }

    /// Whether it has a stranger's text hashed as it signs events, with the same secret.
    pub(super) const fn hashes_like_events(self) -> bool {
        matches!(self, Self::X | Self::LinkedIn)
    }

    /// Whether `text` is what it asks with: of one that hashes like events nothing that could be one.
    pub(super) fn may_ask(self, text: &[u8]) -> bool {
        match self {
            Self::Ebay | Self::Zoom => true,
            Self::X => is_token(text),
            Self::LinkedIn => is_uuid(text),
        }
    }
}

/// Whether it is a token such as X asks with.
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_.-".contains(byte);
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.iter().all(is_of_token)
}

fn is_uuid(text: &[u8]) -> bool {
    let is_good = |(index, byte): (usize, &u8)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(is_good)
}

/// The answer to the question in `place`, hashed with `secret`. `url` is the public address, as far as it is
/// configured.
pub(super) fn hashed(
    place: &FieldRef,
    url: Option<&str>,
    request: &Inbound<'_>,
    secret: &Secret,
) -> Option<Reply> {
    let asker = Asker::of(place);
    let text = text_at(place, request).filter(|text| asker.may_ask(text.as_bytes()))?;
    let answer = match asker {
        // The code, the verification token and the endpoint.
        Asker::Ebay => {
            let url = url.map(str::to_owned).or_else(|| own_url(place, request))?;
            let hash = Sha256::new().chain_update(&text).chain_update(secret.expose());
            json!({ "challengeResponse": hex::encode(hash.chain_update(url).finalize()) })
        }
        Asker::X => {
            let hash = BASE64_STANDARD.encode(hmac(&text, request, secret)?);
            json!({ "response_token": format!("sha256={hash}") })
        }
        Asker::LinkedIn => {
            let hash = hex::encode(hmac(&text, request, secret)?);
            json!({ "challengeCode": text, "challengeResponse": hash })
        }
        Asker::Zoom => {
            let hash = hex::encode(hmac(&text, request, secret)?);
            json!({ "plainToken": text, "encryptedToken": hash })
        }
    };
    Some(Reply::json(&answer))
}

/// The HMAC-SHA256 of `text`.
fn hmac(text: &str, request: &Inbound<'_>, secret: &Secret) -> Option<Vec<u8>> {
    let key = Key::new(Algorithm::HmacSha256, &KeyRule::UTF8, secret).ok()?;
    let hashed = Inbound { body: text.as_bytes(), ..*request };
    let template = Template::body();
    let message = Message::of(&template, &hashed, &Values::default()).ok()?;
    Some(key.sign(&message)?.as_slice().to_vec())
}

/// The address as the request has it, without the question in `place`: a password in the query is a part of the address
/// that was registered. All who ask such a question ask by https, whatever a proxy speaks to us. A stranger who writes
/// another host learns a hash over an address of his own, which is of no use there.
fn own_url(place: &FieldRef, request: &Inbound<'_>) -> Option<String> {
    let host = |name| std::str::from_utf8(request.headers.get(name)?).ok();
    let host = host("x-forwarded-host").or_else(|| host("host"))?;
    let host = host.split(',').next().unwrap_or_default().trim();
    let path = request.path_and_query.split('?').next().unwrap_or_default();
    let is_question = |pair: &str| pairs(pair.as_bytes()).any(|(name, _)| place.is_query(&name));
    let rest: Vec<&str> = query(request).split('&').filter(|pair| !is_question(pair)).collect();
    let rest = rest.join("&");
    let mark = if rest.is_empty() { "" } else { "?" };
    Some(format!("https://{host}{path}{mark}{rest}"))
}
