use super::*;

/// Every token in short, and whether the text is JSON by the letter.
fn tokens(text: impl AsRef<[u8]>) -> Result<(String, bool), String> {
    let mut lexer = Lexer::new(text.as_ref());
    let mut shown = Vec::new();
    while let Some(token) = lexer.next().map_err(|err| err.to_string())? {
        shown.push(match token {
            Token::ObjectStart => "{".into(),
            Token::ObjectEnd => "}".into(),
            Token::ArrayStart => "[".into(),
            Token::ArrayEnd => "]".into(),
            Token::Key(key) => format!("{}:", key.decode()),
            Token::Text(text) => format!("'{}'", text.decode()),
            Token::Number(number) => number.to_owned(),
            Token::Bool(yes) => yes.to_string(),
            Token::Null => "null".into(),
        });
    }
    Ok((shown.join(" "), lexer.is_strict()))
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, expected: &str, is_strict: bool) {
    assert_eq!(tokens(text), Ok((expected.to_owned(), is_strict)));
}

#[test]
fn json_by_the_letter_is_strict() {
    check(
        r#" {"a" : [1, -2.50e+3, true, false, null], "b":{}} "#,
        "{ a: [ 1 -2.50e+3 true false null ] b: { } }",
        true,
    );
    check(r#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00""#, "'\"\\/\u{8}\u{c}\n\r\tA😀'", true);
    check("[]", "[ ]", true);
    check("\"0123456789abcdefghij\u{fc}\"", "'0123456789abcdefghijü'", true);
}

#[test]
fn flaws_of_real_senders_are_read_and_noted() {
    check("\u{feff}1", "1", false);
    check(r#""a\ud83d""#, "'a\u{fffd}'", false);
    check(r#""\ude00b\ud83d\ud83d\ude00""#, "'\u{fffd}b\u{fffd}😀'", false);
    check(b"{\"Zo\xeb\":\"\xff\"}", "{ Zo\u{fffd}: '\u{fffd}' }", false);
    check("[NaN,Infinity,-Infinity]", "[ NaN Infinity -Infinity ]", false);
    check("\"a\nb\tc\"", "'a\nb\tc'", false);
}

#[test]
fn wrong_json_says_where_and_not_what() {
    for (text, expected) in [
        ("", "it ends too early: a value expected"),
        ("{\"a\":1", "it ends too early: `,` or `}` expected"),
        ("[1 2]", "`,` or `]` expected at line 1, column 4"),
        ("{\n \"a\" 1}", "`:` expected at line 2, column 6"),
        ("{a:1}", "a key in quotes expected at line 1, column 2"),
        ("{\"a\":1} x", "the end expected at line 1, column 9"),
        ("[1,]", "a value expected at line 1, column 4"),
        ("01", "the end expected at line 1, column 2"),
        ("1.", "it ends too early: a digit expected"),
        ("\"\\x\"", "an escape expected at line 1, column 2"),
        ("\"\\u12", "an escape expected at line 1, column 2"),
        ("\"a", "it ends too early: `\"` expected"),
        ("hunter2", "a value expected at line 1, column 1"),
    ] {
        assert_eq!(tokens(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn nesting_is_read_to_its_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(tokens(nested(DEPTH_MAX)).is_ok());
    for depth in [DEPTH_MAX + 1, 1_000_000] {
        let expected = Err("it is nested deeper than 1000 levels".to_owned());
        assert_eq!(tokens(nested(depth)), expected);
    }
}

#[test]
fn strings_of_every_length_end_at_their_quote() {
    for len in 0..70 {
        for special in ["\"", "\\n", "\n"] {
            let text = format!("\"{}{special}{}", "x".repeat(len), "y\"");
            let mut lexer = Lexer::new(text.as_bytes());
            let Ok(Some(Token::Text(found))) = lexer.next() else { panic!("{text}") };
            let n_expected = if special == "\"" { len } else { len + 2 };
            assert_eq!(found.decode().chars().count(), n_expected, "{text}");
        }
    }
}

#[test]
fn skipping_checks_all_that_reading_checks() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let texts = [
        r#"{"a":{"b":[1,-2.5e3,0,"x\n","\ud83d"],"c":null},"d":[true,false,{}]} "#.to_owned(),
        r#"["long text without any escape in it, and then one \u00fc",NaN]"#.to_owned(),
        "[1 2]".to_owned(),
        "[1,]".to_owned(),
        "[01]".to_owned(),
        "{\"a\":}".to_owned(),
        "{\"a\" 1}".to_owned(),
        "{1:2}".to_owned(),
        "{,}".to_owned(),
        "[nul]".to_owned(),
        "[\"a\nb\"]".to_owned(),
        "[\"a".to_owned(),
        "[[1]".to_owned(),
        "{\"a\":[}".to_owned(),
        "[1]]".to_owned(),
        "{} {}".to_owned(),
        nested(DEPTH_MAX),
        nested(DEPTH_MAX + 1),
    ];
    for text in &texts {
        for end in 1..=text.len().min(200) {
            // Whole, and cut anywhere.
            let text = if end == 200 { text.as_bytes() } else { &text.as_bytes()[..end] };
            let mut reader = Lexer::new(text);
            let read = loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    other => break other.map(|_| reader.is_strict()),
                }
            };
            let mut skipper = Lexer::new(text);
            let found = skipper
                .next()
                .and_then(|_| skipper.skip())
                .and_then(|()| skipper.next())
                .map(|_| skipper.is_strict());
            assert_eq!(read, found, "{}", String::from_utf8_lossy(text));
        }
    }
}
