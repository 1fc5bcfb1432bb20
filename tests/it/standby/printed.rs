//! What `standby promote` and `restore` print.

use super::process::{StandbyProcess, WAITS};
use super::promoted::wait_until_caught_up;
use crate::cli::outputs::transcript;
use crate::support::gateway::{Folder, signature};
use crate::support::program::Served;
use crate::support::wire;

#[test]
fn promote_and_restore_print_this() {
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let served = Served::start(&gateway);
    let data = second.path().join("data");
    let mut standby = StandbyProcess::start(&gateway, served.admin(), &data);
    standby.wait_until_complete();
    for n in 0..3 {
        let body = format!(r#"{{"event":"comment.create","n":{n}}}"#);
        let headers = [("X-Signature", &*signature(body.as_bytes()))];
        wire::post(served.public(), "/hooks/hyvor", &headers, body.as_bytes()).id();
    }
    served.wait_until_delivered("all");
    // By its answer all that was settled is recorded.
    assert_eq!(served.ask("POST", "/api/v1/compact").status, 200);
    wait_until_caught_up(&served);
    served.kill();
    standby.kill();
    let commands = [
        "serve",
        "restore --from data --data made",
        "restore --from data --data made",
        "restore --from data --data again --verify",
        "restore --from data --data third --verify --json",
        "standby promote",
        "standby promote",
        "restore --from data --data fourth",
        "standby promote --data made --json",
    ];
    insta::assert_snapshot!(transcript(&second, &commands));
}
