//! The admin listener and the admin socket: metrics, health and the API.
//!
//! Who may ask: over the socket every user who can open it (its mode is the permission); over TCP
//! every client with the token, and for `/metrics` and the health routes every one on loopback. A
//! browser that another site's page misleads gets nowhere: the `Host` must be ours, and changes
//! must come from our own pages.

use std::time::Duration;

use actix_http::{ConnectionType, Payload};
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Extensions;
use actix_web::http::Method;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::Instant;
use tracing::error;

use crate::api::{
    Actor, Api, ApiError, DeadAsk, DeadSelection, ExportAsk, Forgotten, QueueView, ReleaseAsk,
    ReplayAsk, RolloutAsk, Run, RunChanged, SenderSecrets,
};

use super::body;
use super::connections::ConnectionHandle;
use super::problem::Problem;
use super::public::health;

mod answers;
mod context;
mod error;
mod gate;
mod lists;
mod login_limiter;
mod openapi;
mod question;
mod rights;
mod route;
mod scrape;
mod session;
mod session_file;
mod site;
mod standby;
mod stream;

pub use context::Admin;
pub use gate::{Gate, Tokens};
pub use lists::NEXT;

use answers::{json, notes, raw, ready, stored};
use context::{BODY_MAX, BODY_TIMEOUT};
use error::{AdminError, COPY_ONLY};
use gate::Caller;
use question::{asked, listed, nothing, parsed, query};
use rights::may_change;
use route::{Need, Route};

/// The longest body of an import: a page of events of ordinary size, or one of the longest.
const IMPORT_MAX: usize = 128 << 20;

pub(super) fn configure(config: &mut web::ServiceConfig, admin: &web::Data<Admin>) {
    config.app_data(admin.clone()).default_service(web::to(entry));
}

/// In a connection's data: it came over the admin socket.
struct OverSocket;

/// Marks a connection that comes over the admin socket.
pub(super) fn mark_socket(data: &mut Extensions) {
    data.insert(OverSocket);
}

async fn entry(
    request: HttpRequest,
    payload: web::Payload,
    admin: web::Data<Admin>,
) -> HttpResponse {
    let payload = payload.into_inner();
    let connection = ConnectionHandle(request.conn_data());
    let started = Instant::now();
    connection.begin(&payload, body::length(request.headers()), started);
    let answered = answer(&request, payload, &admin, || connection.has_body(started)).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(AdminError::Bare(problem)) => {
            if problem == Problem::Unauthorized
                && request.headers().contains_key(header::AUTHORIZATION)
            {
                admin.gate.delay_wrong_token(&request, &*admin.clock).await;
            }
            let mut refused = error::explained(problem);
            if problem == Problem::Unauthorized {
                // RFC 6750. No browser asks for a password by it.
                let how = header::HeaderValue::from_static("Bearer");
                refused.headers_mut().insert(header::WWW_AUTHENTICATE, how);
            }
            refused
        }
        Err(AdminError::Told(problem, detail)) => problem.with_detail(detail),
        Err(AdminError::Api(err)) => explained(&err),
    };
    let headers = response.headers_mut();
    // A browser must not show bodies by its way back once its user has signed out.
    let kept = header::HeaderValue::from_static("no-store");
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, kept);
    }
    let as_told = header::HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, as_told);
    // A stream is answered for as long as it lasts.
    if response.body().size() != BodySize::Stream && connection.end(Instant::now(), Duration::ZERO)
    {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// The one place where an error of the API becomes a status.
fn explained(err: &ApiError) -> HttpResponse {
    let problem = match err {
        ApiError::NotFound(_) => Problem::NotFound,
        ApiError::Bad(_) => Problem::BadRequest,
        ApiError::Conflict(_) => Problem::Conflict,
        ApiError::TooLarge(_) => Problem::TooLarge,
        ApiError::Queue(_) => {
            error!(error = %err, "Admin request failed");
            Problem::Unavailable(Duration::from_secs(5))
        }
    };
    problem.with_detail(&err.to_string())
}

async fn answer(
    request: &HttpRequest,
    payload: Payload,
    admin: &Admin,
    has_body: impl FnOnce(),
) -> Result<HttpResponse, AdminError> {
    let is_over_socket = request.conn_data::<OverSocket>().is_some();
    if !is_over_socket {
        admin.gate.check_host(request)?;
    }
    if let Some(place) = site::Place::parse(request.path()) {
        return site::answer(place, request, payload, admin, is_over_socket, has_body).await;
    }
    let route = Route::parse(request.path());
    if route.is_err()
        && let Some(page) = site::nowhere(request, admin)
    {
        return Ok(page);
    }
    let caller = if is_over_socket {
        Caller::Owner(Actor::CommandLine)
    } else {
        let is_open = route.as_ref().is_ok_and(Route::is_open);
        admin.gate.check_caller(request, is_open, admin.clock.steady())?
    };
    let route = route?;
    if caller == Caller::Standby && !route.is_for_standby() {
        return Err(AdminError::Told(Problem::Forbidden, COPY_ONLY));
    }
    let is_change = *request.method() == Method::POST;
    match route.need() {
        Need::Get | Need::Both if is_read(request) => {
            check_query(&route, request)?;
            read(route, caller, request, admin).await
        }
        Need::Post if is_change && route.is_for_standby() => {
            standby::check_caller(caller)?;
            // No standby is a browser.
            Gate::check_origin(request)?;
            let body = body::read(payload, BODY_MAX, BODY_TIMEOUT).await;
            let body = body.map_err(AdminError::of_body)?;
            has_body();
            follow(&route, &body, admin).await
        }
        Need::Post | Need::Both if is_change => {
            let actor = may_change(caller, is_over_socket, request)?;
            check_query(&route, request)?;
            let has_events = matches!(route, Route::Import | Route::EventEdit(_));
            let bytes_max = if has_events { IMPORT_MAX } else { BODY_MAX };
            let body = body::read(payload, bytes_max, BODY_TIMEOUT).await;
            let body = body.map_err(AdminError::of_body)?;
            has_body();
            if route.asks_for_nothing() {
                nothing(&body)?;
            }
            let changed = change(route, &body, &admin.api.by(actor)).await;
            changed.map_err(|err| question::unless_other_media(err, request, &body))
        }
        Need::Get => Err(Problem::MethodNotAllowed("GET, HEAD").into()),
        Need::Post => Err(Problem::MethodNotAllowed("POST").into()),
        Need::Both => Err(Problem::MethodNotAllowed("GET, HEAD, POST").into()),
    }
}

/// What stands in a query that is not read would narrow nothing: `POST …/replay?handler=mail` would
/// be for all handlers.
fn check_query(route: &Route, request: &HttpRequest) -> Result<(), ApiError> {
    if request.query_string().is_empty() || is_read(request) && route.takes_query() {
        return Ok(());
    }
    Err(ApiError::Bad(if is_read(request) {
        "this address takes no parameters: leave out what stands behind the `?`".to_owned()
    } else {
        "a change takes no parameters behind the `?`: what it is for stands in its body, as JSON"
            .to_owned()
    }))
}

fn is_read(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Answers a standby.
async fn follow(route: &Route, body: &[u8], admin: &Admin) -> Result<HttpResponse, AdminError> {
    if *route == Route::StandbyPull {
        standby::pull(parsed(body)?, admin).await
    } else {
        Ok(json(&standby::hello(parsed(body)?, admin).await?))
    }
}

async fn read(
    route: Route,
    caller: Caller,
    request: &HttpRequest,
    admin: &Admin,
) -> Result<HttpResponse, AdminError> {
    let api = &admin.api;
    match route {
        Route::Health => Ok(health(request.method())),
        Route::Ready => Ok(ready(&api.unready().await, &notes(api, caller))),
        Route::Metrics => Ok(scrape::metrics(admin, request.headers().get(header::ACCEPT))),
        Route::Status => Ok(json(&api.status())),
        Route::Cluster => Ok(json(&api.cluster_answer())),
        Route::Events => lists::events(query(request, api)?, api).await,
        Route::Event(id) => Ok(json(&api.event(id).await?)),
        Route::EventRaw(id) => Ok(raw(api.raw(id, secrets_for(caller)).await?)),
        Route::EventPlan(id) => Ok(json(&api.plan(id, query(request, api)?).await?)),
        Route::EventFixture(id) => Ok(json(&api.fixture(id).await?)),
        Route::Dead => lists::dead(query(request, api)?, api).await,
        Route::Rollouts => Ok(json(&api.rollouts()?)),
        Route::Rollout(number) => Ok(json(&api.rollout(number)?)),
        Route::Rejected => lists::rejected(&query(request, api)?, api),
        Route::RejectedOne(number) => Ok(json(&api.rejected_one(number)?)),
        Route::RejectedExplain(number) => Ok(json(&api.explain(number).await?)),
        Route::Handlers => Ok(json(&api.handlers())),
        Route::Handler(name) => Ok(json(&api.handler(&name).await?)),
        Route::Sources => Ok(json(&api.sources())),
        Route::Source(name) => Ok(json(&api.source(&name).await?)),
        Route::Reload => Ok(json(&api.changes()?)),
        Route::Stream => stream::response(request, api.clone()),
        Route::OpenApi => Ok(json(&openapi::document())),
        Route::Rates => Ok(json(&api.rates()?)),
        Route::Config => Ok(json(&api.config()?)),
        Route::Actions => lists::actions(&query(request, api)?, api),
        Route::Export => {
            let ask: ExportAsk = query(request, api)?;
            let (after, limit) = ask.parse();
            Ok(json(&api.export(after, limit, secrets_for(caller)).await?))
        }
        // `need` says which routes are read.
        Route::EventReplay(_)
        | Route::EventEdit(_)
        | Route::EventsReplay
        | Route::DeadRedrive
        | Route::DeadDrop
        | Route::RolloutStep(..)
        | Route::RejectedRelease(_)
        | Route::RejectedReleaseAll
        | Route::HandlerRun(..)
        | Route::HandlerRetry(_)
        | Route::HandlerForget(_)
        | Route::Import
        | Route::Compact
        | Route::StandbyHello
        | Route::StandbyPull => Err(Problem::NotFound.into()),
    }
}

/// A body that is given away as it came may have a source's secret in it.
const fn secrets_for(caller: Caller) -> SenderSecrets {
    match caller {
        Caller::Owner(_) => SenderSecrets::Given,
        Caller::Reader | Caller::Standby | Caller::Anybody => SenderSecrets::Hidden,
    }
}

async fn change(route: Route, body: &[u8], api: &Api) -> Result<HttpResponse, AdminError> {
    match route {
        Route::EventReplay(id) => {
            let handler = parsed::<ReplayAsk>(body)?.handler()?;
            Ok(json(&api.replay(id, handler.as_ref()).await?))
        }
        Route::EventEdit(id) => Ok(json(&api.edit(id, parsed(body)?).await?)),
        Route::EventsReplay => Ok(json(&api.replay_page(asked(body, api)?).await?)),
        Route::DeadRedrive => Ok(json(&api.redrive(selected(body, api).await?).await?)),
        Route::DeadDrop => Ok(json(&api.drop_dead(selected(body, api).await?).await?)),
        Route::Rollouts => Ok(json(&api.begin_rollout(asked::<RolloutAsk>(body, api)?).await?)),
        Route::RolloutStep(number, step) => Ok(json(&api.change_rollout(number, step).await?)),
        Route::RejectedReleaseAll => {
            Ok(json(&api.release_all(asked::<ReleaseAsk>(body, api)?).await?))
        }
        Route::RejectedRelease(number) => Ok(stored(api.release(number).await?)),
        Route::HandlerRun(handler, run) => {
            let changed = match run {
                Run::Pause => api.pause(&handler, parsed(body)?).await?,
                Run::Resume => api.resume(&handler).await?,
            };
            Ok(json(&RunChanged { handler, changed }))
        }
        Route::HandlerRetry(handler) => Ok(json(&api.retry_now(&handler).await?)),
        Route::HandlerForget(handler) => {
            api.forget(&handler).await?;
            Ok(json(&Forgotten { handler, forgotten: true }))
        }
        Route::Reload => Ok(json(&api.reload().await?)),
        Route::Compact => Ok(json(&QueueView::new(&api.compact().await?))),
        Route::Import => Ok(json(&api.import(listed(body)?).await?)),
        // `need` says which routes are changes.
        Route::Health
        | Route::Ready
        | Route::Metrics
        | Route::Status
        | Route::Cluster
        | Route::Events
        | Route::Event(_)
        | Route::EventRaw(_)
        | Route::EventPlan(_)
        | Route::EventFixture(_)
        | Route::Dead
        | Route::Rollout(_)
        | Route::Rejected
        | Route::RejectedOne(_)
        | Route::RejectedExplain(_)
        | Route::Handlers
        | Route::Handler(_)
        | Route::Sources
        | Route::Source(_)
        | Route::Stream
        | Route::Rates
        | Route::Config
        | Route::Actions
        | Route::OpenApi
        | Route::Export
        | Route::StandbyHello
        | Route::StandbyPull => Err(Problem::NotFound.into()),
    }
}

/// Which dead letters a change is for.
async fn selected(body: &[u8], api: &Api) -> Result<DeadSelection, ApiError> {
    asked::<DeadAsk>(body, api)?.parse_for_change(api).await
}
