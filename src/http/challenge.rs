//! Port 80 while certificates come by ACME: answers what an authority looks for (HTTP-01), and
//! nothing else.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::header::{self, HeaderValue};
use actix_http::{ConnectionType, Method, Request as HttpRequest, Response, StatusCode};
use actix_service::ServiceFactory;
use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::fn_service;
use tokio::time::Instant;

use crate::tls::CertificateStore;

use super::problem::Problem;
use super::{body, connections};

/// Where an authority looks (RFC 8555, 8.3): the token follows.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

pub(super) fn service(
    store: Arc<CertificateStore>,
) -> impl ServiceFactory<
    HttpRequest,
    Config = (),
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
> {
    let store = Rc::new(store);
    fn_service(move |request| {
        let store = Rc::clone(&store);
        async move { Ok(answer(request, &store)) }
    })
}

fn answer(mut request: HttpRequest, store: &CertificateStore) -> Response<BoxBody> {
    let payload = request.take_payload();
    let connection = connections::handle_of(&request);
    connection.begin(&payload, body::length(&request.head().headers), Instant::now());
    let token = request.path().strip_prefix(WELL_KNOWN);
    let token = token.filter(|_| request.method() == Method::GET);
    let mut response = match token.and_then(|token| store.token(token)) {
        Some(answer) => {
            let octets = HeaderValue::from_static("application/octet-stream");
            Response::build(StatusCode::OK)
                .insert_header((header::CONTENT_TYPE, octets))
                .body(answer)
                .map_into_boxed_body()
        }
        None => Problem::NotFound.response().into(),
    };
    connection.end(Instant::now(), Duration::ZERO);
    // An authority asks once.
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}
