use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::event::{DataRoot, Delivery, Event, EventId, NewEvent, Position, SourceName};

mod bodies;
mod exact;
mod filters;
mod values;

fn event(body: &str) -> Arc<Event> {
    let source = SourceName::parse("hyvor").unwrap();
    let new = NewEvent {
        data_root: DataRoot::Data,
        headers: [("user-agent", &b"Hyvor"[..]), ("via", b"a"), ("via", b"b")]
            .into_iter()
            .collect(),
        ..NewEvent::new(source, "comment.create", Timestamp::default(), body.to_owned())
    };
    Arc::new(Event::new(new, EventId(Uuid::from_u128(1)), Position(1)))
}

const BODY: &str = r#"{"event":"comment.create","data":{
    "id":7,"text":"<b>&</b> \"x\"","none":null,"tags":["a","b"],"user":{"name":"Ann"}}}"#;

#[track_caller]
fn check(expression: &str, expected: &str) {
    let value = Expression::compile(expression).unwrap().eval(&Scope::of(&event(BODY))).unwrap();
    let shown = if value.is_undefined() { "undefined".to_owned() } else { plain(&value) };
    assert_eq!(shown, expected, "{expression}");
}

#[test]
fn expressions_see_the_event_the_payload_and_the_data() {
    check("event.id", "00000000-0000-0000-0000-000000000001");
    check("event.source ~ ':' ~ event.type", "hyvor:comment.create");
    check("event.received_at", "1970-01-01T00:00:00.000Z");
    check("event.headers['User-Agent']", "Hyvor");
    check("event.headers.user_agent", "Hyvor");
    check("event.headers.via", "a, b");
    check("payload.data.id == data.id", "true");
    check("data.tags[1]", "b");
    check("events | length", "1");
    check("events[0].event.type", "comment.create");
}

#[test]
fn parameters_of_the_requests_query_are_fields_of_the_event() {
    let query = "order=4%202&tag=a&tag=b&n=5&empty=&data.id=7";
    let headers = event("{}").headers.clone();
    let headers = headers.with_arrival(&crate::event::Arrival::default(), query);
    let mut with = Arc::into_inner(event("{}")).unwrap();
    with.received.headers = headers;
    let with = Arc::new(with);
    for (expression, expected) in [
        ("event.query.order", "4 2"),
        ("event.query.tag | join('+')", "a+b"),
        ("event.query.n > 4 and event.query.n == 5", "true"),
        ("event.query['data.id'] ~ event.query.empty", "7"),
        ("event.query.none is defined or event.query.none.deeper", "undefined"),
        ("events[0].event.query | tojson | length > 10", "true"),
        ("event.headers | list | join(',')", "user-agent,via"),
    ] {
        let value = Expression::compile(expression).unwrap().eval(&Scope::of(&with)).unwrap();
        let shown = if value.is_undefined() { "undefined".to_owned() } else { plain(&value) };
        assert_eq!(shown, expected, "{expression}");
    }
    check("event.query.order", "undefined");
}

#[test]
fn a_missing_field_is_undefined_and_so_is_every_field_of_it() {
    check("data.nothing", "undefined");
    check("data.nothing.at.all[3].there", "undefined");
    check("data.text or data.comment", "<b>&</b> \"x\"");
    check("data.comment or data.user.name", "Ann");
    check("'a' in data.missing", "false");
    check("data.missing | length", "0");
    check("data.missing is defined", "false");
    check("data.missing == 5", "false");
    check("not data.missing.deeper", "true");
    check("event.headers.missing", "undefined");
}

#[test]
fn truth_is_that_of_jinja() {
    let is_true =
        |text: &str| Expression::compile(text).unwrap().is_true(&Scope::of(&event(BODY))).unwrap();
    assert!(is_true("data.id"));
    assert!(is_true("event.type == 'comment.create' and data.id > 5"));
    for falsy in ["data.missing", "data.none", "0", "''", "[]", "data.id > 7"] {
        assert!(!is_true(falsy), "{falsy}");
    }
}

#[test]
fn text_is_none_where_there_is_nothing() {
    let text =
        |text: &str| Expression::compile(text).unwrap().text(&Scope::of(&event(BODY))).unwrap();
    assert_eq!(text("data.id").as_deref(), Some("7"));
    assert_eq!(text("data.user.name").as_deref(), Some("Ann"));
    assert_eq!(text("data.none"), None);
    assert_eq!(text("data.missing"), None);
}

#[track_caller]
fn check_template(template: &str, escape: Escape, expected: &str) {
    let template = Template::compile(template, escape).unwrap();
    assert_eq!(template.render(&Scope::of(&event(BODY))).unwrap(), expected);
}

#[test]
fn templates_escape_values_for_where_they_go() {
    let text = "<i>{{ data.text }}</i>";
    check_template(text, Escape::None, "<i><b>&</b> \"x\"</i>");
    check_template(text, Escape::Html, "<i>&lt;b&gt;&amp;&lt;&#x2f;b&gt; &quot;x&quot;</i>");
    check_template(text, Escape::Slack, "<i>&lt;b&gt;&amp;&lt;/b&gt; \"x\"</i>");
    check_template("{{ data.text | safe }}", Escape::Slack, "<b>&</b> \"x\"");
    check_template("/a/{{ data.text }}", Escape::Url, "/a/%3Cb%3E%26%3C%2Fb%3E%20%22x%22");
    let json = r#"{"t":{{ data.tags }},"n":{{ data.none }},"s":{{ data.user.name }}}"#;
    check_template(json, Escape::Json, r#"{"t":["a","b"],"n":null,"s":"Ann"}"#);
}

#[test]
fn what_is_missing_or_null_prints_as_nothing() {
    for escape in [Escape::None, Escape::Html, Escape::Slack, Escape::Url] {
        check_template("[{{ data.missing.deeper }}{{ data.none }}]", escape, "[]");
    }
}

#[test]
fn true_and_false_are_written_as_in_json() {
    for escape in [Escape::None, Escape::Html, Escape::Json, Escape::Slack, Escape::Url] {
        check_template("{{ data.id == 7 }} {{ data.id is none }}", escape, "true false");
    }
}

#[test]
fn a_batch_has_all_events_in_scope_and_the_first_at_the_top() {
    let deliveries =
        [1, 2].map(|id| Delivery::first(event(&format!(r#"{{"data":{{"id":{id}}}}}"#))));
    let text =
        "{{ events|length }}:{% for e in events %} {{ e.data.id }}{% endfor %} ({{ data.id }})";
    let template = Template::compile(text, Escape::None).unwrap();
    assert_eq!(template.render(&Scope::of_batch(&deliveries)).unwrap(), "2: 1 2 (1)");
}

#[track_caller]
fn check_error(result: Result<Value, ExprError>, message: &str, range: Option<Range<usize>>) {
    let err = result.unwrap_err();
    assert_eq!((err.message.as_str(), err.range), (message, range));
    assert_eq!(err.line, Some(1));
}

fn compile(text: &str) -> Result<Value, ExprError> {
    Expression::compile(text).map(|_| Value::UNDEFINED)
}

#[test]
fn mistakes_are_found_when_compiling_with_their_place() {
    check_error(
        compile("data.a == dta.b"),
        "`dta` is not in scope: use `event`, `payload`, `data` or `events`",
        Some(10..13),
    );
    check_error(compile("data.a | uper"), "unknown filter: filter uper is unknown", Some(9..13));
    assert!(compile("data.a ==").unwrap_err().message.starts_with("syntax error: "));
    assert!(compile("data.a is odddd").unwrap_err().message.starts_with("unknown test: "));
    assert!(compile("data.a | _text").unwrap_err().message.starts_with("unknown filter: "));
    assert!(compile("data.a.shout()").unwrap_err().message.starts_with("unknown method: "));
    check_error(
        compile("data.a | date('%d', 'Mars/Base')"),
        "invalid operation: there is no time zone `Mars/Base`: write one as `Europe/Berlin` \
         (at `date('%d', 'Mars/Base')`)",
        Some(9..32),
    );
    assert!(compile("nofunction(3)").unwrap_err().message.contains("`nofunction` is not in scope"));
    compile("range(3) | length").unwrap();
}

#[test]
fn a_mistake_in_a_template_names_its_line() {
    let err = Template::compile("one\ntwo {{ dat.x }}", Escape::None).unwrap_err();
    assert_eq!((err.line, err.range), (Some(2), Some(11..14)));
    let err = Template::compile("one\n{% if data.x %}", Escape::None).unwrap_err();
    assert_eq!(err.line, Some(2));
    Template::compile(
        "{% for x in data.list %}{{ x }}{% set y = x %}{{ y }}{% endfor %}",
        Escape::Html,
    )
    .unwrap();
}

#[test]
fn an_endless_loop_ends_in_an_error() {
    let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    let template = Template::compile(text, Escape::None).unwrap();
    let err = template.render(&Scope::of(&event(BODY))).unwrap_err();
    assert!(err.message.starts_with("engine ran out of fuel"), "{err}");
    let expression = Expression::compile("('x' * 1000000000) | length").unwrap();
    assert!(expression.eval(&Scope::of(&event(BODY))).is_err());
}

/// One event of these held every delivery up for minutes.
#[test]
fn what_a_stranger_makes_long_is_paid_for_by_fuel() {
    let list = |item: &str, n: usize| vec![item; n].join(",");
    let body = |rest: String| format!(r#"{{"data":{{{rest}}}}}"#);
    let digits = "9".repeat(400_000);
    let (ones, twos) = (list("1", 30_000), list("2", 30_000));
    let lists = body(format!(r#""l":[{ones}],"k":[{twos}]"#));
    let number = body(format!(r#""w":{digits},"l":[{ones}]"#));
    let texts =
        body(format!(r#""s":"{}","c":"{}"#, "ab".repeat(99_999), "c".repeat(200_000)) + "\"");
    for (body, text) in [
        (&lists, "{% for x in data.l %}{{ 'y' if x in data.k }}{% endfor %}"),
        (&lists, "{% for x in data.l %}{{ 'y' if x is in data.k }}{% endfor %}"),
        (&lists, "{% for x in data.l %}{{ data.k.index(x) }}{% endfor %}"),
        (&lists, "{% for x in data.l %}{{ data.k.count(x) }}{% endfor %}"),
        (&number, "{% for x in data.l %}{{ 'y' if data.w == x }}{% endfor %}"),
        (&number, "{% for x in data.l %}{{ 'y' if x < data.w }}{% endfor %}"),
        (&number, "{{ data.l | select('equalto', data.w) | list | length }}"),
        (&texts, "{{ data.s.strip(data.c) }}"),
    ] {
        let template = Template::compile(text, Escape::None).unwrap();
        let err = template.render(&Scope::of(&event(body))).unwrap_err();
        assert!(err.message.starts_with("engine ran out of fuel"), "{text}: {err}");
    }
    // What owners write of what senders send is far from that.
    let list =
        body(format!(r#""l":[{}]"#, (0..500).map(|n| n.to_string()).collect::<Vec<_>>().join(",")));
    let text = "{% for x in data.l %}{{ 'y' if x in data.l }}{% endfor %}";
    let template = Template::compile(text, Escape::None).unwrap();
    assert_eq!(template.render(&Scope::of(&event(&list))).unwrap(), "y".repeat(500));
}

#[test]
fn an_error_does_not_quote_the_payload() {
    let body = r#"{"data":{"a":"hunter2"}}"#;
    for text in ["data.a + 1", "data.a | int", "data.a | items", "data.a.keys()"] {
        let expression = Expression::compile(text).unwrap();
        let err = expression.eval(&Scope::of(&event(body))).unwrap_err();
        assert!(!err.to_string().contains("hunter2"), "{err}");
    }
    let template = Template::compile("{% include data.a %}", Escape::None).unwrap();
    let err = template.render(&Scope::of(&event(body))).unwrap_err();
    assert!(!err.to_string().contains("hunter2"), "{err}");
}

#[test]
fn debug_shows_no_payload() {
    assert!(!format!("{:?}", Scope::of(&event(BODY))).contains("Ann"));
}
