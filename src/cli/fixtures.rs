//! `events save` and `test`: recorded events, and what handlers are expected to make of them.
//!
//! | file | what it holds |
//! |---|---|
//! | `NAME.event.json` | a recorded event with secrets and personal fields masked |
//! | `NAME.plan.json` | for each handler that wants it, what it does with it |
//!
//! No secret is needed: each event is signed again with one made up for it, and has to pass the
//! source's own scheme.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{ExportedEvent, FIXTURE_END, Fixture, error_chain};
use crate::app::own_events;
use crate::app::trial::{Trial, Wants};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::deliver::OWN_SOURCE;
use crate::event::{Delivery, Event, Headers};
use crate::secret::{self, Secret};
use crate::source::{Algorithm, FieldRef, Inbound, Scheme, Source, SourceSettings};
use crate::text::counted;

use super::CliError;
use super::args::Test;
use super::output::{Output, note};

mod compare;

use compare::differences;

const PLAN: &str = ".plan.json";
/// The folder beside the configuration.
const FOLDER: &str = "tests";

/// Writes an event into a file of its own.
pub(super) fn save(
    event: &ExportedEvent,
    to: Option<&Path>,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let folder = to.map_or_else(|| config.folder.join(FOLDER), Path::to_owned);
    let source = config.sources.iter().find(|(name, _)| name.as_str() == event.source);
    let fixture = Fixture::of(event, source).map_err(CliError::Failed)?;
    let file = folder.join(&fixture.name);
    std::fs::create_dir_all(&folder)?;
    write(&file, &fixture.text().map_err(|err| CliError::failed(&err))?)?;
    let Fixture { event, not_masked, .. } = fixture;
    output.one(&SavedEvent { id: event.id, file, not_masked }, |saved| {
        let left = saved.not_masked.map(|left| format!("note: {left}\n")).unwrap_or_default();
        format!(
            "saved as `{}`, masked: look through it before you give it away\n{left}next: gatepost \
             test --update",
            saved.file.display()
        )
    })
}

/// Compares every recorded event's plans with the expected ones, or writes those.
pub(super) fn test(options: Test, path: &Path, output: Output) -> Result<(), CliError> {
    let config = config::load_without_secrets(path);
    let (config, _warnings) = config.map_err(|report| CliError::Configuration(Box::new(report)))?;
    let folder = options.folder.unwrap_or_else(|| config.folder.join(FOLDER));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut results = Vec::new();
    for file in files(&folder)? {
        let found = match one(&file, options.update, &config, &clock) {
            // The others are compared all the same.
            Err(CliError::Failed(why)) => vec![why],
            found => found?,
        };
        results.push(TestedEvent {
            event: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            passed: found.is_empty(),
            differences: found,
        });
    }
    if results.is_empty() {
        let folder = folder.display();
        return Err(CliError::Failed(format!(
            "there is no recorded event in `{folder}`: `gatepost events save ID` writes one"
        )));
    }
    let n_failed = results.iter().filter(|result| !result.passed).count();
    let n_all = results.len();
    output.one(&results, |results| text(results))?;
    match n_failed {
        0 if options.update => note(&format!(
            "{}: wrote what is expected of each beside it (`NAME{PLAN}`)",
            counted(n_all as u64, "event", "events")
        )),
        0 => note(&format!("{}: as expected", counted(n_all as u64, "event", "events"))),
        _ => Err(CliError::Failed(format!(
            "{n_failed} of {} with a difference; `--update` takes that as expected",
            counted(n_all as u64, "event", "events")
        ))),
    }
}

/// An event that was written into a file.
#[derive(Debug, Serialize)]
struct SavedEvent {
    id: String,
    file: PathBuf,
    /// What could not be masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_masked: Option<&'static str>,
}

/// What came of one recorded event.
#[derive(Debug, Serialize)]
struct TestedEvent {
    event: String,
    passed: bool,
    differences: Vec<String>,
}

fn text(results: &[TestedEvent]) -> String {
    let mut text = String::new();
    for TestedEvent { event, passed, differences } in results {
        text.push_str(if *passed { "ok    " } else { "other " });
        text.push_str(&super::output::plain(event));
        text.push('\n');
        for line in differences {
            text.push_str("      ");
            text.push_str(&super::output::plain(line));
            text.push('\n');
        }
    }
    text
}

/// The recorded events of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |err: &std::io::Error| {
        CliError::Failed(format!("`{}` cannot be read: {err}", folder.display()))
    };
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // The same as one without events: it is told what writes one.
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(err) => return Err(unreadable(&err)),
    };
    for entry in entries {
        let path = entry.map_err(|err| unreadable(&err))?.path();
        if path.to_string_lossy().ends_with(FIXTURE_END) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What is otherwise with one recorded event; where it is updated, what is wrong with it.
fn one(
    file: &Path,
    is_update: bool,
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<String>, CliError> {
    let exported: ExportedEvent = serde_json::from_value(read(file)?)
        .map_err(|err| CliError::Failed(format!("`{}` is no event: {err}", file.display())))?;
    let event = exported.into_stored().map_err(|err| CliError::failed(&err))?;
    if let Err(why) = sign_again(&event, config) {
        return Ok(vec![why]);
    }
    let found = plans(&Arc::new(event), config, clock)?;
    let name = file.to_string_lossy();
    let expected = PathBuf::from(format!("{}{PLAN}", name.trim_end_matches(FIXTURE_END)));
    if is_update {
        write(&expected, &format!("{found:#}\n"))?;
        return Ok(Vec::new());
    }
    if !expected.exists() {
        return Ok(vec!["nothing is expected of it yet: write that with `--update`".to_owned()]);
    }
    Ok(differences(&read(&expected)?, &found))
}

/// Signs the event as its sender would, with a secret made up for it, and lets its source judge it.
fn sign_again(event: &Event, config: &Config) -> Result<(), String> {
    if event.source.as_str() == OWN_SOURCE {
        let event_type = event.event_type.as_str();
        let is_known = own_events::TYPES.contains(&event_type);
        return if is_known {
            Ok(())
        } else {
            Err(format!("Gatepost makes no event of type `{event_type}`"))
        };
    }
    let Some((name, settings)) = config.sources.get_key_value(&event.source) else {
        return Err(format!("source `{}` is not configured", event.source));
    };
    let made_up = secret::random_hex().map_err(|err| error_chain(&err))?;
    let secrets = vec![Secret::new(made_up.as_bytes())];
    // With a public key only the sender can sign.
    let Ok(source) = Source::with_secrets(name.clone(), settings.clone(), secrets) else {
        return Ok(());
    };
    let address = format!("{}{name}", crate::http::public::HOOKS);
    let signed = source.sign(&event.event_type, event.body.to_vec(), &address, event.received_at);
    let signed = match signed {
        Ok(signed) => signed,
        Err(crate::source::SignError::Refused(why)) => {
            return Err(format!("the source would refuse it: {why}"));
        }
        Err(_) => return Ok(()),
    };
    let came: Vec<&str> = event.headers.iter().map(|(name, _)| name).collect();
    // An edited copy has no signature.
    if let Some(why) = unread_signature(&came, settings).filter(|_| event.parent().is_none()) {
        return Err(why);
    }
    let path_and_query = signed.address(&address);
    let headers: Headers =
        signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = Inbound {
        method: "POST",
        path_and_query: &path_and_query,
        headers: &headers,
        body: &signed.body,
    };
    match source.verify(&request, event.received_at) {
        Ok(verified) if *verified.event_type() == event.event_type => Ok(()),
        Ok(verified) => {
            let (is, was) = (verified.event_type(), &event.event_type);
            Err(format!("its type would be `{is}` in place of `{was}`"))
        }
        Err(why) => Err(format!("the source would refuse it: {why}")),
    }
}

/// What is wrong where its source looks for the signature, or the password, in headers of which the event had none:
/// a recorded event has the names of all that came, and only their values are masked.
fn unread_signature(came: &[&str], settings: &SourceSettings) -> Option<String> {
    let schemes = &settings.profile.schemes;
    if schemes.iter().any(|scheme| scheme.algorithm == Algorithm::None) {
        return None;
    }
    let places = schemes.iter().flat_map(|scheme| &scheme.signature.places);
    let header = |place: &FieldRef| match place {
        FieldRef::Header(name) => Some(name.clone().into_owned()),
        // What stands in the query or the body is written there when the event is signed again.
        FieldRef::Query(_) | FieldRef::Json(_) | FieldRef::Form(_) | FieldRef::List(_) => None,
    };
    let mut read: Vec<String> = places.map(header).collect::<Option<_>>()?;
    read.dedup();
    let has = |name: &String| came.iter().any(|own| own.eq_ignore_ascii_case(name));
    if read.is_empty() || read.iter().any(has) {
        return None;
    }
    let is_like_one =
        |name: &&&str| PARTS.iter().any(|part| name.to_ascii_lowercase().contains(part));
    let like: Vec<&str> = came.iter().filter(is_like_one).copied().collect();
    let instead = if like.is_empty() {
        "without it".to_owned()
    } else {
        format!("with `{}`", like.join("`, `"))
    };
    let (what, read) = (what_is_read(schemes), read.join("`, `"));
    Some(format!(
        "the source would refuse it: it reads the {what} in `{read}`, and the event came {instead}"
    ))
}

/// Parts of the names of headers in which senders sign or show a password.
const PARTS: [&str; 6] = ["sign", "hmac", "token", "auth", "secret", "key"];

fn what_is_read(schemes: &[Scheme]) -> &'static str {
    let is_password =
        |scheme: &Scheme| matches!(scheme.algorithm, Algorithm::Token | Algorithm::Basic);
    if schemes.iter().all(is_password) { "password" } else { "signature" }
}

/// What each handler that wants the event makes of it, without the names of this machine's folders.
fn plans(event: &Arc<Event>, config: &Config, clock: &Arc<dyn Clock>) -> Result<Value, CliError> {
    let mut plans = BTreeMap::new();
    for name in config.handlers.keys() {
        let Some(trial) = Trial::new(config, name, clock) else { continue };
        let plan = match trial.wants(event) {
            Wants::No(_) => continue,
            Wants::Unclear(why) => json!({ "fails": why }),
            Wants::Yes => match trial.plan(&[Delivery::first(Arc::clone(event))]) {
                Ok(plan) => super::store::value(&plan)?,
                Err(failure) => json!({ "fails": failure.to_string() }),
            },
        };
        plans.insert(name.to_string(), plan);
    }
    let mut plans = super::store::value(&plans)?;
    make_relative(&mut plans, &config.folder);
    Ok(plans)
}

/// Plans are nested a few levels deep.
fn make_relative(plan: &mut Value, folder: &Path) {
    match plan {
        Value::Array(items) => items.iter_mut().for_each(|item| make_relative(item, folder)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(path) if name == "file" || name == "cwd" => {
                        if let Ok(below) = Path::new(path).strip_prefix(folder) {
                            *path = below.to_string_lossy().into_owned();
                        }
                    }
                    field => make_relative(field, folder),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn read(file: &Path) -> Result<Value, CliError> {
    let failed = |err: String| CliError::Failed(format!("`{}`: {err}", file.display()));
    let text = std::fs::read(file).map_err(|err| failed(err.to_string()))?;
    serde_json::from_slice(&text).map_err(|err| failed(err.to_string()))
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    let written = std::fs::write(file, text);
    written.map_err(|err| CliError::Failed(format!("`{}`: {err}", file.display())))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is told where an event came with these headers and its source has this `verify` table.
    fn told(came: &[&str], source: &str) -> Option<String> {
        let secrets = if source.contains("'none'") { "" } else { "secrets = [{ file = 'a' }]\n" };
        let text = format!("[source.s]\n{secrets}{source}");
        let checked = config::check_text(&text, "x.toml", Path::new("/"), None);
        let config = checked.config.unwrap_or_else(|| panic!("{source}"));
        unread_signature(came, config.sources.values().next().unwrap())
    }

    #[test]
    fn event_without_the_headers_that_its_source_reads_is_told() {
        let hmac =
            |header: &str| format!("verify = {{ algorithm = 'hmac-sha256', header = {header} }}");
        let token = "verify = { algorithm = 'token', header = 'X-Key' }";
        let basic = "verify = { algorithm = 'basic' }";
        for (came, source, expected) in [
            (
                &["x-signature"][..],
                &*hmac("'X-Sig'"),
                "signature in `x-sig`, and the event came with `x-signature`",
            ),
            (
                &["content-type", "x-sig"],
                &hmac("'X-Nother'"),
                "`x-nother`, and the event came without it",
            ),
            (&["X-Token"], token, "password in `x-key`, and the event came with `X-Token`"),
            (&["content-type"], token, "password in `x-key`, and the event came without it"),
            (&["x-key"], basic, "password in `authorization`, and the event came with `x-key`"),
            (&["x-sig"], &hmac("['X-A', 'X-B']"), "in `x-a`, `x-b`, and"),
            (
                &["x-hub-signature"],
                "provider = 'github'",
                "in `x-hub-signature-256`, and the event came with `x-hub",
            ),
        ] {
            let told = told(came, source).unwrap_or_else(|| panic!("{came:?} {source}"));
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn event_with_one_of_the_headers_that_its_source_reads_is_none_to_be_told() {
        for (came, source) in [
            (&["X-Sig"][..], "verify = { algorithm = 'hmac-sha256', header = 'x-sig' }"),
            (&["x-b"], "verify = { algorithm = 'hmac-sha256', header = ['X-A', 'X-B'] }"),
            (&["x-key"], "verify = { algorithm = 'token', header = 'X-Key' }"),
            (&["authorization"], "verify = { algorithm = 'basic' }"),
            (&["x-hub-signature-256"], "provider = 'github'"),
            (&["content-type"], "verify = { algorithm = 'token', query = 'key' }"),
            (&["content-type"], "verify = { algorithm = 'none' }"),
            (
                &["content-type"],
                "verify = { algorithm = 'hmac-sha256', jwt = { in_body = true, issuer = 'a' } }",
            ),
        ] {
            assert_eq!(told(came, source), None, "{came:?} {source}");
        }
    }
}
