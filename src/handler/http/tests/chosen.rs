//! URLs that the event says.

use super::*;

#[tokio::test]
async fn url_may_come_out_of_the_event_as_a_whole() {
    let server = BadServer::start([]);
    let own = server.url("/hooks/a%2Fb?x=1&y=2");
    let body = format!(r#"{{"data":{{"url":"{own}\n","base":"{}","id":"a/b"}}}}"#, server.url("/"));
    let more = "allow_private = true";
    http("{{ data.url }}", more).handle(&[delivery(&body)]).await.unwrap();
    http("{{ data.base }}/of/{{ data.id }}?t={{ event.type }}", more)
        .handle(&[delivery(&body)])
        .await
        .unwrap();
    let paths: Vec<String> = server.requests().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/hooks/a%2Fb?x=1&y=2", "/of/a%2Fb?t=comment.create"]);
    // It reaches no machine that the owner did not mean.
    let failure = http("{{ data.url }}", "").handle(&[delivery(&body)]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
    for bad in ["ftp://a.example/", "http://user:pw@a.example/", "nothing"] {
        let body = format!(r#"{{"data":{{"url":"{bad}"}}}}"#);
        let failure = http("{{ data.url }}", more).handle(&[delivery(&body)]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent, "{bad}: {failure}");
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn place_that_the_event_chose_says_nothing_of_other_events() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let body = format!(r#"{{"data":{{"port":{port},"host":"127.0.0.1"}}}}"#);
    let more = "allow_private = true";
    for (url, is_of_event) in [
        (format!("http://{{{{ data.host }}}}:{port}/"), true),
        (format!("http://127.0.0.1:{port}/{{{{ data.host }}}}"), false),
        (format!("http://127.0.0.1:{port}/"), false),
    ] {
        let failure = http(&url, more).handle(&[delivery(&body)]).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.is_of_event),
            (FailureKind::Transient, is_of_event),
            "{url}"
        );
    }
}
