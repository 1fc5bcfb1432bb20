//! `import`: another program's configuration as one of Gatepost's, on standard output. What could not be
//! carried over is told on standard error, and stands as a comment where it belongs.

use std::path::Path;

use serde_json::{Value, json};

use super::args::{Import, ImportFile};
use super::output::{Output, line, note};
use super::{CliError, error_chain, send};
use crate::config;
use crate::secret::SecretRef;

mod form_json;
mod imported;
mod qhook;
mod rules;
mod script;
mod template;
mod transform;
mod webhook;

use imported::ImportedConfig;

/// Prints what `verb` names as a configuration. `path` is where it would be.
pub(super) fn run(verb: &Import, path: &Path, output: Output) -> Result<(), CliError> {
    let (options, imported) = match verb {
        Import::Webhook(options) => (options, webhook::convert(&read(options)?)),
        Import::Qhook(options) => (options, qhook::convert(&read(options)?)),
    };
    let shown = options.file.display();
    let imported = imported.map_err(|err| CliError::Failed(format!("`{shown}`: {err}")))?;
    if !imported.has_any() {
        let why = imported.notes().join("\n  ");
        let why = if why.is_empty() { why } else { format!(":\n  {why}") };
        let what = format!("`{shown}`: nothing in it can be carried over{why}");
        return Err(CliError::Failed(what));
    }
    let text = imported.render();
    let folder = path.parent().unwrap_or(Path::new(""));
    let checked = config::check_text(&text, "the imported configuration", folder, None);
    let refused = checked.config.is_none();
    if refused && output.is_json() {
        return Err(CliError::Configuration(Box::new(checked.report)));
    }
    let mut notes = imported.notes();
    notes.extend(secrets(&imported, options, folder)?);
    if output.is_json() {
        return line(&json!({ "config": text, "left_out": notes }).to_string());
    }
    line(&text)?;
    for one in &notes {
        note(&format!("! {one}"))?;
    }
    // What is wrong in it is told by lines of what stands there now, to be mended by hand.
    if refused { Err(CliError::Configuration(Box::new(checked.report))) } else { Ok(()) }
}

/// Writes the secrets, or says where they belong.
fn secrets(
    imported: &ImportedConfig,
    options: &ImportFile,
    folder: &Path,
) -> Result<Vec<String>, CliError> {
    let mut notes = Vec::new();
    for (file, secret) in &imported.secrets {
        let path = folder.join(file);
        if !options.secrets {
            notes.push(format!("{file}: put the secret there; `--secrets` does it"));
        } else if path.exists() {
            notes.push(format!("{file}: is there already and was left as it is"));
        } else {
            let place = SecretRef::File { path, create: false };
            place.replace(secret).map_err(|err| CliError::Failed(error_chain(&err)))?;
        }
    }
    Ok(notes)
}

/// JSON, or YAML.
fn read(options: &ImportFile) -> Result<Value, CliError> {
    let shown = options.file.display();
    let bytes = send::read(&options.file)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::Failed(format!("`{shown}` is not UTF-8 text")))?;
    // Of a template, variables are known here: quotation marks in it may end the text that it is in.
    let filled = template::without_getenv(&text);
    if let Ok(value) = serde_json::from_str(&filled) {
        return Ok(value);
    }
    serde_saphyr::from_str(&filled).map_err(|err| {
        let hint = if filled.contains("{{") {
            "\n  it looks like a template: import what it becomes once it is filled in"
        } else {
            ""
        };
        CliError::Failed(format!("`{shown}` is neither JSON nor YAML: {err}{hint}"))
    })
}
