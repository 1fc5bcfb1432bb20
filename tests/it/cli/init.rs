//! `init`: from nothing to a configuration that works.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use gatepost::source::PROVIDERS;
use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use super::verbs::{json, lines, send};

/// A folder with nothing in it.
fn nothing() -> Folder {
    let folder = Folder::of_text("");
    std::fs::remove_file(folder.config()).unwrap();
    std::fs::remove_file(folder.path().join("secret")).unwrap();
    folder
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn read(folder: &Folder, path: &str) -> String {
    std::fs::read_to_string(folder.path().join(path)).unwrap()
}

/// Runs `gatepost ARGUMENTS` with these answers in a pipe.
fn answered(folder: &Folder, arguments: &[&str], answers: &str) -> Output {
    let mut child = command(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Serves what was written, with the admin side on a port of the system's choice.
fn serve(folder: &Folder) -> Served {
    let text = read(folder, "config.toml") + "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(folder.config(), text).unwrap();
    Served::start(folder)
}

const FLAGS: &[&str] = &[
    "init",
    "--yes",
    "--source",
    "hyvor=hyvor-talk",
    "--source",
    "userecho",
    "--source",
    "code=github",
    "--email",
    "me@example.org",
    // Nobody listens there.
    "--smtp",
    "smtp://127.0.0.1:1",
    "--database",
    "sqlite:data/site.db",
    "--listen",
    "127.0.0.1:0",
    "--url",
    "https://hooks.example.org/",
];

#[test]
fn init_with_flags_writes_what_check_and_serve_take() {
    let folder = nothing();
    let told = printed(&run(&folder, FLAGS), 0);
    for line in [
        "  1. In the console of your website open Settings > Webhooks and create a webhook.",
        "  2. Give it the address https://hooks.example.org/hooks/hyvor, and choose the events.",
        "  3. Generate a secret key there, without which nothing is signed, and put it into data/secrets/hyvor.",
        "next: gatepost serve",
        "then: gatepost send hyvor comment.create",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} in {told}");
    }
    assert!(told.contains("! handler `mail-hyvor` could not deliver now"), "{told}");
    assert_eq!(mode(&folder.config()), 0o600);
    let secrets = folder.path().join("data/secrets");
    assert_eq!(mode(&secrets), 0o700);
    for name in ["hyvor", "userecho", "code"] {
        assert_eq!(mode(&secrets.join(name)), 0o600, "{name}");
    }
    assert_eq!(json(&folder, &["check"]), serde_json::json!([]), "not even a warning");

    let served = serve(&folder);
    let comment = send(&folder, &served, "hyvor", "comment.create");
    send(&folder, &served, "code", "push");
    let events = lines(&folder, "data/events.jsonl", 2);
    assert_eq!(events[0]["id"], comment.as_str());
    served.wait_until_delivered("comments");
    served.wait_until_delivered("events");
    assert_eq!(json(&folder, &["dead", "list"]), serde_json::json!([]));
    assert_eq!(served.stop(), Some(0));
    // The newest rows may be in the write-ahead log yet.
    let files =
        ["data/site.db", "data/site.db-wal"].map(|file| std::fs::read(folder.path().join(file)));
    let database = files.into_iter().flatten().flatten().collect::<Vec<u8>>();
    assert!(database.windows(8).any(|found| found == b"Zo\xc3\xab Exa"), "the comment's author");
}

#[test]
fn init_asks_for_what_no_flag_says_and_asks_again_after_a_slip() {
    let folder = nothing();
    let answers = [
        "hyvr-talk",
        "hyvor=hyvor-talk, forum=userecho",
        "  the-secret-of-hyvor\t",
        "",
        "not an address",
        "",
        "sqlite:data/site.db",
        "hooks.example.org",
        "https://hooks.example.org",
        "n",
    ];
    let arguments = ["init", "--listen", "127.0.0.1:0"];
    let output = answered(&folder, &arguments, &(answers.join("\n") + "\n"));
    let told = printed(&output, 0);
    let asked = String::from_utf8(output.stderr).unwrap();
    assert!(asked.contains("`hyvr-talk` is no provider; did you mean `hyvor-talk`?"), "{asked}");
    assert!(asked.contains("`hooks.example.org` is not an address with https://"), "{asked}");
    assert_eq!(asked.matches("the spaces around it were left out").count(), 1, "{asked}");
    assert!(told.contains("https://hooks.example.org/hooks/forum"), "{told}");
    assert!(!asked.contains("the-secret-of-hyvor") && !told.contains("the-secret-of-hyvor"));
    assert_eq!(read(&folder, "data/secrets/hyvor"), "the-secret-of-hyvor\n");
    assert_eq!(read(&folder, "data/secrets/forum").len(), 65, "a random one");
    let text = read(&folder, "config.toml");
    assert!(!text.contains(".email]") && text.contains("[handler.comments.sql]"), "{text}");
    assert_eq!(json(&folder, &["check"]), serde_json::json!([]));
}

#[test]
fn init_hides_secrets_on_a_terminal() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let folder = nothing();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let input = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = command(&folder, &["init", "--source", "hyvor=hyvor-talk"])
        .stdin(OwnedFd::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = std::fs::File::from(terminal);
    let mut asked = child.stderr.take().unwrap();
    let mut shown = String::new();
    for (question, answer) in [
        ("is made now): ", "s3cr3t-of-hyvor\n"),
        ("(Enter: no mail): ", "me@example.org\n"),
        ("[smtp://localhost:25]: ", "smtps://me@mail.example.invalid\n"),
        ("The password of `me`: ", "p4ssw0rd\n"),
        ("Enter: none): ", "\n"),
        ("Enter: later): ", "\n"),
        ("handlers [y/N]: ", "n\n"),
    ] {
        while !shown.ends_with(question) {
            let mut byte = [0];
            assert_eq!(asked.read(&mut byte).unwrap(), 1, "{question} in {shown}");
            shown.push(char::from(byte[0]));
        }
        terminal.write_all(answer.as_bytes()).unwrap();
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(read(&folder, "data/secrets/hyvor"), "s3cr3t-of-hyvor\n");
    assert_eq!(read(&folder, "data/secrets/smtp"), "p4ssw0rd\n");
    // The terminal gives back what it shows of the answers.
    let mut echo = [0; 4096];
    let n_read = terminal.read(&mut echo).unwrap();
    let echo = String::from_utf8_lossy(&echo[..n_read]);
    assert!(echo.contains("me@example.org"), "{echo}");
    assert!(!echo.contains("s3cr3t") && !echo.contains("p4ssw0rd"), "{echo}");
    assert_eq!(json(&folder, &["check"]), serde_json::json!([]));
}

#[test]
fn init_takes_passwords_out_of_addresses() {
    let folder = nothing();
    let smtp = "smtps://me%40example.org:p%40ss@mail.example.invalid";
    let flags = ["init", "--yes", "--source", "github", "--email", "me@example.org", "--smtp"];
    printed(&run(&folder, &[&flags[..], &[smtp]].concat()), 0);
    assert!(!read(&folder, "config.toml").contains("p%40ss"));
    assert_eq!(read(&folder, "data/secrets/smtp"), "p@ss\n");
    assert_eq!(mode(&folder.path().join("data/secrets/smtp")), 0o600);
    assert_eq!(json(&folder, &["check"]), serde_json::json!([]));
}

#[test]
fn init_without_passwords_writes_the_file_and_says_where_each_of_them_belongs() {
    let folder = nothing();
    let flags = [
        "init",
        "--yes",
        "--database",
        "postgres://site@127.0.0.1:1/site",
        "--email",
        "me@example.com",
        "--smtp",
        "smtp://me@127.0.0.1:1",
    ];
    let told = printed(&run(&folder, &flags), 0);
    assert!(told.contains("`me` needs a password: write it into `data/secrets/smtp`"), "{told}");
    assert!(told.contains("`site` logs in without a password: where it needs one"), "{told}");
    // What works without one is not given a file that is not there.
    let config = read(&folder, "config.toml");
    assert!(config.contains("password = { file = \"data/secrets/smtp\" }"), "{config}");
    assert!(!config.contains("data/secrets/database"), "{config}");
    // By a socket the system says who asks.
    let by_socket = nothing();
    let url = "postgres://site@localhost/site?host=/nowhere";
    printed(&run(&by_socket, &["init", "--yes", "--database", url]), 0);
    let config = read(&by_socket, "config.toml");
    assert!(config.contains(url) && !config.contains("password"), "{config}");
    for (flag, wrong, said) in [
        ("--source", "nobody", "`nobody` is no provider"),
        ("--email", "nobody", "mail address"),
        ("--database", "oracle://x", "sqlite:"),
        ("--url", "example.org", "is not an address with https://"),
    ] {
        let folder = nothing();
        let output = run(&folder, &["init", "--yes", flag, wrong]);
        printed(&output, 2);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(said), "{flag}: {told}");
        assert!(!folder.config().exists());
    }
}

#[test]
fn init_leaves_alone_what_is_there_unless_it_is_forced() {
    let folder = nothing();
    std::fs::write(folder.config(), "# mine\n").unwrap();
    std::fs::set_permissions(folder.config(), PermissionsExt::from_mode(0o644)).unwrap();
    let output = run(&folder, &["init", "--yes"]);
    printed(&output, 1);
    assert!(String::from_utf8(output.stderr).unwrap().contains("is there already"));
    assert_eq!(read(&folder, "config.toml"), "# mine\n");
    printed(&run(&folder, &["init", "--yes", "--force"]), 0);
    assert_eq!(read(&folder, "config.toml.old"), "# mine\n");
    assert_eq!(mode(&folder.config()), 0o644, "who could read it can");
    let secret = read(&folder, "data/secrets/hyvor");
    printed(&run(&folder, &["init", "--yes", "--force"]), 0);
    assert_eq!(read(&folder, "data/secrets/hyvor"), secret, "senders know it");
    assert_eq!(read(&folder, "config.toml.old"), "# mine\n", "what was kept is kept");
    assert_eq!(read(&folder, "config.toml.old.2"), read(&folder, "config.toml"));
}

#[test]
fn init_writes_what_check_takes_for_every_preset() {
    let mut without_key = Vec::new();
    for provider in PROVIDERS.iter().map(|provider| provider.name) {
        let folder = nothing();
        let flags = ["init", "--source", provider, "--url", "https://a.example", "--yes"];
        let output = run(&folder, &flags);
        if output.status.code() == Some(2) {
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.contains("write the public key that it shows into"), "{told}");
            assert!(!folder.config().exists());
            without_key.push(provider);
            continue;
        }
        printed(&output, 0);
        // Some presets are warned of, as with `serve`.
        printed(&run(&folder, &["check"]), 0);
        let config = read(&folder, "config.toml");
        let url = format!("url = \"https://a.example/hooks/{provider}\"");
        assert_eq!(config.contains(&url), ["square", "twilio"].contains(&provider), "{config}");
    }
    assert_eq!(without_key, ["sendgrid", "discord"]);
}

#[test]
fn init_takes_a_signed_sample_through_the_handlers() {
    let folder = nothing();
    let flags = ["init", "--yes", "--database", "sqlite:data/site.db", "--test-event"];
    let told = printed(&run(&folder, &flags), 0);
    let tried = told.split("stored as ").nth(1).unwrap();
    for line in ["  archive: delivered", "  comments: delivered", "  events: skipped"] {
        assert!(tried.lines().any(|found| found == line), "{line} in {tried}");
    }
    let events = json(&folder, &["events", "list"]);
    assert_eq!(events.as_array().map(Vec::len), Some(1));
    let state = |event: &Value| event["source"].clone();
    assert_eq!(state(&events[0]), "hyvor");
}

#[test]
fn init_makes_the_word_that_a_sender_shows_when_it_asks() {
    let folder = nothing();
    let told = printed(&run(&folder, &["init", "--source", "meta", "--yes"]), 0);
    assert!(told.contains("the word in that file is what Meta shows"), "{told}");
    assert_eq!(mode(&folder.path().join("data/secrets/meta-verify-token")), 0o600);
    assert!(read(&folder, "config.toml").contains("verify_token = { file = "));
    assert_eq!(json(&folder, &["check"]), serde_json::json!([]), "not even a warning");
    let config = read(&folder, "config.toml").replace("verify_token = ", "#");
    std::fs::write(folder.config(), config).unwrap();
    let warned = json(&folder, &["check"]);
    let message = warned[0]["message"].as_str().unwrap();
    assert!(message.contains("is answered only where `verify_token` is set"), "{warned}");
}
