//! Power cuts under load, on a disk of our own.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::Disk;
use super::load::{Acknowledged, Load};
use crate::support::gateway::Folder;
use crate::support::program::Served;

/// How often the power is cut.
const CUTS: u64 = 20;

#[test]
fn every_acknowledged_event_is_there_after_each_power_cut() {
    let Some(mut disk) = Disk::new(1_024) else { return };
    let folder = Folder::new_in(&disk.path(), "", "");
    disk.sync();
    let mut random = StdRng::seed_from_u64(20_260_101);
    let mut all = Acknowledged::new();
    let mut newest = Acknowledged::new();
    for cut in 0..CUTS {
        let served = Served::start(&folder);
        // What the cut before left is checked by the server that goes on from it.
        assert_all_there(&served, &newest, cut);
        assert_healthy(&served, cut);
        all.extend(newest);
        let load = Load::start(served.public(), cut, 300_000);
        load.wait_for(random.random_range(1..200));
        disk.cut();
        served.kill();
        newest = load.stop();
        assert!(!newest.is_empty());
        disk.unmount();
        disk.mount();
    }
    all.extend(newest);
    let served = Served::start(&folder);
    assert_all_there(&served, &all, CUTS);
    assert_healthy(&served, CUTS);
    assert_eq!(served.stop(), Some(0));
}

/// Asks for the raw body of every event.
fn assert_all_there(served: &Served, acknowledged: &Acknowledged, cut: u64) {
    for (id, body) in acknowledged {
        let answer = served.ask("GET", &format!("/api/v1/events/{id}/raw"));
        assert_eq!(answer.status, 200, "event {id} is gone after {cut} cuts");
        assert!(answer.body == *body, "event {id} is another after {cut} cuts");
    }
}

/// A mere power cut is no damage.
fn assert_healthy(served: &Served, cut: u64) {
    let answer = served.ask("GET", "/readyz");
    assert_eq!(answer.status, 200, "after {cut} cuts: {}", answer.text());
}
