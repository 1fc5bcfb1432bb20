//! The dashboard: pages rendered on the server out of what the API answers, for browsers with or
//! without JavaScript. Knows nothing of HTTP: `http/admin` asks for a page and sends it.
//!
//! What a reader of this module can count on:
//!
//! 1. Everything that a stranger wrote (types, names of headers, bodies, errors) is shown by
//!    `words::shown` and escaped by the templates; nothing is put into a page unescaped but what is
//!    made here (`widgets`).
//! 2. No page is longer than 60 KB, whatever is in it: lists end, texts are cut off, and say so.
//! 3. All state is in the address: a page can be linked to, reloaded, and bookmarked.
//! 4. What changes something is a form that is posted.

use crate::api::{Api, ApiError, SenderSecrets};

mod about;
mod action_log;
mod asked;
mod assets;
mod change;
mod cluster;
mod config;
mod dead;
mod dead_example;
mod dead_matrix;
mod dead_types;
mod event;
mod event_body;
mod event_edit;
mod event_lanes;
mod event_lead;
mod event_list;
mod event_plan;
mod events;
mod events_take;
mod explained;
mod fields;
mod frame;
mod handlers;
mod idle;
mod json;
mod log_in;
mod overview;
mod paged;
mod path;
mod picked;
mod redriven;
mod rejected;
mod rejected_elsewhere;
mod rejected_one;
mod rollouts;
mod sources;
#[cfg(test)]
mod tests;
mod verdict;
mod widgets;
mod words;

pub use assets::{Asset, asset};
pub use change::change;
pub use frame::error;
pub use log_in::{LogIn, log_in, log_in_address};
pub use path::{Page, is_among_pages};

use fields::Fields;

/// Who looks.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Whether they may change anything.
    pub may_change: bool,
    /// The host that they came by.
    pub address: String,
}

impl Viewer {
    /// Whether a file that they keep has in it what senders prove themselves by.
    pub(crate) const fn secrets(&self) -> SenderSecrets {
        if self.may_change { SenderSecrets::Given } else { SenderSecrets::Hidden }
    }
}

/// What a browser gets.
#[derive(Debug)]
pub enum Answer {
    /// A page.
    Html(String),
    /// A page that says what was wrong with what was asked, with what was asked still in it.
    Again(String, ApiError),
    /// Another page, to be fetched.
    SeeOther(String),
    /// Something to keep, never to be shown.
    File {
        /// What it is called: letters, digits, `-` and `.`.
        name: String,
        /// What is in it.
        body: bytes::Bytes,
    },
}

/// The page that a path and its query ask for.
pub async fn show(api: &Api, page: Page, query: &str, viewer: &Viewer) -> Result<Answer, ApiError> {
    let fields = Fields::parse(query);
    match page {
        Page::Overview => overview::show(api, &fields, viewer).await.map(Answer::Html),
        Page::Events if fields.get("form") == Some("jsonl") => {
            events::lines(api, &fields, viewer).await
        }
        // As a browser sends a form: the address that is kept and passed on has what was chosen.
        Page::Events | Page::Log if query.split('&').any(|field| field.ends_with('=')) => {
            let path = if page == Page::Log { "/log" } else { "/events" };
            Ok(Answer::SeeOther(fields.address(path, &[], &[])))
        }
        Page::Events => match events::show(api, &fields, viewer).await {
            Err(err @ ApiError::Bad(_)) => {
                let fields = fields.refused(err.to_string(), &["done", "replay"]);
                again(events::form(api, &fields, viewer), err)
            }
            shown => shown.map(Answer::Html),
        },
        Page::EventsLatest => events::latest(api, &fields).await,
        Page::Event(id) => event::show(api, id, &fields, viewer).await,
        Page::Dead => asked::dead(api, &fields, viewer).await,
        Page::Rejected => asked::rejected(api, &fields, viewer).await,
        Page::RejectedOne(number) => rejected_one::show(api, number, &fields, viewer).await,
        Page::Handlers => handlers::list(api, &fields, viewer).map(Answer::Html),
        Page::Handler(name) => handlers::show(api, &name, &fields, viewer).await.map(Answer::Html),
        Page::Sources => sources::list(api, &fields, viewer).map(Answer::Html),
        Page::Source(name) => sources::show(api, &name, &fields, viewer).await.map(Answer::Html),
        Page::Config => asked::config(api, &fields, viewer).await,
        Page::Log => match action_log::show(api, &fields, viewer) {
            Err(err @ ApiError::Bad(_)) => {
                let fields = fields.refused(err.to_string(), &["done"]);
                again(action_log::form(api, &fields, viewer), err)
            }
            shown => shown.map(Answer::Html),
        },
        // `http` lets these be posted only.
        Page::EventReplay(_)
        | Page::EventEdit(_)
        | Page::DeadRedrive
        | Page::DeadRollout
        | Page::RolloutStep(..)
        | Page::DeadDrop
        | Page::RejectedRelease(_)
        | Page::RejectedReleaseAll
        | Page::EventsReplay
        | Page::HandlerRun(..)
        | Page::HandlerRetry(_)
        | Page::HandlerForget(_)
        | Page::SourceTest(_)
        | Page::Reload => Err(ApiError::NotFound("this is changed by a form only".into())),
    }
}

/// The page once more with what was asked, where that can be made; else what was wrong alone.
fn again(page: Result<String, ApiError>, err: ApiError) -> Result<Answer, ApiError> {
    match page {
        Ok(page) => Ok(Answer::Again(page, err)),
        Err(_) => Err(err),
    }
}

/// A template that fails says so like any other page that cannot be made.
fn rendered(template: &impl askama::Template) -> Result<String, ApiError> {
    template.render().map_err(|err| ApiError::Conflict(format!("the page cannot be made: {err}")))
}
