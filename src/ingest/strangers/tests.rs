//! Who is let in, who is answered late, and who is turned away.

use super::*;
use crate::clock::{ManualClock, Timestamp};

const STRANGER: &str = "203.0.113.7";

struct Rig {
    clock: Arc<ManualClock>,
    strangers: Strangers,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let strangers = Strangers::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { clock, strangers }
    }

    fn let_in(&self, address: &str) -> Option<Visit<'_>> {
        self.strangers.let_in(address.parse().unwrap(), RateLimit::parse("3/m").unwrap())
    }

    /// A request that is read to its end and fails.
    #[track_caller]
    fn fail(&self, address: &str) -> Verdict<'_> {
        let mut visit = self.let_in(address).unwrap();
        assert!(visit.may_be_judged());
        visit.failed()
    }

    #[track_caller]
    fn succeed(&self, address: &str) {
        let mut visit = self.let_in(address).unwrap();
        assert!(visit.may_be_judged());
        visit.verified();
    }

    /// Lets the address run out.
    #[track_caller]
    fn run_out(&self, address: &str) {
        for _ in 0..3 {
            assert!(matches!(self.fail(address), Verdict::AtOnce), "{address}");
        }
    }

    /// Takes `count` places, which are all that the address gets.
    #[track_caller]
    fn take_all(&self, address: &str, count: u32) -> Vec<Place<'_>> {
        let take = |_| match self.fail(address) {
            Verdict::Late(place) => place,
            verdict @ (Verdict::AtOnce | Verdict::TurnAway) => panic!("{address}: {verdict:?}"),
        };
        let places = (0..count).map(take).collect();
        assert!(self.let_in(address).is_none(), "{address} has more than {count}");
        places
    }
}

#[test]
fn who_runs_out_is_answered_late_until_time_has_paid() {
    let rig = Rig::new();
    rig.run_out(STRANGER);
    assert!(matches!(rig.fail(STRANGER), Verdict::Late(_)));
    assert!(matches!(rig.fail("203.0.113.8"), Verdict::AtOnce), "another one pays for himself");
    rig.clock.advance(Duration::from_millis(19_999));
    assert!(matches!(rig.fail(STRANGER), Verdict::Late(_)));
    rig.clock.advance(Duration::from_millis(1));
    assert!(matches!(rig.fail(STRANGER), Verdict::AtOnce));
    assert!(matches!(rig.fail(STRANGER), Verdict::Late(_)));
}

#[test]
fn who_signs_never_runs_out_however_many_come_before_the_first_is_judged() {
    let rig = Rig::new();
    let mut visits: Vec<_> = (0..1_000).map(|_| rig.let_in(STRANGER).unwrap()).collect();
    assert!(visits.iter_mut().all(Visit::may_be_judged));
    visits.into_iter().for_each(Visit::verified);
    rig.run_out(STRANGER);
}

#[test]
fn behind_an_address_that_has_run_out_all_that_is_signed_is_taken() {
    let rig = Rig::new();
    rig.run_out(STRANGER);
    let late: Vec<_> = (1..PLACES_OF_STRANGER).map(|_| rig.fail(STRANGER)).collect();
    assert!(late.iter().all(|verdict| matches!(verdict, Verdict::Late(_))));
    // One place is left: each gives it back at once.
    for _ in 0..1_000 {
        rig.succeed(STRANGER);
    }
}

#[test]
fn who_has_no_place_left_is_turned_away_until_one_is_free() {
    let rig = Rig::new();
    rig.run_out(STRANGER);
    // These came before the places were gone, and are read to their end after it.
    let (mut early, other) = (rig.let_in(STRANGER).unwrap(), rig.let_in(STRANGER).unwrap());
    let mut places = rig.take_all(STRANGER, PLACES_OF_STRANGER);
    assert!(!early.may_be_judged());
    assert!(matches!(early.failed(), Verdict::TurnAway));
    assert!(matches!(other.failed(), Verdict::TurnAway));
    assert!(rig.let_in("203.0.113.8").is_some(), "another one has places of his own");
    places.pop();
    rig.succeed(STRANGER);
    drop(places);
    assert!(matches!(rig.fail(STRANGER), Verdict::Late(_)));
}

#[test]
fn what_is_read_slowly_holds_no_place() {
    let rig = Rig::new();
    rig.run_out(STRANGER);
    let slow: Vec<_> = (0..10_000).map(|_| rig.let_in(STRANGER).unwrap()).collect();
    rig.succeed(STRANGER);
    drop(slow);
    rig.succeed(STRANGER);
}

#[test]
fn a_visit_that_ends_before_it_is_judged_is_charged() {
    let rig = Rig::new();
    for _ in 0..3 {
        drop(rig.let_in(STRANGER).unwrap());
    }
    assert!(matches!(rig.fail(STRANGER), Verdict::Late(_)));
}

#[test]
fn there_is_more_room_beside_an_honest_sender_for_an_hour() {
    let rig = Rig::new();
    rig.succeed(STRANGER);
    rig.run_out(STRANGER);
    drop(rig.take_all(STRANGER, PLACES_OF_KNOWN));
    rig.clock.advance(GOOD_FOR);
    rig.run_out(STRANGER);
    drop(rig.take_all(STRANGER, PLACES_OF_STRANGER));
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
        drop(rig.take_all(address, PLACES_OF_KNOWN));
    }
    for address in ["100.63.255.255", "100.128.0.0", "172.32.0.1", "2001:db8::1"] {
        let rig = Rig::new();
        rig.run_out(address);
        drop(rig.take_all(address, PLACES_OF_STRANGER));
    }
}

#[test]
fn all_addresses_together_have_so_many_places_and_a_new_one_needs_none() {
    let rig = Rig::new();
    let mut places = Vec::new();
    for n in 0..PLACES_MAX / PLACES_OF_STRANGER as usize {
        let address = format!("198.51.100.{n}");
        rig.run_out(&address);
        places.push(rig.take_all(&address, PLACES_OF_STRANGER));
    }
    rig.run_out(STRANGER);
    assert!(rig.let_in(STRANGER).is_none());
    rig.succeed("203.0.113.8");
    places.pop();
    rig.succeed(STRANGER);
}

#[test]
fn a_sender_has_all_of_its_ipv6_network() {
    let rig = Rig::new();
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"] {
        assert!(matches!(rig.fail(address), Verdict::AtOnce));
    }
    assert!(matches!(rig.fail("2001:db8::3"), Verdict::Late(_)));
    assert!(matches!(rig.fail("2001:db8:0:1::1"), Verdict::AtOnce));
    rig.run_out(STRANGER);
    assert!(matches!(rig.fail("::ffff:203.0.113.7"), Verdict::Late(_)));
}

#[test]
fn a_flood_of_addresses_is_forgotten_but_not_who_was_good_or_has_a_place() {
    let rig = Rig::new();
    rig.succeed(STRANGER);
    rig.run_out(STRANGER);
    let late = "203.0.113.8";
    rig.run_out(late);
    let place = rig.fail(late);
    for n in 0..u32::try_from(10 * N_SHARDS * SHARD_MAX).unwrap() {
        let address = IpAddr::from((0x0100_0000 + n).to_be_bytes());
        assert!(matches!(rig.fail(&address.to_string()), Verdict::AtOnce));
    }
    let known: usize = rig.strangers.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
    assert!(known <= N_SHARDS * SHARD_MAX, "{known}");
    assert!(matches!(rig.fail(STRANGER), Verdict::Late(_)), "its account is still there");
    assert!(matches!(rig.fail(late), Verdict::Late(_)), "and that one");
    drop(place);
}

#[test]
fn a_48_runs_out_whichever_of_its_64s_it_comes_from() {
    let rig = Rig::new();
    let one = |n: u32| format!("2001:db8:7:{n:x}::1");
    // 3 for each /64, and 16 times as many for all of them.
    for n in 0..48 {
        assert!(matches!(rig.fail(&one(n)), Verdict::AtOnce), "{n}");
    }
    assert!(matches!(rig.fail(&one(100)), Verdict::Late(_)));
    assert!(matches!(rig.fail("2001:db8:8::1"), Verdict::AtOnce), "a neighbour has its own");
    rig.succeed(&one(101));
    rig.clock.advance(Duration::from_mins(1));
    assert!(matches!(rig.fail(&one(102)), Verdict::AtOnce));
}
