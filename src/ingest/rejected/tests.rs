//! The ring's bounds, in memory and on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::source::Rejection;

fn request(body_bytes: usize) -> RejectedRequest {
    RejectedRequest {
        number: 0,
        received_at: Timestamp::from_millis(1_700_000_000_123),
        source: SourceName::parse("hyvor").unwrap(),
        client: Some([192, 0, 2, 1].into()),
        method: "POST".into(),
        path_and_query: "/hooks/hyvor?a=b".into(),
        headers: [("x-signature", &b"\xff"[..])].into_iter().collect(),
        body: vec![b'x'; body_bytes].into(),
        reason: Rejection::Missing.to_string(),
    }
}

fn numbers(ring: &RejectedRing) -> Vec<u64> {
    let mut numbers: Vec<_> = ring.list(usize::MAX).iter().map(|request| request.number).collect();
    numbers.reverse();
    numbers
}

/// Runs `test` with the ring of `path` while its file is kept.
fn kept(path: &Path, test: impl FnOnce(&RejectedRing)) {
    /// Also after a panic: the thread would be waited for otherwise.
    struct Closing<'a>(&'a RejectedRing);
    impl Drop for Closing<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let ring = RejectedRing::open(path.to_owned());
    std::thread::scope(|scope| {
        let closing = Closing(&ring);
        scope.spawn(|| ring.keep());
        test(closing.0);
    });
}

#[test]
fn the_ring_keeps_the_newest_up_to_its_count() {
    let ring = RejectedRing::default();
    for _ in 0..RejectedRing::ENTRIES_MAX + 5 {
        ring.push(request(1));
    }
    let kept = ring.list(usize::MAX);
    assert_eq!(kept.len(), RejectedRing::ENTRIES_MAX);
    assert_eq!(kept[0].number, 1_005);
    assert!(ring.get(5).is_none());
    assert!(ring.get(6).is_some());
}

#[test]
fn the_ring_keeps_no_more_bytes_than_its_limit() {
    let ring = RejectedRing::default();
    for _ in 0..100 {
        ring.push(request(1 << 20));
    }
    assert_eq!(ring.list(usize::MAX).len(), 7);
    assert!(ring.lock().entries.bytes() <= RejectedRing::BYTES_MAX);
}

#[test]
fn a_request_over_the_limit_does_not_push_out_the_others() {
    let ring = RejectedRing::default();
    ring.push(request(1));
    assert_eq!(ring.push(request(RejectedRing::BYTES_MAX)), 2);
    assert_eq!(ring.push(request(1)), 3);
    assert_eq!(numbers(&ring), [1, 3]);
}

#[test]
fn a_source_that_is_flooded_leaves_the_others_theirs() {
    let other = |n: usize| RejectedRequest {
        source: SourceName::parse("other").unwrap(),
        ..request(100 + n)
    };
    for (n_flood, body_bytes) in [(30, 1 << 20), (5_000, 100), (500, 200_000)] {
        let ring = RejectedRing::default();
        for n in 0..400 {
            ring.push(other(n));
        }
        let mut newest = 0;
        for _ in 0..n_flood {
            newest = ring.push(request(body_bytes));
        }
        let kept = ring.list(usize::MAX);
        let n_others = kept.iter().filter(|one| one.source.as_str() == "other").count();
        assert_eq!(n_others, 400, "{n_flood} of {body_bytes} bytes");
        assert!(ring.get(newest).is_some(), "the newest is what its owner looks for");
        assert!(ring.lock().entries.bytes() <= RejectedRing::BYTES_MAX);
    }
}

#[test]
fn client_that_floods_a_source_leaves_the_other_clients_theirs() {
    for question in ["answered as a handshake, and no event", "there is no signature"] {
        for (n_flood, body_bytes) in [(5_000, 100), (500, 200_000)] {
            let ring = RejectedRing::default();
            for n in 0..100_u8 {
                let client = Some([198, 51, 100, n].into());
                ring.push(RejectedRequest { client, reason: question.to_owned(), ..request(100) });
            }
            let mut newest = 0;
            for n in 0..n_flood {
                // Of IPv6 one person has a whole network.
                let client = Some(format!("2001:db8:1:{:x}::1", n % 60_000).parse().unwrap());
                let flood = request(body_bytes);
                newest =
                    ring.push(RejectedRequest { client, reason: question.to_owned(), ..flood });
            }
            let kept = ring.list(usize::MAX);
            let of_others = |one: &&Arc<RejectedRequest>| one.client.unwrap().is_ipv4();
            assert_eq!(
                kept.iter().filter(of_others).count(),
                100,
                "{n_flood} of {body_bytes} bytes"
            );
            assert!(ring.get(newest).is_some());
        }
    }
}

#[test]
fn first_question_of_a_source_is_not_flooded_out() {
    let question = |body_bytes| RejectedRequest {
        reason: "answered as a handshake, and no event".to_owned(),
        ..request(body_bytes)
    };
    for (n_flood, body_bytes) in [(1_100, 1), (200, 64 << 10)] {
        let ring = RejectedRing::default();
        ring.push(request(1));
        ring.push(question(64 << 10));
        for _ in 0..n_flood {
            ring.push(question(body_bytes));
        }
        assert!(numbers(&ring).contains(&2), "{n_flood} of {body_bytes} bytes");
        assert!(ring.len() <= RejectedRing::ENTRIES_MAX);
        assert!(ring.lock().entries.bytes() <= RejectedRing::BYTES_MAX);
    }
}

#[test]
fn large_bodies_make_room_before_small_ones() {
    let ring = RejectedRing::default();
    for n in 0..300 {
        ring.push(request(if n % 10 == 0 { 1 << 20 } else { 100 }));
    }
    let small = ring.list(usize::MAX).iter().filter(|one| one.body.len() == 100).count();
    assert_eq!(small, 270);
}

#[test]
fn numbers_are_not_reused() {
    let ring = RejectedRing::default();
    let first = ring.push(request(1));
    ring.remove(first);
    assert!(ring.get(first).is_none());
    assert_eq!(ring.lock().entries.bytes(), 0);
    assert_eq!(ring.push(request(1)), first + 1);
}

#[test]
fn what_is_kept_outlives_a_restart_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected");
    kept(&path, |ring| {
        for bytes in [0, 5, 100_000] {
            ring.push(request(bytes));
        }
        ring.push(RejectedRequest { client: None, ..request(1) });
        ring.remove(2);
    });
    let ring = RejectedRing::open(path.clone());
    assert_eq!(numbers(&ring), [1, 3, 4]);
    let sent = RejectedRequest { number: 3, ..request(100_000) };
    let found = ring.get(3).unwrap();
    assert_eq!(format!("{found:?}"), format!("{sent:?}"));
    assert_eq!(found.headers, sent.headers);
    assert_eq!(ring.get(4).unwrap().client, None);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn numbers_go_on_after_a_restart_even_where_nothing_is_kept_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected");
    kept(&path, |ring| {
        ring.push(request(1));
        ring.push(request(1));
        ring.remove(2);
    });
    kept(&path, |ring| ring.remove(1));
    kept(&path, |ring| {
        assert!(ring.is_empty());
        assert_eq!(ring.push(request(1)), 3);
    });
    assert_eq!(numbers(&RejectedRing::open(path)), [3]);
}

#[test]
fn the_number_of_one_that_was_let_go_of_before_it_was_written_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected");
    let (mut entries, mut file) = (Entries::default(), RejectedFile::new(path.clone()));
    entries.push(request(1));
    file.write(&entries.take_unwritten().unwrap()).unwrap();
    entries.push(request(1));
    entries.remove(2);
    file.write(&entries.take_unwritten().unwrap()).unwrap();
    let ring = RejectedRing::open(path);
    assert_eq!(numbers(&ring), [1]);
    assert_eq!(ring.push(request(1)), 3);
}

#[test]
fn the_file_is_appended_to_while_the_ring_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected");
    let bytes = || std::fs::metadata(&path).map_or(0, |file| file.len());
    let mut entries = Entries::default();
    let mut file = RejectedFile::new(path.clone());
    let mut before = 0;
    for n in 1..=5 {
        entries.push(request(1_000));
        file.write(&entries.take_unwritten().unwrap()).unwrap();
        let grown = bytes() - before;
        assert!((1_000..1_200).contains(&grown), "write {n} added {grown} bytes");
        before = bytes();
    }
    entries.remove(3);
    file.write(&entries.take_unwritten().unwrap()).unwrap();
    assert!(entries.take_unwritten().is_none());
    assert_eq!(numbers(&RejectedRing::open(path)), [1, 2, 4, 5]);
}

#[test]
fn a_flood_leaves_memory_and_file_within_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected");
    let mut entries = Entries::default();
    let mut file = RejectedFile::new(path.clone());
    for n in 0..100_000_usize {
        // Small ones fill the count, large ones the bytes.
        entries.push(request(if n % 2_000 < 1_000 { 100 } else { 100_000 }));
        assert!(entries.bytes() <= RejectedRing::BYTES_MAX);
        assert!(entries.iter().len() <= RejectedRing::ENTRIES_MAX);
        if n % 700 == 0 {
            file.write(&entries.take_unwritten().unwrap()).unwrap();
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert!(bytes <= RejectedRing::FILE_BYTES_MAX, "{bytes}");
        }
    }
    file.write(&entries.take_unwritten().unwrap()).unwrap();
    let kept: Vec<_> = entries.iter().map(|request| request.number).collect();
    assert_eq!(numbers(&RejectedRing::open(path)), kept);
}

#[test]
fn a_file_that_cannot_be_written_is_tried_again_with_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/rejected");
    let mut entries = Entries::default();
    let mut file = RejectedFile::new(path.clone());
    entries.push(request(1));
    file.write(&entries.take_unwritten().unwrap()).unwrap_err();
    entries.nothing_is_written();
    std::fs::create_dir(folder.path().join("later")).unwrap();
    entries.push(request(1));
    file.write(&entries.take_unwritten().unwrap()).unwrap();
    assert_eq!(numbers(&RejectedRing::open(path)), [1, 2]);
}

/// A file of three requests.
fn three(folder: &Path) -> Vec<u8> {
    let path = folder.join("rejected");
    kept(&path, |ring| {
        for _ in 0..3 {
            ring.push(request(50));
        }
    });
    std::fs::read(path).unwrap()
}

#[test]
fn of_a_file_that_was_cut_off_the_whole_records_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = three(folder.path());
    let path = folder.path().join("cut");
    let mut most = 0;
    for length in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let found = numbers(&RejectedRing::open(path.clone()));
        assert_eq!(found, [1, 2, 3][..found.len()]);
        assert!(found.len() >= most);
        most = found.len();
    }
    assert_eq!(most, 3);
    // What is written after that is whole again.
    std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    kept(&path, |ring| assert_eq!(ring.push(request(1)), 3));
    assert_eq!(numbers(&RejectedRing::open(path)), [1, 2, 3]);
}

#[test]
fn something_else_in_the_files_place_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected");
    for other in
        [&b""[..], b"x", b"gprejct2\0\0\0\0", b"gprejct1\xff\xff\xff\xff\0\0\0\0", &[0; 999]]
    {
        std::fs::write(&path, other).unwrap();
        assert!(RejectedRing::open(path.clone()).is_empty());
        kept(&path, |ring| assert_eq!(ring.push(request(1)), 1));
        assert_eq!(numbers(&RejectedRing::open(path.clone())), [1]);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(RejectedRing::open(path).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        drop(file::decode(&bytes));
        let mut entries = Entries::default();
        drop(file::read_from(bytes.as_slice(), &mut entries));
    }
}
