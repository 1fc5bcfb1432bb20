//! The admin side, asked by those who should not.

use std::os::unix::fs::PermissionsExt;

use tokio::time::Instant;

use super::super::support::gateway::{Folder, Gateway, signature};
use super::super::support::program::Served;
use super::super::support::wire;

#[test]
fn a_wrong_token_is_answered_late_and_logged_without_the_token() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let began = Instant::now();
    for _ in 0..2 {
        let headers = [("Authorization", "Bearer a-wrong-guess")];
        let answer = wire::request(served.admin(), "GET", "/api/v1/status", &headers, b"");
        assert_eq!(answer.status, 401);
    }
    assert!(began.elapsed().as_millis() >= 1_000);
    let log = served.log();
    assert_eq!(log.matches("wrong token").count(), 1, "{log}");
    assert!(!log.contains("a-wrong-guess"), "{log}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_reload_takes_a_new_token() {
    let gateway = Gateway::start();
    let path = gateway.folder.path().join("data/admin-token");
    let old = std::fs::read_to_string(&path).unwrap();
    let status = |token: &str| {
        let bearer = format!("Bearer {}", token.trim());
        let headers = [("Authorization", bearer.as_str())];
        wire::request(gateway.admin, "GET", "/api/v1/status", &headers, b"").status
    };
    assert_eq!(status(&old), 200);
    let bearer = format!("Bearer {}", old.trim());
    std::fs::write(&path, "another-token\n").unwrap();
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(wire::post(gateway.admin, "/api/v1/reload", &headers, b"").status, 200);
    assert_eq!((status(&old), status("another-token")), (401, 200));
}

#[test]
fn figures_are_not_open_to_whom_a_proxy_on_this_machine_serves() {
    let gateway = Gateway::start();
    for path in ["/metrics", "/readyz"] {
        let ask = |headers| wire::request(gateway.admin, "GET", path, headers, b"").status;
        assert_eq!(ask(&[]), 200);
        assert_eq!(ask(&[("X-Forwarded-For", "203.0.113.7")]), 401);
        assert_eq!(ask(&[("Forwarded", "for=203.0.113.7")]), 401);
    }
}

#[test]
fn whatever_is_made_is_readable_by_its_owner_only() {
    let rest = r#"
        [handler.site]
        start = "oldest"
        [handler.site.sql]
        url = "sqlite:data/site.db"
        table = "events"
        create_table = true
        key = ["id"]
        columns = { id = "event.id" }
    "#;
    let folder = Folder::new("", rest);
    // Made beforehand, as recipes say.
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let served = Served::start(&folder);
    let headers = [("X-Signature", signature(b"{}"))];
    wire::post(served.public(), "/hooks/hyvor", &[("X-Signature", &headers[0].1)], b"{}").id();
    served.wait_until_delivered("site");
    served.wait_until_delivered("all");
    assert_eq!(served.ask("POST", "/api/v1/handlers/site/pause").status, 200);
    assert_eq!(served.stop(), Some(0));
    let mut folders = vec![data];
    let mut n_files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
            n_files += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(n_files > 8, "{n_files}");
}
