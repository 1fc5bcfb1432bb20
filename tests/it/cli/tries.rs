//! What is kept of each try: for people, and for the next one.

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::super::support::smtp::{SmtpServer, Tls};
use super::verbs::{json, send};
use crate::support::patience::wait_until;

/// What `handler` did with the event.
fn delivery(folder: &Folder, event: &str, handler: &str) -> Value {
    let event = json(folder, &["events", "show", event]);
    let mut deliveries = event["deliveries"].as_array().unwrap().iter();
    deliveries.find(|delivery| delivery["handler"] == handler).unwrap().clone()
}

/// Waits until it stands like this.
fn until_state(folder: &Folder, event: &str, handler: &str, state: &str) -> Value {
    loop {
        let found = delivery(folder, event, handler);
        if found["state"] == state {
            return found;
        }
    }
}

const PROGRAMS: &str = r#"
[handler.good.command]
run = ["sh", "-c", "echo made 3 rows"]
[handler.bad.command]
run = ["sh", "-c", "echo line 1; echo line 2; printf 'no \\033[31msuch\\033[0m user\\007' >&2; exit 65"]
"#;

fn assert_shown(folder: &Folder, event: &str) {
    let good = delivery(folder, event, "good");
    assert_eq!(good["attempts"][0]["output"]["stdout"], "made 3 rows", "{good}");
    let bad = delivery(folder, event, "bad");
    let output = &bad["attempts"][0]["output"];
    assert_eq!(output["stdout"], "line 1\nline 2", "{bad}");
    assert_eq!(output["stderr"], "no such user\u{fffd}", "{bad}");
    let text = printed(&run(folder, &["events", "show", event]), 0);
    let shown = "    stdout:\n      line 1\n      line 2\n    stderr:\n      no such user";
    assert!(text.contains(shown), "{text}");
}

#[test]
fn output_of_programs_is_shown_with_their_tries_also_after_a_restart() {
    let folder = Folder::new("", PROGRAMS);
    let served = Served::start(&folder);
    let event = send(&folder, &served, "hyvor", "comment.create");
    until_state(&folder, &event, "good", "delivered");
    until_state(&folder, &event, "bad", "dead");
    assert_shown(&folder, &event);
    served.kill();
    assert_shown(&folder, &event);
}

#[test]
fn output_of_a_try_by_hand_is_shown() {
    let folder = Folder::new("", PROGRAMS);
    let try_it = ["handlers", "try", "good", "--sample", "hyvor", "comment.create", "--send"];
    let text = printed(&run(&folder, &try_it), 0);
    assert!(text.contains("sent, marked as a try\n    stdout:\n      made 3 rows"), "{text}");
    let fails = ["handlers", "try", "bad", "--sample", "hyvor", "comment.create", "--send"];
    let text = printed(&run(&folder, &fails), 1);
    assert!(text.contains("    stderr:\n      no such user"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_in_mid_way_sends_a_mail_to_nobody_twice() {
    let smtp = SmtpServer::start(Tls::Never, false).await;
    smtp.refuse("second@example.com", "450 4.2.0 Greylisted");
    let mail = format!(
        "[handler.mail]\nretry = {{ min = \"500ms\", max = \"500ms\" }}\n[handler.mail.email]\n\
         smtp = \"smtp://{}\"\nfrom = \"g@example.com\"\n\
         to = [\"owner@example.com\", \"second@example.com\"]\nsubject = \"s\"\ntext = \"t\"\n",
        smtp.address
    );
    let folder = Folder::new("", &mail);
    let served = Served::start(&folder);
    let event = send(&folder, &served, "hyvor", "comment.create");
    // What is in the history is in the log; what is not may be lost, and is tried again.
    while delivery(&folder, &event, "mail")["attempts"].as_array().is_none_or(Vec::is_empty) {}
    served.kill();

    smtp.accept("second@example.com");
    let served = Served::start(&folder);
    until_state(&folder, &event, "mail", "delivered");
    let to: Vec<Vec<String>> = smtp.stored().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, [["owner@example.com"], ["second@example.com"]]);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn status_says_of_a_handler_that_fails_since_when_why_and_what_comes_next() {
    let handler = "[handler.down]\nretry = { min = \"1h\", max = \"2h\" }\n\
                   [handler.down.command]\nrun = [\"false\"]\n";
    let folder = Folder::new("", handler);
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    let is_failing = || {
        let handlers = json(&folder, &["handlers", "list"]);
        let mut handlers = handlers.as_array().unwrap().iter();
        let handler = handlers.find(|handler| handler["name"] == "down").unwrap();
        handler["state"] == "running" && handler["condition"] == "failing"
    };
    wait_until("it is failing", is_failing);
    let text = printed(&run(&folder, &["status"]), 0);
    let line = text.lines().find(|line| line.starts_with("handler `down` fails since "));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(", 1 try: ") && line.contains("; next try in "), "{line}");
    let list = printed(&run(&folder, &["handlers", "list"]), 0);
    let is_row = |line: &str| line.starts_with("down ") && line.contains(" failing ");
    assert!(list.lines().any(is_row), "{list}");
    assert_eq!(served.stop(), Some(0));
}

/// A redrive begins a new count of tries; in what is shown of an event each has a number of its own.
#[test]
fn tries_are_numbered_on_over_redrives() {
    let folder = Folder::new("", "[handler.bad.command]\nrun = [\"sh\", \"-c\", \"exit 65\"]\n");
    let served = Served::start(&folder);
    let event = send(&folder, &served, "hyvor", "comment.create");
    until_state(&folder, &event, "bad", "dead");
    for n_tries in 2..=3 {
        printed(&run(&folder, &["dead", "redrive", &event, "--handler", "bad"]), 0);
        let n_shown = || delivery(&folder, &event, "bad")["attempts"].as_array().unwrap().len();
        while n_shown() < n_tries {}
        until_state(&folder, &event, "bad", "dead");
    }
    let delivery = delivery(&folder, &event, "bad");
    let numbers: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|one| one["number"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let shown = printed(&run(&folder, &["dead", "show", &event]), 0);
    assert!(shown.contains("\nreason      exit code 65\n"), "{shown}");
    let next = format!("`gatepost dead redrive {event} --handler bad` tries it again");
    assert!(shown.contains(&next), "{shown}");
}

const OUTCOMES: &str = r#"
[handler.later.command]
run = ["sh", "-c", "exit 1"]
[handler.other]
on = ["userecho:*"]
[handler.other.log]
[handler.picky]
when = 'data.comment.status == "spam"'
[handler.picky.log]
"#;

/// A line says how it stands, when it is tried next and why it was not called.
#[test]
fn event_has_one_line_for_each_handler() {
    let folder = Folder::new("", OUTCOMES);
    let served = Served::start(&folder);
    let event = send(&folder, &served, "hyvor", "comment.create");
    until_state(&folder, &event, "later", "retry");
    served.wait_until_delivered("picky");
    served.wait_until_delivered("other");
    let text = printed(&run(&folder, &["events", "show", &event]), 0);
    let line = |handler: &str| {
        let begin = format!("{handler}: ");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(&begin)).collect();
        let [line] = lines[..] else { panic!("{handler}: {text}") };
        line.to_owned()
    };
    assert!(line("later").starts_with("later: retry, next try "), "{text}");
    let picky = line("picky");
    let why = "when = data.comment.status == \"spam\" (data.comment.status is \"published\")";
    assert!(picky.starts_with("picky: ") && picky.ends_with(why), "{text}");
    assert!(line("other").ends_with("on = [\"userecho:*\"]"), "{text}");
    assert_eq!(served.stop(), Some(0));
}
