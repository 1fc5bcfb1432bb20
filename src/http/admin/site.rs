//! The dashboard over HTTP: which path is which page, who may see it, and the headers that keep a
//! stranger's text from becoming a program.

use actix_http::Payload;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use tracing::{error, info};

use crate::api::{Actor, ApiError};
use crate::pages::{self, Answer, Asset, Page, Viewer};

use super::context::{Admin, BODY_MAX, BODY_TIMEOUT};
use super::error::{AdminError, COPY_ONLY, TOO_MANY_GUESSES};
use super::gate::Caller;
use super::gate::Gate;
use super::rights::may_change;
use crate::http::body;
use crate::http::problem::Problem;

/// Scripts, styles and pictures from here only, nothing inline, and no site frames the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
/// The longest form with the body of an event: more than is pasted by hand.
const FORM_MAX: usize = 8 << 20;
/// An asset's address changes with its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What a path of the dashboard is.
#[derive(Debug)]
pub(super) enum Place {
    Page(Page),
    Asset(&'static Asset),
    LogIn,
    LogOut,
}

impl Place {
    /// `None` = it belongs to the API.
    pub(super) fn parse(path: &str) -> Option<Self> {
        match path {
            "/login" => Some(Self::LogIn),
            "/logout" => Some(Self::LogOut),
            _ => pages::asset(path).map(Self::Asset).or_else(|| Page::parse(path).map(Self::Page)),
        }
    }
}

pub(super) async fn answer(
    place: Place,
    request: &HttpRequest,
    payload: Payload,
    admin: &Admin,
    is_over_socket: bool,
    has_body: impl FnOnce(),
) -> Result<HttpResponse, AdminError> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_change = *request.method() == Method::POST;
    match place {
        Place::Asset(asset) if is_read => Ok(asset_response(asset)),
        Place::LogIn if is_read => Ok(html(StatusCode::OK, log_in_page(request, None)?)),
        Place::LogIn | Place::LogOut if is_change => {
            // A form of another site would carry our cookie along.
            Gate::check_origin(request)?;
            let body = form(payload, BODY_MAX, has_body).await?;
            match place {
                Place::LogIn => log_in(request, &body, admin).await,
                Place::LogOut | Place::Page(_) | Place::Asset(_) => {
                    let cookie = admin.gate.log_out(request, admin.clock.steady());
                    Ok(see_other("/login", Some(&cookie)))
                }
            }
        }
        Place::Page(page) => {
            let caller = if is_over_socket {
                Caller::Owner(Actor::CommandLine)
            } else {
                match admin.gate.check_caller(request, false, admin.clock.steady()) {
                    Ok(Caller::Standby) => {
                        return Err(AdminError::Told(Problem::Forbidden, COPY_ONLY));
                    }
                    Ok(caller) => caller,
                    // A program gets the status, a person the page where they can sign in.
                    Err(_) if is_read && wants_html(request) => return Ok(to_log_in(request)),
                    Err(problem) => return Err(problem.into()),
                }
            };
            // A link must not change anything: links are followed by scanners and previews.
            if is_read && page.is_change() {
                return Err(Problem::MethodNotAllowed("POST").into());
            }
            if is_read {
                return Ok(shown(page, request, caller, admin).await);
            }
            if !is_change || !page.is_change() {
                let allow = if page.is_change() { "POST" } else { "GET, HEAD" };
                return Err(Problem::MethodNotAllowed(allow).into());
            }
            let actor = may_change(caller, is_over_socket, request)?;
            let bytes_max = if matches!(page, Page::EventEdit(_)) { FORM_MAX } else { BODY_MAX };
            let body = form(payload, bytes_max, has_body).await?;
            Ok(changed(page, &body, actor, request, admin).await)
        }
        Place::Asset(_) => Err(Problem::MethodNotAllowed("GET, HEAD").into()),
        Place::LogIn => Err(Problem::MethodNotAllowed("GET, HEAD, POST").into()),
        Place::LogOut => Err(Problem::MethodNotAllowed("POST").into()),
    }
}

/// What a browser gets where no page is; `None` = none asks, or the API is asked.
pub(super) fn nowhere(request: &HttpRequest, admin: &Admin) -> Option<HttpResponse> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_asked_for = wants_html(request) || pages::is_among_pages(request.path());
    if !is_read || !is_asked_for || request.path().starts_with("/api/") {
        return None;
    }
    let Ok(caller) = admin.gate.check_caller(request, false, admin.clock.steady()) else {
        return Some(to_log_in(request));
    };
    let viewer =
        Viewer { may_change: matches!(caller, Caller::Owner(_)), address: own_address(request) };
    let nothing = ApiError::NotFound("no page is at this address".to_owned());
    Some(response(Err(nothing), admin, &viewer))
}

async fn shown(page: Page, request: &HttpRequest, caller: Caller, admin: &Admin) -> HttpResponse {
    let viewer =
        Viewer { may_change: matches!(caller, Caller::Owner(_)), address: own_address(request) };
    let answered = pages::show(&admin.api, page, request.query_string(), &viewer).await;
    response(answered, admin, &viewer)
}

async fn changed(
    page: Page,
    body: &str,
    actor: Actor,
    request: &HttpRequest,
    admin: &Admin,
) -> HttpResponse {
    let viewer = Viewer { may_change: true, address: own_address(request) };
    let answered = pages::change(&admin.api.by(actor), page, body, &viewer).await;
    response(answered, admin, &viewer)
}

fn response(answered: Result<Answer, ApiError>, admin: &Admin, viewer: &Viewer) -> HttpResponse {
    match answered {
        Ok(Answer::Html(text)) => html(StatusCode::OK, text),
        Ok(Answer::Again(text, err)) => html(status_of(&err), text),
        Ok(Answer::SeeOther(path)) => see_other(&path, None),
        Ok(Answer::File { name, body }) => file(&name, body),
        Err(err) => {
            let status = status_of(&err);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                error!(error = %err, "Page cannot be made");
            }
            match pages::error(&admin.api, viewer, status.canonical_reason(), &err.to_string()) {
                Ok(text) => html(status, text),
                Err(err) => {
                    error!(error = %err, "Page cannot be made");
                    Problem::Internal.response()
                }
            }
        }
    }
}

fn status_of(err: &ApiError) -> StatusCode {
    match err {
        ApiError::NotFound(_) => StatusCode::NOT_FOUND,
        ApiError::Bad(_) => StatusCode::BAD_REQUEST,
        ApiError::Conflict(_) => StatusCode::CONFLICT,
        ApiError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::Queue(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn log_in(
    request: &HttpRequest,
    body: &str,
    admin: &Admin,
) -> Result<HttpResponse, AdminError> {
    let given = pages::LogIn::parse(body);
    if let Err(problem) = admin.gate.check_guesses(request) {
        return Err(AdminError::Told(problem, TOO_MANY_GUESSES));
    }
    let cookie = admin.gate.log_in(&given.token, admin.clock.steady());
    let cookie = cookie.map_err(|err| {
        error!(error = %err, "Session cannot be begun");
        Problem::Internal
    })?;
    if let Some(cookie) = cookie {
        let client = request.peer_addr().map(|peer| peer.ip().to_canonical());
        info!(client = client.map(tracing::field::display), "Somebody signed in");
        return Ok(see_other(&given.next, Some(&cookie)));
    }
    admin.gate.delay_wrong_token(request, &*admin.clock).await;
    let page = log_in_page(request, Some(&given.next))?;
    Ok(html(StatusCode::UNAUTHORIZED, page))
}

/// `failed` = a wrong token was given on the way there.
fn log_in_page(request: &HttpRequest, failed: Option<&str>) -> Result<String, AdminError> {
    let page = pages::log_in(request.query_string(), failed);
    page.map_err(|err| {
        error!(error = %err, "Page cannot be made");
        Problem::Internal.into()
    })
}

async fn form(
    payload: Payload,
    bytes_max: usize,
    has_body: impl FnOnce(),
) -> Result<String, AdminError> {
    let body = body::read(payload, bytes_max, BODY_TIMEOUT).await;
    let body = body.map_err(AdminError::of_body)?;
    has_body();
    String::from_utf8(body.to_vec()).map_err(|_err| Problem::BadRequest.into())
}

fn wants_html(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Sends a browser to the login page, and back from there.
fn to_log_in(request: &HttpRequest) -> HttpResponse {
    let there = request.uri().path_and_query().map_or("/", |there| there.as_str());
    see_other(&pages::log_in_address(there), None)
}

/// The address that the browser came by.
fn own_address(request: &HttpRequest) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.unwrap_or_default().to_owned()
}

fn see_other(path: &str, cookie: Option<&str>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, path));
    if let Some(cookie) = cookie {
        response.insert_header((header::SET_COOKIE, cookie));
    }
    response.finish()
}

fn html(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        // Without the origin a browser could not show that its form is ours.
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("cross-origin-resource-policy", "same-origin"))
        .body(text)
}

fn file(name: &str, body: bytes::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .body(body)
}

fn asset_response(asset: &'static Asset) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)))
        .insert_header((header::CACHE_CONTROL, FOR_EVER))
        .body(asset.body)
}
