//! Power cuts under load, on a disk of our own.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::Disk;
use super::fates::{FATES, Receiver, assert_dedupe, assert_stands, dead_ids};
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

/// How often it is cut with deliveries, retries, dead letters and dedupe keys on the disk.
const CUTS_AMID_DELIVERY: u64 = 6;

#[test]
fn deliveries_stand_as_they_did_after_each_power_cut() {
    let Some(mut disk) = Disk::new(512) else { return };
    let receiver = Receiver::start();
    let folder = Folder::new_in(&disk.path(), "", &FATES.replace("RECEIVER", &receiver.url()));
    disk.sync();
    let mut random = StdRng::seed_from_u64(20_260_102);
    let (mut all, mut newest) = (Acknowledged::new(), Acknowledged::new());
    let mut dead = BTreeMap::new();
    for cut in 0..CUTS_AMID_DELIVERY {
        let served = Served::start(&folder);
        assert_healthy(&served, cut);
        assert_dedupe(&served, &newest, cut);
        all.extend(newest);
        // Recorded when they are listed: no cut makes any of them another delivery than a dead one.
        let listed = dead_ids(&served);
        for (id, n_requests) in &dead {
            assert!(listed.contains(id), "dead letter {id} is gone after {cut} cuts");
            assert_eq!(receiver.n_requests("refused", id), *n_requests, "{id} after {cut} cuts");
        }
        dead = listed
            .into_iter()
            .map(|id| (id.clone(), receiver.n_requests("refused", &id)))
            .collect();
        let load = Load::to("twice", served.public(), cut, 2_000);
        load.wait_for(random.random_range(1..200));
        disk.cut();
        served.kill();
        newest = load.stop();
        disk.unmount();
        disk.mount();
    }
    all.extend(newest);
    let served = Served::start(&folder);
    assert_stands(&served, all.keys().take(200));
    assert!(!dead.is_empty());
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
    let mut answer = served.ask("GET", "/readyz");
    // The disk is busy with what others write, or the keys of a long log without a snapshot are read off it again
    // behind the start: that is no damage either.
    let passing = [
        "the store does not answer\"]",
        "dedupe keys are missing and are read off the log again\"]",
    ];
    while passing.iter().any(|problem| answer.text().contains(problem)) {
        std::thread::yield_now();
        answer = served.ask("GET", "/readyz");
    }
    assert_eq!(answer.status, 200, "after {cut} cuts: {}", answer.text());
}
