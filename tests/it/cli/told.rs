//! What is told of handlers that wait or are down, and of what was not stored.

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;
use super::verbs::{delivered, json, send};
use crate::support::patience::wait_until;

fn output(folder: &Folder, arguments: &[&str]) -> String {
    printed(&run(folder, arguments), 0)
}

/// Nobody looks at what waits for a handler that is paused: it may be none of what its `on` names.
#[test]
fn backlog_of_a_handler_that_looks_at_nothing_is_told_as_a_bound() {
    let rest = "[handler.few]\non = [\"hyvor:comment.delete\"]\n[handler.few.log]\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    output(&folder, &["handlers", "pause", "few"]);
    for _ in 0..2 {
        send(&folder, &served, "hyvor", "comment.create");
    }
    delivered(&folder, 2);
    let row = |arguments: &[&str]| {
        let text = output(&folder, arguments);
        let row = text.lines().find(|line| line.starts_with("few "));
        row.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    for arguments in [&["status"][..], &["handlers", "list"], &["top", "--once"]] {
        let row = row(arguments);
        assert!(row.contains("  up to 2  ") && row.matches("up to").count() == 2, "{row}");
    }
    assert!(output(&folder, &["top", "--once"]).contains("; up to 2 deliveries wait"));
    let listed = json(&folder, &["events", "list", "--handler", "few", "--state", "pending"]);
    assert_eq!(listed, Value::Array(Vec::new()), "as many as its `on` names");
    output(&folder, &["handlers", "resume", "few"]);
    served.wait_until_delivered("few");
    assert!(!row(&["status"]).contains("up to"));
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn gateway_that_is_ready_says_which_handler_is_down_and_why_to_its_owner() {
    let rest = "[handler.app]\nbreaker = { failures = 1, probe_interval = \"1h\" }\n\
                [handler.app.http]\nurl = \"http://127.0.0.1:1/\"\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    assert_eq!(output(&folder, &["status", "--ready"]), "ready\n");
    send(&folder, &served, "hyvor", "comment.create");
    let told = loop {
        let told = output(&folder, &["status", "--ready"]);
        if told != "ready\n" {
            break told;
        }
    };
    assert!(told.starts_with("ready: handler `app` is down since 2"), "{told}");
    assert!(told.contains(": no connection: "), "{told}");
    // What the other side says is not for all who have a shell on this machine.
    let ready = wire::request(served.admin(), "GET", "/readyz", &[], b"");
    let note = ready.json()["note"].as_str().unwrap().to_owned();
    assert!(note.contains("`app` is down since") && note.ends_with("`gatepost status` says why"));
    assert!(ready.status == 200 && !note.contains("no connection"), "{note}");
    assert_eq!(served.stop(), Some(0));
}

/// Not all of it was refused.
#[test]
fn good_get_is_not_told_under_a_heading_that_says_refused() {
    let rest = "[source.open]\nverify = { algorithm = \"none\" }\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    assert_eq!(wire::request(served.public(), "GET", "/hooks/open", &[], b"").status, 200);
    assert_eq!(wire::request(served.public(), "BREW", "/hooks/open", &[], b"").status, 405);
    let text = output(&folder, &["status"]);
    assert!(text.contains("\nNOT STORED  COUNT") && text.contains("\n405 "), "{text}");
    assert!(!text.contains("REFUSED"), "{text}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn lists_say_that_they_may_have_ended_at_their_limit_but_not_of_a_few_rows_and_to_no_program() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    (0..51).for_each(|_| drop(send(&folder, &served, "hyvor", "comment.create")));
    let noted = |arguments: &[&str]| {
        let output = run(&folder, arguments);
        printed(&output, 0);
        String::from_utf8(output.stderr).unwrap()
    };
    let at_limit = "these are the newest 50; if there are more, `--limit` shows them";
    assert!(noted(&["events", "list"]).contains(at_limit));
    for arguments in [&["--limit", "3"][..], &["--limit", "60"], &["--json"]] {
        let told = noted(&[&["events", "list"], arguments].concat());
        assert!(!told.contains("these are"), "{arguments:?}: {told}");
    }
    assert_eq!(served.stop(), Some(0));
}

/// The overview, `status` and `top` must not say different things of one gateway.
#[test]
fn source_from_which_nothing_comes_in_is_told_of_by_status_and_top_as_on_the_overview() {
    let rest = "[source.quiet]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n\
                expect_every = \"1s\"\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    let overview = || served.ask("GET", "/").text();
    wait_until("it is silent", || overview().contains("quiet has been silent since"));
    for verb in [&["status"][..], &["top", "--once"]] {
        let told = output(&folder, verb);
        assert!(told.contains("source `quiet` has been silent since "), "{told}");
        assert!(told.contains("one event is expected every 1 s (`expect_every`)"), "{told}");
        assert!(!told.contains("all handlers answer"), "{told}");
    }
    let headers = [("X-Signature", "00")];
    wire::post(served.public(), "/hooks/hyvor", &headers, b"{\"event\":\"comment.create\"}");
    assert!(overview().contains("Nothing comes in from 2 sources."));
    assert!(output(&folder, &["status"]).contains("source `hyvor` has let nothing in since "));
    assert!(output(&folder, &["top", "--once"]).contains("nothing comes in from 2 sources; 0 "));
    assert_eq!(served.stop(), Some(0));
}
