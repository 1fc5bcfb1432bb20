//! A template, read once.

use std::borrow::Cow;
use std::fmt;

use super::super::field_ref::FieldRef;
use super::sorted::{SortedOf, SortedRule};

/// What a sender signs. `{{` and `}}` are plain braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub(super) Vec<Part>);

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) enum Part {
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
    /// Fields in the order of their names, as others than Twilio put them together.
    Sorted(SortedRule),
    /// The CRC-32 of the body in decimal digits.
    BodyCrc32,
    /// The fields of a message of Amazon SNS.
    Sns,
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
    #[error("`{{{0}}}` is not a variable")]
    Unknown(String),
    #[error("a brace has no partner (a plain brace is written twice)")]
    Brace,
    /// Nothing at all is signed.
    #[error("it is empty")]
    Empty,
}

impl BadTemplate {
    /// What can be written instead.
    pub const HELP: &'static str = "variables: {body} {timestamp} {id} {method} {url} {secret} \
         {header:NAME} {query:NAME} {json:a.b} {form:NAME} {body_sha256} {body_sha256_base64} \
         {body_crc32} {unpacked_body} {path} {sorted_form} {sorted_form:=:&} {sorted_query:=:&:sign} \
         {php_form:sign} {sns}; with a `?` as in {json:a.b?} one that may be absent";
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
    pub(in crate::source) fn body() -> Self {
        Self(vec![Part::Body])
    }

    /// Whether it is `before` and the body.
    pub(in crate::source) fn is_body_behind(&self, before: &str) -> bool {
        match self.0.as_slice() {
            [Part::Body] => before.is_empty(),
            [Part::Literal(text), Part::Body] => text == before,
            _ => false,
        }
    }

    /// Whether all of it is the body's, or the owner's own.
    pub(in crate::source) fn is_of_body(&self) -> bool {
        self.0.iter().all(|part| match part {
            Part::Literal(_)
            | Part::Body
            | Part::BodySha256Base64
            | Part::BodySha256
            | Part::UnpackedBody
            | Part::BodyCrc32
            | Part::Url
            | Part::Secret => true,
            Part::At(place) | Part::AtOptional(place) => {
                matches!(place, FieldRef::Json(_) | FieldRef::Form(_))
            }
            Part::Path
            | Part::SortedForm
            | Part::Sorted(_)
            | Part::Sns
            | Part::Timestamp
            | Part::Id
            | Part::Method => false,
        })
    }

    /// Whether anything of the address's query is in it.
    pub(in crate::source) fn has_query(&self) -> bool {
        let of_query = |place: &FieldRef| matches!(place, FieldRef::Query(_));
        self.0.iter().any(|part| match part {
            Part::Path | Part::Url => true,
            Part::Sorted(rule) => rule.of == SortedOf::Query,
            Part::At(place) | Part::AtOptional(place) => of_query(place),
            _ => false,
        })
    }

    /// Whether the parameter `name` of the address's query is in it.
    pub(in crate::source) fn covers_query(&self, name: &[u8]) -> bool {
        self.0.iter().any(|part| match part {
            Part::Path | Part::Url => true,
            Part::Sorted(rule) => rule.of == SortedOf::Query && rule.has(name),
            Part::At(place) | Part::AtOptional(place) => place.is_query(name),
            _ => false,
        })
    }

    pub(in crate::source) fn has(&self, wanted: &Part) -> bool {
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
                    | Part::BodyCrc32
                    | Part::Sns
                    | Part::SortedForm
                    | Part::Sorted(SortedRule { of: SortedOf::Form, .. })
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
    pub(in crate::source) fn places(&self) -> impl Iterator<Item = &FieldRef> {
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
            "body_crc32" => Self::BodyCrc32,
            "sns" => Self::Sns,
            "timestamp" => Self::Timestamp,
            "id" => Self::Id,
            "method" => Self::Method,
            "url" => Self::Url,
            "secret" => Self::Secret,
            _ => {
                let (kind, rest) = name.split_once(':').ok_or_else(unknown)?;
                if let Some(rule) = SortedRule::parse(kind, rest) {
                    return Ok(Self::Sorted(rule));
                }
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
                Part::Sorted(rule) => write!(f, "{{{rule}}}")?,
                Part::BodyCrc32 => f.write_str("{body_crc32}")?,
                Part::Sns => f.write_str("{sns}")?,
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
pub(in crate::source) fn variable(place: &FieldRef) -> String {
    match place {
        FieldRef::Header(name) => format!("header:{name}"),
        FieldRef::Query(name) => format!("query:{name}"),
        FieldRef::Json(path) => format!("json:{path}"),
        FieldRef::Form(name) => format!("form:{name}"),
        FieldRef::List(key) => format!("list:{key}"),
    }
}
