use super::*;

#[track_caller]
fn check(body: &str, path: &str, expected: Option<&str>) {
    let found = find_in(None, None, body.as_bytes(), &[path]);
    let found = found.and_then(|mut fields| fields.texts.pop().flatten());
    assert_eq!(found.as_deref(), expected, "{path} in {body}");
    // The same where the document is built.
    if let Ok(payload) = body::read(None, None, body.as_bytes()) {
        assert_eq!(text_at(payload.value(), path).as_deref(), expected, "{path} in {body}");
    }
}

#[test]
fn fields_are_found_by_path() {
    check(r#"{"event":"comment.create","data":{}}"#, "event", Some("comment.create"));
    check(r#"{"data":{"id":5,"x":[]},"event":"e"}"#, "data.id", Some("5"));
    check(r#"{"a":{"b":{"c":true}}}"#, "a.b.c", Some("true"));
    check(r#"[{"event":"dropped"},{"event":"open"}]"#, "1.event", Some("open"));
    check(r#"{"\u0065vent":"\u0442\/x"}"#, "event", Some("т/x"));
    check(r#"{"t":-1.5}"#, "t", Some("-1.5"));
    // Dropbox Sign has its event as text in a form's field, SNS and others in a JSON text.
    check(r#"{"a":{"m":"{\"e\":{\"t\":\"x\"}}"}}"#, "a.m.e.t", Some("x"));
    check(r#"{"m":"[{\"e\":\"{\\\"t\\\":5}\"}]"}"#, "m.0.e.t", Some("5"));
    check(r#"{"m":"{\"e\":1"}"#, "m.e", None);
}

#[test]
fn what_is_not_a_plain_value_or_not_there_is_nothing() {
    for body in [r#"{"a":null}"#, r#"{"a":{}}"#, r#"{"a":[1]}"#, "{}", "[]", "3", r#""a""#, ""] {
        check(body, "a", None);
    }
    check(r#"{"a":"x"}"#, "a.b", None);
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    check(r#"{"a":"1","a":"2"}"#, "a", Some("2"));
    check(r#"{"a":{"b":"1"},"a":{"c":"2"}}"#, "a.b", None);
    check(r#"{"a":{"b":"1"},"a":3}"#, "a.b", None);
}

#[test]
fn numbers_keep_their_own_text() {
    for text in ["12345678901234567890123", "10.50", "1e3", "-0", "1.0", "100"] {
        check(&format!("{{\"a\":{text}}}"), "a", Some(text));
    }
}

#[test]
fn flaws_of_real_senders_hide_no_field() {
    check("\u{feff}{\"a\":\"1\"}", "a", Some("1"));
    check(r#"{"x":"\ud83d","a":"y\ud83d"}"#, "a", Some("y\u{fffd}"));
    check(r#"{"x":NaN,"a":1}"#, "a", Some("1"));
    let deep = format!("{}{}", "[".repeat(900), "]".repeat(900));
    check(&format!(r#"{{"x":{deep},"a":"1"}}"#), "a", Some("1"));
}

#[test]
fn a_body_that_is_not_json_to_its_end_has_no_fields() {
    let deep = "[".repeat(200_000);
    for body in [r#"{"a":"1""#, r#"{"a":"1"} x"#, r#"{"a":"1"}{"#, "a = 1", &deep] {
        check(body, "a", None);
    }
    assert!(find_in(None, None, b"\xff\xfe", &["a"]).is_none());
}

#[test]
fn several_paths_take_one_pass() {
    let body = br#"{"type":"t","data":{"id":"d","type":"x"},"id":7}"#;
    let fields = find_in(None, None, body, &["type", "id", "data.id", "none"]).unwrap();
    let expected = [Some("t".into()), Some("7".into()), Some("d".into()), None];
    assert_eq!((fields.texts.as_slice(), fields.is_json), (&expected[..], true));
    assert!(find_in(None, None, body, &[]).is_none());
}

#[test]
fn fields_of_forms_and_packed_bodies_are_found() {
    let find = |content_type: &str, encoding: Option<&[u8]>, body: &[u8]| {
        let fields = find_in(Some(content_type.as_bytes()), encoding, body, &["event"]);
        fields.unwrap().texts.pop().flatten()
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(find(form, None, b"event=a&x=1").as_deref(), Some("a"));
    let payload = b"payload=%7B%22event%22%3A%22push%22%7D";
    assert_eq!(find(form, None, payload).as_deref(), Some("push"));
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, b"{\"event\":1.10}").unwrap();
    let body = packer.finish().unwrap();
    assert_eq!(find("text/json", Some(b"gzip"), &body).as_deref(), Some("1.10"));
}
