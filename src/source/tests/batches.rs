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
