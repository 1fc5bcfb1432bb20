//! What was lost of a copy, and what must not be lost.

use super::super::error::StandbyError;
use super::super::local::CopyError;
use super::super::promote::promote;
use super::super::standbys::Standbys;
use super::super::wire::PulledParts;
use super::rig::{RULE, Rig, clock, files, open, web};
use crate::clock::Clock;
use crate::queue::embedded::LogPlace;
use crate::queue::{Queue, Start};

#[tokio::test]
async fn a_file_of_the_copy_that_is_lost_is_fetched_again_and_it_is_no_whole_until_then() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    let log = rig.copy_folder().join("log");
    // While it follows.
    std::fs::remove_file(&files(&log)[1]).unwrap();
    let n_looks = (0..40).take_while(|_| copy.scrub()).count();
    assert!(n_looks < 40, "it is found");
    assert!(!copy.is_complete());
    rig.follow(&mut copy).await;
    drop(copy);
    // While it is away, the first and the newest complete one.
    let there = files(&log);
    let (first, last) = (there[0].clone(), there[there.len() - 2].clone());
    for lost in [first, last] {
        std::fs::remove_file(&lost).unwrap();
        let copy = rig.copy();
        assert!(!copy.is_complete(), "{}", lost.display());
        assert!(copy.durable() < rig.queue.files().head());
        drop(copy);
        let refused = promote(&rig.copy_folder(), false, &|_, _| ()).unwrap_err();
        assert!(matches!(refused, CopyError::Incomplete(_)), "{refused}");
    }
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    assert_eq!(files(&log), there);
    rig.compare().await;
}

#[tokio::test]
async fn a_file_that_comes_while_a_list_is_waited_for_stays() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    let session = rig.hello(&mut copy).unwrap();
    let answer = rig.pull(&session, &copy).await.unwrap();
    let (mut batch, parts) = PulledParts::decode(&answer).unwrap();
    assert!(batch.is_complete && batch.kept.is_empty());
    // The gateway went on between its head and its lists.
    let LogPlace { segment, offset } = batch.head;
    batch.lists_count_from = LogPlace { segment, offset: offset + 1 };
    copy.apply(batch, &parts, clock().now()).unwrap();
    rig.append(1).await;
    rig.deliver().await;
    rig.step(&session, &mut copy).await;
    let kept = rig.queue.files().kept();
    assert!(!kept.is_empty());
    for file in kept {
        assert!(copy.kept_parts().iter().any(|part| part.name == file.name), "{:?}", file.name);
    }
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_copy_that_has_diverged_stays_refused_once_what_proves_it_is_gone() {
    let mut rig = Rig::new().await;
    rig.append(3).await;
    rig.queue.close().await.unwrap();
    let (now, older) = (rig.folder.path().join("gateway"), rig.folder.path().join("older"));
    let copied = std::process::Command::new("cp").arg("-a").arg(&now).arg(&older).status().unwrap();
    assert!(copied.success());
    rig.queue = open(&now).unwrap();
    rig.standbys = Standbys::new(rig.queue.files(), now.clone(), clock(), RULE);
    rig.append(3).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    // The id is made with the first standby.
    std::fs::copy(now.join("id"), older.join("id")).unwrap();
    rig.queue = open(&older).unwrap();
    rig.subscription = rig.queue.subscribe(&web(), Start::Oldest).await.unwrap();
    rig.standbys = Standbys::new(rig.queue.files(), older.clone(), clock(), RULE);
    let diverged = |err| matches!(err, Err(StandbyError::Diverged(_)));
    assert!(diverged(rig.hello(&mut copy)));
    rig.n_events = 1_000;
    rig.append(60).await;
    rig.deliver().await;
    assert!(rig.queue.files().first_segment() > copy.durable().segment, "it is let go of");
    assert!(diverged(rig.hello(&mut copy)));
    // Also by the next process.
    rig.standbys = Standbys::new(rig.queue.files(), older, clock(), RULE);
    assert!(diverged(rig.hello(&mut copy)));
}

#[tokio::test]
async fn a_copy_without_its_manifest_is_promoted_by_force() {
    let mut rig = Rig::new().await;
    rig.append(3).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    std::fs::remove_file(rig.copy_folder().join("standby.json")).unwrap();
    let promoted = promote(&rig.copy_folder(), true, &|_, _| ()).unwrap();
    assert_eq!(promoted.found.unwrap().events, 3);
    drop(open(&rig.copy_folder()).unwrap());
}
