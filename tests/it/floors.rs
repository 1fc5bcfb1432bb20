//! The floors of ARCHITECTURE.md: a module uses what stands below it only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the ground up. A module may use those before it.
const ORDER: &[&str] = &[
    "clock", "sync", "throttle", "text", "pace", "files", "secret", "body", "event", "settings",
    "metrics", "expr", "trace", // 0: plain values
    "tls",   // 1: what the public listener shows of itself
    "queue", "source", "handler", // 1: the seams
    "standby", "cluster", // 1: a second copy of the queue; several gateways on one log
    "deliver", "ingest", "config", // 2: the ways in and out, and what they are told
    "api", "pages", "http", // 3: what is asked from outside
    "app",  // 4: everything wired together
    "cli",  // 5
    "fuzz", // beside everything: tests of it
    "sim",  // the root of another crate
];

/// They never know each other.
const SEAMS: &[&str] = &["queue", "source", "handler"];
/// Two ways that never meet; and both are told what to do without knowing who reads the file.
const WAYS: &[&str] = &["deliver", "ingest", "config"];

/// A crate, and the only places that may name it.
const KEPT_APART: &[(&str, &[&str])] = &[
    ("actix_web", &["src/http/", "src/http.rs"]),
    ("actix_http", &["src/http/", "src/http.rs"]),
    ("actix_service", &["src/http/"]),
    ("sled", &["src/queue/embedded/index/sled.rs"]),
    ("anyhow", &["src/main.rs"]),
    ("lettre", &["src/handler/email"]),
    ("sqlx", &["src/handler/sql", "src/cluster/engine/postgres"]),
    ("async_nats", &["src/cluster/engine/nats"]),
    ("askama", &["src/pages"]),
    ("object_store", &["src/standby/bucket"]),
];

pub(super) fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    sources
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The code without comments.
pub(super) fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The top-level modules that a file names.
fn used(text: &str) -> BTreeSet<String> {
    let names = text.split("crate::").skip(1);
    let ends = |c: char| !(c.is_ascii_lowercase() || c == '_');
    names.map(|rest| rest.split(ends).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_module_uses_lower_floors_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let rank = ORDER.iter().position(|name| *name == module);
        let rank = rank.unwrap_or_else(|| panic!("`{module}` has no floor"));
        for name in used(&code(&text)).into_iter().filter(|name| *name != module) {
            let Some(other) = ORDER.iter().position(|known| *known == name) else { continue };
            let is_neighbour =
                |group: &[&str]| group.contains(&module.as_str()) && group.contains(&name.as_str());
            // The configuration is made of the settings that deliver and the seams define.
            let is_settings = module == "config" && name == "deliver";
            if other > rank || (is_neighbour(SEAMS) || is_neighbour(WAYS)) && !is_settings {
                wrong.push(format!("{}: `{module}` uses `{name}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let code = code(&text);
        let path = path.to_str().unwrap();
        for (name, places) in KEPT_APART {
            let is_named =
                code.contains(&format!("use {name}::")) || code.contains(&format!(" {name}::"));
            // The backend's own module has the crate's name.
            let is_module = *name == "sled";
            let is_named = if is_module { code.contains("::sled::Db") } else { is_named };
            if is_named && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{path} names `{name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
