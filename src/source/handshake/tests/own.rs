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
    let (signature, hash) = (sign(body), sign("abc"));
    let ask = |signature: &str, value: &str, body: &str| {
        let headers = [("x-hook-signature", signature), ("x-hook-secret", value)];
        asked(&source, "POST", "/hooks/s", &headers, body)
    };
    let reply = ask(&signature, "abc", body).unwrap();
    assert_eq!((reply.status, reply.content_type.as_ref(), reply.body), (200, "", Vec::new()));
    assert_eq!(reply.headers, [("x-hook-secret".to_owned(), hash)]);
    // A stranger gets nothing hashed, and an event is one.
    assert!(ask("00", "abc", body).is_none());
    assert!(ask(&sign("{}"), "abc", "{}").is_none());
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
