//! What a sender signs, written as text with variables: `v0:{timestamp}:{body}`.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};
use smallvec::{SmallVec, smallvec};

use super::field_ref::{FieldRef, Lookup, pairs, query};
use super::signature::Encoding;
use super::unpacked::unpack;
use super::{Inbound, Rejection};

/// What a sender signs. `{{` and `}}` are plain braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Body,
    /// The SHA-256 of the body in base64.
    BodySha256Base64,
    BodySha256,
    /// The body without its `Content-Encoding`.
    UnpackedBody,
    /// The address's path as it was sent, with its query.
    Path,
    SortedForm,
    Timestamp,
    Id,
    Method,
    Url,
    Secret,
    /// `{header:…}`, `{query:…}`, `{json:…}`, `{form:…}`.
    At(FieldRef),
    /// The same with a `?` at its end: nothing where the place is empty.
    AtOptional(FieldRef),
}

/// Text that is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTemplate {
    /// There is no such variable.
    #[error("`{{{0}}}` is not a variable")]
    Unknown(String),
    /// A brace without its partner.
    #[error("a brace has no partner (a plain brace is written twice)")]
    Brace,
    /// Nothing at all is signed.
    #[error("it is empty")]
    Empty,
}

impl BadTemplate {
    /// What can be written instead.
    pub const HELP: &'static str = "variables: {body} {timestamp} {id} {method} {url} {secret} \
         {header:NAME} {query:NAME} {json:a.b} {form:NAME} {sorted_form} {body_sha256} {body_sha256_base64} {unpacked_body} {path}; with a \
         `?` as in {json:a.b?} one that may be absent";
}

impl Template {
    /// Reads a template once; the type is the proof from then on.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(at);
            literal.push_str(before);
            if let Some(tail) = tail.strip_prefix("{{") {
                literal.push('{');
                rest = tail;
            } else if let Some(tail) = tail.strip_prefix("}}") {
                literal.push('}');
                rest = tail;
            } else {
                let tail = tail.strip_prefix('{').ok_or(BadTemplate::Brace)?;
                let (name, tail) = tail.split_once('}').ok_or(BadTemplate::Brace)?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::named(name)?);
                rest = tail;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if parts.is_empty() { Err(BadTemplate::Empty) } else { Ok(Self(parts)) }
    }

    /// The body and nothing else.
    pub(super) fn body() -> Self {
        Self(vec![Part::Body])
    }

    pub(super) fn has(&self, wanted: &Part) -> bool {
        self.0.contains(wanted)
    }

    /// Whether every byte of the body is under the signature.
    pub fn covers_body(&self) -> bool {
        let covers = |part: &Part| {
            matches!(
                part,
                Part::Body
                    | Part::BodySha256
                    | Part::BodySha256Base64
                    | Part::UnpackedBody
                    | Part::SortedForm
            )
        };
        self.0.iter().any(covers)
    }

    /// Whether it comes to the same text for every request.
    pub fn is_constant(&self) -> bool {
        let is_fixed = |part: &Part| {
            matches!(part, Part::Literal(_) | Part::Secret | Part::Method | Part::Url | Part::Path)
        };
        self.0.iter().all(is_fixed)
    }

    /// The places that it reads from.
    pub(super) fn places(&self) -> impl Iterator<Item = &FieldRef> {
        self.0.iter().filter_map(|part| match part {
            Part::At(place) => Some(place),
            _ => None,
        })
    }
}

impl Part {
    fn named(name: &str) -> Result<Self, BadTemplate> {
        let unknown = || BadTemplate::Unknown(name.to_owned());
        let part = match name {
            "body" => Self::Body,
            "body_sha256" => Self::BodySha256,
            "body_sha256_base64" => Self::BodySha256Base64,
            "unpacked_body" => Self::UnpackedBody,
            "path" => Self::Path,
            "sorted_form" => Self::SortedForm,
            "timestamp" => Self::Timestamp,
            "id" => Self::Id,
            "method" => Self::Method,
            "url" => Self::Url,
            "secret" => Self::Secret,
            _ => {
                let (kind, rest) = name.split_once(':').ok_or_else(unknown)?;
                let (rest, at): (&str, fn(FieldRef) -> Self) = match rest.strip_suffix('?') {
                    Some(rest) => (rest, Self::AtOptional),
                    None => (rest, Self::At),
                };
                if rest.is_empty() {
                    return Err(unknown());
                }
                let owned = || Cow::Owned(rest.to_owned());
                at(match kind {
                    "header" => FieldRef::header(rest),
                    "query" => FieldRef::Query(owned()),
                    "json" => FieldRef::Json(owned()),
                    "form" => FieldRef::Form(owned()),
                    _ => return Err(unknown()),
                })
            }
        };
        Ok(part)
    }
}

/// The template as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Body => f.write_str("{body}")?,
                Part::BodySha256 => f.write_str("{body_sha256}")?,
                Part::BodySha256Base64 => f.write_str("{body_sha256_base64}")?,
                Part::UnpackedBody => f.write_str("{unpacked_body}")?,
                Part::Path => f.write_str("{path}")?,
                Part::SortedForm => f.write_str("{sorted_form}")?,
                Part::Timestamp => f.write_str("{timestamp}")?,
                Part::Id => f.write_str("{id}")?,
                Part::Method => f.write_str("{method}")?,
                Part::Url => f.write_str("{url}")?,
                Part::Secret => f.write_str("{secret}")?,
                Part::At(place) => write!(f, "{{{}}}", variable(place))?,
                Part::AtOptional(place) => write!(f, "{{{}?}}", variable(place))?,
            }
        }
        Ok(())
    }
}

/// A place as a template names it.
fn variable(place: &FieldRef) -> String {
    match place {
        FieldRef::Header(name) => format!("header:{name}"),
        FieldRef::Query(name) => format!("query:{name}"),
        FieldRef::Json(path) => format!("json:{path}"),
        FieldRef::Form(name) => format!("form:{name}"),
        FieldRef::List(key) => format!("list:{key}"),
    }
}

/// What of a template does not stand in the request itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Values<'a> {
    pub(super) timestamp: Option<Cow<'a, [u8]>>,
    pub(super) id: Option<Cow<'a, [u8]>>,
    pub(super) url: Option<&'a str>,
}

/// As many pieces as a message mostly has: `{id}.{timestamp}.{body}`. They are not on the heap.
const PIECES: usize = 5;

/// The bytes under a signature, piece by piece: the body is never copied.
#[derive(Debug, Default)]
pub(super) struct Message<'a>(SmallVec<[Piece<'a>; PIECES]>);

#[derive(Debug)]
pub(super) enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    /// Stands for whichever secret is tried.
    Secret,
}

impl<'a> Message<'a> {
    /// Bytes that are at hand.
    pub(super) fn whole_of(bytes: Vec<u8>) -> Self {
        Self(smallvec![Piece::Bytes(Cow::Owned(bytes))])
    }

    /// Fills `template` in.
    pub(super) fn of(
        template: &'a Template,
        request: &Inbound<'a>,
        values: &Values<'a>,
    ) -> Result<Self, Rejection> {
        let pieces = template.0.iter().map(|part| piece(part, request, values));
        pieces.collect::<Result<_, _>>().map(Self)
    }

    /// Feeds every piece to `take`, with `secret` where the template names it.
    pub(super) fn feed(&self, secret: &[u8], mut take: impl FnMut(&[u8])) {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => take(bytes),
                Piece::Secret => take(secret),
            }
        }
    }

    /// The whole message in one piece, copied only where it has several.
    pub(super) fn whole(&self, secret: &[u8]) -> Cow<'_, [u8]> {
        if let [Piece::Bytes(bytes)] = self.0.as_slice() {
            return Cow::Borrowed(bytes);
        }
        let mut whole = Vec::new();
        self.feed(secret, |bytes| whole.extend_from_slice(bytes));
        Cow::Owned(whole)
    }
}

fn piece<'a>(
    part: &'a Part,
    request: &Inbound<'a>,
    values: &Values<'a>,
) -> Result<Piece<'a>, Rejection> {
    let given = |value: &Option<Cow<'a, [u8]>>| {
        value.clone().ok_or_else(|| Rejection::NoVariable("the signed text's variable".into()))
    };
    let bytes = match part {
        Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
        Part::Body => Cow::Borrowed(request.body),
        Part::BodySha256 => hex::encode(Sha256::digest(request.body)).into_bytes().into(),
        Part::BodySha256Base64 => {
            Encoding::Base64.encode(&Sha256::digest(request.body)).into_bytes().into()
        }
        Part::UnpackedBody => unpack(request)?,
        Part::Path => Cow::Borrowed(request.path_and_query.as_bytes()),
        Part::SortedForm => sorted_form(request.body)?.into(),
        Part::Timestamp => given(&values.timestamp)?,
        Part::Id => given(&values.id)?,
        Part::Method => Cow::Borrowed(request.method.as_bytes()),
        Part::Url => full_url(values.url.unwrap_or_default(), request),
        Part::Secret => return Ok(Piece::Secret),
        Part::At(place) | Part::AtOptional(place) => match (place.find(request), part) {
            (Lookup::One(value), _) => value,
            (Lookup::Absent, Part::AtOptional(_)) => Cow::Borrowed(b"".as_slice()),
            (Lookup::Absent, _) => return Err(Rejection::NoVariable(place.to_string())),
            (Lookup::Ambiguous, _) => return Err(Rejection::Repeated(place.to_string())),
        },
    };
    Ok(Piece::Bytes(bytes))
}

/// The public URL; where the request came with a query, that one stands in it.
fn full_url<'a>(url: &'a str, request: &Inbound<'a>) -> Cow<'a, [u8]> {
    let query = query(request);
    if query.is_empty() {
        return Cow::Borrowed(url.as_bytes());
    }
    let base = url.split_once('?').map_or(url, |(base, _)| base);
    format!("{base}?{query}").into_bytes().into()
}

/// The most fields of a form that are sorted before anybody is believed; Twilio sends some 50.
const FORM_FIELDS_MAX: usize = 1000;

/// Twilio's way with forms: names and values run together, sorted, equal ones once.
fn sorted_form(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut fields: Vec<_> = pairs(body).take(FORM_FIELDS_MAX + 1).collect();
    if fields.len() > FORM_FIELDS_MAX {
        return Err(Rejection::TooManyFields);
    }
    fields.sort_unstable();
    fields.dedup();
    let mut text = Vec::with_capacity(body.len());
    for (name, value) in fields {
        text.extend_from_slice(&name);
        text.extend_from_slice(&value);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: Result<&str, Rejection>) {
        let headers = [("x-a", &b"A"[..]), ("x-r", b"1"), ("x-r", b"2")].into_iter().collect();
        let request = Inbound {
            method: "POST",
            path_and_query: "/hooks/s?q=1",
            headers: &headers,
            body: b"b=2&a=%31&b=2",
        };
        let values = Values {
            timestamp: Some(b"17".as_slice().into()),
            id: None,
            url: Some("https://h/p?old=1"),
        };
        let template = Template::parse(template).unwrap();
        let message = Message::of(&template, &request, &values);
        let text = message.map(|message| String::from_utf8(message.whole(b"S").into()).unwrap());
        assert_eq!(text, expected.map(str::to_owned));
    }

    #[test]
    fn every_variable_is_filled_in() {
        check("v0:{timestamp}:{body}", Ok("v0:17:b=2&a=%31&b=2"));
        check("{method} {url}", Ok("POST https://h/p?q=1"));
        check("{sorted_form}|{form:a}|{query:q}|{header:X-A}", Ok("a1b2|1|1|A"));
        check("{secret}{{}}", Ok("S{}"));
        check("{path}|{unpacked_body}", Ok("/hooks/s?q=1|b=2&a=%31&b=2"));
        check("{body_sha256_base64}", Ok("E2HyxMfsjLPO1zeiCQpeqSM27tA/ywPf2xfTRSk7QRs="));
        check("{body_sha256}", Ok(&hex::encode(Sha256::digest(b"b=2&a=%31&b=2"))));
        check("{header:x-none}", Err(Rejection::NoVariable("header `x-none`".into())));
        check("{header:x-r}", Err(Rejection::Repeated("header `x-r`".into())));
        check("{json:a.b}", Err(Rejection::NoVariable("JSON field `a.b`".into())));
    }

    #[test]
    fn optional_field_is_empty_where_it_is_absent() {
        check("{header:x-none?}:{query:none?}:{json:a.b?}:{form:none?}:", Ok("::::"));
        check("{header:x-a?}:{query:q?}:{form:a?}", Ok("A:1:1"));
        check("{header:x-r?}", Err(Rejection::Repeated("header `x-r`".into())));
    }

    #[test]
    fn a_form_of_very_many_fields_is_not_sorted() {
        assert!(sorted_form(&b"a&".repeat(FORM_FIELDS_MAX)).is_ok());
        let sorted = sorted_form(&b"a&".repeat(FORM_FIELDS_MAX + 1));
        assert_eq!(sorted, Err(Rejection::TooManyFields));
    }

    #[test]
    fn a_template_is_shown_as_it_was_written() {
        for text in ["{body}", "a{{b}}{id}.{json:a.b}{secret}", "{url}{sorted_form}", "{json:a?}"] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", BadTemplate::Empty),
            ("{bdy}", BadTemplate::Unknown("bdy".into())),
            ("{header:}", BadTemplate::Unknown("header:".into())),
            ("{json:?}", BadTemplate::Unknown("json:?".into())),
            ("{body?}", BadTemplate::Unknown("body?".into())),
            ("{body", BadTemplate::Brace),
            ("body}", BadTemplate::Brace),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_signed_is_known() {
        let is = |text: &str| {
            let template = Template::parse(text).unwrap();
            (template.covers_body(), template.is_constant())
        };
        assert_eq!(is("{timestamp}.{body}"), (true, false));
        assert_eq!(is("{timestamp}"), (false, false));
        assert_eq!(is("POST"), (false, true));
        assert_eq!(is("{method}{url}{secret}"), (false, true));
    }
}
