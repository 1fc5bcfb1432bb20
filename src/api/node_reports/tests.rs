use super::turned_down::CHARS_MAX;
use super::*;
use crate::api::view::handlers;
use crate::api::{GatewayState, RolloutView, SourceView};
use crate::cluster::REPORT_MAX;
use crate::event::SourceName;
use crate::ingest::RefusedRow;
use crate::queue::{Backlog, QueueStats};

#[test]
fn report_is_bounded_and_leaves_out_what_is_missed_least() {
    let now = Timestamp::from_millis(1);
    // Of one byte, of which JSON makes six.
    let text = |n_chars: usize| "\u{1}".repeat(n_chars);
    let rejected = |number: u64| ReportedRejected {
        number,
        received_at: now,
        source: SourceName::parse("web").unwrap(),
        client: None,
        what: text(CHARS_MAX),
        reason: text(CHARS_MAX),
    };
    let refused = ReportedRefused {
        status: None,
        path: Some(text(CHARS_MAX)),
        source: None,
        reason: text(CHARS_MAX),
        count: 1,
        last_at: now,
    };
    let handler = |number: usize| ReportedHandler {
        name: HandlerName::parse(&format!("handler-{number}")).unwrap(),
        state: Some(HandlerStatus::Running),
        reason: Some(text(ERROR_CHARS_MAX)),
        in_flight: 0,
        failing_since: Some(now),
        failures: 1,
        given_up_since: None,
        given_up_in_a_row: 0,
        probe_at: None,
        last_error: None,
        last_success_at: None,
        calls: None,
    };
    let report = NodeReport {
        handlers: (0..100).map(handler).collect(),
        n_rejected: 1_000,
        rejected: (0..12).map(|n| rejected(1_000 - n)).collect(),
        refused: vec![refused; 12],
        n_refused: 24,
        ..NodeReport::default()
    };
    let text = report.text(&RatesView::default()).unwrap();
    assert!(text.len() <= REPORT_MAX);
    let told: NodeReport = serde_json::from_str(&text).unwrap();
    assert_eq!(told.handlers[0].name.as_str(), "handler-0");
    assert_eq!((told.rejected[0].number, told.n_rejected), (1_000, 1_000));
}

#[test]
fn state_of_calls_is_taken_over_and_a_stale_pause_is_not() {
    let report = |state: &str| -> ReportedHandler {
        let text = format!(r#"{{"name":"app","state":"{state}","failures":3}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let by = || ReportedBy { node: NodeName::parse("b").unwrap(), at: Timestamp::from_millis(1) };
    let app = (HandlerName::parse("app").unwrap(), Backlog::default());
    let stats = QueueStats { handlers: vec![app], ..QueueStats::default() };
    let shown = |here: HandlerStatus, told: &str| {
        let mut handler = handlers(&stats, None, by().at).pop().unwrap();
        handler.state = here;
        report(told).apply(&mut handler, by());
        assert_eq!((handler.failures, handler.reported_by), (3, Some(by())));
        handler.state
    };
    let (running, down) = (HandlerStatus::Running, HandlerStatus::Down);
    assert_eq!(shown(running, "down"), down);
    assert_eq!(shown(down, "running"), running);
    assert_eq!(shown(running, "failed"), HandlerStatus::Failed);
    assert_eq!(shown(running, "paused"), running, "it was resumed here since");
    assert_eq!(shown(running, "disabled"), running);
    assert_eq!(shown(down, "of a later version"), down);
    assert_eq!(shown(HandlerStatus::Paused, "running"), HandlerStatus::Paused);
}

#[test]
fn report_is_no_news_where_deliveries_are_all_that_changed() {
    let text = r#"{"handlers":[{"name":"app","state":"running"}],"n_rejected":1}"#;
    let report: NodeReport = serde_json::from_str(text).unwrap();
    let mut later = report.clone();
    later.handlers[0].in_flight = 2;
    later.handlers[0].last_success_at = Some(Timestamp::from_millis(1));
    assert_eq!(later.clone().without_traffic(), report);
    later.handlers[0].failures = 1;
    assert_ne!(later.without_traffic(), report);
}

/// What gateways tell today must be read by those of the version before, which know fewer fields; and the other way
/// round.
#[test]
fn report_is_read_by_the_version_before_and_of_it() {
    #[derive(serde::Deserialize)]
    struct Before {
        handlers: Vec<HandlerBefore>,
        n_rejected: u64,
        n_refused: u64,
    }
    #[derive(serde::Deserialize)]
    struct HandlerBefore {
        name: HandlerName,
        failures: u32,
    }
    let text = r#"{"handlers":[{"name":"app","state":"running","failures":3}],"n_rejected":1,
        "rejected":[],"refused":[],"n_refused":2}"#;
    let before: NodeReport = serde_json::from_str(text).unwrap();
    assert_eq!((before.started_at, before.charts.as_deref()), (None, None));
    let told = NodeReport {
        started_at: Some(Timestamp::from_millis(1)),
        sources: vec![counts_of("web", 5, &[])],
        charts: Some("packed".to_owned()),
        ..before
    };
    let text = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<NodeReport>(&text).unwrap(), told);
    let read: Before = serde_json::from_str(&text).unwrap();
    assert_eq!((read.handlers[0].name.as_str(), read.handlers[0].failures), ("app", 3));
    assert_eq!((read.n_rejected, read.n_refused), (1, 2));
    // What a later version makes of a rollout is left out, not all that it tells.
    let text = r#"{"n_rejected":7,"rollouts":[{"number":1,"state":"of a later version"}],
        "rollout_requests":[{"to":"a","step":"hurry"}]}"#;
    let later: NodeReport = serde_json::from_str(text).unwrap();
    assert_eq!((later.n_rejected, later.rollouts.len()), (7, 0));
}

fn counts_of(name: &str, accepted: u64, matched: &[(&str, i64)]) -> ReportedSource {
    let matched = matched.iter().map(|(print, at)| ((*print).to_owned(), at_millis(*at)));
    ReportedSource {
        name: SourceName::parse(name).unwrap(),
        accepted,
        duplicate: 1,
        handshakes: 2,
        rejected: 3,
        turned_away: 4,
        last_verified_at: matched.clone().map(|(_, at)| at).max(),
        last_event_at: None,
        matched: matched.collect(),
    }
}

fn at_millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn told_by(node: &str, report: NodeReport) -> NodeReportView {
    NodeReportView { node: NodeName::parse(node).unwrap(), at: at_millis(1), report }
}

#[test]
fn counts_are_summed_and_a_secret_is_used_where_any_gateway_saw_it() {
    let view = || -> SourceView {
        serde_json::from_value(serde_json::json!({
            "name": "web", "provider": "custom", "path": "/hooks/web", "sample_type": null,
            "sample_types": [], "setup": [], "accepted": 10, "duplicate": 10, "handshakes": 10,
            "rejected": 10, "turned_away": 10, "secrets": [
                { "index": 0, "place": "old", "fingerprint": "aa", "last_matched_at": null },
                { "index": 1, "place": "new", "fingerprint": "bb", "last_matched_at": "2026-11-28T10:00:00Z" },
            ],
        }))
        .unwrap()
    };
    let report = |sources: Vec<ReportedSource>| NodeReport { sources, ..NodeReport::default() };
    let reports = [
        told_by("b", report(vec![counts_of("web", 5, &[("aa", 7_000)]), counts_of("x", 9, &[])])),
        told_by("c", report(vec![counts_of("web", 6, &[("aa", 8_000), ("bb", 9_000)])])),
    ];
    let mut sources = [view()];
    counts::add_sources(&mut sources, &reports);
    let [sum] = sources;
    let SourceView { accepted, duplicate, handshakes, rejected, turned_away, .. } = sum;
    assert_eq!([accepted, duplicate, handshakes, rejected, turned_away], [21, 12, 14, 16, 18]);
    let matched: Vec<_> = sum.secrets.iter().map(|one| one.last_matched_at).collect();
    assert_eq!(matched, [Some(at_millis(8_000)), view().secrets[1].last_matched_at]);
}

#[test]
fn gateway_that_is_alive_and_has_not_told_yet_has_a_row() {
    let node =
        |name: &str, alive: bool| serde_json::json!({ "name": name, "applied": 7, "alive": alive });
    let cluster: ClusterView = serde_json::from_value(serde_json::json!({
        "node": "b", "backend": "postgres", "ack": "engine", "applied": 7, "head": 7, "spilled": 0,
        "engine": { "up": true, "since": at_millis(1) }, "void_settlements": 0,
        "nodes": [node("a", true), node("b", true), node("c", true), node("gone", false)],
        "handlers": [],
    }))
    .unwrap();
    let told = NodeReport { n_rejected: 3, ..NodeReport::default() };
    let rows =
        counts::others(vec![told_by("c", told), told_by("left", NodeReport::default())], &cluster);
    let rows: Vec<_> =
        rows.iter().map(|one| (one.node.to_string(), one.state, one.at, one.rejected)).collect();
    let told_at = Some(at_millis(1));
    assert_eq!(
        rows,
        [
            ("a".to_owned(), GatewayState::Alive, None, 0),
            ("c".to_owned(), GatewayState::Alive, told_at, 3),
            ("left".to_owned(), GatewayState::Left, told_at, 0),
        ]
    );
}

#[test]
fn refusals_of_one_place_and_reason_are_one_row() {
    let told = |status, path: &str, reason: &str, count, last| ReportedRefused {
        status,
        path: Some(path.to_owned()),
        source: Some(SourceName::parse("web").unwrap()),
        reason: reason.to_owned(),
        count,
        last_at: at_millis(last),
    };
    let long = "why ".repeat(100);
    let row = |one: ReportedRefused| RefusedRow {
        status: one.status,
        reason: one.reason.into(),
        path: one.path,
        source: one.source,
        count: one.count,
        last_at: one.last_at,
        client: None,
    };
    let mut rows =
        vec![row(told(Some(404), "/x", &long, 5, 50)), row(told(None, "/x", &long, 1, 1))];
    let cut: String = long.chars().take(CHARS_MAX).collect();
    let others = [
        told(Some(404), "/x", &cut, 7, 70),
        told(Some(404), "/x", "another reason", 1, 1),
        told(Some(404), "/y", &cut, 2, 2),
    ];
    turned_down::add_refused(&mut rows, &others);
    let counts: Vec<u64> = rows.iter().map(|row| row.count).collect();
    assert_eq!((counts, rows[0].last_at), (vec![12, 1, 1, 2], at_millis(70)));
    assert!(rows.iter().all(|row| row.source.as_ref().is_some_and(|one| one.as_str() == "web")));
    let told = turned_down::newest_refused(&rows);
    assert!(told.iter().all(|one| one.source.is_some()), "a filter finds them elsewhere");
}

#[test]
fn report_has_room_for_charts_beside_many_sources_and_handlers() {
    let rates = |n_sources: u32| {
        let series = |n: u32| crate::api::Series {
            minutes: (0..60).map(|slot| n + slot * 7_919 % 97).collect(),
            hours: (0..24).map(|slot| n + slot * 7_919 % 997).collect(),
        };
        let source = |n: u32| crate::api::SourceRates {
            source: SourceName::parse(&format!("source-{n}")).unwrap(),
            accepted: series(n),
            rejected: series(2 * n),
        };
        RatesView { sources: (0..n_sources).map(source).collect(), ..RatesView::default() }
    };
    let report = |n_sources: u64| {
        let source = |n: u64| counts_of(&format!("source-{n}"), 1_000_000 * n, &[("0a1b2c3d", 9)]);
        NodeReport {
            sources: (0..n_sources).map(source).collect(),
            n_sources,
            ..NodeReport::default()
        }
    };
    for (n, told_all) in [(8, true), (400, false)] {
        let text = report(u64::from(n)).text(&rates(n)).unwrap();
        assert!(text.len() <= REPORT_MAX, "{}", text.len());
        let told: NodeReport = serde_json::from_str(&text).unwrap();
        assert_eq!(told.sources.len() as u64 == told.n_sources, told_all);
        assert_eq!((told.n_charts_left_out == 0, told.charts.is_some()), (told_all, true));
    }
}

fn rollout(number: u64, state: &str, why: usize) -> RolloutView {
    let ask = serde_json::json!({ "handler": "app", "until": at_millis(1) });
    let ended = serde_json::json!({ "size": 10, "let_go": 10, "done": 9, "failed": 1 });
    serde_json::from_value(serde_json::json!({
        "number": number, "filter": ask, "target": "handler app", "actor": "token", "rate": 50,
        "state": state, "why": "y".repeat(why), "began_at": at_millis(1), "ended_at": null,
        "matched": 412, "stage": 1, "stages": [ended, ended, ended, ended], "delivered": 10,
        "skipped": 0, "failed": 1, "gone": 0, "let_go": [], "continues": "a", "takeovers": 1,
    }))
    .unwrap()
}

#[test]
fn rollouts_that_have_not_ended_are_told_before_others_and_no_one_hides_the_rest() {
    let mut report = NodeReport {
        rollouts: vec![rollout(9, "stopped", 9_000), rollout(8, "running", 0)],
        last_rollout: 9,
        taken_over: vec![(9, at_millis(1), 1), (8, at_millis(1), 1)],
        ..NodeReport::default()
    };
    report.rollouts.extend((1..5).map(|number| rollout(number, "done", 0)));
    let told = |report: &NodeReport| -> NodeReport {
        let text = report.clone().text(&RatesView::default()).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let numbers =
        |told: &NodeReport| -> Vec<u64> { told.rollouts.iter().map(|one| one.number).collect() };
    assert_eq!(numbers(&told(&report)), [8], "one has no room at all");
    report.cut_texts();
    let told = told(&report);
    assert_eq!(numbers(&told), [9, 8]);
    assert_eq!(told.rollouts[0].why.as_deref().map(str::len), Some(CHARS_MAX));
    assert_eq!((told.last_rollout, told.taken_over), (9, report.taken_over));
}

#[test]
fn report_without_handlers_is_told_whatever_the_rest_takes() {
    let refused = ReportedRefused {
        status: None,
        path: Some("p".repeat(CHARS_MAX)),
        source: None,
        reason: "r".repeat(CHARS_MAX),
        count: 1,
        last_at: at_millis(1),
    };
    let answer = |id| RolloutAnswer {
        to: NodeName::parse("b").unwrap(),
        id,
        refused: Some("r".repeat(CHARS_MAX)),
    };
    let report = NodeReport {
        refused: vec![refused; 12],
        sources: (0..40).map(|n| counts_of(&format!("source-{n}"), n, &[])).collect(),
        rollouts: vec![rollout(2, "running", 0), rollout(1, "running", 0)],
        rollout_answers: (0..8).map(answer).collect(),
        taken_over: vec![(u64::MAX, at_millis(1), u32::MAX); 40],
        ..NodeReport::default()
    };
    let text = report.clone().text(&RatesView::default()).unwrap();
    assert!(text.len() <= REPORT_MAX, "{}", text.len());
    let told: NodeReport = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (told.rollout_answers, told.taken_over),
        (report.rollout_answers, report.taken_over)
    );
}
