//! Files that use each other in a circle can only be read all at once; and what a file's children need
//! stands beside them, not in it. Tests are left out, and so is what a parent and its child use of each
//! other in the first of the two.

#![expect(clippy::string_slice, reason = "what is looked for in our own code is ASCII")]

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{code, sources};

/// A file, by the modules that lead to it: `["http", "admin", "gate"]`.
type File = Vec<String>;

/// Files that still are in a circle with others. None is to be added.
const CIRCLES: &[&str] = &[
    "api/ask",
    "api/control",
    "api/dead",
    "api/events",
    "api/search",
    "api/view/handler",
    "api/view/status",
    "app/certificates",
    "app/control",
    "app/parts",
    "app/trial",
    "cli/init/plan",
    "cli/init/text",
    "deliver/attempt",
    "deliver/classify",
    "deliver/judge",
    "deliver/settings",
    "handler/email/dialog",
    "handler/email/smtp",
    "pages/handlers",
    "pages/overview",
    "queue/embedded/check",
    "queue/embedded/commit/request",
    "queue/embedded/core",
    "queue/embedded/kept/damage",
    "queue/embedded/kept/segment",
    "queue/embedded/log/allocator",
    "queue/embedded/log/contents",
    "queue/embedded/log/file_log",
    "queue/embedded/log/offsets",
    "queue/embedded/log/open",
    "queue/embedded/log/reader",
    "queue/embedded/log/writer",
    "queue/embedded/subscription/cell",
    "queue/embedded/subscription/take",
    "queue/tools",
    "settings/from",
    "settings/table",
    "settings/value",
    "source/batch",
    "source/fetched/rule",
    "source/identity",
    "source/providers",
    "source/samples",
    "source/scheme",
    "source/settings",
    "source/sign",
    "source/split",
];

/// What children still take from the parents that define it, as `child <- name`. None is to be added;
/// rooms that are not listed in [`LISTED`] are not looked at.
const FROM_PARENTS: &[&str] = &[
    "deliver/attempt <- Context",
    "deliver/judge <- Context",
    "deliver/replays <- Context",
    "deliver/run <- Context",
    "deliver/run <- Deliverer",
    "deliver/worker <- Context",
    "deliver/worker/calls <- Worker",
    "deliver/worker/intake <- Worker",
    "http/admin/site <- may_change",
    "http/admin/stream <- query",
    "source/batch <- Inbound",
    "source/batch <- Rejection",
    "source/explain <- Inbound",
    "source/explain <- Rejection",
    "source/explain <- Source",
    "source/explain/other <- Case",
    "source/explain/other <- Explanation",
    "source/explain/other <- because",
    "source/explain/own <- Case",
    "source/explain/own <- Explanation",
    "source/explain/own <- Rejection",
    "source/explain/own <- Scheme",
    "source/explain/own <- because",
    "source/explain/rejection <- Case",
    "source/explain/rejection <- Explanation",
    "source/explain/rejection <- Rejection",
    "source/explain/rejection <- because",
    "source/fetched <- Inbound",
    "source/fetched <- Rejection",
    "source/fetched <- Source",
    "source/fetched <- Verified",
    "source/fetched/cache <- KeyFetch",
    "source/fetched/cache <- KeyFetchError",
    "source/fetched/cache <- Rejection",
    "source/fetched/rule <- Inbound",
    "source/fetched/rule <- KeyRequest",
    "source/fetched/rule <- PostedJson",
    "source/fetched/rule <- Rejection",
    "source/field_ref <- Inbound",
    "source/fields <- Inbound",
    "source/fields <- SmallList",
    "source/handshake <- Inbound",
    "source/handshake <- Source",
    "source/handshake <- Verified",
    "source/handshake/answer <- Inbound",
    "source/handshake/answer <- Reply",
    "source/handshake/answer <- Source",
    "source/http_message <- Inbound",
    "source/http_message <- Rejection",
    "source/jwt <- Rejection",
    "source/payload <- Inbound",
    "source/payload <- SmallList",
    "source/providers/prelude <- Provider",
    "source/providers/prelude <- Row",
    "source/read/verify <- check_url",
    "source/read/verify <- check_weaknesses",
    "source/samples <- Inbound",
    "source/samples <- Source",
    "source/scheme <- Inbound",
    "source/scheme <- Rejection",
    "source/settings <- EventType",
    "source/settings <- Inbound",
    "source/sign <- Inbound",
    "source/sign <- Rejection",
    "source/sign <- Source",
    "source/signature <- Inbound",
    "source/signature <- Rejection",
    "source/signature <- SmallList",
    "source/split <- Inbound",
    "source/split <- Source",
    "source/split <- Verified",
    "source/template/message <- Inbound",
    "source/template/message <- Part",
    "source/template/message <- Rejection",
    "source/template/message <- Template",
    "source/template/sorted <- Inbound",
    "source/template/sorted <- Rejection",
    "source/timestamp <- Rejection",
    "source/unpacked <- Inbound",
    "source/unpacked <- Rejection",
];

/// Where parents list and re-export only, but for [`FROM_PARENTS`].
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
    let known: BTreeSet<String> = CIRCLES.iter().map(|file| (*file).to_owned()).collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "in a circle with others: {new:?}\n{}", graph.explain(&found));
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "in no circle any more, take them off the list: {gone:?}");
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
    let known: BTreeSet<String> = FROM_PARENTS.iter().map(|line| (*line).to_owned()).collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "move these into a file beside the child: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "these are gone, take them off the list: {gone:#?}");
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
