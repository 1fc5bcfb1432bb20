use sha2::{Digest, Sha256};

use super::message::sorted_form;
use super::sorted::FORM_FIELDS_MAX;
use super::*;
use crate::source::{Inbound, Rejection};

#[track_caller]
fn check(template: &str, expected: Result<&str, Rejection>) {
    let headers = [("x-a", &b"A"[..]), ("x-r", b"1"), ("x-r", b"2")].into_iter().collect();
    let request = Inbound {
        method: "POST",
        path_and_query: "/hooks/s?q=1",
        headers: &headers,
        body: b"b=2&a=%31&b=2",
    };
    let values = Values {
        timestamp: Some(b"17".as_slice().into()),
        id: None,
        url: Some("https://h/p?old=1"),
    };
    let template = Template::parse(template).unwrap();
    let message = Message::of(&template, &request, &values);
    let text = message.map(|message| String::from_utf8(message.whole(b"S").into()).unwrap());
    assert_eq!(text, expected.map(str::to_owned));
}

#[test]
fn every_variable_is_filled_in() {
    check("v0:{timestamp}:{body}", Ok("v0:17:b=2&a=%31&b=2"));
    check("{method} {url}", Ok("POST https://h/p?q=1"));
    check("{sorted_form}|{form:a}|{query:q}|{header:X-A}", Ok("a1b2|1|1|A"));
    check("{secret}{{}}", Ok("S{}"));
    check("{body_crc32}", Ok("1675053280"));
    check("{sorted_form:=:&}|{sorted_form:::b}", Ok("a=1&b=2&b=2|a1"));
    check("{sorted_query:=:}", Ok("q=1"));
    check("{php_form:b}", Ok(r#"a:1:{s:1:"a";s:1:"1";}"#));
    check("{php_form:a}", Err(Rejection::Repeated("form field `b`".into())));
    check("{sns}", Err(Rejection::NoVariable("JSON field `Type`".into())));
    check("{path}|{unpacked_body}", Ok("/hooks/s?q=1|b=2&a=%31&b=2"));
    check("{body_sha256_base64}", Ok("E2HyxMfsjLPO1zeiCQpeqSM27tA/ywPf2xfTRSk7QRs="));
    check("{body_sha256}", Ok(&hex::encode(Sha256::digest(b"b=2&a=%31&b=2"))));
    check("{header:x-none}", Err(Rejection::NoVariable("header `x-none`".into())));
    check("{header:x-r}", Err(Rejection::Repeated("header `x-r`".into())));
    check("{json:a.b}", Err(Rejection::NoVariable("JSON field `a.b`".into())));
}

#[test]
fn optional_field_is_empty_where_it_is_absent() {
    check("{header:x-none?}:{query:none?}:{json:a.b?}:{form:none?}:", Ok("::::"));
    check("{header:x-a?}:{query:q?}:{form:a?}", Ok("A:1:1"));
    check("{header:x-r?}", Err(Rejection::Repeated("header `x-r`".into())));
}

#[test]
fn a_form_of_very_many_fields_is_not_sorted() {
    assert!(sorted_form(&b"a&".repeat(FORM_FIELDS_MAX)).is_ok());
    let sorted = sorted_form(&b"a&".repeat(FORM_FIELDS_MAX + 1));
    assert_eq!(sorted, Err(Rejection::TooManyFields));
}

#[test]
fn a_template_is_shown_as_it_was_written() {
    for text in [
        "{sorted_form:=:&}",
        "{sorted_query:::a,b}{sns}",
        "{php_form:sign}",
        "{body_crc32}",
        "{body}",
        "a{{b}}{id}.{json:a.b}{secret}",
        "{url}{sorted_form}",
        "{json:a?}",
    ] {
        assert_eq!(Template::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        ("", BadTemplate::Empty),
        ("{bdy}", BadTemplate::Unknown("bdy".into())),
        ("{header:}", BadTemplate::Unknown("header:".into())),
        ("{json:?}", BadTemplate::Unknown("json:?".into())),
        ("{body?}", BadTemplate::Unknown("body?".into())),
        ("{body", BadTemplate::Brace),
        ("body}", BadTemplate::Brace),
    ] {
        assert_eq!(Template::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn what_is_not_signed_is_known() {
    let is = |text: &str| {
        let template = Template::parse(text).unwrap();
        (template.covers_body(), template.is_constant())
    };
    assert_eq!(is("{timestamp}.{body}"), (true, false));
    assert_eq!(is("{timestamp}"), (false, false));
    assert_eq!(is("POST"), (false, true));
    assert_eq!(is("{method}{url}{secret}"), (false, true));
}
