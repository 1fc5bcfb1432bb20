use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=b";

#[track_caller]
fn check(content_type: &str, body: impl AsRef<[u8]>, expected: &str) {
    let content_type = (!content_type.is_empty()).then_some(content_type.as_bytes());
    let shown = match read(content_type, None, body.as_ref()) {
        Ok(payload) => payload.to_json().unwrap_or_else(|| "undefined".to_owned()),
        Err(err) => err.to_string(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn json_is_read_under_every_content_type() {
    for content_type in
        ["application/json; charset=utf-8", "application/cloudevents+json", "text/plain", FORM, ""]
    {
        check(content_type, r#" {"a":[1.10,"x"]}"#, r#"{"a":[1.10,"x"]}"#);
        check(content_type, b"\xef\xbb\xbf{\"a\":\"\xff\\ud83d\"}", "{\"a\":\"\u{fffd}\u{fffd}\"}");
    }
    check("application/json", "5", "5");
    check("", "5", "5");
    check("text/plain", "5", "\"5\"");
}

#[test]
fn form_that_names_no_type_is_a_form() {
    check("", "event=e&n=7&t=Zo%C3%AB+x", r#"{"event":"e","n":"7","t":"Zoë x"}"#);
    for text in ["a = 1", "a=1&b", "=1", "x", "https://a/?b=c"] {
        check("", text, &format!("\"{text}\""));
    }
    check("text/plain", "a=1", "\"a=1\"");
}

#[test]
fn json_lines_are_a_list() {
    for content_type in ["application/x-ndjson", "application/jsonl; charset=utf-8"] {
        check(content_type, "{\"a\":1.10}\n{\"a\":2}\r\n", r#"[{"a":1.10},{"a":2}]"#);
    }
    // A batch of one is a batch; what is a list already is none within another.
    check("application/x-ndjson", r#"{"a":1}"#, r#"[{"a":1}]"#);
    check("application/x-ndjson", "[{\"a\":1}]", r#"[{"a":1}]"#);
    // Elsewhere two documents are a mistake, and no filter takes them for an empty payload.
    let expected = "the body is not JSON: the end expected at line 2, column 1";
    check("application/json", "{\"a\":1}\n{\"a\":2}\n", expected);
    check("", "some\nlines", "\"some\\nlines\"");
}

#[test]
fn broken_json_is_unreadable_and_not_nothing() {
    let expected = "the body is not JSON: it ends too early: a value expected";
    for content_type in ["application/json", "", "application/octet-stream"] {
        check(content_type, "{\"a\":", expected);
    }
    check("application/json", "a 1", "the body is not JSON: a value expected at line 1, column 1");
    check("application/json", "a=1&b=x+y", r#"{"a":"1","b":"x y"}"#);
    let deep = "[".repeat(100_000);
    for content_type in ["application/json", "", "text/plain", FORM] {
        check(content_type, &deep, "the body is not JSON: it is nested deeper than 1000 levels");
    }
    check("", b"\x00\xff\xfe", "the body is not text");
}

#[test]
fn nothing_is_undefined_and_not_unreadable() {
    for content_type in [FORM, "text/xml", ""] {
        check(content_type, "", "undefined");
        check(content_type, "\r\n", "undefined");
    }
    // Called JSON, it has lost something: no filter takes it for an event without fields.
    for body in ["", "\r\n"] {
        check("application/json", body, "the body is not JSON: it is empty");
    }
}

#[test]
fn text_stays_text() {
    check("text/xml", "<a>\"1\"</a>", r#""<a>\"1\"</a>""#);
    check("application/soap+xml", "<a/>", "\"<a/>\"");
    check("text/plain", "[2026] started", "\"[2026] started\"");
    check("text/plain", b"Zo\xeb", "\"Zo\u{fffd}\"");
    check("", "hello", "\"hello\"");
}

#[test]
fn form_is_a_map_of_its_fields() {
    check(FORM, "Body=Hi+%F0%9F%91%8D&a=1&a=2&e=", r#"{"Body":"Hi 👍","a":["1","2"],"e":""}"#);
    check(FORM, "a%5B%5D=1&b[]=1&b[]=2", r#"{"a[]":["1"],"b[]":["1","2"]}"#);
    check(FORM, "a=%FF", "{\"a\":\"\u{fffd}\"}");
    check(FORM, "{not=json", r#"{"{not":"json"}"#);
    // As PHP and Rails write lists and maps: names like any other.
    let (form, expected) = ("a[b]=1&a%5Bc%5D%5B%5D=2&a[c][]=3&d[]=4", r#""a[c][]":["2","3"]"#);
    for content_type in [FORM, ""] {
        check(content_type, form, &format!(r#"{{"a[b]":"1",{expected},"d[]":["4"]}}"#));
    }
}

#[test]
fn form_that_carries_one_document_is_that_document() {
    check(FORM, "payload=%7B%22ref%22%3A%22main%22%7D", r#"{"ref":"main"}"#);
    check(FORM, "data=%7B%22type%22%3A%22Tip%22%7D", r#"{"type":"Tip"}"#);
    check(FORM, "payload=text", r#"{"payload":"text"}"#);
    check(FORM, "payload=%7B%7D&more=1", r#"{"payload":"{}","more":"1"}"#);
    check(FORM, "other=%7B%7D", r#"{"other":"{}"}"#);
}

fn multipart(parts: &[&str]) -> String {
    let parts =
        parts.iter().map(|part| format!("--b\r\nContent-Disposition: form-data; {part}\r\n"));
    parts.collect::<String>() + "--b--\r\n"
}

#[test]
fn multipart_fields_are_read_in_their_charsets() {
    let latin = |parts: &[&str]| {
        let text = multipart(parts).replace("Zoe", "Zo\u{1}").into_bytes();
        text.into_iter().map(|byte| if byte == 1 { 0xeb } else { byte }).collect::<Vec<_>>()
    };
    let own = "name=a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nZoe";
    check(MULTIPART, latin(&[own]), r#"{"a":"Zoë"}"#);
    let of_all = ["name=_charset_\r\n\r\niso-8859-1", "name=a\r\n\r\nZoe"];
    check(MULTIPART, latin(&of_all), r#"{"_charset_":"iso-8859-1","a":"Zoë"}"#);
    let sendgrid = ["name=from\r\n\r\nZoe", "name=charsets\r\n\r\n{\"from\":\"windows-1252\"}"];
    let expected = r#"{"from":"Zoë","charsets":"{\"from\":\"windows-1252\"}"}"#;
    check(MULTIPART, latin(&sendgrid), expected);
}

#[test]
fn multipart_fields_and_files_are_read_without_their_transfer_encoding() {
    let body = multipart(&[
        "name=a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=\r\n=9Fe =3D 1",
        "name=b\r\nContent-Transfer-Encoding: BASE64\r\n\r\nR3LDvMOf\r\nZQ==\r\n",
        "name=c\r\nContent-Transfer-Encoding: 8bit\r\n\r\na=3D",
        "name=f; filename=x\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=",
    ]);
    let expected = r#"{"a":"Grüße = 1","b":"Grüße","c":"a=3D","f":{"filename":"x","content_type":null,"size":5}}"#;
    check(MULTIPART, body.clone(), expected);
    let fields = form_fields(Some(MULTIPART.as_bytes()), body.as_bytes());
    assert_eq!(&*fields[1].1, "Grüße".as_bytes());
}

#[test]
fn multipart_form_is_a_map_of_fields_and_files() {
    let file = "name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello";
    let body = multipart(&["name=\"a\"\r\n\r\n1", "name=\"a\"\r\n\r\n2", file]);
    let expected =
        r#"{"a":["1","2"],"f":{"filename":"a.txt","content_type":"text/plain","size":5}}"#;
    check(MULTIPART, body, expected);
    let body = multipart(&["name=payload\r\n\r\n{\"event\":\"play\"}", file]);
    check(MULTIPART, body, r#"{"event":"play"}"#);
    check(
        "multipart/form-data",
        "x",
        "the body is no multipart form: its content type names no boundary",
    );
}

#[test]
fn packed_body_is_read_unpacked_and_not_its_own_json() {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"{\"a\":1}").unwrap();
    let body = packer.finish().unwrap();
    let payload = read(None, Some(b"gzip"), &body).unwrap();
    assert_eq!((payload.to_json().as_deref(), payload.is_own_json()), (Some("{\"a\":1}"), false));
    let err = read(None, Some(b"zstd"), &body).unwrap_err();
    assert!(err.to_string().contains("packed by zstd, which is not read"), "{err}");
}

#[test]
fn own_json_is_what_every_reader_takes() {
    let is_own = |body: &[u8]| read(None, None, body).unwrap().is_own_json();
    assert!(is_own(b" {\"a\":1.10} "));
    for flawed in [&b"\xef\xbb\xbf1"[..], b"\"\\ud83d\"", b"[NaN]", b"\"\xff\"", b"a=1"] {
        let is_flawed = read(Some(b"text/json"), None, flawed).is_err() || !is_own(flawed);
        assert!(is_flawed, "{flawed:?}");
    }
}

#[test]
fn form_fields_are_found_in_both_kinds() {
    let names = |content_type: &str, body: &[u8]| -> Vec<String> {
        let fields = form_fields(Some(content_type.as_bytes()), body);
        fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    };
    assert_eq!(names(FORM, b"a=1&b=2"), ["a", "b"]);
    let body = multipart(&["name=a\r\n\r\n1", "name=f; filename=x\r\n\r\n2"]);
    assert_eq!(names(MULTIPART, body.as_bytes()), ["a"]);
}

#[test]
fn charset_that_is_named_is_read_in_json_forms_and_text() {
    let json = "application/json; charset=iso-8859-1";
    check(json, b"{\"a\":\"Zo\xeb\"}", r#"{"a":"Zoë"}"#);
    check(json, r#"{"a":"Zoë"}"#, r#"{"a":"Zoë"}"#);
    check("application/json; charset=utf-16", b"\xff\xfe{\0}\0", "{}");
    check("application/json", b"\xfe\xff\0{\0}", "{}");
    check("text/plain; charset=windows-1252", b"\x80", "\"€\"");
    let form = "application/x-www-form-urlencoded";
    check(&format!("{form}; charset=iso-8859-1"), "a=Zo%EB", r#"{"a":"Zoë"}"#);
    check(form, "charset=windows-1252&a=Zo%EB", r#"{"charset":"windows-1252","a":"Zoë"}"#);
    check(form, "a=Zo%EB", "{\"a\":\"Zo\u{fffd}\"}");
}

#[test]
fn json_is_read_where_its_content_type_is_that_of_a_multipart_form() {
    check("multipart/form-data; boundary=x", "{\"a\":1}", "{\"a\":1}");
}
