//! What a reload changes: in the configuration, and in the secrets that it names.

use super::handlers::Handlers;
use crate::api::Reloaded;
use crate::config::{self, Config};
use crate::ingest::Ingest;
use crate::settings::Report;

/// What is otherwise in the second configuration than in the first, which is in force.
pub(super) fn changes(
    (old, new): (&Config, &Config),
    warnings: &Report,
    ingest: &Ingest,
    handlers: &Handlers,
) -> Reloaded {
    let warnings = warnings.entries().into_iter().map(|one| match one.line {
        Some(line) => format!("{} (line {line}): {}", one.path, one.message),
        None => one.message.to_owned(),
    });
    let changes = config::diff(old, new);
    let changes = changes.iter().map(ToString::to_string);
    let handlers = handlers.with_new_secrets(new).into_iter();
    let handlers =
        handlers.map(|name| format!("~ handler.{name}: another secret is where it is kept"));
    Reloaded {
        changes: changes.chain(secrets_of_sources(new, ingest)).chain(handlers).collect(),
        warnings: warnings.collect(),
    }
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
