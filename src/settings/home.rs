//! `~` at the start of a path, which a shell alone reads.

/// What is said of a path that only a shell would read.
pub const NO_HOME: &str = "`~` stands for no home here: it is the name of a folder";
/// What to write instead.
pub const NO_HOME_HELP: &str = "write the whole path, as in `/home/ann/events.jsonl`";

/// Whether a shell would put a home in place of the path's start: `~/x`, `~ann/x`.
pub fn starts_at_home(path: &str) -> bool {
    let name = path.split('/').next().unwrap_or_default();
    let is_user = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    // An editor's `~file` without a folder is a name like any other.
    name == "~"
        || (path.contains('/')
            && name.strip_prefix('~').is_some_and(|user| user.chars().all(is_user)))
}
