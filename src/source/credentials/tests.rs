use super::*;
use crate::source::tests::configured;

const JSON: &[(&str, &[u8])] = &[("content-type", b"application/json")];
const FORM: &[(&str, &[u8])] = &[("content-type", b"application/x-www-form-urlencoded")];

fn of(text: &str) -> Credentials {
    configured(text, &["secret"]).settings().credentials()
}

fn shown(credentials: &Credentials, headers: &[(&str, &[u8])], body: &str) -> String {
    let headers = headers.iter().copied().collect();
    String::from_utf8(credentials.mask_body(&headers, body.as_bytes()).into_owned()).unwrap()
}

#[test]
fn password_in_json_is_hidden_and_the_rest_is_as_written() {
    let credentials = of("verify = { algorithm = \"token\", json = \"a.t\" }");
    for (body, expected) in [
        (
            r#"{"n":1.10, "a": {"t" : "hush","u":"hush"}}"#,
            r#"{"n":1.10, "a": {"t" : "(hidden)","u":"hush"}}"#,
        ),
        (
            r#"{"a":{"t":1,"t":[1,{"t":2}]},"t":3}"#,
            r#"{"a":{"t":"(hidden)","t":"(hidden)"},"t":3}"#,
        ),
        (r#"[{"a":{"t":"other"}}]"#, r#"[{"a":{"t":"other"}}]"#),
        (r#"{"a":{"t":"hush"}"#, "(hidden)"),
        ("", ""),
    ] {
        assert_eq!(shown(&credentials, JSON, body), expected);
    }
}

#[test]
fn password_is_hidden_in_whatever_charset_the_body_is() {
    let credentials = of("verify = { algorithm = \"token\", json = \"t\" }");
    let masked = |label: &str, body: &[u8]| {
        let content_type = format!("application/json; charset={label}");
        let headers = [("content-type", content_type.as_bytes())].into_iter().collect();
        credentials.mask_body(&headers, body).into_owned()
    };
    let utf16 = |text: &str, mark: &[u8]| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [mark, &units.collect::<Vec<u8>>()].concat()
    };
    for mark in [&b""[..], b"\xff\xfe"] {
        assert_eq!(masked("utf-16", &utf16(r#"{"t":"hush"}"#, mark)), b"(hidden)");
        let other = utf16(r#"{"u":"hush"}"#, mark);
        assert_eq!(masked("utf-16", &other), other);
    }
    assert_eq!(
        masked("latin1", b"{\"t\":\"hush\",\"a\":\"\xeb\"}"),
        b"{\"t\":\"(hidden)\",\"a\":\"\xeb\"}"
    );
}

#[test]
fn password_in_the_claims_of_a_token_is_hidden_with_all_of_it() {
    let credentials = of("verify = { algorithm = \"token\", json = \"t\" }");
    // {"a":1} and {"t":"hush"}
    assert_eq!(shown(&credentials, &[], "eyJhIjoxfQ.eyJ0IjoiaHVzaCJ9.c2ln"), "(hidden)");
    assert_eq!(shown(&credentials, &[], "eyJhIjoxfQ.c2ln"), "eyJhIjoxfQ.c2ln");
}

#[test]
fn password_in_each_item_is_hidden() {
    let verify = "verify = { algorithm = \"token\", json = \"state\", each = \"value\" }";
    let body = r#"{"value":[{"state":"hush"},{"state":"hush","id":1}]}"#;
    let expected = r#"{"value":[{"state":"(hidden)"},{"state":"(hidden)","id":1}]}"#;
    assert_eq!(shown(&of(verify), JSON, body), expected);
    let verify = "split = \"json-array\"\nverify = { algorithm = \"token\", json = \"0.t\" }";
    let body = r#"[{"t":"hush"},{"t":"hush"}]"#;
    assert_eq!(shown(&of(verify), JSON, body), r#"[{"t":"(hidden)"},{"t":"(hidden)"}]"#);
    assert_eq!(shown(&of(verify), JSON, r#"{"t":"hush"}"#), r#"{"t":"(hidden)"}"#);
    let verify = "split = \"json-array\"\nsplit_at = \"v\"\nverify = { algorithm = \"token\", json = \"v.0.t\" }";
    let body = r#"{"v":[{"t":"hush"},{"t":"hush"}]}"#;
    assert_eq!(shown(&of(verify), JSON, body), r#"{"v":[{"t":"(hidden)"},{"t":"(hidden)"}]}"#);
    assert_eq!(shown(&of(verify), JSON, r#"{"t":"hush"}"#), r#"{"t":"(hidden)"}"#);
}

#[test]
fn password_in_a_form_is_hidden_in_each_kind_of_form() {
    let credentials = of("verify = { algorithm = \"token\", form = \"t k\" }");
    assert_eq!(shown(&credentials, FORM, "a=%2F&t+k=hu%73h&b"), "a=%2F&t+k=(hidden)&b");
    let multipart: &[(&str, &[u8])] = &[("content-type", b"multipart/form-data; boundary=x")];
    let part = |value: &str| {
        format!("--x\r\ncontent-disposition: form-data; name=\"t k\"\r\n\r\n{value}\r\n--x--\r\n")
    };
    assert_eq!(shown(&credentials, multipart, &part("hush")), part("(hidden)"));
    // Ko-fi: the form's one field is the payload.
    let credentials = of("verify = { algorithm = \"token\", json = \"t\" }");
    let masked = shown(&credentials, FORM, "data=%7B%22t%22%3A%22hush%22%7D");
    assert_eq!(masked, "data=%7B%22t%22%3A%22%28hidden%29%22%7D");
}

#[test]
fn password_in_a_query_is_hidden_in_the_path() {
    let credentials = of("verify = { algorithm = \"token\", query = \"key\" }");
    let path = credentials.mask_path("/hooks/s?a=1&k%65y=hush&key=hush&b=");
    assert_eq!(path, "/hooks/s?a=1&k%65y=(hidden)&key=(hidden)&b=");
    assert_eq!(credentials.mask_path("/hooks/s"), "/hooks/s");
}

#[test]
fn signature_is_no_password_unless_it_is_always_the_same() {
    let hmac = "algorithm = \"hmac-sha256\", header = \"X-S\"";
    assert_eq!(of(&format!("verify = {{ {hmac} }}")), Credentials::default());
    let constant =
        of(&format!("verify = {{ {hmac}, signed = \"x\", allow_unsigned_body = true }}"));
    let headers: Headers = [("x-s", &b"00"[..]), ("cookie", b"c")].into_iter().collect();
    assert_eq!(constant.mask_headers(&headers).get("x-s"), Some(HIDDEN.as_bytes()));
    let stored = constant.strip(headers);
    assert_eq!(stored.get("x-s"), Some(HIDDEN.as_bytes()));
    assert_eq!(stored.get("cookie"), Some(&b"c"[..]));
    let basic = of("verify = { algorithm = \"basic\" }");
    assert!(basic.is_in_header("authorization"));
}
