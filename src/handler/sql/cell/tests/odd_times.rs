//! Times that some senders write and others would mean otherwise.

use super::*;

#[test]
fn odd_times_are_read_right_or_refused_with_their_form_and_what_to_write() {
    let read = |text: &str| {
        let cell = Cell::of(&Value::from(text), ColumnType::Timestamp);
        cell.and_then(|cell| cell.fit(ColumnType::Text)).map_err(|err| err.to_string())
    };
    for (text, expected) in [
        ("Tuesday, December 3, 2013 5:23 PM", "2013-12-03T17:23:00.000Z"),
        ("Tuesday, December 3, 2013", "2013-12-03T00:00:00.000Z"),
        ("2013-12-03T24:00:00Z", "2013-12-04T00:00:00.000Z"),
        ("2013-12-31T24:00+02:00", "2013-12-31T22:00:00.000Z"),
        ("20131203172334", "2013-12-03T17:23:34.000Z"),
    ] {
        assert_eq!(read(text), Ok(Cell::Text(expected.to_owned())), "{text}");
    }
    for (text, form, help) in [
        ("12/03/2013", "a string like `99/99/9999` is no timestamp", "the day or the month"),
        ("13/3/2013 17:23", "a string like `99/9/9999 99:99` is no timestamp", "or the month"),
        ("2014", "a string of four digits is no timestamp", "`(x ~ \"-01-01\")`"),
        (
            "45123",
            "a string with a number below 100,000,000 is no timestamp",
            "{\"seconds\": x | int}",
        ),
        ("131203172334", "a string of twelve digits is no timestamp", "`\"20\" ~ x`"),
        ("2013-12-03T24:00:01Z", "a string like `9999-99-99a99:99:99a` is no", "ISO 8601"),
        ("soon", "a string like `aaaa` is no timestamp", "ISO 8601"),
    ] {
        let told = read(text).unwrap_err();
        assert!(told.starts_with(form) && told.contains(help), "{text}: {told}");
    }
    let year = Cell::of(&Value::from(2014), ColumnType::Date).unwrap_err().to_string();
    assert!(year.starts_with("a number below 100,000,000 is no "), "{year}");
    assert!(Cell::of(&Value::from(0), ColumnType::Date).is_ok());
    // A number says that it is one, and what is no day and time is milliseconds.
    for millis in [Value::from(131_203_172_334_i64), Value::from("139999172334")] {
        assert!(Cell::of(&millis, ColumnType::Timestamp).is_ok(), "{millis}");
    }
}
