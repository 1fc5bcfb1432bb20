//! `/config` and `/log`: what is in force, and who changed what.

use askama::Template;

use super::fields::Fields;
use super::frame::{Frame, Here};
use super::widgets::{Sign, When};
use super::{Viewer, rendered, words};
use crate::api::{Api, ApiError};

/// Keys that are shown.
const KEYS_MAX: usize = 250;
/// Actions that are shown.
const ACTIONS_MAX: usize = 60;

#[derive(Template)]
#[template(path = "config.html")]
struct ConfigPage {
    frame: Frame,
    path: String,
    read: When,
    keys: Vec<(String, String)>,
    n_more: usize,
    changes: Vec<String>,
    warnings: Vec<String>,
    /// Why the file cannot be taken over.
    mistake: String,
    token: String,
}

/// What is in force, and what a reload would change.
pub(super) fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let around = api.surroundings()?;
    let pending = api.changes();
    let lines =
        |lines: &[String]| lines.iter().take(60).map(|line| words::shown(line, 300)).collect();
    let (changes, warnings, mistake) = match &pending {
        Ok(pending) => (lines(&pending.changes), lines(&pending.warnings), String::new()),
        Err(err) => {
            let text = err.to_string();
            let text = text.lines().take(60).map(|line| words::shown(line, 300));
            (Vec::new(), Vec::new(), text.collect::<Vec<_>>().join("\n"))
        }
    };
    let shown = around.keys.iter().take(KEYS_MAX);
    let json = "/api/v1/config";
    rendered(&ConfigPage {
        frame: Frame::new(api, &status, fields, viewer, Here::Config, "Configuration", json),
        path: words::shown(&around.config, 200),
        read: When::ago(around.read_at, now),
        n_more: around.keys.len().saturating_sub(KEYS_MAX),
        keys: shown.map(|(key, value)| (words::shown(key, 90), words::shown(value, 100))).collect(),
        changes,
        warnings,
        mistake,
        token: words::shown(&around.token, 200),
    })
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    actions: Vec<ActionRow>,
}

/// One change.
#[derive(Debug)]
struct ActionRow {
    at: When,
    who: &'static str,
    action: String,
    target: String,
    result: String,
    sign: Sign,
}

/// The action log.
pub(super) fn log(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let actions = api.actions(ACTIONS_MAX)?.into_iter().map(|action| ActionRow {
        at: When::ago(action.at, now),
        who: action.actor.as_str(),
        action: action.action,
        target: words::shown(&action.target, 120),
        result: words::shown(&action.result, 120),
        sign: if action.is_done { Sign::Ok } else { Sign::Bad },
    });
    let actions = actions.collect();
    let json = "/api/v1/actions";
    let frame = Frame::new(api, &status, fields, viewer, Here::Log, "Action log", json);
    rendered(&LogPage { frame, actions })
}
