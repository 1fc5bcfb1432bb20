//! A kill after quiet time: what was answered long before it was answered.

use std::time::Duration;

use crate::support::gateway::{Folder, signature};
use crate::support::program::Served;
use crate::support::wire;

const BODY: &[u8] = b"{\"type\":\"comment.create\"}";

fn send(served: &Served) -> String {
    wire::post(served.public(), "/hooks/hyvor", &[("X-Signature", &signature(BODY))], BODY).id()
}

#[test]
fn equal_body_after_quiet_time_and_a_kill_is_an_event() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let first = send(&served);
    // Written once ten seconds have passed since the answer, which hours later is all that is known.
    let lived = folder.path().join("data/queue/state/lived");
    while std::fs::read(&lived).map_or(0, |bytes| bytes.len()) < 12 {
        std::thread::sleep(Duration::from_millis(50));
    }
    served.kill();
    let served = Served::start(&folder);
    let second = send(&served);
    assert_ne!(second, first, "its answer had its time to arrive");
    // Within ten seconds of a kill nobody knows.
    served.kill();
    let served = Served::start(&folder);
    assert_eq!(send(&served), second);
    assert_eq!(served.stop(), Some(0));
}
