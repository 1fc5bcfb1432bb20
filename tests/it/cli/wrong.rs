//! Configurations as owners get them wrong: `check` says where, and what to write.
//!
//! The answers are snapshots; one per file in `tests/fixtures/wrong`.

use std::path::Path;

use super::super::support::gateway::Folder;
use super::super::support::program::run;

/// What no answer may show, in whichever file it stands.
const HUSH: &[&str] = &["abc123-hush", "hush-hush", "T0/B0/hush", "aHVzaC1odXNo"];

#[test]
fn every_wrong_configuration_is_told_where_and_what_to_write() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wrong");
    let mut files: Vec<_> =
        std::fs::read_dir(files).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    for file in files {
        let folder = Folder::of_text(&std::fs::read_to_string(&file).unwrap());
        let output = run(&folder, &["check"]);
        let told = String::from_utf8(output.stderr).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(output.stdout.is_empty(), "{name}");
        // What only samples can tell is a warning.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {told}");
        assert!(told.contains("config.toml:"), "{name} does not say where: {told}");
        for problem in told.split("\n\n").filter(|problem| !problem.starts_with('`')) {
            assert!(problem.contains("= help: "), "{name} does not say what to write: {problem}");
        }
        for secret in HUSH {
            assert!(!told.contains(secret), "{name} shows a secret: {told}");
        }
        let told = told.replace(folder.path().to_str().unwrap(), "FOLDER");
        let told = told
            .lines()
            .filter(|line| !line.starts_with("source `") && !line.starts_with("the process is "));
        insta::assert_snapshot!(name, told.collect::<Vec<_>>().join("\n"));
    }
}
