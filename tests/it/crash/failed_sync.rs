//! A sync that fails: no answer of 200, an end with an error, and recovery at the next start.

use std::process::{Command, Stdio};

use crate::support::gateway::{Folder, signature};
use crate::support::program::{Served, printed, run};
use crate::support::servers::{find, skip};
use crate::support::wire;

use super::order::wait_until_traced;

#[test]
fn a_sync_that_fails_is_never_a_200_and_ends_the_process_with_an_error() {
    if find("strace").is_none() {
        return skip("`strace` is not there");
    }
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let kept = send(&served, "before");
    assert_eq!(kept.status, 200, "{}", kept.text());
    served.wait_until_delivered("all");
    let mut connection = wire::Wire::to(served.public());
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", "inject=fdatasync:error=EIO", "-p", &served.process_id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_traced(served.process_id());
    // Where a sync of its own accord failed first, the process may end before it answers.
    let refused = connection.write(&request("during")).answer();
    assert!(refused.is_none_or(|refused| refused.status == 503));
    assert_eq!(served.wait(), Some(1));
    strace.wait().unwrap();

    // It was never answered 200, and may be there or not; what was is.
    let served = Served::start(&folder);
    printed(&run(&folder, &["events", "show", &kept.id()]), 0);
    let again = send(&served, "after");
    assert_eq!(again.status, 200, "{}", again.text());
    printed(&run(&folder, &["queue", "check"]), 0);
    assert_eq!(served.stop(), Some(0));
}

fn send(served: &Served, text: &str) -> wire::Answer {
    wire::raw(served.public(), &request(text)).unwrap()
}

fn request(text: &str) -> Vec<u8> {
    let body = format!(r#"{{"event":"comment.create","data":"{text}"}}"#);
    let (signature, length) = (signature(body.as_bytes()), body.len().to_string());
    let headers = [("X-Signature", signature.as_str()), ("Content-Length", &length)];
    (wire::head("POST", "/hooks/hyvor", &headers) + &body).into_bytes()
}
