//! No file and no function is so long that one searches in it instead of reading it.

use std::path::{Path, PathBuf};

/// The most lines of a file, comments and tests included.
const FILE_LINES_MAX: usize = 400;

/// The most lines of a function, comments and blank lines left out. Clippy holds it for the crate
/// (`too-many-lines-threshold`); this test also reads what other crates build: `tests/sim`.
const FUNCTION_LINES_MAX: usize = 60;

/// Functions that are tables: a row a line, and nothing to understand between them.
const TABLES: &[&str] = &[
    "act",
    "every_form_of_senders_is_a_timestamp",
    "nothing_stays_nothing_through_every_filter",
    "queue_passes_seeds_that_once_failed",
    "ways",
];

/// Every source file of the repository.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["src", "tests", "benches", "fuzz"].map(|folder| root.join(folder)).into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The functions of a file that `cargo fmt` has formatted, each with its lines of code between the
/// braces.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = name_of(line) else { continue };
        let indent = line.strip_suffix(line.trim_start()).unwrap_or_default();
        let end = format!("{indent}}}");
        let is_code = |line: &&&str| !line.trim().is_empty() && !line.trim().starts_with("//");
        // A declaration ends with `;`, and a function on one line with its own brace.
        let length = if line.ends_with(['}', ';']) {
            1
        } else {
            let body = lines[index..].iter().skip_while(|line| !line.ends_with('{')).skip(1);
            body.take_while(|line| **line != end).filter(is_code).count()
        };
        functions.push((name.to_owned(), length));
    }
    functions
}

/// The name of the function that begins on this line.
fn name_of(line: &str) -> Option<&str> {
    let words = ["pub", "const", "async"];
    let mut rest = line.trim_start();
    while let Some((word, after)) = rest.split_once(' ')
        && (words.contains(&word) || word.starts_with("pub("))
    {
        // `pub(in crate::x)` has a blank in it.
        rest = if word.starts_with("pub(") { rest.split_once(") ")?.1 } else { after };
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn files_are_short_enough_to_be_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let too_long: Vec<String> = files()
        .iter()
        .map(|path| (path, std::fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines}", path.strip_prefix(root).unwrap().display()))
        .collect();
    assert!(too_long.is_empty(), "look for the second thing in them: {too_long:#?}");
}

#[test]
fn functions_fit_on_a_screen() {
    let mut too_long = Vec::new();
    let mut n_functions = 0;
    for path in files() {
        for (name, lines) in functions(&std::fs::read_to_string(&path).unwrap()) {
            n_functions += 1;
            if lines > FUNCTION_LINES_MAX && !TABLES.contains(&name.as_str()) {
                too_long.push(format!("{}: {name}, {lines} lines", path.display()));
            }
        }
    }
    assert!(too_long.is_empty(), "{too_long:#?}");
    assert!(n_functions > 1_000, "the functions were found: {n_functions}");
}

#[test]
fn functions_are_measured_without_comments() {
    let text = "pub(in crate::a) async fn long(\n    a: u8,\n) {\n    // Why.\n\n    a();\n}\n\
                trait T {\n    fn declared(&self);\n    fn short(&self) {}\n}\n";
    let expected = [("long", 1), ("declared", 1), ("short", 1)];
    assert_eq!(functions(text), expected.map(|(name, lines)| (name.to_owned(), lines)));
}
