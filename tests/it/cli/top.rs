//! `top`, and the bars of what takes long: on a terminal and without one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use super::verbs::{delivered, json, send};
use crate::support::patience::wait_until;

/// A terminal: the end that a person sits at, and the one that programs get.
fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
    let program = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    (File::from(person), program)
}

/// Reads what is shown until `text` is among it.
fn read_until(terminal: &mut File, text: &str) -> String {
    let mut shown = String::new();
    while !shown.contains(text) {
        let mut bytes = [0; 4096];
        let n_read = terminal.read(&mut bytes).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes[..n_read]));
    }
    shown
}

#[test]
fn top_shows_handlers_and_sources_once_where_nobody_looks() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    served.wait_until_delivered("all");
    for arguments in [&["top", "--once"][..], &["top"]] {
        let text = printed(&run(&folder, arguments), 0);
        assert!(text.contains("all handlers answer; 0 deliveries wait, 0 dead letters"), "{text}");
        assert!(text.contains("queue: 1 event retained"), "{text}");
        assert!(text.contains("acknowledged in "), "{text}");
        let is_row = |line: &str| line.starts_with("all ") && line.contains(" running ");
        assert!(text.lines().any(is_row), "{text}");
        assert!(text.lines().any(|line| line.starts_with("hyvor ")), "{text}");
        assert!(!text.contains('\u{1b}'), "no sign of a terminal: {text}");
    }
    let view = json(&folder, &["top"]);
    assert_eq!(view["status"]["queue"]["events"], 1);
    assert_eq!(view["rates"]["ack"]["count"], 1);
    assert_eq!(served.stop(), Some(0));
    let output = run(&folder, &["top", "--once"]);
    printed(&output, 4);
}

#[test]
fn top_fills_a_terminal_until_q_is_typed_and_leaves_it_as_it_was() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let (mut person, program) = terminal();
    let before = rustix::termios::tcgetattr(&program).unwrap();
    let mut child = command(&folder, &["top"])
        .stdin(OwnedFd::from(program.try_clone().unwrap()))
        .stdout(OwnedFd::from(program.try_clone().unwrap()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let shown = read_until(&mut person, "q quits");
    assert!(shown.contains("all handlers answer"), "{shown}");
    person.write_all(b"q").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(read_until(&mut person, "\u{1b}[?1049l").contains("\u{1b}[?25h"));
    let after = rustix::termios::tcgetattr(&program).unwrap();
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn bars_are_drawn_on_a_terminal_only() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    (0..3).for_each(|_| drop(send(&folder, &served, "hyvor", "comment.create")));
    delivered(&folder, 3);
    let plain = run(&folder, &["queue", "export"]);
    let exported = printed(&plain, 0);
    assert_eq!((exported.lines().count(), plain.stderr.len()), (3, 0));
    std::fs::write(folder.path().join("events.jsonl"), &exported).unwrap();
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let other = config.replace("data/events.jsonl", "data/other.jsonl");
    std::fs::write(folder.path().join("other.toml"), other).unwrap();
    for (arguments, expected) in [
        (&["queue", "export"][..], "exporting"),
        (&["queue", "import", "events.jsonl"], "importing"),
        (&["events", "replay", "--all"], "replaying"),
        (&["queue", "check"], "checking"),
        (&["check", "--against", "7d", "other.toml"], "comparing"),
    ] {
        let (mut person, program) = terminal();
        let mut child = command(&folder, arguments)
            .stdout(Stdio::null())
            .stderr(OwnedFd::from(program))
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}");
        let shown = read_until(&mut person, expected);
        assert!(shown.contains(expected), "{shown}");
    }
    assert_eq!(served.stop(), Some(0));
}

/// A full disk: senders are told to come back, and whatever an owner looks at says so first.
#[test]
fn gateway_that_takes_nothing_in_says_so_wherever_it_is_looked_at() {
    let folder = Folder::new("", "");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config.replace("\"48MiB\"", "\"1000000TiB\"")).unwrap();
    let served = Served::start(&folder);
    let refuses = loop {
        let status = json(&folder, &["status"]);
        match status["queue"]["refuses"].as_str() {
            Some(refuses) => break refuses.to_owned(),
            None => std::thread::yield_now(),
        }
    };
    // How much is free changes with everything else on the disk.
    let (before, behind) = refuses.split_once(|c: char| c.is_ascii_digit()).unwrap();
    let behind = behind.trim_start_matches(|c: char| c.is_ascii_digit());
    assert!(behind.contains("under `disk_reserve`"), "{refuses}");
    for verb in [&["status"][..], &["top", "--once"]] {
        let told = printed(&run(&folder, verb), 0);
        assert!(told.contains(&format!("not ready: {before}")) && told.contains(behind), "{told}");
    }
    let page = served.ask("GET", "/").text();
    assert!(page.contains("No event is taken in") && !page.contains("All well"), "{page}");
    let url = format!("{}/hooks/hyvor", served.url);
    let sent = run(&folder, &["send", "hyvor", "comment.create", "--url", &url]);
    printed(&sent, 1);
    let told = String::from_utf8(sent.stderr).unwrap();
    assert!(told.contains("answered 503") && told.contains("disk_reserve"), "{told}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn dead_letters_are_given_up_on_a_terminal_only_once_its_owner_says_so() {
    let folder = Folder::new(
        "",
        "[handler.bad]\n[handler.bad.command]\nrun = [\"sh\", \"-c\", \"exit 65\"]\n",
    );
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    let dead = || json(&folder, &["dead", "list"]).as_array().unwrap().len();
    wait_until("a dead letter", || dead() != 0);
    let dropped = |answer: &[u8], code: i32| {
        let (mut person, program) = terminal();
        let mut child = command(&folder, &["dead", "drop", "--handler", "bad"])
            .stdin(OwnedFd::from(program.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(OwnedFd::from(program.try_clone().unwrap()))
            .spawn()
            .unwrap();
        read_until(&mut person, "give up 1 dead letter for good? [y/N]");
        person.write_all(answer).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    };
    dropped(b"\n", 1);
    assert_eq!(dead(), 1);
    dropped(b"y\n", 0);
    assert_eq!(dead(), 0);
    let output = run(&folder, &["handlers", "pause", "bad", "--for", "2x"]);
    printed(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--for"), "{output:?}");
    assert_eq!(served.stop(), Some(0));
}
