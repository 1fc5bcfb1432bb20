//! `events edit`: a new event with another body, out of a file or an editor.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::{EditAsk, Edited, editable};
use crate::config::Config;
use crate::event::{EventId, HandlerName};
use crate::text::bytes;

use super::args::EventsEdit;
use super::output::{Output, note, plain};
use super::store::{Server, Via};
use super::{CliError, send};

/// Does what `options` say. Only a server can make an event: it knows the sources.
pub(super) async fn run(
    options: &EventsEdit,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let via = Via::Server(Server::require(config).await?);
    let id = via.event(options.id).await?;
    let (body, draft) = match &options.body {
        Some(file) => (send::read(file)?, None),
        None => match edited_by_hand(&via, id).await? {
            Some((body, draft)) => (body, Some(draft)),
            None => return note("nothing was changed: nothing was sent"),
        },
    };
    let Via::Server(server) = via else { return Ok(()) };
    let ask = EditAsk::new(body, options.dry_run);
    let edited: Result<Edited, CliError> = server.post(&format!("events/{id}/edit"), &ask).await;
    match (edited, draft) {
        (Ok(edited), draft) => {
            if let Some(draft) = draft {
                fs::remove_file(draft)?;
            }
            output.one(&edited, text)
        }
        // The user wrote it by hand.
        (Err(err), Some(draft)) => {
            note(&format!("what you wrote is kept in {}", draft.display()))?;
            Err(err)
        }
        (Err(err), None) => Err(err),
    }
}

fn text(edited: &Edited) -> String {
    let handlers: Vec<&str> = edited.handlers.iter().map(HandlerName::as_str).collect();
    let whom = if handlers.is_empty() { "no handler".to_owned() } else { handlers.join(", ") };
    let what = format!(
        "{}:{}, {} of body, for {whom}",
        edited.source,
        plain(edited.event_type.as_str()),
        bytes(edited.body_bytes as u64),
    );
    let lost = edited
        .no_longer_json
        .as_ref()
        .map(|why| format!("\nwarning: the body was JSON and is none now: {}", plain(why)));
    let what = what + &lost.unwrap_or_default();
    match edited.id {
        Some(id) => format!("made {id}: {what}\nnext: gatepost events show {id}"),
        None => format!("would make {what}"),
    }
}

/// What the user makes of the event's body in their editor, and the file that has it; `None` = they left it
/// as it is.
async fn edited_by_hand(via: &Via, id: EventId) -> Result<Option<(Vec<u8>, PathBuf)>, CliError> {
    let editor = shell("printf %s \"${VISUAL:-$EDITOR}\"").output()?.stdout;
    let editor = String::from_utf8_lossy(&editor).trim().to_owned();
    if editor.is_empty() {
        let next = "set VISUAL or EDITOR, or give --body FILE";
        return Err(CliError::Usage(format!("no editor is set: {next}")));
    }
    let (headers, raw) = (via.show(id).await?.headers, via.raw(id).await?);
    let encoding = headers.iter().find(|(name, _)| name == "content-encoding");
    let before = editable(encoding.map(|(_, value)| value.as_bytes()), &raw);
    let before = before.map_err(|why| CliError::Failed(format!("{why}: give --body FILE")))?;
    let draft = new_draft(id, &before)?;
    let after = edit(&editor, &draft, &before);
    if !matches!(after, Ok(Some(_))) {
        fs::remove_file(&draft)?;
    }
    Ok(after?.map(|body| (body, draft)))
}

/// A file for the user's eyes only, with the body in it.
fn new_draft(id: EventId, body: &str) -> Result<PathBuf, CliError> {
    let kind = if body.trim_start().starts_with(['{', '[']) { "json" } else { "txt" };
    let name = format!("gatepost-{id}-{}.{kind}", std::process::id());
    let draft = std::env::temp_dir().join(name);
    let failed = |err| CliError::Failed(format!("`{}` cannot be written: {err}", draft.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    file.and_then(|mut file| file.write_all(body.as_bytes())).map_err(failed)?;
    Ok(draft)
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command
}

/// What is in the file once the editor has ended; `None` = what was in it before.
fn edit(editor: &str, draft: &Path, before: &str) -> Result<Option<Vec<u8>>, CliError> {
    // It may have arguments of its own, as in `code --wait`.
    let ended = shell(&format!("{editor} \"$1\"")).arg("sh").arg(draft).status();
    let ended =
        ended.map_err(|err| CliError::Failed(format!("`{editor}` cannot be run: {err}")))?;
    if !ended.success() {
        return Err(CliError::Failed(format!("`{editor}` failed ({ended}): nothing was sent")));
    }
    let mut after = fs::read(draft)?;
    // Most editors end the last line, which the body's end need not be.
    if !before.ends_with('\n') && after.ends_with(b"\n") {
        after.pop();
    }
    Ok((after != before.as_bytes()).then_some(after))
}
