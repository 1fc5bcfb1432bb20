//! One vocabulary: the field's term for each thing, and a type's name for one thing.

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{code, sources};

/// Words that were given up, each with the one that a reader looks for.
const GIVEN_UP: &[(&str, &str)] = &[
    ("Strangers", "ClientLimiter"),
    ("Visit", "Admission"),
    ("Door", "Endpoint"),
    ("doors", "endpoints"),
    ("let_in", "admit"),
    ("Few", "SmallList"),
    ("SledQueue", "EmbeddedQueue"),
    ("Janitor", "Cleaner"),
    ("janitor", "cleaner"),
    ("Basket", "TakeBatch"),
    ("Preparer", "SegmentAllocator"),
    ("Carry", "the kept log"),
    ("HandOver", "the index follows the log"),
    ("Applied", "Record"),
    ("Alarm", "PoisonOnPanic"),
    ("Era", "KeyMemtable"),
    ("soiled", "torn"),
    ("relogged", "parked"),
    ("unreleased", "released"),
    ("uncollect", "restore_outbox"),
    ("first_in_line", "the head of a key queue"),
    ("Loop", "Worker"),
    ("Tried", "CallOutcome"),
    ("line_up", "enqueue"),
    ("take_ended", "take_drained_keys"),
    ("batch_unasked", "default_batch"),
    ("put_off", "deferred"),
    ("PutOff", "Deferred"),
    ("tell_of", "log_failure"),
    ("tell_of_the_dead", "report_dead_letters"),
    ("Hourly", "HourlyQuota"),
    ("RealTable", "TableSchema"),
    ("own_tables", "ledger"),
    ("Leaf", "ConfigEntry"),
    ("Leaves", "ConfigEntries"),
    ("OwnEvents", "SystemEvents"),
    ("OwnSource", "SystemSource"),
    ("BuiltOf", "BuildInputs"),
    ("that_stay", "unchanged_handlers"),
    ("stand_back", "lower_thread_priority"),
];

/// Names of two types or more. None is to be added: a reader who looks for one finds another.
const RECUR: &[&str] = &[
    "Accepted",
    "Answer",
    "Breaker",
    "Cell",
    "Change",
    "Chosen",
    "Condition",
    "Contents",
    "Control",
    "Core",
    "DeadChange",
    "DeadFilter",
    "DeadPage",
    "Draft",
    "End",
    "Endpoint",
    "Facts",
    "Failed",
    "Fields",
    "Finder",
    "Format",
    "Group",
    "Handlers",
    "Handshake",
    "Header",
    "Health",
    "Inner",
    "Item",
    "Kept",
    "Key",
    "KeyQueue",
    "Kind",
    "Limits",
    "Live",
    "Mode",
    "Names",
    "Newest",
    "News",
    "Open",
    "Opened",
    "Origin",
    "Outcome",
    "Output",
    "Page",
    "Part",
    "Phase",
    "Piece",
    "Place",
    "Plan",
    "Problem",
    "Process",
    "Progress",
    "Queue",
    "Reading",
    "Record",
    "Records",
    "Refused",
    "Rejected",
    "Request",
    "Role",
    "Row",
    "Running",
    "Search",
    "Section",
    "Seen",
    "Segment",
    "Server",
    "Session",
    "Settings",
    "Shape",
    "Shared",
    "Slot",
    "Source",
    "State",
    "Status",
    "Step",
    "Stretch",
    "Table",
    "Tail",
    "Target",
    "Template",
    "Told",
    "Trouble",
    "Unit",
    "When",
    "Words",
    "Worker",
    "Writer",
];

#[test]
fn given_up_words_stay_out_of_the_code() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let code = code(&text);
        let words: BTreeSet<&str> =
            code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        let given_up = GIVEN_UP.iter().filter(|(word, _)| words.contains(word));
        found.extend(
            given_up.map(|(word, term)| format!("{}: `{word}` is called `{term}`", path.display())),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn type_names_stand_for_one_type_each() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let is_test = path.iter().any(|part| {
            ["tests", "tests.rs", "testing", "testing.rs"].iter().any(|name| part == *name)
        });
        if is_test {
            continue;
        }
        // Tests within a file come last.
        let code = code(&text);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code.lines() {
            let line = line.trim_start().trim_start_matches("pub ");
            let line = line
                .split_once(") ")
                .filter(|(head, _)| head.starts_with("pub("))
                .map_or(line, |(_, rest)| rest);
            let Some((keyword, rest)) = line.split_once(' ') else { continue };
            if ["struct", "enum", "trait"].contains(&keyword) {
                let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                places.entry(name.to_owned()).or_default().push(path.display().to_string());
            }
        }
    }
    let recurring = places.iter().filter(|(_, places)| places.len() > 1);
    let added: Vec<_> = recurring.filter(|(name, _)| !RECUR.contains(&name.as_str())).collect();
    assert!(added.is_empty(), "{added:#?}");
    let single: Vec<_> = RECUR
        .iter()
        .filter(|name| places.get(**name).is_none_or(|places| places.len() < 2))
        .collect();
    assert!(single.is_empty(), "these recur no more, take them off the list: {single:?}");
}

/// Words of comments that hide who does what, or claim a measurement without its figure.
const VAGUE: &[&str] =
    &["nobody", "somebody", "whoever", "anybody", "everybody", "was felt", "is felt", "(measured)"];

#[test]
fn comments_say_who_does_what() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        if path.to_str().unwrap().contains("tests") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let comment = comment.to_lowercase();
            if let Some(word) = VAGUE.iter().find(|word| comment.contains(*word)) {
                found.push(format!("{}:{}: {word}", path.display(), index + 1));
            }
        }
    }
    assert!(found.is_empty(), "name the sender, the client, the owner or the thread: {found:#?}");
}
