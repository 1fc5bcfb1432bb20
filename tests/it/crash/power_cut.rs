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
    let mut acknowledged = Acknowledged::new();
    for cut in 0..CUTS {
        let served = Served::start(&folder);
        // What an earlier cut left is checked by the server that goes on from it.
        assert_all_there(&served, &acknowledged, cut);
        assert_healthy(&served, cut);
        let load = Load::start(served.public(), cut, 300_000);
        load.wait_for(random.random_range(1..400));
        disk.cut();
        served.kill();
        let more = load.stop();
        assert!(!more.is_empty());
        acknowledged.extend(more);
        disk.unmount();
        disk.mount();
        if cut % 5 == 4 {
            // Keeps the check short; what was there once stays there.
            let served = Served::start(&folder);
            assert_all_there(&served, &acknowledged, cut);
            assert_healthy(&served, cut);
            assert_eq!(served.stop(), Some(0));
            acknowledged.clear();
        }
    }
}

/// Asks for the raw body of every event.
fn assert_all_there(served: &Served, acknowledged: &Acknowledged, cut: u64) {
    for (id, body) in acknowledged {
        let answer = served.ask("GET", &format!("/api/v1/events/{id}/raw"));
        assert_eq!(answer.status, 200, "event {id} is gone after cut {cut}");
        assert!(answer.body == *body, "event {id} is another after cut {cut}");
    }
}

/// A mere power cut is no damage.
fn assert_healthy(served: &Served, cut: u64) {
    let answer = served.ask("GET", "/readyz");
    assert_eq!(answer.status, 200, "after cut {cut}: {}", answer.text());
}
