//! Gateway and standby in one process, with segments of 8 KiB.

mod lost;
pub(super) mod rig;

use super::error::StandbyError;
use super::local::{CopyError, LocalCopy};
use super::promote::{Thoroughness, promote};
use super::restore::restore;
use super::standbys::{Acknowledge, Rule, Standbys};
use super::wire::{Hello, PulledParts};
use crate::queue::embedded::COPY_FORMAT;
use crate::queue::{Queue, QueueError};
use rig::{RULE, Rig, clock, files, flip, open};

#[tokio::test]
async fn a_copy_follows_through_segments_that_come_and_go() {
    let mut rig = Rig::new().await;
    let mut copy = rig.copy();
    for _ in 0..6 {
        rig.append(50).await;
        rig.follow(&mut copy).await;
        rig.deliver().await;
        rig.append(3).await;
        rig.follow(&mut copy).await;
        // The lists count once the log is as far as they are.
        rig.append(1).await;
        rig.follow(&mut copy).await;
    }
    assert!(rig.queue.files().first_segment() > 10, "segments were let go of");
    let there = files(&rig.copy_folder().join("log")).len();
    assert!(there < 10, "the copy lets go of them, too: {there}");
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_copy_that_begins_late_or_was_away_has_all_that_is_alive() {
    let mut rig = Rig::new().await;
    rig.append(100).await;
    rig.deliver().await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    // While it is away the gateway lets go of all that it has.
    drop(copy);
    rig.append(200).await;
    rig.deliver().await;
    rig.append(30).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_copy_that_is_cut_off_at_any_question_goes_on_where_it_stood() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    rig.deliver().await;
    for _ in 0..30 {
        rig.append(7).await;
        // Killed after a single answer, and begun anew.
        let mut copy = rig.copy();
        let session = rig.hello(&mut copy).unwrap();
        rig.step(&session, &mut copy).await;
    }
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn every_byte_that_is_turned_over_on_the_way_is_noticed() {
    let mut rig = Rig::new().await;
    rig.append(5).await;
    let mut copy = rig.copy();
    let session = rig.hello(&mut copy).unwrap();
    let answer = rig.pull(&session, &copy).await.unwrap();
    for at in 0..answer.len() {
        let mut garbled = answer.to_vec();
        garbled[at] ^= 0x10;
        assert!(PulledParts::decode(&garbled.into()).is_err(), "byte {at}");
    }
    for length in 0..answer.len() {
        assert!(PulledParts::decode(&answer.slice(..length)).is_err(), "cut at {length}");
    }
}

#[tokio::test]
async fn what_rots_in_the_copy_is_fetched_again() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    let sealed = files(&rig.copy_folder().join("log"))[1].clone();
    // While it follows: found by the look at one segment after another.
    flip(&sealed, 4_000);
    let n_looks = (0..40).take_while(|_| copy.scrub()).count();
    assert!(n_looks < 40, "it is found");
    rig.follow(&mut copy).await;
    drop(copy);
    // While it is away, in a complete segment and in the newest one.
    flip(&sealed, 4_000);
    flip(files(&rig.copy_folder().join("log")).last().unwrap(), 100);
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_damaged_copy_is_promoted_by_force_only() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    flip(&files(&rig.copy_folder().join("log"))[1], 4_000);
    let err = promote(&rig.copy_folder(), false, &|_, _| ()).unwrap_err();
    assert!(matches!(err, CopyError::Damaged { .. }), "{err}");
    assert!(matches!(open(&rig.copy_folder()), Err(QueueError::Standby { .. })));
    let promoted = promote(&rig.copy_folder(), true, &|_, _| ()).unwrap();
    assert!(!promoted.damage.is_empty());
    assert!(!open(&rig.copy_folder()).unwrap().stats().damage.is_empty(), "the rest is served");
}

#[tokio::test]
async fn a_copy_that_is_not_complete_is_promoted_by_force_only() {
    let mut rig = Rig::new().await;
    rig.append(3).await;
    let mut copy = rig.copy();
    rig.hello(&mut copy).unwrap();
    drop(copy);
    let err = promote(&rig.copy_folder(), false, &|_, _| ()).unwrap_err();
    assert!(matches!(err, CopyError::Incomplete(_)), "{err}");
}

#[tokio::test]
async fn nobody_serves_from_a_copy_and_no_standby_writes_into_a_queue() {
    let mut rig = Rig::new().await;
    rig.append(3).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    // Held by the standby.
    let err = promote(&rig.copy_folder(), true, &|_, _| ()).unwrap_err();
    assert!(matches!(err, CopyError::Queue(QueueError::Held { .. })), "{err}");
    drop(copy);
    assert!(matches!(open(&rig.copy_folder()), Err(QueueError::Standby { .. })));
    promote(&rig.copy_folder(), false, &|_, _| ()).unwrap();
    drop(open(&rig.copy_folder()).unwrap());
    let err = LocalCopy::open(&rig.copy_folder()).unwrap_err();
    assert!(matches!(err, CopyError::IsQueue(_)), "{err}");
    let err = promote(&rig.copy_folder(), true, &|_, _| ()).unwrap_err();
    assert!(matches!(err, CopyError::IsGateways(_)), "{err}");
    let other = rig.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), "dear").unwrap();
    assert!(matches!(LocalCopy::open(&other), Err(CopyError::NotEmpty(_))));
}

#[tokio::test]
async fn a_copy_of_another_gateway_is_refused() {
    let (mut one, mut two) = (Rig::new().await, Rig::new().await);
    one.append(3).await;
    two.append(3).await;
    let mut copy = one.copy();
    one.follow(&mut copy).await;
    let err = two.hello(&mut copy).unwrap_err();
    assert!(matches!(err, StandbyError::OtherGateway { .. }), "{err}");
}

#[tokio::test]
async fn a_gateway_that_was_restored_from_an_older_copy_is_refused() {
    for n_new in [0, 1, 3, 40] {
        let mut rig = Rig::new().await;
        rig.append(20).await;
        let mut copy = rig.copy();
        rig.follow(&mut copy).await;
        rig.queue.close().await.unwrap();
        let (now, older) = (rig.folder.path().join("gateway"), rig.folder.path().join("older"));
        // The older copy: as it stands now, before three more events.
        let copied =
            std::process::Command::new("cp").arg("-a").arg(&now).arg(&older).status().unwrap();
        assert!(copied.success());
        rig.queue = open(&now).unwrap();
        rig.standbys = Standbys::new(rig.queue.files(), now.clone(), clock(), RULE);
        rig.append(3).await;
        rig.follow(&mut copy).await;
        rig.queue = open(&older).unwrap();
        rig.standbys = Standbys::new(rig.queue.files(), older, clock(), RULE);
        rig.n_events = 1_000;
        rig.append(n_new).await;
        let err = rig.hello(&mut copy).unwrap_err();
        assert!(matches!(err, StandbyError::Diverged(_)), "after {n_new}: {err}");
        let text = err.to_string();
        assert!(text.contains("promote it, or give the standby an empty folder"), "{text}");
    }
}

#[tokio::test]
async fn another_format_is_refused_by_name() {
    let rig = Rig::new().await;
    let hello = Hello {
        format: COPY_FORMAT + 1,
        version: "9.9.9".to_owned(),
        name: "two".to_owned(),
        gateway: None,
        stand: None,
    };
    let text = rig.standbys.hello(&hello).unwrap_err().to_string();
    assert!(text.contains("9.9.9") && text.contains("run the same version on both"), "{text}");
}

#[tokio::test]
async fn an_answer_waits_for_the_copy_and_no_longer_than_it_may() {
    let mut rig = Rig::new().await;
    rig.append(1).await;
    assert!(!rig.standbys.is_copied().await, "nobody has it");
    assert!(rig.standbys.problem().is_some_and(|text| text.contains("no standby has asked")));
    let mut copy = rig.copy();
    let session = rig.hello(&mut copy).unwrap();
    rig.step(&session, &mut copy).await;
    assert!(!rig.standbys.is_copied().await, "it has not said that it is durable");
    rig.step(&session, &mut copy).await;
    assert!(rig.standbys.is_copied().await);
    assert_eq!(rig.standbys.problem(), None);
    let view = rig.standbys.view().unwrap();
    assert_eq!((view.name.as_deref(), view.connected), (Some("two"), true));
    assert_eq!((view.lag.seconds, view.lag.bytes), (0.0, 0));
    rig.append(1).await;
    assert!(!rig.standbys.is_copied().await, "the copy lacks the newest");
    assert!(rig.standbys.view().unwrap().lag.bytes > 300);
    rig.standbys.set_rule(Rule { acknowledge: Acknowledge::Local, ..RULE });
    assert!(rig.standbys.is_copied().await, "nobody wants it to");
}

#[tokio::test]
async fn how_far_a_copy_is_read_is_told() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |done: u64, total: u64| told.borrow_mut().push((done, total));
    let elsewhere = tempfile::tempdir().unwrap();
    let how = Thoroughness { force: false, verify: false };
    restore(&rig.copy_folder(), &elsewhere.path().join("queue"), how, &tell).unwrap();
    let in_all = |folder: &str| -> u64 {
        let files = files(&rig.copy_folder().join(folder)).into_iter();
        files.map(|file| file.metadata().unwrap().len()).sum()
    };
    let n_bytes = in_all("log") + in_all("kept") + in_all("keys");
    let restored = told.take();
    assert!(restored.contains(&(n_bytes, n_bytes)), "{n_bytes}: {restored:?}");
    promote(&rig.copy_folder(), false, &tell).unwrap();
    let promoted = told.take();
    assert!(!promoted.is_empty() && promoted.is_sorted_by_key(|(done, _)| *done), "{promoted:?}");
    assert!(promoted.iter().all(|(done, total)| done <= total), "{promoted:?}");
}
