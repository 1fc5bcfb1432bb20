use super::*;

fn name<T, E: fmt::Debug>(parse: fn(&str) -> Result<T, E>, text: &str) -> T {
    parse(text).unwrap()
}

/// The metrics' text after some traffic.
fn text() -> String {
    let metrics = Metrics::new();
    let source = metrics.source(&name(SourceName::parse, "hyvor"));
    source.request(RequestOutcome::Accepted);
    source.request(RequestOutcome::Accepted);
    metrics.unknown_source().request(RequestOutcome::UnknownSource);
    metrics.ack(Duration::from_millis(3));
    metrics.commit(Duration::from_millis(1), 7);
    metrics.secret(&name(SourceName::parse, "hyvor"), 1).matched(Timestamp::from_millis(1_000_500));
    let mail = name(HandlerName::parse, "mail");
    let handler = metrics.handler(&mail);
    handler.settled(&Outcome::Delivered);
    handler.settled(&Outcome::Dead { order_key: None });
    handler.attempt(Duration::from_millis(30));
    metrics.set_queue(&QueueFigures {
        events: 5,
        bytes: 4096,
        lag_bytes: 12,
        damages: 0,
        handlers: vec![HandlerFigures {
            handler: mail,
            backlog_events: 3,
            oldest_pending: Duration::from_millis(1500),
            dead_letters: 1,
        }],
    });
    metrics.text()
}

#[test]
fn the_text_has_the_documented_names() {
    let text = text();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        &format!("gatepost_build_info{{version=\"{version}\"}} 1"),
        r#"gatepost_requests_total{source="hyvor",outcome="accepted"} 2"#,
        r#"gatepost_requests_total{source="-",outcome="unknown_source"} 1"#,
        "gatepost_ack_seconds_count 1",
        "gatepost_commit_seconds_count 1",
        "gatepost_commit_events_sum 7.0",
        "gatepost_queue_events 5",
        "gatepost_queue_bytes 4096",
        "gatepost_queue_lag_bytes 12",
        r#"gatepost_backlog_events{handler="mail"} 3"#,
        r#"gatepost_oldest_pending_seconds{handler="mail"} 1.5"#,
        r#"gatepost_deliveries_total{handler="mail",outcome="delivered"} 1"#,
        r#"gatepost_deliveries_total{handler="mail",outcome="dead"} 1"#,
        r#"gatepost_delivery_seconds_count{handler="mail"} 1"#,
        r#"gatepost_dead_letters{handler="mail"} 1"#,
        r#"gatepost_secret_last_matched_timestamp_seconds{source="hyvor",secret="1"} 1000.5"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_forgotten_handler_leaves_no_gauge_behind() {
    let metrics = Metrics::new();
    let figures = HandlerFigures {
        handler: name(HandlerName::parse, "gone"),
        backlog_events: 3,
        oldest_pending: Duration::ZERO,
        dead_letters: 0,
    };
    metrics.set_queue(&QueueFigures { handlers: vec![figures], ..QueueFigures::default() });
    assert!(metrics.text().contains(r#"{handler="gone"}"#));
    metrics.set_queue(&QueueFigures::default());
    assert!(!metrics.text().contains("gone"));
}

#[test]
fn a_known_source_has_no_series_for_unknown_sources() {
    let metrics = Metrics::new();
    let _source = metrics.source(&name(SourceName::parse, "hyvor"));
    assert!(!metrics.text().contains("unknown_source"));
}

#[test]
fn each_outcome_stands_at_its_own_index() {
    for (index, (outcome, label)) in RequestOutcome::LABELS.into_iter().enumerate() {
        assert_eq!(outcome as usize, index, "{label}");
    }
    let source = Metrics::new().source(&name(SourceName::parse, "hyvor"));
    source.request(RequestOutcome::Unavailable);
    assert_eq!(source.requests(RequestOutcome::Unavailable), 1);
    assert_eq!(source.requests(RequestOutcome::RateLimited), 0);
}
