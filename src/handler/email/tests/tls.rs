//! One side begins with TLS and the other without.

use std::io::{Read, Write};

use super::*;
use crate::handler::testing::handler;

/// Says `first` to whoever connects, and reads until the connection ends.
fn server(first: &'static [u8]) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.write_all(first).unwrap();
        while tcp.read(&mut [0; 512]).is_ok_and(|n_bytes| n_bytes > 0) {}
    });
    port
}

async fn told(scheme: &str, first: &'static [u8]) -> String {
    let url = format!("smtp = \"{scheme}://127.0.0.1:{}\"", server(first));
    let text = MAIL.replace("smtp = \"smtp://localhost\"", &url);
    let mail = handler("email", &text, Path::new("/etc"));
    let failure = mail.handle(&[comment(1, "x")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    failure.text.as_str().to_owned()
}

#[tokio::test]
async fn smtps_to_a_server_that_begins_without_tls_says_so() {
    let told = told("smtps", b"220 mail.example.com ESMTP\r\n").await;
    let expected = "the server begins without TLS on this port: write `smtp://`, which is STARTTLS";
    assert!(told.ends_with(expected), "{told}");
    assert_eq!(told.matches("Connection error").count(), 1, "{told}");
}

#[tokio::test]
async fn smtp_to_a_server_that_waits_for_tls_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        MAIL.replace("smtp://localhost", &format!("smtp://127.0.0.1:{}?tls=required", server(b"")));
    let context = BuildContext {
        timeout: Duration::from_millis(300),
        ..crate::handler::testing::context(folder.path())
    };
    crate::handler::testing::install_tls();
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    let failure = mail.handle(&[comment(1, "x")]).await.unwrap_err();
    let told = failure.text.as_str();
    assert!(told.contains("no answer within 270ms: if the server begins with TLS"), "{told}");
}
