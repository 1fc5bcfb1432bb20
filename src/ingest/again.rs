//! A rejected request, to be judged once more.

use super::rejected::RejectedRequest;
use super::request::Request;

/// The request as it came.
pub(super) fn as_it_came(rejected: &RejectedRequest) -> Request<'_> {
    Request {
        method: &rejected.method,
        path_and_query: &rejected.path_and_query,
        headers: rejected.headers.clone(),
        body: rejected.body.clone(),
        received_at: rejected.received_at,
        client: rejected.client,
    }
}
