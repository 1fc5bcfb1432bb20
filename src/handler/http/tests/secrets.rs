//! Secrets in an address or a body: sent, and not shown.

use super::*;
use crate::handler::{SECRET, Step};

fn shown(text: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (settings, warnings) = try_settings("http", text, folder.path());
    assert!(
        warnings[0].starts_with("a secret does not stand in the configuration"),
        "{warnings:?}"
    );
    let settings = settings.unwrap();
    let plan = settings.plan(&context(folder.path()), &[delivery(r#"{"a":"b"}"#)]).unwrap();
    let [Step::Request { url, body, .. }] = plan.steps.as_slice() else { panic!("{plan:?}") };
    (url.clone(), body.text().unwrap().to_owned())
}

#[test]
fn secrets_in_an_address_and_in_a_body_are_not_shown() {
    for (url, expected) in [
        ("https://a.example.com/hdr?sig=zyx", "https://a.example.com/hdr?sig=(secret)"),
        ("https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com/(secret)"),
        (
            "https://a.example.com/?id={{ payload.a }}&u=0196a3f27c4e7b1e9f3a",
            "https://a.example.com/?id=b&u=(secret)",
        ),
        (
            "https://maker.ifttt.com/trigger/x/with/key/bZx9_4-aQ",
            "https://maker.ifttt.com/trigger/x/with/key/(secret)",
        ),
    ] {
        assert_eq!(shown(&format!("url = '{url}'")).0, expected);
    }
    let body = r#"body = '{"token":"s3cr3t","a":"{{ payload.a }}"}'"#;
    let (_, body) = shown(&format!("url = 'http://a/'\n{body}"));
    assert_eq!(body, r#"{"token":"(secret)","a":"b"}"#);
}

#[tokio::test]
async fn address_that_is_a_secret_is_read_out_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = BadServer::start([]);
    std::fs::write(folder.path().join("hook"), server.url("/hook?k=hunter2") + "\n").unwrap();
    let text = "url = { file = 'hook' }";
    handler("http", text, folder.path()).handle(&[delivery("{}")]).await.unwrap();
    assert_eq!(server.requests()[0].path, "/hook?k=hunter2");
    let plan = settings("http", text, folder.path());
    let plan = plan.plan(&context(folder.path()), &[delivery("{}")]).unwrap();
    assert!(format!("{plan:?}").contains(SECRET) && !format!("{plan:?}").contains("hunter2"));
    std::fs::write(folder.path().join("hook"), "hunter2").unwrap();
    let built = settings("http", text, folder.path()).build(&context(folder.path()));
    let err = built.err().unwrap().to_string();
    assert!(err.ends_with("hook` is no address: this is not a URL"), "{err}");
}

#[test]
fn address_that_is_refused_is_warned_of_and_planned_as_it_fails() {
    for (url, more) in [
        ("http://10.0.0.5/", "allow_private = false"),
        ("http://169.254.169.254/", ""),
        ("https://192.0.2.7:8443/x", "deny = ['192.0.2.0/24']"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("url = '{url}'\n{more}");
        let (settings, warnings) = try_settings("http", &text, folder.path());
        assert!(warnings[0].contains(" is refused: each event would be a dead"), "{warnings:?}");
        let plan = settings.unwrap().plan(&context(folder.path()), &[delivery("{}")]);
        let failure = plan.unwrap_err();
        assert!(failure.text.as_str().ends_with(" is refused"), "{failure}");
    }
}
