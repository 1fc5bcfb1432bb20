//! What is around every page: where one is, what needs a look elsewhere, who one is.

use std::time::Duration;

use askama::Template;

use super::assets::{ICON, SCRIPT, STYLE};
use super::fields::Fields;
use super::widgets::{Sign, Ticked, When};
use super::{Viewer, rendered, words};
use crate::api::{Api, ApiError, StatusView};

/// A place in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    Events,
    Dead,
    Rejected,
    Handlers,
    Sources,
    Config,
    Log,
    Nowhere,
}

/// What is around a page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
    pub(super) nav: Vec<NavLink>,
    pub(super) version: String,
    pub(super) host: String,
    pub(super) up: String,
    pub(super) now: When,
    pub(super) zone: String,
    pub(super) may_change: bool,
    /// The same page for programs.
    pub(super) json: String,
    /// What came of the change that led here.
    pub(super) done: Option<Done>,
    /// Why what was asked for was not done.
    pub(super) wrong: Option<Ticked>,
    /// It answers a form: there is nothing at its address to be fetched again.
    pub(super) is_posted: bool,
}

/// A link of the navigation, with a number behind it.
#[derive(Debug)]
pub(super) struct NavLink {
    pub(super) address: &'static str,
    pub(super) name: &'static str,
    pub(super) is_here: bool,
    pub(super) begins_group: bool,
    pub(super) note: String,
    pub(super) colour: &'static str,
}

/// What came of a change.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) sign: Sign,
    pub(super) text: Ticked,
    /// What became of it since.
    pub(super) outcome: Ticked,
    pub(super) detail: Ticked,
    pub(super) at: When,
}

impl Frame {
    /// `json` = where the API has the same.
    pub(super) fn new(
        api: &Api,
        status: &StatusView,
        fields: &Fields,
        viewer: &Viewer,
        here: Here,
        title: impl Into<String>,
        json: impl Into<String>,
    ) -> Self {
        let now = api.now();
        let done = fields.get("done").and_then(|name| api.action_called(name)).map(|action| Done {
            sign: if action.is_done { Sign::Ok } else { Sign::Bad },
            text: Ticked::new(&format!("{}: {}", action.action, action.result), 220),
            outcome: Ticked::default(),
            detail: Ticked::new(&action.target, 200),
            at: When::ago(action.at, now),
        });
        let up = status.started_at.map_or(Duration::ZERO, |at| now.since(at));
        Self {
            title: title.into(),
            style: &STYLE.path,
            script: &SCRIPT.path,
            icon: &ICON.path,
            nav: nav(status, here),
            version: status.version.to_string(),
            host: words::shown(&viewer.address, 60),
            up: words::span(Duration::from_secs(up.as_secs())),
            now: When::exact(now, now),
            zone: words::zone_name(),
            may_change: viewer.may_change,
            json: json.into(),
            done,
            is_posted: false,
            wrong: fields.wrong().map(|why| Ticked::sentence(&words::capital(why.to_owned()), 400)),
        }
    }
}

fn nav(status: &StatusView, here: Here) -> Vec<NavLink> {
    let dead: u64 = status.handlers.iter().map(|handler| handler.dead).sum();
    let n_down = status.handlers.iter().filter(|one| one.is_in_trouble()).count();
    let number = |number: u64| if number == 0 { String::new() } else { words::count(number) };
    let down = if n_down == 0 { String::new() } else { format!("{n_down} failing") };
    let rejected = number(status.rejected as u64);
    let link = |address, name, place: Here, begins_group, note: &str, colour| NavLink {
        address,
        name,
        is_here: place == here,
        begins_group,
        note: note.to_owned(),
        colour,
    };
    vec![
        link("/", "Overview", Here::Overview, false, "", ""),
        link("/events", "Events", Here::Events, false, "", ""),
        link("/dead", "Dead letters", Here::Dead, false, &number(dead), "bad"),
        link("/rejected", "Rejected", Here::Rejected, false, &rejected, ""),
        link("/handlers", "Handlers", Here::Handlers, true, &down, "wait"),
        link("/sources", "Sources", Here::Sources, false, "", ""),
        link("/config", "Configuration", Here::Config, true, "", ""),
        link("/log", "Action log", Here::Log, false, "", ""),
    ]
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    title: String,
    detail: String,
}

/// The page that says why there is no other.
pub fn error(
    api: &Api,
    viewer: &Viewer,
    title: Option<&str>,
    detail: &str,
) -> Result<String, ApiError> {
    let title = title.unwrap_or("Error").to_owned();
    let (status, fields) = (api.status(), Fields::default());
    let frame = Frame::new(api, &status, &fields, viewer, Here::Nowhere, title.as_str(), "");
    // A report on the configuration has many lines.
    let lines = detail.lines().map(|line| words::shown(line, 400)).take(60);
    let detail = lines.collect::<Vec<_>>().join("\n");
    rendered(&ErrorPage { frame, title, detail })
}
