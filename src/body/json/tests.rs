use super::*;

fn round_trip(text: &str) -> String {
    let (value, _) = read(text.as_bytes()).unwrap();
    write(&value, Layout::Compact).unwrap()
}

#[test]
fn document_is_written_as_it_was_read() {
    for text in [
        r#"{"b":[1,1.10,"x\n\"\\",null,true,{}],"a":{"c":[[]]}}"#,
        "[12345678901234567890123,1e400,-0]",
        r#""""#,
        "null",
    ] {
        assert_eq!(round_trip(text), text);
    }
    assert_eq!(round_trip("[NaN,Infinity]"), "[null,null]");
    assert_eq!(round_trip(r#""\ud83d""#), "\"\u{fffd}\"");
}

#[test]
fn last_of_repeated_keys_counts() {
    assert_eq!(round_trip(r#"{"a":1,"b":2,"\u0061":3}"#), r#"{"a":3,"b":2}"#);
}

#[test]
fn layouts_differ_in_white_space_only() {
    let (value, _) = read(br#"{"a":[1,2],"b":{},"c":[]}"#).unwrap();
    let text = |layout| write(&value, layout).unwrap();
    assert_eq!(text(Layout::Spaced), r#"{"a": [1, 2], "b": {}, "c": []}"#);
    let expected = "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": []\n}";
    assert_eq!(text(Layout::Indented(2)), expected);
}

#[test]
fn deepest_document_fits_on_a_small_stack() {
    // A thread of the runtime has 2 MiB.
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let done = thread.spawn(|| {
        let text = r#"{"parent":["#.repeat(500) + &"]}".repeat(500);
        assert_eq!(round_trip(&text), text);
        let (one, _) = read(text.as_bytes()).unwrap();
        let (other, _) = read(text.as_bytes()).unwrap();
        assert!(one == other);
        assert!(one.cmp(&other).is_eq());
        assert_eq!(one.to_string(), text);
        let inner = one.get_attr("parent").unwrap();
        drop((one, other));
        assert_eq!(inner.len(), Some(1));
    });
    done.unwrap().join().unwrap();
}

#[test]
fn payloads_compare_by_value() {
    let cmp = |one: &str, other: &str| {
        let value = |text: &str| read(text.as_bytes()).unwrap().0;
        assert_eq!(value(one) == value(other), value(one).cmp(&value(other)).is_eq());
        value(one).cmp(&value(other))
    };
    assert!(cmp(r#"{"a":1.10,"b":[1]}"#, r#"{"b":[1.0],"a":1.1}"#).is_eq());
    assert!(cmp("[1,2]", "[1,3]").is_lt());
    assert!(cmp("[2]", "[1,3]").is_gt());
    assert!(cmp("[1]", "[1,3]").is_lt());
    assert!(cmp(r#"{"a":1}"#, r#"{"b":0}"#).is_lt());
    assert!(cmp(r#"{"a":[{"x":2},0]}"#, r#"{"a":[{"x":1},9]}"#).is_gt());
}

#[test]
fn documents_on_lines_of_their_own_are_found() {
    let texts = |text: &'static str, n_max| {
        let found = lines(text.as_bytes(), n_max).unwrap_or_default();
        found.into_iter().map(|one| text.get(one).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts("{\"a\":1}\r\n\n[2]\n", 9), ["{\"a\":1}", "[2]"]);
    assert_eq!(texts("1\n2\n3", 1), ["1", "2"], "one over the most is enough");
    for other in ["", "{}", "{}\n", "{}\n{", "{}{}\n{}", "{\n}\n{\n}", "a\nb"] {
        assert_eq!(texts(other, 9), [""; 0], "{other}");
    }
}
