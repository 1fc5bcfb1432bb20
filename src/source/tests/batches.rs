//! Requests whose every item is signed by itself.

use super::*;

/// Microsoft Graph: each notification repeats the `clientState` of its subscription.
#[test]
fn token_of_every_item_is_looked_at() {
    let text = "verify = { algorithm = \"token\", each = \"value\", json = \"clientState\" }";
    let source = configured(text, &["s3cret"]);
    let good = r#"{"clientState":"s3cret","resource":"a"}"#;
    let bad = r#"{"clientState":"other"}"#;
    let check = |body: &str| verify(&source, &[], body.as_bytes());
    check(&format!(r#"{{"value":[{good}]}}"#)).unwrap();
    check(&format!(r#"{{"value":[{good}, {good}]}}"#)).unwrap();
    for body in [
        format!(r#"{{"value":[{good},{bad}]}}"#),
        format!(r#"{{"value":[{bad},{good}]}}"#),
        format!(r#"{{"value":[{good},{{}}]}}"#),
        format!(r#"{{"value":[{good},1]}}"#),
        // Whoever reads the event takes the last of two equal keys.
        format!(r#"{{"value":[{good}],"value":[{bad}]}}"#),
        format!(r#"{{"value":{good}}}"#),
        r#"{"value":[]}"#.to_owned(),
        good.to_owned(),
        String::new(),
    ] {
        check(&body).unwrap_err();
    }
}

/// Bodies as real senders write them: some with a byte order mark, others in another charset.
#[test]
fn items_of_tolerated_bodies_are_looked_at() {
    let text = "verify = { algorithm = \"token\", each = \"a.value\", json = \"t\" }";
    let source = configured(text, &["s3cret"]);
    let body = |token: &str, rest: &[u8]| {
        let head = format!(r#"{{"a":{{"n":1,"value":[{{"t":"s3cret"}},{{"t":"{token}","x":"#);
        [head.as_bytes(), rest, b"}]}}"].concat()
    };
    let mark = |body: Vec<u8>| ["\u{feff}".as_bytes(), &body].concat();
    let wide = |body: Vec<u8>| {
        let text = String::from_utf8(body).unwrap();
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    for token in ["s3cret", "other"] {
        let bodies: [Vec<u8>; 5] = [
            mark(body(token, b"1")),
            body(token, b"NaN"),
            body(token, b"\"\xff\""),
            body(token, b"\"\\ud83d\""),
            wide(body(token, b"[1e400]")),
        ];
        for body in bodies {
            let verdict = verify(&source, &[("content-type", "application/json")], &body);
            assert_eq!(verdict.is_ok(), token == "s3cret", "{}", String::from_utf8_lossy(&body));
        }
    }
    let many = vec![r#"{"t":"s3cret"}"#; 5_000].join(",");
    let with_last = |last: &str| format!(r#"{{"a":{{"value":[{many},{{"t":"{last}"}}]}}}}"#);
    verify(&source, &[], with_last("s3cret").as_bytes()).unwrap();
    verify(&source, &[], with_last("other").as_bytes()).unwrap_err();
}

// Adyen/adyen-python-api-library test/UtilTest.py: test_notification_request_item_hmac.
#[test]
fn adyen_signs_every_item_by_its_fields() {
    let signed = [
        "pspReference",
        "originalReference?",
        "merchantAccountCode",
        "merchantReference",
        "amount.value",
        "amount.currency",
        "eventCode",
        "success",
    ]
    .map(|name| format!("{{json:NotificationRequestItem.{name}}}"))
    .join(":");
    let text = format!(
        "verify = {{ algorithm = \"hmac-sha256\", each = \"notificationItems\", \
         json = \"NotificationRequestItem.additionalData.hmacSignature\", encoding = \"base64\", \
         key = \"hex\", signed = \"{signed}\", allow_unsigned_body = true }}"
    );
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let source = configured(&text, &[key]);
    let item = |value: u32| {
        format!(
            r#"{{"NotificationRequestItem":{{"additionalData":{{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="}},"amount":{{"value":{value},"currency":"EUR"}},"pspReference":"7914073381342284","eventCode":"AUTHORISATION","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","success":"true"}}}}"#
        )
    };
    let check = |items: &[String]| {
        let body = format!(r#"{{"live":"false","notificationItems":[{}]}}"#, items.join(","));
        verify(&source, &[], body.as_bytes())
    };
    check(&[item(1130)]).unwrap();
    check(&[item(1130), item(1130)]).unwrap();
    assert_eq!(check(&[item(1130), item(1131)]).unwrap_err(), Rejection::Mismatch);
}
