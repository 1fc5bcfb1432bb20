//! What a request asks, by its query or by its body.

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::AdminError;
use crate::api::ApiError;
use crate::http::problem::Problem;

/// The query of a request, every key known.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let query = read::<T>(request.query_string());
    query.map_err(|why| match culprit::<T>(request.query_string()) {
        Some((name, why)) => ApiError::Bad(format!("`{name}`: {why}")),
        None => ApiError::Bad(why),
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
