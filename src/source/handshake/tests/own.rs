//! Questions that an owner describes.

use super::*;

fn wrike() -> Source {
    configured(
        "verify = { algorithm = \"hmac-sha256\", header = \"X-Hook-Signature\" }\n\
         [source.s.handshake]\nsigned = true\n\
         when = { json = \"requestType\", is = \"WebHook secret verification\" }\n\
         hash = { algorithm = \"hmac-sha256\", signed = \"{header:X-Hook-Secret}\" }\n\
         answer = \"{{ hash }}\"\nanswer_header = \"X-Hook-Secret\"",
        &["k"],
    )
}

fn asked(
    source: &Source,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Reply> {
    let headers: Headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let request =
        Inbound { method, path_and_query: path, headers: &headers, body: body.as_bytes() };
    let answered = match source.verify(&request, Timestamp::from_millis(0)) {
        Ok(verified) => source.answer_verified(&request, &verified),
        Err(rejection) => source.answer_unverified(&request, &rejection),
    };
    answered.map(|answered| answered.reply)
}

#[test]
fn wrike_gets_the_hash_of_its_secret_in_its_own_header() {
    let source = wrike();
    let body = r#"{"requestType":"WebHook secret verification"}"#;
    let sign = |text: &str| {
        let signed = source.sign(
            &crate::event::EventType::new("t"),
            text.into(),
            "/",
            Timestamp::from_millis(0),
        );
        signed.unwrap().headers.into_iter().find(|(name, _)| name == "x-hook-signature").unwrap().1
    };
    // Worked out with Python's hmac.
    let hash = "342e519ce0ad6c03a36b98eeb3f1d130db4813b9df4d1160eda488d712dc78ee".to_owned();
    let signature = sign(body);
    let ask = |signature: &str, value: &str, body: &str| {
        let headers = [("x-hook-signature", signature), ("x-hook-secret", value)];
        asked(&source, "POST", "/hooks/s", &headers, body)
    };
    let reply = ask(&signature, "abc", body).unwrap();
    assert_eq!((reply.status, reply.content_type.as_ref(), reply.body), (200, "", Vec::new()));
    assert_eq!(reply.headers, [("x-hook-secret".to_owned(), hash.clone())]);
    // A stranger gets nothing hashed, and an event is one.
    assert!(ask("00", "abc", body).is_none());
    assert!(ask(&sign("{}"), "abc", "{}").is_none());
    // Whoever saw the question sends it again with a text of his own, whose hash would sign an event.
    let long = "a".repeat(201);
    for text in [r#"[{"taskId":"X"}]"#, "{}", "\"1\"", "a b", "a&b=1", &long] {
        assert!(ask(&signature, text, body).is_none(), "{text}");
    }
    assert!(ask(&signature, long.strip_prefix('a').unwrap(), body).is_some());
    // What can be hashed is no event, whoever signed it.
    let headers: Headers = [("x-hook-signature", hash.as_bytes())].into_iter().collect();
    let abc =
        Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body: b"abc" };
    let judged = source.verify(&abc, Timestamp::from_millis(0));
    assert!(matches!(judged, Err(Rejection::Mismatch)), "{judged:?}");
}

/// Asks a source that signs by `verify` what is `answered`, in a body that is signed.
fn asked_signed(verify: &str, hash: &str, body: &str, token: Option<&str>) -> Option<Reply> {
    let own = if token.is_some() { "verify_token = { env = \"T\" }\n" } else { "" };
    let text = format!(
        "{own}[source.s.verify]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n{verify}\n\
         [source.s.handshake]\nsigned = true\nwhen = {{ json = \"type\", is = \"ping\" }}\n\
         hash = {{ algorithm = \"hmac-sha256\", signed = \"{hash}\" }}\nanswer = \"{{{{ hash }}}}\""
    );
    let mut source = configured(&text, &["k"]);
    source.verify_token = token.map(Secret::new);
    let now = Timestamp::from_millis(0);
    let signed = source.sign(&crate::event::EventType::new("t"), body.to_owned().into(), "/", now);
    let mut headers = signed.unwrap().headers;
    headers.push(("x-asked".to_owned(), r#"{"id":1}"#.to_owned()));
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    asked(&source, "POST", "/", &headers, body)
}

#[test]
fn text_that_the_question_s_signature_covers_is_hashed_whatever_it_says() {
    let body = r#"{"type":"ping","text":"{\"id\":1}"}"#;
    let timed = "signed = \"{timestamp}.{body}\"\ntimestamp = { header = \"X-T\" }";
    for (verify, hash, token, is_answered) in [
        ("", "{json:text}", None, true),
        ("", "{body}", None, true),
        ("", "{header:X-Asked}", None, false),
        ("", "{json:text}{header:X-Asked}", None, false),
        (timed, "{json:text}", None, true),
        // `1700000000.{"id":1}` is what such an event signs.
        (timed, "{header:X-Asked}", None, false),
        (timed, "{json:type}{header:X-S}", None, false),
        ("", "{header:X-Asked}", Some("signs nothing"), true),
        ("", "{header:X-Asked}", Some("k"), false),
    ] {
        let reply = asked_signed(verify, hash, body, token);
        assert_eq!(reply.is_some(), is_answered, "{verify} {hash} {token:?}");
    }
}

#[test]
fn token_of_a_hub_does_not_hash_what_is_signed() {
    let hub = "handshake = [{ echo = { query = \"hub.challenge\" }, token = { query = \"hub.verify_token\" } }, \
               { signed = true, when = { json = \"type\", is = \"ping\" }, \
               hash = { algorithm = \"hmac-sha256\", signed = \"{json:text}\" }, answer = \"{{ hash }}\" }]";
    let text = format!(
        "verify_token = {{ env = \"T\" }}\nverify = {{ algorithm = \"hmac-sha256\", header = \"X-S\" }}\n{hub}"
    );
    let mut source = configured(&text, &["k"]);
    source.verify_token = Some(Secret::new("of the hub"));
    let question = r#"{"type":"ping","text":"abc"}"#;
    let now = Timestamp::from_millis(0);
    let signed = source.sign(&crate::event::EventType::new("t"), question.into(), "/", now);
    let headers = signed.unwrap().headers;
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // HMAC-SHA256 of `abc` with `k`, by Python's hmac.
    let expected = "342e519ce0ad6c03a36b98eeb3f1d130db4813b9df4d1160eda488d712dc78ee";
    assert_eq!(body(asked(&source, "POST", "/", &headers, question)), expected);
    let hub = "/?hub.verify_token=of%20the%20hub&hub.challenge=c";
    assert_eq!(body(asked(&source, "GET", hub, &[], "")), "c");
}

/// As docs/senders.md says it.
#[test]
fn strava_gets_its_challenge_by_its_own_key() {
    let source = configured(
        "verify = { algorithm = \"token\", query = \"key\" }\n\
         handshake = { when = { query = \"hub.challenge\" }, answer = '{\"hub.challenge\": {{ query[\"hub.challenge\"] }}}' }",
        &["k"],
    );
    let question =
        "hub.mode=subscribe&hub.verify_token=x&hub.challenge=15f7d1a91c1f40f8a748fd134752feb3";
    for path in [format!("/hooks/s?{question}"), format!("/hooks/s?key=k&{question}")] {
        let reply = asked(&source, "GET", &path, &[], "").unwrap();
        assert_eq!(reply.content_type, "application/json");
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            r#"{"hub.challenge": "15f7d1a91c1f40f8a748fd134752feb3"}"#
        );
    }
    assert!(
        asked(&source, "POST", &format!("/hooks/s?key=k&{question}"), &[], "{\"a\":1}").is_none()
    );
}

#[test]
fn each_of_two_questions_gets_its_answer() {
    let verify = "verify = { algorithm = \"hmac-sha256\", header = \"X-S\" }\n";
    let by_get = "echo = { query = \"challenge\" }";
    let by_post =
        "when = { json = \"type\", is = \"ping\" }\nsigned = false\nanswer = '[\"pong\", ]'";
    let inline =
        "when = { json = \"type\", is = \"ping\" }, signed = false, answer = '[\"pong\", ]'";
    for text in [
        format!("{verify}[[source.s.handshake]]\n{by_get}\n[[source.s.handshake]]\n{by_post}"),
        format!("{verify}handshake = [{{ {by_get} }}, {{ {inline} }}]"),
    ] {
        let source = configured(&text, &["k"]);
        assert_eq!(body(asked(&source, "GET", "/hooks/s?challenge=c", &[], "")), "c");
        let reply = asked(&source, "POST", "/hooks/s", &[], "{\"type\":\"ping\"}").unwrap();
        assert_eq!(
            (reply.content_type.as_ref(), &*reply.body),
            ("application/json", &b"[\"pong\" ]"[..])
        );
        assert!(asked(&source, "POST", "/hooks/s", &[], "{\"type\":\"sale\"}").is_none());
    }
    let read = |text: &str| {
        super::super::super::tests::read(&format!("secrets = [{{ env = \"A\" }}]\n{verify}{text}"))
            .1
    };
    let wrong = read(
        "[[source.s.handshake]]\necho = { query = \"challenge\" }\n[[source.s.handshake]]\nanswr = 1",
    );
    assert!(wrong.contains("source.s.handshake[1].answr: unknown key"), "{wrong}");
    let all = read(
        "[[source.s.handshake]]\necho = { query = \"challenge\" }\n[[source.s.handshake]]\nanswer = 'x'",
    );
    assert!(all.contains("every request is answered"), "{all}");
    let bare =
        read("[source.s.handshake]\necho = { query = \"challenge\" }\nanswer_header = \"X-A\"");
    assert!(bare.contains("`answer` is missing"), "{bare}");
    for name in ["Content-Length", "a b", ""] {
        let bad = read(&format!(
            "[source.s.handshake]\nwhen = {{ json = \"a\" }}\nanswer = \"x\"\nanswer_header = \"{name}\""
        ));
        assert!(bad.contains("error source.s.handshake.answer_header"), "{bad}");
    }
}
