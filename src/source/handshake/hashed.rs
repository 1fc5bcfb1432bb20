//! Questions whose answer is a hash, as the senders of each want it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::secret::Secret;

use super::super::field_ref::FieldRef;
use super::super::keys::{Algorithm, Key, KeyRule};
use super::super::reply::Reply;
use super::super::request::Inbound;
use super::super::template::{Message, Template, Values};
use super::answer::text_at;

/// The answer to the question in `place`, hashed with `secret`. `url` is the public address, as far as it is
/// configured.
pub(super) fn hashed(
    place: &FieldRef,
    url: Option<&str>,
    request: &Inbound<'_>,
    secret: &Secret,
) -> Option<Reply> {
    let text = text_at(place, request)?;
    let query = match place {
        FieldRef::Query(name) => Some(&**name),
        FieldRef::Header(_) | FieldRef::Json(_) | FieldRef::Form(_) | FieldRef::List(_) => None,
    };
    let answer = match query {
        // eBay: the code, the verification token and the endpoint.
        Some("challenge_code") => {
            let url = url.map(str::to_owned).or_else(|| own_url(request))?;
            let hash = Sha256::new().chain_update(&text).chain_update(secret.expose());
            json!({ "challengeResponse": hex::encode(hash.chain_update(url).finalize()) })
        }
        // X.
        Some("crc_token") => {
            let hash = BASE64_STANDARD.encode(hmac(&text, request, secret)?);
            json!({ "response_token": format!("sha256={hash}") })
        }
        // LinkedIn.
        Some("challengeCode") => {
            let hash = hex::encode(hmac(&text, request, secret)?);
            json!({ "challengeCode": text, "challengeResponse": hash })
        }
        // Zoom.
        Some(_) | None => {
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

/// The address as the request has it. All who ask such a question ask by https, whatever a proxy speaks to us. A
/// stranger who writes another host learns a hash over an address of his own, which is of no use there.
fn own_url(request: &Inbound<'_>) -> Option<String> {
    let host = |name| std::str::from_utf8(request.headers.get(name)?).ok();
    let host = host("x-forwarded-host").or_else(|| host("host"))?;
    let host = host.split(',').next().unwrap_or_default().trim();
    let path = request.path_and_query.split('?').next().unwrap_or_default();
    Some(format!("https://{host}{path}"))
}
