//! Many bad requests at once: what they leave behind is bounded.

use gatepost::ingest::RejectedRing;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::Served;
use super::super::support::wire::{self, Wire, head};

const CONNECTIONS: usize = 64;
/// Far more than the ring holds of them, in count and in bytes.
const BODY_BYTES: usize = 8 << 10;

/// Sends `count` bad requests on each of the connections.
fn flood(served: &Served, count: usize) {
    let body = "x".repeat(BODY_BYTES);
    let length = BODY_BYTES.to_string();
    let headers = [("X-Signature", "00"), ("Content-Length", length.as_str())];
    let request = (head("POST", "/hooks/hyvor", &headers) + &body).into_bytes();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut wire = Wire::to(served.public());
                for _ in 0..count {
                    assert_eq!(wire.write(&request).answer().unwrap().status, 401);
                }
            });
        }
    });
}

fn resident_kib(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_flood_of_bad_requests_leaves_memory_and_disk_as_they_were() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    // The ring, the buffers and the allocator's own stock are full after this.
    flood(&served, 50);
    let before = resident_kib(&served);
    // 80 MiB of bodies.
    flood(&served, 160);
    let grown = resident_kib(&served).saturating_sub(before);
    assert!(grown < 24 << 10, "{grown} KiB more than the {before} KiB before");

    let file = folder.path().join("data/rejected");
    assert!(std::fs::metadata(&file).unwrap().len() <= RejectedRing::FILE_BYTES_MAX);
    let listed = served.ask("GET", "/api/v1/rejected?limit=100000").json();
    assert!((500..=RejectedRing::ENTRIES_MAX).contains(&listed.as_array().unwrap().len()));
    assert_eq!(listed[0]["number"], 64 * 210);
    // And whoever can sign is served as ever.
    let headers = [("X-Signature", signature(b"{}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    wire::post(served.public(), "/hooks/hyvor", &headers, b"{}").id();
    assert_eq!(served.stop(), Some(0));
    let kept = RejectedRing::open(file);
    assert_eq!(kept.len(), listed.as_array().unwrap().len());
}
