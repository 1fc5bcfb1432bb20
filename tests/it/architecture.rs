//! What ARCHITECTURE.md and CONTRIBUTING.md say is so: their files exist, and what is said to be in one
//! place only is nowhere else. (The floors are `floors.rs`, the words `words.rs`.)

use std::path::Path;

use super::floors::{code, sources};

/// The most lines of ARCHITECTURE.md: more is not read.
const LINES_MAX: usize = 150;

/// What is written as a path, and is made by a running process or by `./test`.
const MADE_AT_RUN_TIME: &[&str] = &["aside/", "data/rejected", "data/rollouts", "target/tools"];

/// What only some files may name: the text, the files, and the sentence that says so.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("SystemTime::now", &[], "no time is asked for outside `clock`"),
    ("std::time::Instant::now", &["src/clock.rs"], "no time is asked for outside `clock`"),
    ("clock_gettime", &["src/clock.rs"], "no time is asked for outside `clock`"),
    (
        "tokio::spawn",
        &["src/handler/sql/writer.rs", "src/handler/sql/housekeeping.rs"],
        "no task is spawned outside `app`",
    ),
    ("runtime.spawn", &["src/app/"], "no task is spawned outside `app`"),
    (
        "tasks.spawn",
        &["src/app.rs", "src/app/", "src/cluster/cluster_queue.rs"],
        "no task is spawned outside `app`",
    ),
    (
        "TaskTracker::new",
        &["src/app.rs", "src/app/", "src/cluster/cluster_queue.rs"],
        "no task is spawned outside `app`",
    ),
    ("std::env::var", &["src/secret.rs"], "no secret is read outside `secret`"),
    ("SledStore::new", &["src/queue/embedded/open.rs"], "sled answers questions of people"),
];

/// Rooms on the way in and out, which never ask the index.
const WITHOUT_INDEX: &[&str] = &["commit", "subscription", "state", "log", "record"];

/// Arithmetic on places of the log, and the only files that have it: elsewhere a difference that
/// must not be negative, or a number that must fit, would be smoothed over without a word.
const ARITHMETIC: &[(&str, &[&str])] = &[
    (".0.saturating_", &["src/event.rs", "src/clock.rs", "src/queue/embedded/record/values.rs"]),
    (".offset().saturating_", &["src/queue/embedded/record/values.rs"]),
    ("id.number.saturating_", &[]),
    (".segment().saturating_", &[]),
    ("as_millis()).unwrap_or(u64::MAX)", &["src/clock.rs"]),
    ("as_millis()).unwrap_or(0)", &["src/clock.rs"]),
    ("as_micros()).unwrap_or(u64::MAX)", &["src/clock.rs"]),
];

/// The files of the queue that may take a number that is too large for 32 bits for the largest.
const NARROWING: &[&str] =
    &["record/values.rs", "keys/page.rs", "snapshot_file.rs", "kept/open.rs", "log/open.rs"];

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What stands in backticks and looks like a path: lower-case words with a slash between or behind.
fn paths(text: &str) -> Vec<&str> {
    let is_path = |name: &&str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || "_/.".contains(c);
        name.contains('/') && name.chars().all(is_plain) && !name.starts_with(['/', '.'])
    };
    text.split('`').skip(1).step_by(2).filter(is_path).collect()
}

#[test]
fn architecture_fits_on_two_screens() {
    let n_lines = document("ARCHITECTURE.md").lines().count();
    assert!(n_lines <= LINES_MAX, "{n_lines} lines");
}

#[test]
fn documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut n_paths = 0;
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = document(name);
        for path in paths(&text) {
            n_paths += 1;
            let places = ["", "src/", "src/queue/"].map(|folder| root.join(folder).join(path));
            let is_there =
                places.iter().any(|place| place.exists() || place.with_extension("rs").exists());
            assert!(is_there || MADE_AT_RUN_TIME.contains(&path), "{name} names `{path}`");
        }
    }
    assert!(n_paths > 30, "the documents are read: {n_paths}");
}

/// The path and the code of each file, without tests.
fn shipped() -> impl Iterator<Item = (String, String)> {
    let files = sources().into_iter().map(|(path, text)| {
        let code = code(&text);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (path.to_str().unwrap().to_owned(), code)
    });
    files.filter(|(path, _)| !path.contains("tests") && !path.contains("/testing"))
}

#[test]
fn what_is_in_one_place_only_is_nowhere_else() {
    for (path, code) in shipped() {
        for (what, places, claim) in ONLY_IN {
            let may = places.iter().any(|place| path.starts_with(place));
            assert!(may || !code.contains(what), "{path} has `{what}`, against \"{claim}\"");
        }
    }
}

#[test]
fn places_of_the_log_are_calculated_in_one_file_each() {
    for (path, code) in shipped() {
        for (what, places) in ARITHMETIC {
            assert!(places.contains(&path.as_str()) || !code.contains(what), "{path} has `{what}`");
        }
        let in_queue = path.strip_prefix("src/queue/embedded/");
        if in_queue.is_some_and(|file| !NARROWING.contains(&file)) {
            assert!(!code.contains("unwrap_or(u32::MAX)"), "{path} narrows a number");
        }
    }
}

#[test]
fn way_in_and_out_never_asks_the_index() {
    for (path, text) in sources() {
        let path = path.to_str().unwrap();
        let room = path.strip_prefix("src/queue/embedded/").and_then(|rest| rest.split('/').next());
        let is_on_the_way = room.is_some_and(|room| WITHOUT_INDEX.contains(&room));
        if is_on_the_way && !path.contains("tests") {
            let asks =
                code(&text).contains("embedded::index") || code(&text).contains("super::index");
            assert!(!asks, "{path} asks the index, which may be lost or wrong at any time");
        }
    }
}

#[test]
fn paths_are_found_in_backticks() {
    let found = paths("`http/public` and `a::b`, `tests/it/queue`, `/hooks/`, `None`, `fuzz/`.");
    assert_eq!(found, ["http/public", "tests/it/queue", "fuzz/"]);
}
