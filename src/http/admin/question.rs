//! What a request asks, by its query or by its body.

use std::borrow::Cow;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::form_urlencoded;

use super::error::AdminError;
use crate::api::{Api, ApiError, moment};
use crate::clock::Timestamp;
use crate::http::problem::Problem;

/// The query of a request, every key known.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest, api: &Api) -> Result<T, ApiError> {
    let said = with_moments(request.query_string(), api.now())?;
    if form_urlencoded::parse(said.as_bytes()).any(|(name, value)| name == "limit" && value == "0")
    {
        return Err(no_limit());
    }
    let query = read::<T>(&said);
    query.map_err(|why| match culprit::<T>(&said) {
        Some((name, why)) => ApiError::Bad(format!("`{name}`: {why}")),
        None => ApiError::Bad(why),
    })
}

/// Nothing at all is no list to ask for, and no change to make.
fn no_limit() -> ApiError {
    ApiError::Bad("`limit`: it is 1 at least".to_owned())
}

/// The fields that say a moment.
const MOMENTS: [&str; 2] = ["since", "until"];

/// The moment that is said as pages and the command line take it (`1h`, a day), as JSON has it.
fn exact(name: &str, said: &str, now: Timestamp) -> Result<String, ApiError> {
    let at = moment(said, now).map_err(|err| ApiError::Bad(format!("`{name}`: {err}")))?;
    Ok(at.to_string())
}

/// A query with its moments as JSON has them.
fn with_moments(query: &str, now: Timestamp) -> Result<Cow<'_, str>, ApiError> {
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let is_moment = |name: &str, value: &str| MOMENTS.contains(&name) && !value.is_empty();
    if !pairs().any(|(name, value)| is_moment(&name, &value)) {
        return Ok(query.into());
    }
    let mut said = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs() {
        if is_moment(&name, &value) {
            said.append_pair(&name, &exact(&name, &value, now)?);
        } else {
            said.append_pair(&name, &value);
        }
    }
    Ok(said.finish().into())
}

/// The JSON of a change that names events, dead letters or rejected requests, with its moments as JSON has them.
pub(super) fn asked<T: DeserializeOwned>(body: &[u8], api: &Api) -> Result<T, ApiError> {
    let Ok(Fields(mut fields)) = serde_json::from_slice(body) else { return parsed(body) };
    for name in MOMENTS {
        if let Some(Value::String(said)) = fields.get_mut(name) {
            *said = exact(name, said, api.now())?;
        }
    }
    if fields.get("limit").and_then(Value::as_u64) == Some(0) {
        return Err(no_limit());
    }
    let fields = Value::Object(fields);
    T::deserialize(&fields).map_err(|err| unfit::<T>(&err, Some(&fields)))
}

/// The JSON of a change; an empty body is an empty object.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = match body.trim_ascii_start().first() {
        None => b"{}",
        Some(b'{') => body,
        // Our types would take a list for their fields in order.
        Some(_) => return Err(no_object()),
    };
    read_json(body)
}

/// The JSON list that a change is for.
pub(super) fn listed<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, ApiError> {
    read_json(body)
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|err| {
        let fields = if body.len() <= SHORT { serde_json::from_slice(body).ok() } else { None };
        unfit::<T>(&err, fields.as_ref())
    })
}

fn no_object() -> ApiError {
    ApiError::Bad("the body of a change is one JSON object".to_owned())
}

/// An object whose every field stands there once: of two that differ, either may be meant.
struct Fields(serde_json::Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
                let mut fields = serde_json::Map::new();
                while let Some(name) = entries.next_key::<String>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    fields.insert(name, entries.next_value()?);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(FieldsVisitor)
    }
}

/// The longest body of a change whose fields are looked at one by one.
const SHORT: usize = 64 << 10;

/// Refuses what stands in the body of a change that takes nothing: `{}` and an empty body are that.
pub(super) fn nothing(body: &[u8]) -> Result<(), ApiError> {
    parsed::<Nothing>(body).map(|Nothing {}| ())
}

/// What is asked of a change that takes nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Why a body is not what is asked for, with the field where that is one.
fn unfit<T: DeserializeOwned>(err: &serde_json::Error, body: Option<&Value>) -> ApiError {
    let text = err.to_string();
    let fields = body.and_then(Value::as_object).into_iter().flatten();
    let mut wrong = fields.filter_map(|(name, value)| {
        let one = serde_json::json!({ (name.as_str()): value });
        let why = T::deserialize(&one).err()?.to_string();
        // What is absent beside it is no mistake of this one, and one that is unknown is named by the error.
        let is_named =
            ["missing field", "unknown field"].iter().any(|start| why.starts_with(start));
        (!is_named).then(|| format!("`{}`: {}", crate::text::plain(name), in_plain_words(&why)))
    });
    ApiError::Bad(wrong.next().unwrap_or_else(|| in_plain_words(&text)))
}

/// What serde calls our types, and what they are for a caller, longer words first.
const PLAIN_WORDS: [(&str, &str); 16] = [
    ("expected usize", "expected a whole number from 0 on"),
    ("expected u64", "expected a whole number from 0 on"),
    ("expected u32", "expected a whole number from 0 to 4294967295"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected an object"),
    ("expected unit", "expected null"),
    ("invalid type: sequence", "invalid type: a list"),
    ("invalid type: map", "invalid type: an object"),
    ("invalid type: unit", "invalid type: null"),
    ("invalid type: floating point", "invalid type: the number"),
    ("unknown variant", "there is no"),
];

fn in_plain_words(why: &str) -> String {
    PLAIN_WORDS.iter().fold(why.to_owned(), |why, (ours, plain)| match why.find(ours) {
        // `u8` is no beginning of another type's name.
        Some(at)
            if !why
                .get(at + ours.len()..)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric())) =>
        {
            why.replacen(ours, plain, 1)
        }
        Some(_) | None => why,
    })
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, String> {
    let read = web::Query::<T>::from_query(query).map(web::Query::into_inner);
    read.map_err(|err| {
        let text = err.to_string();
        let why = text.strip_prefix("Query deserialize error: ").unwrap_or(&text);
        match why {
            "invalid digit found in string" | "number too large to fit in target type" => {
                "this is no whole number from 0 on, or too large".to_owned()
            }
            why => in_plain_words(why),
        }
    })
}

/// The parameter that cannot be read by itself, and why: an error of the whole does not name it.
fn culprit<T: DeserializeOwned>(query: &str) -> Option<(String, String)> {
    query.split('&').find_map(|pair| {
        let why = read::<T>(pair).err()?;
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        // One that is unknown, or there twice, is named by the error.
        let is_named = why.starts_with("unknown field") || why.starts_with("duplicate field");
        (!is_named).then(|| (crate::text::plain(name).into_owned(), why))
    })
}

/// A body that is no JSON, and whose head does not call it that, is of another kind. One whose head says
/// nothing, or what `curl -d` says of everything, is taken for what it is.
pub(super) fn unless_other_media(
    err: AdminError,
    request: &HttpRequest,
    body: &[u8],
) -> AdminError {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_none_or(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let is_bad = matches!(err, AdminError::Api(ApiError::Bad(_)));
    if is_bad && !is_json && !body.is_empty() && serde_json::from_slice::<IgnoredAny>(body).is_err()
    {
        return AdminError::Told(
            Problem::UnsupportedMedia,
            "the body of a change is JSON (`Content-Type: application/json`)",
        );
    }
    err
}
