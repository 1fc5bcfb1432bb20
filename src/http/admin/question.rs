//! What a request asks, by its query or by its body.

use std::borrow::Cow;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use url::form_urlencoded;

use super::error::AdminError;
use crate::api::{Api, ApiError, moment};
use crate::clock::Timestamp;
use crate::http::problem::Problem;

/// The query of a request, every key known.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest, api: &Api) -> Result<T, ApiError> {
    let said = with_moments(request.query_string(), api.now())?;
    let query = read::<T>(&said);
    query.map_err(|why| match culprit::<T>(&said) {
        Some((name, why)) => ApiError::Bad(format!("`{name}`: {why}")),
        None => ApiError::Bad(why),
    })
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

/// The JSON of a change that names events or dead letters, with its moments as JSON has them.
pub(super) fn asked<T: DeserializeOwned>(body: &[u8], api: &Api) -> Result<T, ApiError> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else { return parsed(body) };
    for name in MOMENTS {
        if let Some(Value::String(said)) = fields.get_mut(name) {
            *said = exact(name, said, api.now())?;
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|err| unfit(&err))
}

/// The JSON of a change; an empty body is an empty object.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|err| unfit(&err))
}

fn unfit(err: &serde_json::Error) -> ApiError {
    match err.to_string() {
        // The names of our types say nothing to a caller.
        text if text.contains("expected struct") => {
            ApiError::Bad("the body of a change is one JSON object".to_owned())
        }
        text => ApiError::Bad(text),
    }
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
            why => why.to_owned(),
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
