//! Names, types and what a body is read as.

use super::*;

#[test]
fn names_are_short_lower_case_words() {
    for good in ["hyvor", "a", "my-source_2", "0"] {
        assert_eq!(SourceName::parse(good).unwrap().as_str(), good);
    }
    let long = "a".repeat(65);
    for bad in ["", "-a", "A", "a b", "a/b", "ä", &long] {
        assert_eq!(HandlerName::parse(bad), Err(BadName(bad.to_owned())));
    }
}

#[test]
fn a_type_that_cannot_be_one_is_unknown() {
    assert_eq!(EventType::new("comment.create").as_str(), "comment.create");
    for bad in ["", "a\nb", &"x".repeat(257)] {
        assert_eq!(EventType::new(bad).as_str(), "unknown");
    }
}

fn event(body: &'static [u8], data_root: DataRoot) -> Event {
    let source = SourceName::parse("s").unwrap();
    let new = NewEvent::new(source, "unknown", Timestamp::default(), body);
    Event::new(NewEvent { data_root, ..new }, EventId(Uuid::nil()), Position(1))
}

#[test]
fn data_begins_where_the_provider_says() {
    let body = br#"{"data":{"id":5}}"#;
    let id = |value: minijinja::Value| value.get_attr("id").unwrap();
    assert_eq!(id(event(body, DataRoot::Data).data().unwrap()), minijinja::Value::from(5));
    assert!(id(event(body, DataRoot::Payload).data().unwrap()).is_undefined());
    let inner = event(br#"{"payload":{"id":6}}"#, DataRoot::InnerPayload);
    assert_eq!(id(inner.data().unwrap()), minijinja::Value::from(6));
}

#[test]
fn unreadable_body_is_no_empty_payload() {
    let broken = event(b"{\"data\":", DataRoot::Data);
    assert!(broken.payload().is_err() && broken.data().is_err() && broken.json().is_err());
    let empty = event(b"", DataRoot::Data);
    assert!(empty.payload().unwrap().value().is_undefined());
    assert!(empty.data().unwrap().is_undefined());
    assert_eq!(empty.json(), Ok(None));
}

#[test]
fn data_of_text_is_the_text() {
    let text = event(b"<a/>", DataRoot::Data);
    assert_eq!(text.data().unwrap(), minijinja::Value::from("<a/>"));
    assert_eq!(text.json().unwrap().as_deref(), Some("\"<a/>\""));
}

#[test]
fn json_is_the_bodys_own_text_where_every_reader_takes_it() {
    let own = event(b"\n {\"a\":1.0} ", DataRoot::Data);
    assert_eq!(own.json().unwrap().as_deref(), Some("{\"a\":1.0}"));
    let made = event(b"{ \"a\": \"\\ud83d\" }", DataRoot::Data);
    assert_eq!(made.json().unwrap().as_deref(), Some("{\"a\":\"\u{fffd}\"}"));
}
