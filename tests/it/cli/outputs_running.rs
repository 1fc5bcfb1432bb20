//! What the verbs print that go on until they are stopped, and what they export.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::super::support::gateway::Folder;
use super::super::support::program::command;
use super::outputs::{World, redacted, transcript, world};

/// The first lines that a command prints, which is ended then.
fn first_lines(folder: &Folder, arguments: &str, n_lines: usize) -> String {
    let split: Vec<&str> = arguments.split(' ').collect();
    let log = std::fs::File::create(folder.path().join("log-of-it")).unwrap();
    let mut child = command(folder, &split).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(n_lines);
    let text =
        lines.map(Result::unwrap).fold(format!("$ gatepost {arguments}\n"), |mut text, line| {
            writeln!(text, "{line}").unwrap();
            text
        });
    child.kill().unwrap();
    child.wait().unwrap();
    redacted(&text, folder) + "\n"
}

/// `text` with the headers of each event in the order of their names: the order in which a server's
/// library has them is another one each time.
fn with_sorted_headers(text: &str) -> String {
    let sorted = |line: &str| {
        let (before, rest) = line.split_once("\"headers\":[[")?;
        let (headers, behind) = rest.split_once("]]")?;
        let mut headers: Vec<&str> = headers.split("],[").collect();
        headers.sort_unstable();
        Some(format!("{before}\"headers\":[[{}]]{behind}", headers.join("],[")))
    };
    let lines = text.lines().map(|line| sorted(line).unwrap_or_else(|| line.to_owned()));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn serve_prints_this_first() {
    let (folder, bare) = (Folder::new("", ""), Folder::of_text(""));
    let config = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(bare.config(), config).unwrap();
    let text = first_lines(&folder, "serve", 5)
        + &first_lines(&folder, "serve --json", 1)
        + &first_lines(&bare, "serve", 3);
    insta::assert_snapshot!(text);
}

#[test]
fn tail_and_export_print_this() {
    let World { folder, served, .. } = world();
    let mut text = first_lines(&folder, "events tail --from 0", 3);
    text.push_str(&first_lines(&folder, "events tail --from 1 --source hyvor --json", 1));
    text.push_str(&transcript(&folder, &["queue export", "events tail --from nonsense"]));
    assert_eq!(served.stop(), Some(0));
    text.push_str(&transcript(&folder, &["queue export --json"]));
    insta::assert_snapshot!(with_sorted_headers(&text));
}
