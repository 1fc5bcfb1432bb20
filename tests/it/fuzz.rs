//! The fuzz targets, over their seeds and over some hundred mutations of them: a short run on the
//! stable compiler, so that no target rots. The long runs are `fuzz/`'s.

use std::path::{Path, PathBuf};

use gatepost::fuzz::TARGETS;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The seeds of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder().join("seeds").join(target)).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
    Cut(Index),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        let words = prop::sample::select(vec![
            &b"="[..],
            b":",
            b",",
            b"{",
            b"}",
            b"\"",
            b"\n",
            b"\n\n",
            b"\xff",
            b"\0",
            b"{body}",
            b"[",
            b"9223372036854775807",
            b"-1",
            b"v1=",
            b"\\ud83d",
            b"{\"a\":",
            b"|",
            b"[:1]",
            b" ~ data.a",
            b"t=",
            b"\xff\xff\xff\xff\x7f",
        ]);
        let words = words.prop_map(<[u8]>::to_vec);
        let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 1..9), words];
        prop_oneof![
            3 => (at(), 1_u8..).prop_map(|(at, mask)| Self::Flip(at, mask)),
            3 => (at(), bytes).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            1 => (at(), at()).prop_map(|(from, to)| Self::Remove(from, to)),
            1 => (at(), at()).prop_map(|(from, to)| Self::Repeat(from, to)),
            1 => at().prop_map(Self::Cut),
        ]
    }

    fn apply(&self, data: &mut Vec<u8>) {
        let place = |at: &Index, data: &[u8]| at.index(data.len() + 1);
        let range = |from: &Index, to: &Index, data: &[u8]| {
            let (from, to) = (place(from, data), place(to, data));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Flip(at, mask) => {
                let at = place(at, data);
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Self::Insert(at, bytes) => {
                let at = place(at, data);
                data.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(from, to) => drop(data.drain(range(from, to, data))),
            Self::Repeat(from, to) => data.extend_from_within(range(from, to, data)),
            Self::Cut(at) => data.truncate(place(at, data)),
        }
    }
}

/// Runs a target over its seeds, then over `n_cases` changed ones.
fn check(target: &str, n_cases: u32) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    for seed in &seeds {
        run(seed);
    }
    let config = Config { cases: n_cases, failure_persistence: None, ..Config::default() };
    let changed = (any::<Index>(), prop::collection::vec(Change::any(), 1..9));
    TestRunner::new(config)
        .run(&changed, |(seed, changes)| {
            let mut data = seed.get(&seeds).clone();
            for change in &changes {
                change.apply(&mut data);
            }
            run(&data);
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_request_head_makes_it_panic() {
    check("headers", 200);
}

#[test]
fn no_template_makes_it_panic() {
    check("template", 1_000);
}

#[test]
fn no_configuration_makes_it_panic() {
    check("config", 200);
    gatepost::fuzz::config(gatepost::config::DEFAULT.as_bytes());
}

#[test]
fn no_record_makes_it_panic() {
    check("record", 2_000);
}

#[test]
fn no_file_of_rejected_requests_makes_it_panic() {
    check("rejected", 500);
}

#[test]
fn no_body_makes_it_panic() {
    check("body", 2_000);
}

#[test]
fn no_expression_makes_it_panic() {
    check("expression", 500);
}

#[test]
fn every_target_is_a_program_of_cargo_fuzz() {
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        let program = folder().join(format!("fuzz_targets/{target}.rs"));
        let program = std::fs::read_to_string(program).unwrap();
        assert!(program.contains(&format!("gatepost::fuzz::{target}(data)")), "{target}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
