//! What only looks leaves the folder as it was, and says what is there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};

/// Every kind of handler and of secret, each with a file that is not there yet.
const MISSING: &str = r#"
[source.new]
provider = "github"
secrets = [{ file = "new/source", create = true }]
[source.token]
secrets = [{ file = "new/token", create = true }]
[source.token.verify]
algorithm = "token"
query = "token"
[handler.app.http]
url = "http://127.0.0.1:9/"
secret = { file = "new/app", create = true }
headers = { x-key = { secret = { file = "new/header", create = true } } }
[handler.chat.chat]
telegram = { token = { file = "new/telegram", create = true }, chat = "1" }
text = "x"
[handler.mail.email]
smtp = "smtp://u@127.0.0.1:9"
password = { file = "new/smtp", create = true }
from = "a@example.com"
to = ["b@example.com"]
subject = "x"
text = "x"
[handler.rows.sql]
url = "postgres://u@127.0.0.1:9/d"
password = { file = "new/database", create = true }
table = "t"
columns = { a = "event.id" }
[handler.lite.sql]
url = "sqlite:new/lite.db"
table = "t"
create_table = true
columns = { a = "event.id" }
[handler.run.command]
run = ["true"]
env = { KEY = { file = "new/env", create = true } }
[handler.lines.file]
path = "new/lines.jsonl"
[handler.told.log]
"#;

/// What no made secret can be, and a mistake.
const WRONG: &str = r#"
[handler.url.http]
url = { file = "new/url", create = true }
[handler.slack.chat]
slack = { url = { file = "new/slack", create = true } }
text = "x"
[handler.wrong.log]
mesage = "x"
"#;

/// What lies below `folder`: each path with its owner, mode, time and bytes. The server's own files change by
/// themselves.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in std::fs::read_dir(&one).unwrap() {
            let path = entry.unwrap().path();
            let about = std::fs::symlink_metadata(&path).unwrap();
            if ["data", "log"].iter().any(|own| path == folder.join(own)) {
                continue;
            }
            if about.is_dir() {
                folders.push(path.clone());
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.insert(path, (about.uid(), about.mode(), about.mtime_nsec(), bytes));
        }
    }
    found
}

#[test]
fn whatever_only_looks_leaves_the_folder_byte_for_byte_as_it_was() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let old = std::fs::read_to_string(folder.config()).unwrap();
    let mended = [&old, MISSING].concat();
    std::fs::write(folder.path().join("new.toml"), &mended).unwrap();
    for (more, code) in [("", 0), (WRONG, 3)] {
        std::fs::write(folder.config(), [&mended, more].concat()).unwrap();
        let before = state(folder.path());
        for arguments in [
            &["check"][..],
            &["check", "--diff"],
            &["check", "--online"],
            &["check", "--against", "7d", "new.toml"],
            &["handlers", "try", "app", "--sample", "hyvor", "comment.create"],
            &["handlers", "try", "run", "--sample", "hyvor", "comment.create"],
        ] {
            let output = run(&folder, arguments);
            if arguments.len() == 1 {
                printed(&output, code);
            }
            let after = state(folder.path());
            let made: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
            assert!(after == before, "{arguments:?} changed or made {made:?}");
        }
    }
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn check_online_says_of_a_database_that_is_not_there_yet_that_it_will_be_made() {
    let rows = "[handler.rows.sql]\nurl = \"sqlite:rows.db\"\ntable = \"t\"\ncreate_table = true\n\
                columns = { a = \"event.id\" }\n";
    let folder = Folder::new("", rows);
    let said = || String::from_utf8(run(&folder, &["check", "--online"]).stderr).unwrap();
    let before = said();
    assert!(
        before.contains("rows.db' will be made") || before.contains("rows.db` will be made"),
        "{before}"
    );
    std::fs::write(folder.path().join("rows.db"), "").unwrap();
    assert!(!said().contains("will be made"), "{}", said());
}

#[test]
fn status_with_a_file_that_is_not_there_says_so_and_whose_server_it_shows() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let output = run(&folder, &["status", "--config", "nix.toml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("has mistakes"), "{said}");
    assert!(said.contains("nix.toml` cannot be read"), "{said}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn try_of_a_handler_that_cannot_be_built_says_why_above_the_plan() {
    let bad = "[handler.bad.http]\nurl = \"http://127.0.0.1:9/\"\nsecret = { file = \"none\" }\n";
    let folder = Folder::new("", bad);
    let output = run(&folder, &["handlers", "try", "bad", "--sample", "hyvor", "comment.create"]);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("handler `bad` cannot be built: a secret is missing"), "{said}");
    assert!(printed(&output, 0).contains("POST http://127.0.0.1:9/"));
}

#[test]
fn reload_with_a_new_handler_that_cannot_be_built_ends_as_a_configuration_with_mistakes() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let old = std::fs::read_to_string(folder.config()).unwrap();
    let bad = "\n[handler.bad.http]\nurl = \"http://127.0.0.1:9/\"\nsecret = { file = \"none\" }\n";
    std::fs::write(folder.config(), old + bad).unwrap();
    let output = run(&folder, &["reload"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("handler `bad` cannot be built"), "{said}");
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(served.stop(), Some(0));
}
