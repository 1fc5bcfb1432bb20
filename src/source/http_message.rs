//! HTTP Message Signatures (RFC 9421) with `Content-Digest` (RFC 9530).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, Item, List, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

use crate::clock::Timestamp;

use super::algorithm::Algorithm;
use super::field_ref::{FieldRef, query};
use super::keys::Key;
use super::rejection::Rejection;
use super::request::Inbound;
use super::signed_query::SignedQuery;
use super::template::Message;
use address::Address;

mod address;

/// The header that says what is signed.
pub(super) const INPUT: &str = "signature-input";
/// The header that holds the signatures.
pub(super) const SIGNATURE: &str = "signature";
const DIGEST: &str = "content-digest";

/// The most signatures of one request that are looked at.
const SIGNATURES_MAX: usize = 4;
/// The most components of one signature.
const COMPONENTS_MAX: usize = 64;

/// What a signature must cover and say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRule {
    /// The only label that is looked at; nothing where any will do.
    pub label: Option<String>,
    /// What must be under the signature: header names, `@method` and the like.
    pub components: Vec<String>,
    /// How far `created` may be from the moment of receiving.
    pub tolerance: Duration,
    pub tag: Option<String>,
}

impl MessageRule {
    /// Whether the body is under the signature.
    pub(super) fn covers_body(&self) -> bool {
        self.covers(DIGEST)
    }

    /// Whether what is in `place` is under the signature.
    pub(super) fn signs(&self, place: &FieldRef) -> bool {
        match place {
            FieldRef::Header(name) => self.covers(name),
            FieldRef::Query(_) => {
                ["@query", "@target-uri", "@request-target"].iter().any(|name| self.covers(name))
            }
            FieldRef::Json(_) | FieldRef::Form(_) => self.covers_body(),
            FieldRef::List(_) => false,
        }
    }

    fn covers(&self, name: &str) -> bool {
        self.components.iter().any(|component| component == name)
    }

    /// Which of `keys` has signed `request`, and what of its query. `url` is the public address, where it is known.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        url: Option<&str>,
        now: Timestamp,
    ) -> Result<(usize, SignedQuery), Rejection> {
        let inputs = dictionary(request, INPUT)?.ok_or(Rejection::Missing)?;
        let signatures = dictionary(request, SIGNATURE)?.ok_or(Rejection::Missing)?;
        let is_wanted = |label: &str| self.label.as_ref().is_none_or(|wanted| wanted == label);
        let inputs = inputs.iter().filter(|(label, _)| is_wanted(label.as_str()));
        let mut closest = Rejection::NotWrapped;
        for (label, input) in inputs.take(SIGNATURES_MAX) {
            let (ListEntry::InnerList(input), Some(ListEntry::Item(signature))) =
                (input, signatures.get(label))
            else {
                continue;
            };
            let Some(signature) = signature.bare_item.as_byte_sequence() else { continue };
            match self.verify_one(algorithm, keys, request, url, input, signature, now) {
                Ok(key_index) => return Ok((key_index, signed_query(request, input))),
                Err(rejection) => closest = closest.max(rejection),
            }
        }
        Err(closest)
    }

    #[expect(clippy::too_many_arguments, reason = "a signature is judged by all of these")]
    fn verify_one(
        &self,
        algorithm: Algorithm,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        url: Option<&str>,
        input: &InnerList,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<usize, Rejection> {
        let text = |name: &str| {
            input.params.get(name).and_then(BareItem::as_string).map(sfv::StringRef::as_str)
        };
        // Both are the configuration's to choose.
        if text("alg").is_some_and(|alg| Some(alg) != algorithm.http_name()) {
            return Err(Rejection::Claim("alg".to_owned()));
        }
        if self.tag.is_some() && text("tag") != self.tag.as_deref() {
            return Err(Rejection::Claim("tag".to_owned()));
        }
        let is_covered = |wanted: &&String| {
            let mut items = input.items.iter().filter(|item| item.params.is_empty());
            items.any(|item| {
                item.bare_item.as_string().is_some_and(|name| name.as_str() == **wanted)
            })
        };
        if let Some(missing) = self.components.iter().find(|wanted| !is_covered(wanted)) {
            return Err(Rejection::NoVariable(format!("`{missing}` under the signature")));
        }
        if !algorithm.takes_length(signature.len()) {
            return Err(Rejection::WrongLength);
        }
        let message = Message::whole_of(signature_base(request, url, input)?.into_bytes());
        let candidates = [signature.to_vec()];
        let matches =
            |key: &Option<Key>| key.as_ref().is_some_and(|key| key.matches(&message, &candidates));
        let key_index = keys.iter().position(matches).ok_or(Rejection::Mismatch)?;
        if self.covers_body() && !is_digest_of_body(request)? {
            return Err(Rejection::Mismatch);
        }
        self.check_times(input, now)?;
        Ok(key_index)
    }

    fn check_times(&self, input: &InnerList, now: Timestamp) -> Result<(), Rejection> {
        let time = |name: &str| {
            let seconds = input.params.get(name).and_then(BareItem::as_integer).map(i64::from);
            seconds.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)))
        };
        let created =
            time("created").ok_or_else(|| Rejection::NoVariable("parameter `created`".into()))?;
        let off = now.as_millis().saturating_sub(created.as_millis());
        let is_far = now.since(created).max(created.since(now)) > self.tolerance;
        if is_far || time("expires").is_some_and(|expires| now > expires) {
            return Err(Rejection::Stale { seconds: off / 1000 });
        }
        Ok(())
    }

    /// `Signature-Input`'s members as a sender with this rule would write them, under `label`.
    pub(super) fn draft(&self, algorithm: Algorithm, now: Timestamp) -> Option<InnerList> {
        let items = self
            .components
            .iter()
            .map(|name| sfv::String::from_string(name.clone()).ok().map(Item::new));
        let mut input = InnerList::new(items.collect::<Option<_>>()?);
        let seconds = sfv::Integer::try_from(now.as_millis().div_euclid(1000)).ok()?;
        input.params.insert(key("created")?, BareItem::Integer(seconds));
        for (name, text) in [("alg", algorithm.http_name()), ("tag", self.tag.as_deref())] {
            let Some(text) = text else { continue };
            let text = sfv::String::from_string(text.to_owned()).ok()?;
            input.params.insert(key(name)?, BareItem::String(text));
        }
        Some(input)
    }

    /// The label that a sender with this rule would write.
    pub(super) fn written_label(&self) -> &str {
        self.label.as_deref().unwrap_or("sig1")
    }
}

fn key(name: &str) -> Option<sfv::Key> {
    sfv::Key::from_string(name.to_owned()).ok()
}

/// `Content-Digest` of `body`.
pub(super) fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(body)))
}

/// A header that is a dictionary.
fn dictionary(request: &Inbound<'_>, name: &str) -> Result<Option<Dictionary>, Rejection> {
    let Some(text) = combined(request, name) else { return Ok(None) };
    Parser::new(&*text).parse::<Dictionary>().map(Some).map_err(|_| Rejection::Undecodable)
}

/// The values of a header as one (RFC 9421, 2.1).
fn combined(request: &Inbound<'_>, name: &str) -> Option<String> {
    let values = request
        .headers
        .get_all(name)
        .map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned());
    let values: Vec<String> = values.collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Whether `Content-Digest` is that of the body: every hash of a kind that is known here, and one
/// at least.
fn is_digest_of_body(request: &Inbound<'_>) -> Result<bool, Rejection> {
    let digests = dictionary(request, DIGEST)?
        .ok_or_else(|| Rejection::NoVariable(format!("header `{DIGEST}`")))?;
    let mut n_known = 0;
    for (kind, hash) in &digests {
        let ListEntry::Item(hash) = hash else { return Ok(false) };
        let hash = hash.bare_item.as_byte_sequence();
        let is_equal = match kind.as_str() {
            "sha-256" => hash == Some(Sha256::digest(request.body).as_slice()),
            "sha-512" => hash == Some(Sha512::digest(request.body).as_slice()),
            _ => continue,
        };
        if !is_equal {
            return Ok(false);
        }
        n_known += 1;
    }
    Ok(n_known > 0)
}

/// The text that is signed (RFC 9421, 2.5).
pub(super) fn signature_base(
    request: &Inbound<'_>,
    url: Option<&str>,
    input: &InnerList,
) -> Result<String, Rejection> {
    if input.items.len() > COMPONENTS_MAX {
        return Err(Rejection::TooManyFields);
    }
    let mut base = String::new();
    let mut seen = Vec::with_capacity(input.items.len());
    for item in &input.items {
        let identifier = item.serialize();
        // A component that is named twice makes the signature invalid.
        if seen.contains(&identifier) {
            return Err(Rejection::Repeated(identifier));
        }
        let value = component(request, url, item)?;
        writeln!(base, "{identifier}: {value}").unwrap_or_default();
        seen.push(identifier);
    }
    let params = written(input).ok_or(Rejection::NotWrapped)?;
    write!(base, "\"@signature-params\": {params}").unwrap_or_default();
    Ok(base)
}

/// The components and parameters of a signature, as they are signed.
pub(super) fn written(input: &InnerList) -> Option<String> {
    let input: List = vec![ListEntry::InnerList(input.clone())];
    input.serialize()
}

/// The value of one component.
fn component<'a>(
    request: &Inbound<'a>,
    url: Option<&'a str>,
    item: &Item,
) -> Result<Cow<'a, str>, Rejection> {
    let absent = || Rejection::NoVariable(item.serialize());
    let name = item.bare_item.as_string().map(sfv::StringRef::as_str).ok_or_else(absent)?;
    if name == "@query-param" {
        return query_param(request, item).ok_or_else(absent);
    }
    if name.starts_with('@') && !item.params.is_empty() {
        return Err(absent());
    }
    let address = Address::of(request, url);
    let value = match name {
        "@method" => Cow::Borrowed(request.method),
        "@target-uri" => url.map(|_| address.whole().into()).ok_or_else(absent)?,
        "@authority" => address.authority.ok_or_else(absent)?.into(),
        "@scheme" => address.scheme.into(),
        "@request-target" => Cow::Borrowed(request.path_and_query),
        "@path" => address.path.to_owned().into(),
        "@query" => format!("?{}", address.query).into(),
        _ if name.starts_with('@') => return Err(absent()),
        header => field(request, header, item).ok_or_else(absent)?.into(),
    };
    // A line break in a value would make lines of its own.
    if value.contains(['\n', '\r']) { Err(absent()) } else { Ok(value) }
}

/// A header as a component, with the parameters that change how it is written.
fn field(request: &Inbound<'_>, name: &str, item: &Item) -> Option<String> {
    let mut params = item.params.iter();
    let (param, value) = match (params.next(), params.next()) {
        (None, _) => return combined(request, name),
        (Some(param), None) => param,
        (Some(_), Some(_)) => return None,
    };
    match param.as_str() {
        "key" => {
            let fields = dictionary(request, name).ok()??;
            let member = fields.get(value.as_string()?.as_str())?.clone();
            let member: List = vec![member];
            member.serialize()
        }
        "bs" => {
            let values = request
                .headers
                .get_all(name)
                .map(|value| format!(":{}:", BASE64_STANDARD.encode(value.trim_ascii())));
            let values: Vec<String> = values.collect();
            (!values.is_empty()).then(|| values.join(", "))
        }
        "sf" => {
            let text = combined(request, name)?;
            let dictionary = Parser::new(&*text).parse::<Dictionary>().ok();
            let list = || Parser::new(&*text).parse::<List>().ok()?.serialize();
            let item = || Parser::new(&*text).parse::<Item>().ok().map(|item| item.serialize());
            dictionary.and_then(|fields| fields.serialize()).or_else(list).or_else(item)
        }
        // `req` and `tr` are about responses and trailers.
        _ => None,
    }
}

/// A single parameter of the query, escaped anew (RFC 9421, 2.2.8).
fn query_param<'a>(request: &Inbound<'a>, item: &Item) -> Option<Cow<'a, str>> {
    let name = item.params.get("name")?.as_string()?.as_str();
    (item.params.len() == 1).then_some(())?;
    let fields = super::field_ref::pairs(query(request).as_bytes());
    let mut values = fields.filter(|(key, _)| escape(key) == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| escape(&value).into())
}

/// What of the query is under a signature over `input`.
fn signed_query(request: &Inbound<'_>, input: &InnerList) -> SignedQuery {
    let name = |item: &Item| item.bare_item.as_string().map(|name| name.as_str().to_owned());
    let is_all = |item: &Item| {
        let all = ["@query", "@target-uri", "@request-target"];
        item.params.is_empty() && name(item).is_some_and(|name| all.contains(&&*name))
    };
    if input.items.iter().any(is_all) {
        return SignedQuery::All;
    }
    let params = input.items.iter().filter(|item| name(item).as_deref() == Some("@query-param"));
    let params = params.filter_map(|item| item.params.get("name")?.as_string());
    let signed: Vec<&str> = params.map(sfv::StringRef::as_str).collect();
    let names = super::field_ref::pairs(query(request).as_bytes()).map(|(name, _)| name);
    let names = names.filter(|name| signed.contains(&&*escape(name)));
    SignedQuery::Parameters(names.map(Cow::into_owned).collect())
}

/// Percent-encodes all but letters, digits and `*-._`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    text
}
