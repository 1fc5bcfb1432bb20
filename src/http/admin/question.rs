//! What a request asks by its query.

use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::api::ApiError;

/// The query of a request, every key known.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let query = web::Query::<T>::from_query(request.query_string());
    query.map(web::Query::into_inner).map_err(|err| ApiError::Bad(err.to_string()))
}
