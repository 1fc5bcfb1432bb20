use serde_json::json;

use super::*;
use crate::handler::sql::tests::event;

fn check(value: impl Into<Value>, expected: Option<i128>) {
    let value = value.into();
    assert_eq!(millionths(&value), expected, "{value:?}");
}

#[test]
fn a_version_is_a_number_or_a_time() {
    check(7, Some(7_000_000));
    check("7", Some(7_000_000));
    check(0.5, Some(500_000));
    check(u64::MAX, Some(i128::from(u64::MAX) * 1_000_000));
    check("1970-01-01T00:00:02Z", Some(2_000_000));
    check("1970-01-01 01:00:02+01:00", Some(2_000_000));
    check("v1", None);
    check(true, None);
}

#[test]
fn keys_of_other_types_or_parts_are_other_rows() {
    let texts = [
        key_text(&[Cell::Integer(1)]),
        key_text(&[Cell::Text("1".into())]),
        key_text(&[Cell::Text("1".into()), Cell::Text("2".into())]),
        key_text(&[Cell::Text("1\",\"2".into())]),
    ];
    let different: HashSet<&String> = texts.iter().collect();
    assert_eq!(different.len(), texts.len());
}

/// The text that names a row's version is the one that 0.2.0 stored.
#[test]
fn bytes_name_their_row_as_their_text_does() {
    for (bytes, text) in [(&b"a1"[..], "a1"), ("é".as_bytes(), "é"), (b"\xff\x00", "\\xff00")] {
        let of_bytes = key_text(&[Cell::Bytes(bytes.to_vec())]);
        assert_eq!(of_bytes, key_text(&[Cell::Text(text.into())]));
    }
}

#[test]
fn delete_on_looks_at_source_and_type() {
    let text = "url = \"sqlite:x\"\ntable = \"t\"\nkey = \"a\"\ncolumns = { a = \"1\" }\n\
                delete_on = [\"hyvor:*.delete\", \"other:*\"]";
    let read = crate::settings::read(text, std::path::Path::new("/"), Settings::read);
    let settings = read.value.unwrap();
    let is_delete = |event_type: &str| {
        let event = event(1, event_type, &json!({})).event;
        settings.deletes.has(&event, &Scope::of(&event)).unwrap()
    };
    assert!(is_delete("comment.delete"));
    assert!(!is_delete("comment.deleted"));
    assert!(!is_delete("comment.create"));
}
