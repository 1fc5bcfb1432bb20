//! What holds where the file says nothing: the defaults of the keys that it leaves out.

use std::sync::LazyLock;

use super::reference::{Absent, KeyText};
use super::{Config, schema};
use crate::handler::KINDS;

/// Tables that count without being written.
const ALWAYS: [&str; 4] = ["server", "queue", "admin", "log"];

/// Each key that has a default, with that. Read out of the reference once: that was 30 ms of a page that takes
/// 1 ms without it (bench `operator`, a busy machine).
static DEFAULTS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let texts = schema::texts(&schema::keys());
    let is_inline = |pattern: &str| texts.get(pattern).is_some_and(|text| !text.is_table);
    let mut found = Vec::new();
    for (pattern, text) in &texts {
        let Some(value) = default_of(text) else { continue };
        let parents = pattern.match_indices('.').filter_map(|(at, _)| pattern.get(..at));
        // Of an inline table the whole is shown.
        if pattern.contains("[]") || parents.into_iter().any(is_inline) {
            continue;
        }
        found.push((pattern.clone(), value.to_owned()));
    }
    found
});

/// Each key that the file leaves out and that has a default, with that as TOML writes it.
pub(super) fn defaults(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (pattern, value) in &*DEFAULTS {
        let keys = keys_of(pattern, config).into_iter();
        found.extend(keys.filter(|key| !is_set(key, config)).map(|key| (key, value.clone())));
    }
    found.sort();
    found
}

/// The value that holds where the key is left out.
fn default_of(text: &KeyText) -> Option<&str> {
    let is_shown = text.absent == Absent::Shown && !text.is_table;
    text.example.as_ref().filter(|_| is_shown).map(|example| example.toml.as_str())
}

/// The keys that a pattern stands for: `handler.mail.timeout` for `handler.NAME.timeout`.
fn keys_of(pattern: &str, config: &Config) -> Vec<String> {
    let Some((table, key)) = pattern.rsplit_once('.') else { return Vec::new() };
    let counts = |table: &str| ALWAYS.contains(&table) || is_there(table, config);
    match table.split_once(".NAME") {
        None if counts(table) => vec![format!("{table}.{key}")],
        Some(("handler", rest)) if !rest.contains("NAME") => {
            let handlers = config.handlers.iter();
            let kind_of = |name: &str| rest == format!(".{name}");
            let kind = KINDS.iter().find(|kind| kind_of(kind.name)).map(|kind| kind.name);
            let own = handlers.filter(|(name, settings)| match (rest, kind) {
                ("", _) => true,
                (_, Some(kind)) => settings.kind_name == kind,
                (_, None) => is_there(&format!("handler.{name}{rest}"), config),
            });
            own.map(|(name, _)| format!("handler.{name}{rest}.{key}")).collect()
        }
        Some(("source", rest)) if !rest.contains("NAME") => {
            let names = config.sources.keys().map(|name| format!("source.{name}{rest}"));
            let own = names.filter(|table| rest.is_empty() || is_there(table, config));
            own.map(|table| format!("{table}.{key}")).collect()
        }
        None | Some(_) => Vec::new(),
    }
}

/// Whether the file has this table.
fn is_there(table: &str, config: &Config) -> bool {
    let within = format!("{table}.");
    config.entries.0.keys().any(|key| key.starts_with(&within))
}

/// Whether the file says it, as a whole or in parts.
fn is_set(key: &str, config: &Config) -> bool {
    config.entries.0.contains_key(key) || is_there(key, config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::check_text;

    #[test]
    fn what_the_file_leaves_out_has_its_default() {
        let text = "[source.s]\nprovider = \"svix\"\nsecrets = [{ env = \"A\" }]\n\
                    [handler.app]\nretry = { min = \"5s\" }\n[handler.app.http]\n\
                    url = \"http://127.0.0.1/\"\n[queue]\nretention = \"1d\"\n";
        let checked = check_text(text, "config.toml", Path::new("."), None);
        let config = checked.config.unwrap();
        let defaults = config.defaults();
        let of = |key: &str| {
            defaults.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
        };
        assert_eq!(of("handler.app.timeout"), Some("\"30s\""), "{defaults:?}");
        assert_eq!(of("handler.app.http.method"), Some("\"POST\""), "{defaults:?}");
        assert_eq!(of("queue.path"), Some("\"data/queue\""), "{defaults:?}");
        for other in [
            "queue.retention",
            "handler.app.retry",
            "handler.app.http.url",
            "handler.app.email.smtp",
            "traces.service",
            "server.acme.directory",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
