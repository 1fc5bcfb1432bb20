//! The handbook in `docs/`, and the README: every link leads somewhere, every page is in the table of
//! contents, every configuration passes `gatepost check`, and every command runs.

mod pictures;
mod shell;
mod text;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::gateway::Folder;
use crate::support::program;
use text::{Block, Kind, Page};

/// The most bytes of a picture.
const PICTURE_MAX: u64 = 100 * 1024;

/// What a part of a configuration is checked together with: the sources that pages speak of.
const SOURCES: &str = r#"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ file = "data/secrets/hyvor", create = true }]
[source.userecho]
provider = "userecho"
secrets = [{ file = "data/secrets/userecho", create = true }]
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the handbook, and the README.
fn pages() -> Vec<Page> {
    let mut paths = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

#[test]
fn links_lead_to_pages_and_headings_that_there_are() {
    let pages = pages();
    let mut n_links = 0;
    for page in &pages {
        for link in page.links() {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            n_links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = page.path.parent().unwrap();
            let target = if file.is_empty() { page.path.clone() } else { folder.join(file) };
            let target = target.canonicalize().unwrap_or_default();
            let shown = page.path.display();
            assert!(target.exists() && target.is_file(), "{shown} links to `{link}`");
            // mdBook knows nothing outside of its folder.
            let is_readme = page.path == root().join("README.md");
            assert!(is_readme || target.starts_with(root().join("docs")), "{shown}: `{link}`");
            if !anchor.is_empty() {
                let there = pages.iter().find(|other| other.path.canonicalize().unwrap() == target);
                assert!(there.unwrap().anchors().contains(anchor), "{shown} links to `{link}`");
            }
        }
    }
    assert!(n_links > 40, "{n_links}");
}

#[test]
fn table_of_contents_has_every_page_once() {
    let summary = Page::read(root().join("docs/SUMMARY.md"));
    let listed: Vec<PathBuf> = summary.links().map(|link| root().join("docs").join(link)).collect();
    let unique: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len(), "a page is listed twice");
    for page in pages() {
        let is_page = page.path.starts_with(root().join("docs")) && page.path != summary.path;
        assert!(!is_page || unique.contains(&page.path), "{} is not listed", page.path.display());
    }
}

#[test]
fn pictures_are_small_and_shown() {
    let pages = pages();
    let shown: BTreeSet<PathBuf> = pages
        .iter()
        .flat_map(|page| page.links().map(|link| page.path.parent().unwrap().join(link)))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    for entry in std::fs::read_dir(root().join("docs/images")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.path();
        assert!(entry.metadata().unwrap().len() <= PICTURE_MAX, "{}", name.display());
        assert!(shown.contains(&name.canonicalize().unwrap()), "{} is not shown", name.display());
    }
}

#[test]
fn each_kind_of_handler_has_a_page_and_the_readme_shows_the_dashboard() {
    let links: Vec<String> = Page::read(root().join("docs/SUMMARY.md")).links().collect();
    for kind in gatepost::handler::KINDS {
        let page = format!("handlers/{}.md", kind.name);
        assert!(links.contains(&page), "{page} is not linked");
        let page = Page::read(root().join("docs").join(page));
        let table = format!(".{}]", kind.name);
        assert!(page.blocks().iter().any(|block| block.text.contains(&table)), "no {table}");
    }
    let readme = Page::read(root().join("README.md"));
    assert!(readme.links().any(|link| link == "docs/images/overview.png"));
}

#[test]
fn blocks_say_what_they_are() {
    for page in pages() {
        for block in page.blocks() {
            let shown = format!("{}:{}", page.path.display(), block.line);
            match block.kind() {
                None => panic!("{shown}: a block is one of {}, not `{}`", Kind::NAMES, block.info),
                Some(Kind::Elsewhere) => {
                    let checked = Command::new("sh").args(["-n", "-c", &block.text]).output();
                    let checked = checked.unwrap();
                    let said = String::from_utf8_lossy(&checked.stderr);
                    assert!(checked.status.success(), "{shown}: {said}");
                }
                Some(Kind::Json) => {
                    let parsed = serde_json::from_str::<serde_json::Value>(&block.text);
                    assert!(parsed.is_ok(), "{shown}: {parsed:?}");
                }
                Some(Kind::Config { .. } | Kind::Commands | Kind::Text) => {}
            }
        }
    }
}

/// A whole configuration out of a block, which may be a part of one.
fn whole(text: &str) -> String {
    let has_sources = text.lines().any(|line| line.starts_with("[source."));
    let sources = if has_sources { "" } else { SOURCES };
    format!("{text}\n{sources}")
}

/// The secrets that a configuration names and Gatepost does not make.
fn make_secrets(folder: &Path, text: &str) {
    for rest in text.split("file = \"data/secrets/").skip(1) {
        let (name, behind) = rest.split_once('"').unwrap();
        if behind.starts_with(", create = true") {
            continue;
        }
        let secrets = folder.join("data/secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        let file = secrets.join(name);
        std::fs::write(&file, "https://127.0.0.1:9/secret").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn configurations_pass_check() {
    let mut n_checked = 0;
    for page in pages() {
        for block in page.blocks() {
            let Some(Kind::Config { .. }) = block.kind() else { continue };
            let folder = Folder::of_text(&whole(&block.text));
            make_secrets(folder.path(), &block.text);
            let output = program::run(&folder, &["check"]);
            let said = String::from_utf8_lossy(&output.stderr);
            let shown = format!("{}:{}", page.path.display(), block.line);
            assert_eq!(output.status.code(), Some(0), "{shown}:\n{said}");
            assert!(said.contains(" 0 warnings"), "{shown}:\n{said}");
            n_checked += 1;
        }
    }
    assert!(n_checked > 15, "{n_checked}");
}

#[test]
fn commands_run() {
    let mut n_run = 0;
    for page in pages() {
        let blocks: Vec<Block> = page.blocks();
        if blocks.iter().any(|block| block.kind() == Some(Kind::Commands)) {
            n_run += shell::run(&page, &blocks);
        }
    }
    assert!(n_run > 30, "{n_run}");
}
