//! The fdatasync of the log comes before the answer is written: seen from outside.

use std::process::{Command, Stdio};

use crate::support::gateway::{Folder, signature};
use crate::support::patience::Patience;
use crate::support::program::Served;
use crate::support::servers::{find, skip};
use crate::support::wire;

#[test]
fn the_sync_ends_before_the_answer_begins() {
    if find("strace").is_none() {
        return skip("`strace` is not there");
    }
    let folder = Folder::new("", "");
    let trace = folder.path().join("trace");
    let served = Served::start(&folder);
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "40", "-e", "trace=fdatasync,write,writev,sendto,sendmsg"])
        .args(["-o", trace.to_str().unwrap(), "-p", &served.process_id().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_traced(served.process_id());
    let body = br#"{"event":"comment.create"}"#;
    let headers = [("X-Signature", signature(body))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = wire::post(served.public(), "/hooks/hyvor", &headers, body);
    assert_eq!(answer.status, 200);
    assert_eq!(served.stop(), Some(0));
    strace.wait().unwrap();

    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let answered = lines.iter().position(|line| line.contains("HTTP/1.1 200"));
    let answered = answered.unwrap_or_else(|| panic!("no answer in {trace}"));
    let is_end_of_sync = |line: &&str| {
        line.contains("fdatasync") && line.ends_with("= 0") && !line.contains("<unfinished")
    };
    let synced = lines[..answered].iter().any(is_end_of_sync);
    assert!(synced, "no sync before the answer:\n{}", lines[..=answered].join("\n"));
}

/// Waits until every thread is traced.
pub(crate) fn wait_until_traced(process: u32) {
    let is_traced = |path: std::path::PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    };
    let patience = Patience::new();
    loop {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        if threads.map(|thread| thread.unwrap().path()).all(is_traced) {
            return;
        }
        patience.look_again("each thread is traced");
    }
}
