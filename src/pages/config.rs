//! `/config`: what is in force.

use askama::Template;

use super::action_log::ActionRow;
use super::fields::Fields;
use super::frame::{Frame, Here};
use super::widgets::{Ticked, When};
use super::words::Room;
use super::{Viewer, rendered, words};
use crate::api::{ActionsAsk, Api, ApiError, ConfigView, KeyOrigin};

/// Keys that are shown.
const KEYS_MAX: usize = 110;
/// Defaults that are shown.
const DEFAULTS_MAX: usize = 110;
/// Reloads that are shown, and bytes of what came of them.
const RELOADS_MAX: usize = 5;
const RELOADS_ROOM: usize = 4 << 10;

#[derive(Template)]
#[template(path = "config.html")]
struct ConfigPage {
    frame: Frame,
    path: String,
    read: When,
    keys: Vec<KeyLine>,
    n_more: usize,
    /// What the file leaves open.
    defaults: Vec<(String, String)>,
    n_more_defaults: usize,
    reloads: Vec<ActionRow>,
    changes: Vec<String>,
    warnings: Vec<String>,
    /// Why the file cannot be taken over.
    mistake: String,
    token: String,
}

/// A key that the file sets.
#[derive(Debug)]
struct KeyLine {
    key: String,
    value: String,
    line: usize,
    /// Where the secrets are that it names.
    secrets: Vec<Ticked>,
}

/// Secrets of one key whose places are said.
const SECRETS_MAX: usize = 3;

impl KeyLine {
    fn new(key: &str, value: &str, origins: &[KeyOrigin]) -> Self {
        let origin = origins.iter().find(|origin| origin.key == key);
        let secrets = origin.map(|origin| origin.secrets.as_slice()).unwrap_or_default();
        Self {
            key: words::shown(key, 90),
            value: words::shown(value, 100),
            line: origin.map_or(0, |origin| origin.line),
            secrets: secrets.iter().take(SECRETS_MAX).map(|one| Ticked::new(one, 120)).collect(),
        }
    }
}

/// What is in force, and what a reload would change.
pub(super) fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let ConfigView { around, defaults } = api.config()?;
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
    let by_default = defaults.iter().take(DEFAULTS_MAX);
    let of_reload = ActionsAsk {
        action: Some("reload".to_owned()),
        limit: Some(RELOADS_MAX),
        ..ActionsAsk::default()
    };
    let reloads = api.actions(&of_reload)?.actions;
    let mut room = Room::new(RELOADS_ROOM);
    let json = "/api/v1/config";
    rendered(&ConfigPage {
        frame: Frame::new(api, &status, fields, viewer, Here::Config, "Configuration", json),
        path: words::shown(&around.config, 200),
        read: When::ago(around.read_at, now),
        reloads: reloads
            .iter()
            .map(|action| ActionRow::new(action, &status, now, &mut room))
            .collect(),
        n_more_defaults: defaults.len().saturating_sub(DEFAULTS_MAX),
        defaults: by_default
            .map(|(key, value)| (words::shown(key, 90), words::shown(value, 100)))
            .collect(),
        n_more: around.keys.len().saturating_sub(KEYS_MAX),
        keys: shown.map(|(key, value)| KeyLine::new(key, value, &around.origins)).collect(),
        changes,
        warnings,
        mistake,
        token: words::shown(&around.token, 200),
    })
}
