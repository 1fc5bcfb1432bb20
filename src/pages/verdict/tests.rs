//! What the overview's first sentence counts, with more than one handler in trouble.

use super::*;

/// A handler whose state is `state`; one that fails does so since a moment ago.
fn handler(name: &str, state: &str, is_failing: bool, waiting: u64, dead: u64) -> HandlerView {
    let failing_since = is_failing.then_some("2026-11-28T10:00:00Z");
    serde_json::from_value(serde_json::json!({
        "name": name, "kind": "http", "state": state, "reason": null, "pause": null, "in_log": 0,
        "waiting": waiting, "dead": dead, "oldest_pending_at": null, "oldest_pending_seconds": 0,
        "in_flight": 0, "concurrency": 4, "failing_since": failing_since, "failures": 3,
        "probe_at": null, "last_error": null, "last_success_at": null,
    }))
    .unwrap()
}

fn plain(ticked: &Ticked) -> String {
    ticked.pieces.iter().map(|(piece, _)| piece.as_str()).collect()
}

fn sentence(verdict: &Verdict) -> String {
    let link = verdict.link.as_ref().map(|link| link.0.as_str()).unwrap_or_default();
    let dead = verdict.dead.as_ref().map(|dead| format!(" {} {}", dead.0, verdict.dead_end));
    format!("{} {link} {}{}", verdict.first, verdict.end, dead.unwrap_or_default())
}

#[test]
fn dead_letters_of_handlers_that_fail_are_told_and_nothing_is_called_safe_beside_them() {
    for (app, mailall, expected) in [
        ((0, 30), (1, 0), "1 delivery waits, and 30 were given up: they are kept as dead letters."),
        ((0, 0), (2, 0), "2 deliveries wait; nothing is lost."),
        ((0, 1), (0, 0), "1 dead letter waits for you; nothing else waits."),
        ((0, 0), (0, 0), " Nothing waits for them."),
    ] {
        let app = handler("app", "running", true, app.0, app.1);
        let mailall = handler("mailall", "down", true, mailall.0, mailall.1);
        let verdict = many_fail(&[&app, &mailall], Timestamp::from_millis(0));
        assert_eq!(sentence(&verdict), format!("2 handlers fail. {expected}"));
        let named: Vec<_> = verdict.each.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(named, ["app", "mailall"]);
        let is_sent = plain(&verdict.explained).contains("What waits is sent");
        assert_eq!(is_sent, expected.contains("deliver"), "{expected}: {verdict:?}");
    }
    let bound = HandlerView { in_log: 328, ..handler("app", "running", true, 0, 0) };
    let verdict = many_fail(&[&bound, &bound], Timestamp::from_millis(0));
    assert!(sentence(&verdict).contains("fail. Up to 656 deliveries wait"), "{verdict:?}");
    let verdict = one_fails(&bound, "", Timestamp::from_millis(0));
    assert!(sentence(&verdict).contains(" Up to 328 events wait"), "{verdict:?}");
    let one = handler("app", "running", true, 2, 1);
    let verdict = one_fails(&one, "", Timestamp::from_millis(0));
    assert!(sentence(&verdict).contains("2 events wait for it, and 1 was given up"));
}

#[test]
fn only_handlers_that_go_on_are_said_to_go_on() {
    let failing = || handler("app", "running", true, 0, 0);
    let running = |name: &str| handler(name, "running", false, 0, 0);
    let paused = |name: &str| handler(name, "paused", false, 0, 0);
    for (rest, expected) in [
        (vec![], ""),
        (vec![running("a")], "The other handler goes on. "),
        (vec![running("a"), running("b")], "The other 2 handlers go on. "),
        (vec![running("a"), running("b"), paused("c")], "2 other handlers go on, 1 is paused. "),
        (vec![paused("c")], "1 other handler is paused. "),
        (vec![handler("d", "disabled", false, 0, 0)], ""),
    ] {
        let handlers: Vec<_> = std::iter::once(failing()).chain(rest).collect();
        assert_eq!(others(&handlers), expected);
    }
}

/// Every call of it says that no other try is of use, so that nothing fails for a while and nothing
/// waits: that it does no work is seen all the same. One odd event in between is not the handler.
#[test]
fn handler_that_gives_up_all_that_it_gets_is_in_trouble() {
    let mut cmd = handler("cmd", "running", false, 0, 15);
    cmd.last_error = serde_json::from_value(serde_json::json!({
        "at": "2026-11-28T10:00:00Z", "event": "01890a5d-ac96-774b-bcce-b302099a8057",
        "text": "exit status 65",
    }))
    .unwrap();
    for (in_a_row, expected) in [(0, false), (1, false), (2, false), (3, true), (15, true)] {
        cmd.given_up_in_a_row = in_a_row;
        assert_eq!(cmd.is_in_trouble(), expected, "{in_a_row}");
    }
    let shown = one_gives_up(&cmd, "", Timestamp::from_millis(0));
    let said = format!("{}{} {}", shown.first, plain(&shown.rest), sentence(&shown));
    assert!(said.starts_with(
        "cmd has delivered nothing since the start: its last 15 deliveries were given up: exit \
         status 65. "
    ));
    assert!(said.ends_with("15 dead letters wait for you."), "{said}");
    assert_eq!(cmd.state_shown(), "giving up");
    cmd.last_success_at = Some(Timestamp::from_millis(0));
    let shown = one_gives_up(&cmd, "", Timestamp::from_millis(60_000));
    assert!(shown.first.ends_with("nothing since") && shown.since.is_some());
}

#[test]
fn error_is_cut_off_by_one_ellipsis_and_what_it_quotes_is_code() {
    let mut mail = handler("mail", "down", true, 1, 0);
    mail.last_error = serde_json::from_value(serde_json::json!({
        "at": "2026-11-28T10:00:00Z", "event": "01890a5d-ac96-774b-bcce-b302099a8057",
        "text": "mail server `127.0.0.1:25` cannot be reached: connect: Connection was refused by it (os error 111)",
    }))
    .unwrap();
    let shown = one_fails(&mail, "", Timestamp::from_millis(0));
    assert!(plain(&shown.rest).ends_with("(os er…"), "{shown:?}");
    assert!(shown.rest.pieces.contains(&("127.0.0.1:25".to_owned(), true)), "{shown:?}");
}
