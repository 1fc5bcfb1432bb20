use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::testing::{
    NOW, context, delivery, handler, id, numbered, settings, try_settings,
};
use super::*;
use crate::clock::ManualClock;
use crate::event::FailureKind;

/// The lines' event numbers, with proof that each line is whole.
#[track_caller]
fn numbers(path: &Path) -> Vec<u64> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        { file }.read_to_string(&mut text).unwrap();
    }
    assert!(text.is_empty() || text.ends_with('\n'));
    let number = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = line["payload"].as_u64().unwrap();
        assert_eq!(line["id"], id(number).to_string());
        number
    };
    text.lines().map(number).collect()
}

fn batch(numbers: std::ops::Range<u64>) -> Vec<Delivery> {
    numbers.map(|number| numbered(number, number.to_string())).collect()
}

#[tokio::test]
async fn each_event_is_a_line_and_later_calls_append() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out/events.jsonl");
    let handler = handler("file", "path = 'out/events.jsonl'", folder.path());
    handler.handle(&batch(1..4)).await.unwrap();
    handler.handle(&batch(4..5)).await.unwrap();
    assert_eq!(numbers(&path), [1, 2, 3, 4]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o007, 0, "others read nothing");
}

#[tokio::test]
async fn a_full_batch_of_large_bodies_is_one_call() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler("file", "path = 'e.jsonl'", folder.path());
    assert_eq!(handler.batch_max(), 4096);
    let body = format!("\"{}\"", "x".repeat(100_000));
    let deliveries: Vec<_> = (1..=50).map(|number| numbered(number, &body)).collect();
    handler.handle(&deliveries).await.unwrap();
    let text = std::fs::read_to_string(folder.path().join("e.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 50);
    assert!(text.lines().all(|line| line.len() > 100_000 && line.ends_with("xx\"}")));
}

#[tokio::test]
async fn a_line_that_a_crash_left_half_written_is_cut_off() {
    let whole = "{\"id\":\"a\"}\n";
    let long = format!("{{\"id\":\"{}", "x".repeat(3_000_000));
    for torn in ["{\"id\":\"b", "{", "garbage", "\0\0\0\0", "\0\0{}\n", long.as_str()] {
        for before in ["", whole] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("e.jsonl");
            std::fs::write(&path, format!("{before}{torn}")).unwrap();
            let handler = handler("file", "path = 'e.jsonl'", folder.path());
            handler.handle(&[delivery("1")]).await.unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let line = text.strip_prefix(before).unwrap();
            assert!(line.starts_with(&format!("{{\"id\":\"{}\"", id(1))), "{torn:.20}");
            assert_eq!(line.lines().count(), 1);
        }
    }
}

#[tokio::test]
async fn a_whole_line_without_its_line_break_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.jsonl");
    std::fs::write(&path, "{\"mine\":1}").unwrap();
    let handler = handler("file", "path = 'e.jsonl'", folder.path());
    handler.handle(&[delivery("1")]).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\"mine\":1}\n{\"id\":"), "{text}");
}

#[tokio::test]
async fn a_file_that_somebody_moved_or_cut_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.jsonl");
    let handler = handler("file", "path = 'e.jsonl'", folder.path());
    handler.handle(&batch(1..3)).await.unwrap();
    std::fs::rename(&path, folder.path().join("moved")).unwrap();
    handler.handle(&batch(3..4)).await.unwrap();
    assert_eq!(numbers(&folder.path().join("moved")), [1, 2]);
    assert_eq!(numbers(&path), [3]);
    std::fs::File::create(&path).unwrap();
    handler.handle(&batch(4..5)).await.unwrap();
    assert_eq!(numbers(&path), [4]);
}

#[tokio::test]
async fn folder_that_was_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler("file", "path = 'logs/e.jsonl'", folder.path());
    handler.handle(&batch(1..2)).await.unwrap();
    std::fs::remove_dir_all(folder.path().join("logs")).unwrap();
    handler.handle(&batch(2..3)).await.unwrap();
    assert_eq!(numbers(&folder.path().join("logs/e.jsonl")), [2]);
}

#[tokio::test]
async fn a_full_disk_is_transient_and_leaves_whole_lines_only() {
    // What is appended to /dev/full fails with ENOSPC.
    let folder = tempfile::tempdir().unwrap();
    let handler = handler("file", "path = '/dev/full'", folder.path());
    let failure = handler.handle(&batch(1..3)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert_eq!(
        failure.text.as_str(),
        "writing `/dev/full` failed: No space left on device (os error 28)"
    );
}

#[tokio::test]
async fn a_failed_write_is_cut_back_to_the_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.jsonl");
    let settings = Settings {
        path: path.clone(),
        rotation: Rotation::Never,
        rotated: Rotated { max_files: None, gzip: false },
    };
    let mut file = LineFile::new(settings, Arc::new(ManualClock::new(NOW)));
    let events =
        |numbers| batch(numbers).into_iter().map(|one| (one.event, None)).collect::<Vec<_>>();
    file.append(&events(1..3)).unwrap();
    file.fails_next_sync = true;
    file.append(&events(3..5)).unwrap_err();
    assert_eq!(numbers(&path), [1, 2]);
    file.append(&events(3..5)).unwrap();
    assert_eq!(numbers(&path), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_new_day_begins_a_new_file_and_only_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let context = BuildContext { clock: Arc::clone(&clock) as _, ..context(folder.path()) };
    let text = "path = 'e.jsonl'\nrotate = 'daily'\nmax_files = 2\ngzip = true";
    let handler = settings("file", text, folder.path()).build(&context).unwrap();
    for number in 1..=4 {
        handler.handle(&batch(number..number + 1)).await.unwrap();
        clock.advance(Duration::from_hours(24));
    }
    handler.close().await;
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["e-2026-11-23.jsonl.gz", "e-2026-11-24.jsonl.gz", "e.jsonl"]);
    assert_eq!(numbers(&folder.path().join(&names[0])), [2]);
    assert_eq!(numbers(&folder.path().join(&names[1])), [3]);
    assert_eq!(numbers(&folder.path().join(&names[2])), [4]);
}

#[tokio::test]
async fn the_day_of_a_file_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.jsonl");
    let text = "path = 'e.jsonl'\nrotate = 'daily'";
    handler("file", text, folder.path()).handle(&batch(1..2)).await.unwrap();
    let yesterday = std::time::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap())
        - Duration::from_hours(24);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    handler("file", text, folder.path()).handle(&batch(2..3)).await.unwrap();
    assert_eq!(numbers(&folder.path().join("e-2026-11-21.jsonl")), [1]);
    assert_eq!(numbers(&path), [2]);
}

#[tokio::test]
async fn a_file_of_the_size_is_rotated_and_no_name_is_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler("file", "path = 'e.jsonl'\nrotate = '4KiB'", folder.path());
    for first in [1, 101, 201, 301] {
        handler.handle(&batch(first..first + 100)).await.unwrap();
    }
    handler.close().await;
    let read = |name: &str| numbers(&folder.path().join(name)).len();
    assert_eq!(read("e-2026-11-22T120000Z.jsonl"), 100);
    assert_eq!(read("e-2026-11-22T120000Z-1.jsonl"), 100);
    assert_eq!(read("e-2026-11-22T120000Z-2.jsonl"), 100);
    assert_eq!(read("e.jsonl"), 100);
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let check = |text: &str, expected: &str| {
        let (_, problems) = try_settings("file", text, Path::new("."));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    };
    check("", "`path` is missing");
    check("path = 'e'\nrotate = 'weekly'", "expected `daily`, `never` or a size");
    check("path = 'e'\nrotate = '1KiB'", "4096 bytes or more");
    check("path = 'e'\nmax_files = 5", "the file is not rotated");
    check("path = '..'", "not the name of a file");
}

#[test]
fn check_finds_a_place_where_nobody_makes_files() {
    let settings = settings("file", "path = '/proc/nope/x.jsonl'", Path::new("."));
    assert!(settings.check(&context(Path::new("."))).is_err());
}
