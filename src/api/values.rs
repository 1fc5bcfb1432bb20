//! Single values in what is asked: names, and a field of the body.

use crate::event::{HandlerName, SourceName};
use crate::queue::BodyFilter;

use super::ApiError;

pub(super) fn source(text: &str) -> Result<SourceName, ApiError> {
    SourceName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

pub(super) fn handler(text: &str) -> Result<HandlerName, ApiError> {
    HandlerName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

/// Events that have `value` at a dotted path of their JSON body.
pub(super) fn json_equals(path: &str, value: &str) -> BodyFilter {
    let parts = path.split('.').map(|part| part.replace('~', "~0").replace('/', "~1"));
    let pointer = parts.fold(String::new(), |pointer, part| pointer + "/" + &part);
    BodyFilter::JsonEquals { pointer, value: value.to_owned() }
}
