use super::*;

mod odd_times;

fn check(value: impl Into<Value>, wanted: ColumnType, expected: impl Into<Option<Cell>>) {
    let value = value.into();
    assert_eq!(Cell::of(&value, wanted).ok(), expected.into(), "{value:?} as {wanted:?}");
}

fn at(text: &str) -> Cell {
    Cell::Timestamp(text.parse::<jiff::Timestamp>().unwrap().into())
}

#[test]
fn what_is_missing_is_null_in_every_type() {
    for (_, wanted) in ColumnType::NAMES {
        check(Value::UNDEFINED, wanted, Cell::Null);
        check(Value::from(()), wanted, Cell::Null);
    }
    check(" ", ColumnType::Integer, Cell::Null);
    check("", ColumnType::Text, Cell::Text(String::new()));
}

#[test]
fn text_takes_everything() {
    check("a\"b", ColumnType::Text, Cell::Text("a\"b".into()));
    check(5, ColumnType::Text, Cell::Text("5".into()));
    check(true, ColumnType::Text, Cell::Text("true".into()));
    check(vec![1, 2], ColumnType::Text, Cell::Text("[1,2]".into()));
}

#[test]
fn written_numbers_keep_their_text_and_fit_every_column() {
    let read = number::read;
    check(read("1.10"), ColumnType::Text, Cell::Text("1.10".into()));
    check(
        read("18446744073709551617"),
        ColumnType::Text,
        Cell::Text("18446744073709551617".into()),
    );
    let huge = "9".repeat(50);
    check(read(&huge), ColumnType::Text, Cell::Text(huge.clone()));
    check(read("1.10"), ColumnType::Json, Cell::Json("1.10".into()));
    check(vec![read("1.10")], ColumnType::Text, Cell::Text("[1.10]".into()));
    check(read("1.10"), ColumnType::Real, Cell::Real(1.1));
    for text in ["18446744073709551617", "1234567890.12345678", "123456789012345678e-3"] {
        check(read(text), ColumnType::Real, Cell::Decimal(text.into()));
        check(text, ColumnType::Real, Cell::Decimal(text.into()));
    }
    check(read("1e2"), ColumnType::Integer, Cell::Integer(100));
    check(read("1.00"), ColumnType::Bool, Cell::Bool(true));
    check(read("1398399458.0"), ColumnType::Timestamp, at("2014-04-25T04:17:38Z"));
    for mismatch in ["1e400", "Infinity", "NaN"] {
        check(read(mismatch), ColumnType::Real, None);
    }
    let mismatch = Cell::of(&read("1e400"), ColumnType::Real).unwrap_err();
    assert_eq!(mismatch.to_string(), "a number is no real");
}

#[test]
fn numbers_and_truth_come_also_as_text() {
    check("42", ColumnType::Integer, Cell::Integer(42));
    check(5.0, ColumnType::Integer, Cell::Integer(5));
    check(5.5, ColumnType::Integer, None);
    check("x", ColumnType::Integer, None);
    check(u64::MAX, ColumnType::Integer, None);
    check("1.5", ColumnType::Real, Cell::Real(1.5));
    check(7, ColumnType::Real, Cell::Integer(7));
    check(f64::NAN, ColumnType::Real, None);
    check(1, ColumnType::Bool, Cell::Bool(true));
    for (yes, no) in
        [("true", "False"), ("t", "f"), ("Y", "N"), ("yes", "no"), ("ON", "off"), ("1", "0")]
    {
        check(yes, ColumnType::Bool, Cell::Bool(true));
        check(no, ColumnType::Bool, Cell::Bool(false));
    }
    check("maybe", ColumnType::Bool, None);
    check("a", ColumnType::Json, Cell::Json("\"a\"".into()));
}

#[test]
fn a_timestamp_comes_as_unix_time_or_as_text() {
    let moment = at("2014-04-25T04:17:38Z");
    for text in [
        "2014-04-25T04:17:38Z",
        "2014-04-25T06:17:38+02:00",
        "2014-04-25T04:17:38",
        "2014-04-25 04:17:38",
        "2014-04-25 04:17:38 UTC",
        "2014-04-25 06:17:38 +0200",
        "2014-04-25 06:17:38 +02:00",
        "Fri Apr 25 04:17:38 +0000 2014",
        "Fri, 25 Apr 2014 04:17:38 +0000",
        "1398399458",
    ] {
        check(text, ColumnType::Timestamp, moment.clone());
    }
    check(1_398_399_458, ColumnType::Timestamp, moment.clone());
    check(1_398_399_458_000_i64, ColumnType::Timestamp, moment.clone());
    check(1_398_399_458_000_000_i64, ColumnType::Timestamp, moment.clone());
    check(1_398_399_458_000_000_000_i64, ColumnType::Timestamp, moment);
    check(1_398_399_458.5, ColumnType::Timestamp, at("2014-04-25T04:17:38.5Z"));
    check("2014-04-25", ColumnType::Timestamp, at("2014-04-25T00:00:00Z"));
    check("2014-13-25", ColumnType::Timestamp, None);
    check("yesterday", ColumnType::Timestamp, None);
    check(true, ColumnType::Timestamp, None);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a form a line")]
fn every_form_of_senders_is_a_timestamp() {
    let moment = at("2013-12-03T17:23:34Z");
    for text in [
        // GitLab and Rails, git, Python, Go, Java.
        "2013-12-03 17:23:34 UTC",
        "2013-12-03 17:23:34 +0000",
        "2013-12-03 18:23:34 +0100",
        "2013-12-03 12:23:34 -05:00",
        "2013-12-03T17:23:34+0000",
        "2013-12-03T17:23:34.000+0000",
        "2013-12-03 17:23:34+00",
        "2013-12-03 17:23:34.000000+00:00",
        "2013-12-03 17:23:34 +0000 UTC",
        "2013-12-03 17:23:34.000000000 +0000 UTC m=+0.000000001",
        "2013-12-03T17:23:34Z[UTC]",
        "2013-12-03T18:23:34+01:00[Europe/Paris]",
        "2013-12-03 17:23:34Z",
        "2013-12-03t17:23:34z",
        "2013/12/03 17:23:34",
        "2013/12/03 17:23:34 +0000",
        "20131203T172334Z",
        "20131203172334",
        // C, JavaScript, HTTP, web servers.
        "Tue Dec  3 17:23:34 2013",
        "Tue Dec 03 17:23:34 UTC 2013",
        "Tue Dec 03 17:23:34 +0000 2013",
        "Tue Dec 03 2013 18:23:34 GMT+0100 (Central European Standard Time)",
        "Tue, 03 Dec 2013 17:23:34 GMT",
        "Tue, 3 Dec 2013 12:23:34 EST",
        "Tue, 03 Dec 2013 17:23:34",
        "Tuesday, 03-Dec-13 17:23:34 GMT",
        "03/Dec/2013:17:23:34 +0000",
        // PayPal, .NET, and what people read.
        "09:23:34 Dec 03, 2013 PST",
        "/Date(1386091414000)/",
        "/Date(1386091414000+0100)/",
        "Dec 3, 2013 5:23:34 PM",
        "December 3, 2013 17:23:34",
        "3 December 2013 17:23:34",
        "3 Dec 2013 5:23:34 PM",
        "03-Dec-2013 17:23:34",
        "03-Dec-2013 12:23:34 -0500",
        "1386091414.0",
        "1386091414000",
    ] {
        check(text, ColumnType::Timestamp, moment.clone());
    }
    for (text, expected) in [
        ("2013-12-03 17:23 UTC", "2013-12-03T17:23:00Z"),
        ("2013-12-03T17:23Z", "2013-12-03T17:23:00Z"),
        ("2013-12-03 17:23", "2013-12-03T17:23:00Z"),
        ("2013/12/03", "2013-12-03T00:00:00Z"),
        ("Dec 3, 2013", "2013-12-03T00:00:00Z"),
        ("December 3, 2013 5:23 PM", "2013-12-03T17:23:00Z"),
        ("3 Dec 2013 17:23", "2013-12-03T17:23:00Z"),
        ("03 December 2013 17:23", "2013-12-03T17:23:00Z"),
        ("Tue, 03 Dec 2013 17:23", "2013-12-03T17:23:00Z"),
        ("03-Dec-2013 17:23", "2013-12-03T17:23:00Z"),
        ("3-Dec-2013", "2013-12-03T00:00:00Z"),
        ("2013-12-03T17:23:34,250Z", "2013-12-03T17:23:34.25Z"),
        ("2013-12-03 17:23:34.25 UTC", "2013-12-03T17:23:34.25Z"),
    ] {
        check(text, ColumnType::Timestamp, at(expected));
    }
    let map = |json: &str| {
        let event = crate::handler::testing::delivery(json).event;
        event.payload().unwrap().value().clone()
    };
    for json in [
        r#"{"$date": "2013-12-03T17:23:34Z"}"#,
        r#"{"$date": 1386091414000}"#,
        r#"{"seconds": 1386091414, "nanos": 0}"#,
        r#"{"_seconds": 1386091414, "_nanoseconds": 0}"#,
        r#"{"date": "2013-12-03 18:23:34.000000", "timezone_type": 3, "timezone": "Europe/Berlin"}"#,
        r#"{"date": "2013-12-03 18:23:34.000000", "timezone_type": 2, "timezone": "CET"}"#,
        r#"{"date": "2013-12-03 18:23:34.000000", "timezone_type": 1, "timezone": "+01:00"}"#,
        r#"{"date": "2013-12-03 17:23:34.000000", "timezone_type": 3, "timezone": "UTC"}"#,
    ] {
        check(map(json), ColumnType::Timestamp, moment.clone());
    }
    for none in [
        r#"{"a": 1}"#,
        r#"{"date": "2013-12-03"}"#,
        r#"{"date": "2013-12-03", "timezone": "Europe/Nowhere"}"#,
        r#"{"date": 1386091414, "timezone": "UTC"}"#,
    ] {
        check(map(none), ColumnType::Timestamp, None);
    }
}

/// Zones by their names, points and slashes, AM and PM.
#[test]
fn a_timestamp_comes_as_clocks_of_its_country_show_it() {
    for (text, expected) in [
        ("2013-12-03 18:23:34 CET", "2013-12-03T17:23:34Z"),
        ("2013-07-03 18:23:34 CEST", "2013-07-03T16:23:34Z"),
        ("2013-12-03 18:23:34 Europe/Berlin", "2013-12-03T17:23:34Z"),
        ("2013-07-03T18:23:34 Europe/Berlin", "2013-07-03T16:23:34Z"),
        ("2013-07-03T18:23:34[Europe/Berlin]", "2013-07-03T16:23:34Z"),
        ("2013-07-03 18:23:34.5 [Europe/Berlin]", "2013-07-03T16:23:34.5Z"),
        // An offset counts for more than a name.
        ("2013-07-03T18:23:34+00:00[Europe/Berlin]", "2013-07-03T18:23:34Z"),
        ("2013-07-03 18:23:34 UTC [Europe/Berlin]", "2013-07-03T18:23:34Z"),
        ("2013-07-03T18:23:34Z[Europe/Berlin]", "2013-07-03T18:23:34Z"),
        ("3.7.2013 18:23", "2013-07-03T18:23:00Z"),
        ("03.07.2013 18:23:34", "2013-07-03T18:23:34Z"),
        ("3.7.2013, 18:23:34", "2013-07-03T18:23:34Z"),
        ("03.07.2013 18:23 Europe/Berlin", "2013-07-03T16:23:00Z"),
        ("03.07.2013", "2013-07-03T00:00:00Z"),
        ("01/02/2026 3:04 PM", "2026-01-02T15:04:00Z"),
        ("1/2/2026, 3:04:05\u{202f}pm", "2026-01-02T15:04:05Z"),
        ("01/02/2026 12:04 AM UTC", "2026-01-02T00:04:00Z"),
        ("2026-01-02 3:04 PM", "2026-01-02T15:04:00Z"),
    ] {
        check(text, ColumnType::Timestamp, at(expected));
    }
    // Either may be the month; and these names mean several zones, or none.
    for text in [
        "01/02/2026 15:04",
        "01/02/2026",
        "25/12/2026 3:04 PM",
        "2013-12-03 18:23:34 IST",
        "2013-12-03 18:23:34 Europe/Nowhere",
        "2013-12-03 18:23:34 [Nowhere]",
        "3.7.13 18:23",
    ] {
        check(text, ColumnType::Timestamp, None);
    }
    for text in ["1386091414123456", "1386091414123456.0"] {
        check(text, ColumnType::Timestamp, at("2013-12-03T17:23:34.123456Z"));
    }
}

#[test]
fn never_is_the_end_of_the_calendar() {
    for (text, expected) in [
        ("9999-12-31", "9999-12-31T00:00:00.000Z"),
        ("9999-12-31T00:00:00Z", "9999-12-31T00:00:00.000Z"),
        ("9999-12-31 23:59:59", "9999-12-31T23:59:59.000Z"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.000Z"),
        ("9999-12-31T22:15:00.25+00:00", "9999-12-31T22:15:00.250Z"),
        // In UTC it is the year 10000.
        ("9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.000Z"),
        ("9999-12-31T23:59:59+05:00", "9999-12-31T18:59:59.000Z"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59.000Z"),
        ("31 Dec 9999 10:00", "9999-12-31T10:00:00.000Z"),
        ("/Date(253402300799999)/", "9999-12-31T23:59:59.000Z"),
        ("253402300799", "9999-12-31T23:59:59.000Z"),
        ("253402214400", "9999-12-31T00:00:00.000Z"),
        ("253402300800", "9999-12-31T23:59:59.000Z"),
        ("253402300799999", "9999-12-31T23:59:59.000Z"),
        ("253402300799999999", "9999-12-31T23:59:59.000Z"),
        // In milliseconds: 1978.
        ("253402100000", "1978-01-11T21:28:20.000Z"),
    ] {
        let of = |value: Value| {
            let cell = Cell::of(&value, ColumnType::Timestamp).unwrap();
            assert_eq!(cell.fit(ColumnType::Text), Ok(Cell::Text(expected.into())), "{value}");
        };
        of(text.into());
        if let Ok(number) = text.parse::<i64>() {
            of(number.into());
        }
    }
    for text in ["10000-01-01", "+010000-01-01T00:00:00Z"] {
        check(text, ColumnType::Timestamp, None);
    }
}

#[test]
fn a_day_is_the_one_that_was_sent() {
    for (text, expected) in [
        ("2024-02-29T23:30:00-05:00", "2024-02-29"),
        ("2024-02-29T00:30:00+05:00", "2024-02-29"),
        ("2024-02-29", "2024-02-29"),
        ("2024-02-29 23:30:00 -0500", "2024-02-29"),
        ("Thu, 29 Feb 2024 23:30:00 EST", "2024-02-29"),
        ("Thu Feb 29 23:30:00 -0500 2024", "2024-02-29"),
        ("1709249400", "2024-02-29"),
        ("9999-12-31T23:59:59Z", "9999-12-31"),
    ] {
        let day = Cell::Text(expected.to_owned());
        check(text, ColumnType::Date, day.clone());
        let moment = Cell::of(&Value::from(text), ColumnType::Timestamp).unwrap();
        assert_eq!(moment.fit(ColumnType::Date), Ok(day.clone()));
        assert_eq!(day.clone().fit(ColumnType::Date), Ok(day));
    }
    check("0000-00-00", ColumnType::Date, Cell::Null);
    check("tomorrow", ColumnType::Date, None);
}

#[test]
fn no_date_is_null() {
    for text in [
        "0000-00-00",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00",
        " ",
    ] {
        check(text, ColumnType::Timestamp, Cell::Null);
    }
}

#[test]
fn lists_are_arrays_of_what_the_column_holds() {
    let list = |value: Value, column| Cell::list(&value, column, column, 1).ok();
    let numbers = Cell::List(vec![Cell::Integer(1), Cell::Integer(2), Cell::Null]);
    let value = Value::from(vec![Value::from(1), Value::from("2"), Value::from(())]);
    assert_eq!(list(value, ColumnType::Integer), Some(numbers));
    assert_eq!(list(Value::from(vec!["x"]), ColumnType::Integer), None);
    let single = Cell::List(vec![Cell::Text("a".to_owned())]);
    assert_eq!(list(Value::from("a"), ColumnType::Text), Some(single));
    assert_eq!(list(Value::from(()), ColumnType::Text), Some(Cell::Null));
}

#[test]
fn a_number_is_seconds_where_a_clock_is_shown() {
    let shown = |text: &str| Cell::Text(text.to_owned()).on_a_clock(&Value::from(text));
    let check = |text: &str, expected: &str| {
        assert_eq!(shown(text), Some(Cell::Text(expected.to_owned())), "{text}");
    };
    for (text, expected) in [
        ("0", "00:00:00"),
        ("90", "00:01:30"),
        ("130", "00:02:10"),
        (" 36000 ", "10:00:00"),
        ("00130", "00:02:10"),
        ("1.5", "00:00:01.5"),
        ("-90", "-00:01:30"),
    ] {
        check(text, expected);
    }
    for same in ["12:30", "", "1e2", "-", "1.2.3", "+5", "99999999999999999999"] {
        check(same, same);
    }
    // Half past nine or nine minutes; half past two or 23 minutes.
    for either in ["0930", "1430", " 093000", "123000 "] {
        assert_eq!(shown(either), None, "{either}");
    }
    let number = Value::from(100_000);
    let seconds = Cell::Text("100000".to_owned()).on_a_clock(&number);
    assert_eq!(seconds, Some(Cell::Text("27:46:40".to_owned())));
    let list = |items: &[&str]| {
        let cells = items.iter().map(|item| Cell::Text((*item).to_owned())).collect();
        Cell::List(cells).on_a_clock(&items.iter().copied().collect())
    };
    let shown = ["00:02:10", "12:30"].map(|text| Cell::Text(text.to_owned()));
    assert_eq!(list(&["130", "12:30"]), Some(Cell::List(shown.to_vec())));
    assert_eq!(list(&["130", "1230"]), None);
}

#[test]
fn a_cell_fits_the_column_that_is_really_there() {
    let moment = Cell::of(&Value::from(1_398_399_458), ColumnType::Timestamp).unwrap();
    let fit = |cell: &Cell, column| cell.clone().fit(column).unwrap();
    assert_eq!(fit(&moment, ColumnType::Integer), Cell::Integer(1_398_399_458));
    assert_eq!(fit(&moment, ColumnType::Text), Cell::Text("2014-04-25T04:17:38.000Z".to_owned()));
    assert_eq!(fit(&Cell::Bool(true), ColumnType::Integer), Cell::Integer(1));
    assert_eq!(fit(&Cell::Text("7".into()), ColumnType::Integer), Cell::Integer(7));
    assert!(moment.fit(ColumnType::Bool).is_err());
}

#[test]
fn a_misfit_shows_no_value() {
    let mismatch = Cell::of(&Value::from("hunter2"), ColumnType::Integer).unwrap_err();
    assert_eq!(mismatch.to_string(), "a string is no integer");
}

#[test]
fn nul_leaves_text_and_json_but_not_what_looks_like_it() {
    let clean = |cell: Cell| cell.without_nul();
    assert_eq!(clean(Cell::Text("a\0b".into())), Cell::Text("a\u{fffd}b".into()));
    assert_eq!(
        clean(Cell::Json(r#"{"a":"\u0000"}"#.into())),
        Cell::Json("{\"a\":\"\u{fffd}\"}".into())
    );
    let escaped = Cell::Json(r#""\\u0000""#.into());
    assert_eq!(clean(escaped.clone()), escaped);
}
