//! Who is let in, who is answered late, and who is turned away.

use super::*;
use crate::clock::{ManualClock, Timestamp};

const CLIENT: &str = "203.0.113.7";

struct Rig {
    clock: Arc<ManualClock>,
    client_limiter: ClientLimiter,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let client_limiter = ClientLimiter::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { clock, client_limiter }
    }

    fn admit(&self, address: &str) -> Option<Admission<'_>> {
        self.client_limiter.admit(address.parse().unwrap(), RateLimit::parse("3/m").unwrap()).ok()
    }

    /// A request that is read to its end and fails.
    #[track_caller]
    fn fail(&self, address: &str) -> FailureResponse<'_> {
        let mut admission = self.admit(address).unwrap();
        assert!(admission.acquire_slot());
        admission.charge_failure()
    }

    #[track_caller]
    fn succeed(&self, address: &str) {
        let mut admission = self.admit(address).unwrap();
        assert!(admission.acquire_slot());
        admission.verified();
    }

    /// Lets the address run out.
    #[track_caller]
    fn run_out(&self, address: &str) {
        for _ in 0..3 {
            assert!(matches!(self.fail(address), FailureResponse::Immediate), "{address}");
        }
    }

    /// Takes `count` slots, which are all that the address gets.
    #[track_caller]
    fn take_all(&self, address: &str, count: u32) -> Vec<Slot<'_>> {
        let take = |_| match self.fail(address) {
            FailureResponse::Delayed(slot) => slot,
            verdict @ (FailureResponse::Immediate | FailureResponse::Reject) => {
                panic!("{address}: {verdict:?}")
            }
        };
        let slots = (0..count).map(take).collect();
        assert!(self.admit(address).is_none(), "{address} has more than {count}");
        slots
    }
}

#[test]
fn who_runs_out_is_answered_late_until_time_has_paid() {
    let rig = Rig::new();
    rig.run_out(CLIENT);
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Delayed(_)));
    assert!(
        matches!(rig.fail("203.0.113.8"), FailureResponse::Immediate),
        "another one pays for himself"
    );
    rig.clock.advance(Duration::from_millis(19_999));
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Delayed(_)));
    rig.clock.advance(Duration::from_millis(1));
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Immediate));
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Delayed(_)));
}

#[test]
fn who_signs_never_runs_out_however_many_come_before_the_first_is_judged() {
    let rig = Rig::new();
    let mut visits: Vec<_> = (0..1_000).map(|_| rig.admit(CLIENT).unwrap()).collect();
    assert!(visits.iter_mut().all(Admission::acquire_slot));
    visits.into_iter().for_each(Admission::verified);
    rig.run_out(CLIENT);
}

#[test]
fn behind_an_address_that_has_run_out_all_that_is_signed_is_taken() {
    let rig = Rig::new();
    rig.run_out(CLIENT);
    let late: Vec<_> = (1..SLOTS_OF_UNKNOWN).map(|_| rig.fail(CLIENT)).collect();
    assert!(late.iter().all(|verdict| matches!(verdict, FailureResponse::Delayed(_))));
    // One slot is left: each gives it back at once.
    for _ in 0..1_000 {
        rig.succeed(CLIENT);
    }
}

#[test]
fn who_has_no_slot_left_is_turned_away_until_one_is_free() {
    let rig = Rig::new();
    rig.run_out(CLIENT);
    // These came before the slots were gone, and are read to their end after it.
    let (mut early, other) = (rig.admit(CLIENT).unwrap(), rig.admit(CLIENT).unwrap());
    let mut slots = rig.take_all(CLIENT, SLOTS_OF_UNKNOWN);
    assert!(!early.acquire_slot());
    assert!(matches!(early.charge_failure(), FailureResponse::Reject));
    assert!(matches!(other.charge_failure(), FailureResponse::Reject));
    assert!(rig.admit("203.0.113.8").is_some(), "another one has slots of his own");
    slots.pop();
    rig.succeed(CLIENT);
    drop(slots);
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Delayed(_)));
}

#[test]
fn what_is_read_slowly_holds_no_slot() {
    let rig = Rig::new();
    rig.run_out(CLIENT);
    let slow: Vec<_> = (0..10_000).map(|_| rig.admit(CLIENT).unwrap()).collect();
    rig.succeed(CLIENT);
    drop(slow);
    rig.succeed(CLIENT);
}

#[test]
fn a_visit_that_ends_before_it_is_judged_is_charged() {
    let rig = Rig::new();
    for _ in 0..3 {
        drop(rig.admit(CLIENT).unwrap());
    }
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Delayed(_)));
}

#[test]
fn there_is_more_room_beside_an_honest_sender_for_an_hour() {
    let rig = Rig::new();
    rig.succeed(CLIENT);
    rig.run_out(CLIENT);
    drop(rig.take_all(CLIENT, SLOTS_OF_KNOWN));
    rig.clock.advance(Duration::from_nanos(GOOD_FOR));
    rig.run_out(CLIENT);
    drop(rig.take_all(CLIENT, SLOTS_OF_UNKNOWN));
}

#[test]
fn a_private_address_may_be_a_proxy() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "172.17.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        let rig = Rig::new();
        rig.run_out(address);
        drop(rig.take_all(address, SLOTS_OF_KNOWN));
    }
    for address in ["100.63.255.255", "100.128.0.0", "172.32.0.1", "2001:db8::1"] {
        let rig = Rig::new();
        rig.run_out(address);
        drop(rig.take_all(address, SLOTS_OF_UNKNOWN));
    }
}

#[test]
fn all_addresses_together_have_so_many_slots_and_a_new_one_needs_none() {
    let rig = Rig::new();
    let mut slots = Vec::new();
    for n in 0..SLOTS_MAX / SLOTS_OF_UNKNOWN as usize {
        let address = format!("198.51.100.{n}");
        rig.run_out(&address);
        slots.push(rig.take_all(&address, SLOTS_OF_UNKNOWN));
    }
    rig.run_out(CLIENT);
    assert!(rig.admit(CLIENT).is_none());
    rig.succeed("203.0.113.8");
    slots.pop();
    rig.succeed(CLIENT);
}

#[test]
fn a_sender_has_all_of_its_ipv6_network() {
    let rig = Rig::new();
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"] {
        assert!(matches!(rig.fail(address), FailureResponse::Immediate));
    }
    assert!(matches!(rig.fail("2001:db8::3"), FailureResponse::Delayed(_)));
    assert!(matches!(rig.fail("2001:db8:0:1::1"), FailureResponse::Immediate));
    rig.run_out(CLIENT);
    assert!(matches!(rig.fail("::ffff:203.0.113.7"), FailureResponse::Delayed(_)));
}

#[test]
fn a_flood_of_addresses_is_forgotten_but_not_who_was_good_or_has_a_slot() {
    let rig = Rig::new();
    rig.succeed(CLIENT);
    rig.run_out(CLIENT);
    let late = "203.0.113.8";
    rig.run_out(late);
    let slot = rig.fail(late);
    for n in 0..u32::try_from(10 * N_SHARDS * SHARD_MAX).unwrap() {
        let address = IpAddr::from((0x0100_0000 + n).to_be_bytes());
        assert!(matches!(rig.fail(&address.to_string()), FailureResponse::Immediate));
    }
    let known: usize =
        rig.client_limiter.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
    assert!(known <= N_SHARDS * SHARD_MAX, "{known}");
    assert!(matches!(rig.fail(CLIENT), FailureResponse::Delayed(_)), "its account is still there");
    assert!(matches!(rig.fail(late), FailureResponse::Delayed(_)), "and that one");
    drop(slot);
}

#[test]
fn a_48_runs_out_whichever_of_its_64s_it_comes_from() {
    let rig = Rig::new();
    let one = |n: u32| format!("2001:db8:7:{n:x}::1");
    // 3 for each /64, and 16 times as many for all of them.
    for n in 0..48 {
        assert!(matches!(rig.fail(&one(n)), FailureResponse::Immediate), "{n}");
    }
    assert!(matches!(rig.fail(&one(100)), FailureResponse::Delayed(_)));
    assert!(
        matches!(rig.fail("2001:db8:8::1"), FailureResponse::Immediate),
        "a neighbour has its own"
    );
    rig.succeed(&one(101));
    rig.clock.advance(Duration::from_mins(1));
    assert!(matches!(rig.fail(&one(102)), FailureResponse::Immediate));
}
