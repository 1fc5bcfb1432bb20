//! What a reload changes: in the configuration, and in the secrets that it names.

use std::path::Path;

use super::handlers::Handlers;
use crate::api::Reloaded;
use crate::config::{self, Config};
use crate::ingest::Ingest;
use crate::settings::Report;

/// What is otherwise in the configuration that was read from `file` than in `old`, which was taken over last by a
/// process that began with `started`.
pub(super) fn changes(
    (started, old): (&Config, &Config),
    (new, warnings, file): (&Config, &Report, &Path),
    ingest: &Ingest,
    handlers: &Handlers,
) -> Reloaded {
    let warnings = warnings.entries().into_iter().map(|one| match one.line {
        Some(line) => format!("{} (line {line}): {}", one.path, one.message),
        None => one.message.to_owned(),
    });
    let changes = config::diff_since(started, old, new);
    let changes = changes.iter().map(ToString::to_string);
    let handlers = handlers.with_new_secrets(new).into_iter();
    let handlers =
        handlers.map(|name| format!("~ handler.{name}: another secret is where it is kept"));
    Reloaded {
        changes: changes.chain(secrets_of_sources(new, ingest)).chain(handlers).collect(),
        warnings: warnings.collect(),
        file: std::path::absolute(file).unwrap_or_default().display().to_string(),
    }
}

/// Why a file without a source is not taken over where there were some: mostly it was cut short while it was
/// saved, and each sender would be answered 404, after which some never send the event again.
pub(super) fn objection_to_no_source(old: &Config, new: &Config) -> Option<String> {
    let is_emptied = new.sources.is_empty() && !old.sources.is_empty();
    is_emptied.then(|| {
        "the file has no source any more, and every sender would be answered 404: save it again if it \
         was cut short, or restart Gatepost if it is to take nothing in"
            .to_owned()
    })
}

/// The sources whose secrets are others by now, in the same places.
fn secrets_of_sources(new: &Config, ingest: &Ingest) -> Vec<String> {
    let mut changes = Vec::new();
    for endpoint in ingest.endpoints() {
        let source = endpoint.source();
        let places = &source.settings().secrets;
        if new.sources.get(source.name()).is_none_or(|new| new.secrets != *places) {
            continue;
        }
        for (index, place) in places.iter().enumerate() {
            // What cannot be read is told as a mistake.
            let Some(secret) = place.existing() else { continue };
            if source.fingerprint(index) != Some(secret.fingerprint().as_str()) {
                let name = source.name();
                changes.push(format!("~ source.{name}.secrets: another one is in the {place}"));
            }
        }
    }
    changes
}
