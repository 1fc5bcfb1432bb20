//! No page is wider than its window, whatever strangers and programs write without a blank.

use super::browser::{check_width, visit};
use super::page;
use crate::support::browser::Browser;
use crate::support::gateway::Gateway;

/// A program that ends in a permanent failure with 100 kB of one word, and an event whose type is one
/// word of 250 characters.
#[test]
fn no_page_scrolls_sideways_for_an_error_or_a_type_without_a_blank() {
    let Some(mut browser) = Browser::start() else { return };
    let script = "head -c 100000 /dev/zero | tr '\\0' A >&2; exit 65";
    let rest = format!(
        "[handler.cmd]\nstart = \"oldest\"\n[handler.cmd.command]\nrun = [\"sh\", \"-c\", {script:?}]\n"
    );
    let gateway = Gateway::with("", &rest);
    let id = gateway.send(format!(r#"{{"event":"{}"}}"#, "t".repeat(250)).as_bytes()).id();
    let other = r#"{"event":"comment.create","data":{"comment":{"id":7}}}"#;
    (0..3).for_each(|n| drop(gateway.send(format!("{other}{}", " ".repeat(n)).as_bytes()).id()));
    gateway.wait_for_outcomes("cmd", "dead", 4);
    gateway.post("hyvor", &[("X-Signature", "00")], "u".repeat(500).as_bytes());
    gateway.post(&"n".repeat(300), &[], b"{}");
    let reason = format!(r#"{{"reason":"{}"}}"#, "r".repeat(200));
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/all/pause", &reason).status, 200);
    assert!(page(&gateway, "/handlers/cmd").contains("AAAAAAAAAA"), "the error is shown");
    visit(&mut browser, &gateway, "/");
    let mut paths = Vec::new();
    for path in [
        "/",
        "/events",
        "/dead",
        "/dead?handler=cmd",
        "/rejected",
        "/rejected/1",
        "/handlers",
        "/handlers/cmd",
        "/handlers/all",
        "/sources",
        "/sources/hyvor",
        "/config",
        "/log",
    ] {
        paths.push((path, path.to_owned()));
    }
    paths.push(("event", format!("/events/{id}")));
    paths.push(("plan", format!("/events/{id}?handler=cmd")));
    for path in ["/events?since=", "/log?since="] {
        paths.push((path, format!("{path}{}", "s".repeat(300))));
    }
    check_width(&mut browser, &gateway, &paths);
}
