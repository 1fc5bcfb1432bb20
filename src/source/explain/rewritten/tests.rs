//! Each way of writing, and the body that it is found again in.

use super::*;

#[track_caller]
fn check(sent: &str, arrived: &str) {
    let found = bodies(arrived.as_bytes()).any(|(_, body)| body == sent.as_bytes());
    assert!(found, "{sent}");
}

#[test]
fn what_each_language_wrote_is_found_again() {
    let arrived = r#"{ "url": "https://a/b", "b": "ö👍", "a": [1, 2.5, null] }"#;
    check(r#"{"url":"https://a/b","b":"ö👍","a":[1,2.5,null]}"#, arrived);
    check(r#"{"url":"https:\/\/a\/b","b":"\u00f6\ud83d\udc4d","a":[1,2.5,null]}"#, arrived);
    check(r#"{"url": "https://a/b", "b": "\u00f6\ud83d\udc4d", "a": [1, 2.5, null]}"#, arrived);
    check(r#"{"a":[1,2.5,null],"b":"ö👍","url":"https://a/b"}"#, arrived);
    check("{\n  \"a\": 1\n}", r#"{"a":1}"#);
    check("a=1", "a=1\n");
    check("a=1\n", "a=1");
    check("{\"a\":1}", "\u{feff}{\"a\":1}");
    check("a\r\nb", "a\nb");
    // Go and Rails, PHP with JSON_HEX_TAG.
    check(r#"{"a":"\u003cp\u003e \u0026 /"}"#, r#"{"a": "<p> & /"}"#);
    check(r#"{"a":"\u003Cp\u003E\u00f6"}"#, r#"{"a":"<p>ö"}"#);
    // .NET.
    check(r#"{"a":"\u003Cp\u003E\u00E9\u0022\u002B"}"#, r#"{"a": "<p>é\"+"}"#);
    check(r#"{"a":"Zo\u00EB\n\\"}"#, r#"{"a":"Zoë\n\\"}"#);
    // Numbers, however they are written.
    check(r#"{"a": 1.10, "b": 1e3}"#, r#"{"a":1.10,"b":1e3}"#);
    check(r#"{"n": 12345678901234567890123}"#, r#"{"n":12345678901234567890123}"#);
    check("{}", "{ }");
    check("{\n\t\"a\": [\n\t\t1\n\t],\n\t\"b\": {}\n}", r#"{"a":[1],"b":{}}"#);
    // What an API gateway or a form was put around.
    check("{\"a\":1}", r#""{\"a\":1}""#);
    check("{\"a\":1}", r#"{"body":"{\"a\":1}","isBase64Encoded":false}"#);
    check("{\"a\":1}", r#"{"body":"eyJhIjoxfQ==","isBase64Encoded":true}"#);
    check("{\"a\":1}", "payload=%7B%22a%22%3A1%7D");
    // A form that was read and written anew.
    check("a=%C3%B6+b&c=%2F", "a=%c3%b6%20b&c=/");
    check("a=x%20y%21", "a=x+y!");
    check("a=x%20y%2C&b=/", "a=x+y%2C&b=%2F");
    check("a=x%20y,&b=https://c.example/d?e", "a=x+y%2C&b=https%3A%2F%2Fc.example%2Fd%3Fe");
    // Only some escapes were written anew.
    check("a=x%20y&b=%7E%2f", "a=x+y&b=~%2f");
    check("a=x+y&b=~%2f(", "a=x%20y&b=%7E%2F(");
    check("a=%c3%bc(/", "a=%C3%BC(/");
    check("a=x y&b=ü", "a=x+y&b=%C3%BC");
    check("a=1", "a=1&b=");
    // Sorted, or as a map has them.
    check("token=x&command=%2Fa&text=b%20c&id=1", "command=%2Fa&id=1&text=b%20c&token=x");
    check("f=1&e=1&d=1&c=1&b=1&a=1", "a=1&b=1&c=1&d=1&e=1&f=1");
    check("a=1&b=1&c=1&d=1&e=1&f=1", "b=1&a=1&f=1&e=1&d=1&c=1");
    // In Latin-1 what was UTF-8, and the other way round.
    check("a=b%20c%7Ed%2A%C3%BC&e=1", "a=b%20c%7Ed%2A%FC&e=1");
    check("a=%FC%E4x&e=%E2", "a=%C3%BC%C3%A4x&e=%C3%A2");
    check("a=%c3%bc", "a=%fc");
    check("a=%C3%BC+b", "a=%FC%20b");
}

#[test]
fn what_writers_print_for_people_is_found_again() {
    let arrived = r#"{"b":"é<x>/","a":[1]}"#;
    // Python and PHP.
    check("{\n    \"b\": \"\\u00e9<x>/\",\n    \"a\": [\n        1\n    ]\n}", arrived);
    check("{\n  \"b\": \"\\u00e9<x>/\",\n  \"a\": [\n    1\n  ]\n}", arrived);
    check("{\n    \"b\": \"\\u00e9<x>\\/\",\n    \"a\": [\n        1\n    ]\n}", arrived);
    // Go's stream, Gson, Jackson, .NET.
    check("{\"b\":\"é\\u003cx\\u003e/\",\"a\":[1]}\n", arrived);
    check(r#"{"a":"\u003cb\u003e\u0027\u003d"}"#, r#"{"a":"<b>'="}"#);
    check("{\n  \"b\" : \"é<x>/\",\n  \"a\" : [\n    1\n  ]\n}", arrived);
    check("{\r\n  \"a\": \"\\u00E9\"\r\n}", r#"{"a":"é"}"#);
}

#[test]
fn what_was_packed_anew_is_found_again() {
    let sent = r#"{"a": 1}"#;
    check(sent, "eyJhIjogMX0=");
    check(sent, "eyJhIjogMX0=\n");
    check(sent, r#""eyJhIjogMX0=""#);
    check(sent, "%7B%22a%22%3A+1%7D=");
    check(sent, "%7B%22a%22%3A%201%7D");
    check(sent, r#"[{"a": 1}]"#);
    check(sent, r#"{"Type":"Notification","Message":"{\"a\": 1}"}"#);
    check(sent, r#"{"message":{"data":"eyJhIjogMX0=","messageId":"1"}}"#);
    check(sent, "{\"a\": 1}\0\0");
    check(sent, "\n {\"a\": 1} \n");
    check(sent, "{&quot;a&quot;: 1}");
    check(sent, r#"{\"a\": 1}"#);
    // Forms of which something made JSON.
    check("a=x+y&b=1", r#"{"a":"x y","b":"1"}"#);
    check("payload=%7B%22a%22%3A1%7D", r#"{"payload":"{\"a\":1}"}"#);
    check("a=1&a=2&n=5", r#"{"a":["1","2"],"n":5}"#);
    check("a=x%20y%7E%2A", r#"{"a":"x y~*"}"#);
    // And the other way round.
    check(r#"{"a":"x y","b":"1"}"#, "a=x+y&b=1");
    check(r#"{"a": "x y", "b": 1, "c": {"d": true}}"#, "a=x+y&b=1&c=%7B%22d%22%3Atrue%7D");
}

#[test]
fn accents_in_another_form_are_found_again() {
    check("{\"a\":\"\u{e9}\"}", "{\"a\":\"e\u{301}\"}");
    check("{\"a\":\"e\u{301}\"}", "{\"a\":\"\u{e9}\"}");
    // UTF-8 that was read as Windows-1252 and written as UTF-8.
    check("{\"a\":\"€–\"}", "{\"a\":\"â‚¬â€“\"}");
    let found = bodies(b"{\"a\":\"\x80\"}").any(|(_, body)| body == "{\"a\":\"€\"}".as_bytes());
    assert!(found, "what came in Windows-1252");
}

#[test]
fn another_charset_is_found_again() {
    let found = |sent: &[u8], arrived: &[u8]| bodies(arrived).any(|(_, body)| body == sent);
    assert!(found(b"{\"a\":\"Zo\xeb\"}", "{\"a\":\"Zoë\"}".as_bytes()));
    assert!(found("{\"a\":\"Zoë\"}".as_bytes(), b"{\"a\":\"Zo\xeb\"}"));
}

/// A stranger's body is explained too.
#[test]
fn no_body_is_written_to_many_times_its_size() {
    let items = "0,".repeat(200_000);
    for depth in [100, 990] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let body = format!("{open}{items}0{close}");
        let longest = bodies(body.as_bytes()).map(|(_, body)| body.len()).max().unwrap();
        assert!(longest <= 7 * body.len() + GROWTH_BYTES, "{longest} of {}", body.len());
    }
}
