//! A disk that is too small for the copy: nothing is said to be durable that is not, and it heals by
//! itself.

use super::process::{StandbyProcess, WAITS, command};
use crate::crash::disk::Disk;
use crate::support::gateway::{Folder, signature};
use crate::support::patience::wait_until;
use crate::support::program::Served;
use crate::support::wire;

#[test]
fn a_full_disk_is_waited_for() {
    let Some(disk) = Disk::new(48) else { return };
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    let post = |n: u32| {
        let body = format!(r#"{{"event":"comment.create","n":{n}}}"#);
        let signature = signature(body.as_bytes());
        let headers = [("X-Signature", signature.as_str())];
        wire::post(served.public(), "/hooks/hyvor", &headers, body.as_bytes()).id()
    };
    post(1);
    let ballast = disk.path().join("ballast");
    let file = std::fs::File::create(&ballast).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    // Less than a segment is left.
    rustix::fs::fallocate(&file, flags, 0, 30 << 20).unwrap();
    let data = disk.path().join("copy");
    let log = gateway.path().join("standby.log");
    let mut standby = command(&gateway, served.admin(), &data);
    standby.stderr(std::fs::File::create(&log).unwrap());
    let mut standby = StandbyProcess::spawn(standby);
    wait_until("the full disk is told", || {
        std::fs::read_to_string(&log).unwrap().contains("No space left")
    });
    let view = served.ask("GET", "/api/v1/status").json()["standby"].clone();
    assert!(view["lag"]["bytes"].as_u64().unwrap() > 0, "{view}");
    // What is open takes room although it has no name.
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    standby.wait_until_complete();
    standby.kill();
    assert_eq!(served.stop(), Some(0));
}
