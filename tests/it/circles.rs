//! Files that use each other in a circle can only be read all at once; and what a file's children need
//! stands beside them, not in it. Tests are left out, and so is what a parent and its child use of each
//! other in the first of the two.

#![expect(clippy::string_slice, reason = "what is looked for in our own code is ASCII")]

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{code, sources};

/// A file, by the modules that lead to it: `["http", "admin", "gate"]`.
type File = Vec<String>;

/// Where parents list and re-export only.
const LISTED: &[&str] = &["http", "ingest", "source", "deliver"];

/// What a file imports or names: each path in full, and whether it is re-exported.
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// All files with their imports.
struct Graph(BTreeMap<File, Vec<Import>>);

#[test]
fn no_file_imports_in_a_circle() {
    let graph = Graph::read();
    let mut found = BTreeSet::new();
    for circle in graph.circles() {
        found.extend(circle.iter().map(|file| file.join("/")));
    }
    assert!(found.is_empty(), "in a circle: {found:?}\n{}", graph.explain(&found));
}

#[test]
fn parents_define_nothing_that_their_children_import() {
    let graph = Graph::read();
    let mut found = BTreeSet::new();
    for (file, imports) in &graph.0 {
        if !LISTED.contains(&file[0].as_str()) {
            continue;
        }
        for import in imports {
            let from = graph.defined_in(file, &import.path);
            if from.is_some_and(|from| from.len() < file.len() && file.starts_with(&from)) {
                found.insert(format!("{} <- {}", file.join("/"), import.name));
            }
        }
    }
    assert!(found.is_empty(), "move these into a file beside the child: {found:#?}");
}

impl Graph {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        for (path, text) in sources() {
            let path = path.with_extension("");
            let mut file: File =
                path.iter().skip(1).map(|part| part.to_str().unwrap().to_owned()).collect();
            if file.last().is_some_and(|name| name == "mod") {
                file.pop();
            }
            let is_test = |part: &String| ["tests", "testing"].iter().any(|name| part == name);
            let is_root = ["lib", "main", "sim"].iter().any(|name| file == [*name]);
            if !is_root && !file.iter().any(is_test) {
                files.insert(file, imports(&code(&text)));
            }
        }
        Self(files)
    }

    /// The file that defines what `file` calls `path`; nothing where that is no file of ours.
    fn defined_in(&self, file: &[String], path: &[String]) -> Option<File> {
        let (first, mut rest) = path.split_first()?;
        let mut at = file.to_vec();
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
                while let Some((_, after)) = rest.split_first().filter(|(next, _)| *next == "super")
                {
                    at.pop();
                    rest = after;
                }
            }
            _ => rest = path,
        }
        let is_name = !["crate", "self", "super"].contains(&first.as_str());
        if is_name && !self.0.contains_key(&child(&at, first)) {
            return None;
        }
        while let Some((next, after)) = rest.split_first()
            && self.0.contains_key(&child(&at, next))
        {
            at = child(&at, next);
            rest = after;
        }
        let imports = self.0.get(&at)?;
        // What is re-exported is defined further down.
        let re_export = rest.first().and_then(|name| {
            imports.iter().find(|import| import.is_public && import.name == *name)
        });
        re_export
            .and_then(|import| self.defined_in(&at, &import.path))
            .filter(|found| *found != at)
            .or(Some(at))
    }

    /// The files that each one uses, but for its parents and children.
    fn edges(&self) -> BTreeMap<&File, BTreeSet<File>> {
        let edges = self.0.iter().map(|(file, imports)| {
            let used = imports.iter().filter_map(|import| self.defined_in(file, &import.path));
            (file, used.filter(|used| !used.starts_with(file) && !file.starts_with(used)).collect())
        });
        edges.collect()
    }

    /// Groups of files, each of which can be reached from each other one of its group.
    fn circles(&self) -> Vec<BTreeSet<File>> {
        let edges = self.edges();
        let reached: BTreeMap<&File, BTreeSet<&File>> = edges
            .keys()
            .map(|file| {
                let (mut reached, mut next) = (BTreeSet::new(), vec![*file]);
                while let Some(from) = next.pop() {
                    next.extend(edges[from].iter().filter(|to| reached.insert(*to)));
                }
                (*file, reached)
            })
            .collect();
        let mut circles: Vec<BTreeSet<File>> = Vec::new();
        for (file, of_file) in &reached {
            if !of_file.contains(file) || circles.iter().any(|circle| circle.contains(*file)) {
                continue;
            }
            let circle = of_file.iter().filter(|other| reached[**other].contains(file));
            circles.push(circle.map(|file| (*file).clone()).collect());
        }
        circles
    }

    /// The imports among `files`.
    fn explain(&self, files: &BTreeSet<String>) -> String {
        let mut lines = Vec::new();
        for (file, imports) in self.0.iter().filter(|(file, _)| files.contains(&file.join("/"))) {
            for import in imports {
                let used = self.defined_in(file, &import.path).map(|used| used.join("/"));
                let file = file.join("/");
                if let Some(used) = used.filter(|used| files.contains(used) && *used != file) {
                    lines.push(format!("{file} -> {used} by {}", import.path.join("::")));
                }
            }
        }
        lines.join("\n")
    }
}

fn child(file: &[String], name: &str) -> File {
    [file, &[name.to_owned()]].concat()
}

/// Everything that a file's code imports or names by a path, its own tests left out.
fn imports(code: &str) -> Vec<Import> {
    let tests = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
    let code = &code[..tests];
    let (mut found, mut rest) = (Vec::new(), String::new());
    for statement in code.split_inclusive(';') {
        let begin = statement.rfind("\nuse ").map(|at| at + 1);
        let begin = begin.or_else(|| statement.starts_with("use ").then_some(0));
        let public = statement.rfind("\npub").map(|at| at + 1);
        let public = public.or_else(|| statement.starts_with("pub").then_some(0));
        let public = public.filter(|at| statement[*at..].split_whitespace().nth(1) == Some("use"));
        let Some(at) = begin.max(public) else {
            rest += statement;
            continue;
        };
        rest += &statement[..at];
        let tree = statement[at..].split_once("use ").unwrap().1.trim_end_matches(';');
        for path in expanded(tree) {
            let (path, alias) = path.split_once(" as ").unwrap_or((&path, ""));
            let path: Vec<String> = path
                .split("::")
                .map(|part| part.trim().to_owned())
                .filter(|part| part != "self" || path.starts_with("self"))
                .collect();
            let name =
                if alias.is_empty() { path.last().unwrap().clone() } else { alias.to_owned() };
            found.push(Import { path, name, is_public: public == Some(at) });
        }
    }
    // Paths that are written out where they are used.
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in rest.match_indices(start) {
            let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            // Neither amid a longer path, nor in `pub(in crate::…)`.
            if rest[..at].ends_with(is_word) || rest[..at].ends_with("(in ") {
                continue;
            }
            let path = rest[at..].split(|c| !is_word(c)).next().unwrap();
            let path: Vec<String> =
                path.trim_end_matches(':').split("::").map(str::to_owned).collect();
            found.push(Import { name: path.last().unwrap().clone(), path, is_public: false });
        }
    }
    found
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, list)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let list = list.trim_end().strip_suffix('}').unwrap();
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            items.push(String::new());
        } else {
            items.last_mut().unwrap().push(c);
        }
    }
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| expanded(item)).map(|item| format!("{head}{item}")).collect()
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let code = "use a::{b, c::{self, d as e}};\npub(crate) use self::f::G;\nfn x() { super::y() }\n\
                #[cfg(test)]\nmod tests {\nuse super::z;\n}";
    let found: Vec<_> = imports(code)
        .into_iter()
        .map(|import| (import.path.join("::"), import.name, import.is_public))
        .collect();
    let of = |path: &str, name: &str, is_public| (path.to_owned(), name.to_owned(), is_public);
    assert_eq!(
        found,
        [
            of("a::b", "b", false),
            of("a::c", "c", false),
            of("a::c::d", "e", false),
            of("self::f::G", "G", true),
            of("super::y", "y", false),
        ]
    );
}
