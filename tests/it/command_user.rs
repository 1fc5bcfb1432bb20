//! Programs of `command` that run as another user: real users, rights and processes.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::gateway::Folder;
use crate::support::program::{self, printed};
use crate::support::servers::{find, skip};

/// The service's own, where it is not root: no user has it.
const SERVICE: u32 = 61_300;

/// Whom the programs run as: on every system, and on most with a home that is not there.
const USER: &str = "nobody";

const HANDLERS: &str = r#"
[handler.once]
[handler.once.command]
run = ["sh", "-c", "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status"]
user = "nobody"
cwd = "/"
[handler.worker]
[handler.worker.command]
run = ["sh", "-c", '''
    (id -u; id -g; id -G; echo $HOME $USER $LOGNAME; grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status) > "$OUT/worker"
    while read -r line; do
        id=${line#*'"id":"'}; echo '{"id":"'${id%%'"'*}'","ok":true}'
    done''']
mode = "worker"
user = "nobody"
cwd = "/"
env = { OUT = "OUT_FOLDER" }
[handler.slow]
timeout = "2s"
[handler.slow.command]
run = ["sh", "-c", "echo $$ > \"$OUT/pid\"; trap '' TERM; sleep 1000"]
user = "nobody"
cwd = "/"
env = { OUT = "OUT_FOLDER" }
"#;

/// A folder of the service's, with one below that everybody writes in.
struct Site {
    folder: Folder,
    out: PathBuf,
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new("", "");
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::set_permissions(&out, PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        folder.write_config("", &HANDLERS.replace("OUT_FOLDER", out.to_str().unwrap()));
        Self { folder, out }
    }

    /// Gives all of it to the service.
    fn give(&self) {
        let below = std::fs::read_dir(self.folder.path()).unwrap();
        for path in below.map(|entry| entry.unwrap().path()) {
            chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
        }
        chown(self.folder.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    }

    /// `gatepost ARGUMENTS` as `setpriv` lets it be.
    fn run(&self, rights: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new("setpriv");
        command.args(rights).arg(env!("CARGO_BIN_EXE_gatepost")).args(arguments);
        command.current_dir(self.folder.path()).env_remove("GATEPOST_CONFIG");
        command.output().unwrap()
    }

    fn try_it(&self, rights: &[&str], handler: &str) -> Output {
        let sample = ["--sample", "hyvor", "comment.create", "--send"];
        self.run(rights, &[&["handlers", "try", handler][..], &sample].concat())
    }

    /// That programs run as the user and nobody else, and are ended.
    fn assert_runs(&self, rights: &[&str]) {
        let expected = expected();
        let once = printed(&self.try_it(rights, "once"), 0);
        for line in &expected {
            assert!(once.contains(&format!("\n      {line}\n")), "{line}: {once}");
        }
        printed(&self.try_it(rights, "worker"), 0);
        let worker = std::fs::read_to_string(self.out.join("worker")).unwrap();
        assert_eq!(worker.lines().collect::<Vec<_>>(), expected);

        printed(&self.try_it(rights, "slow"), 1);
        let pid = std::fs::read_to_string(self.out.join("pid")).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        // The first process of a container may be slow to see to those that nobody waits for.
        let is_gone = || !process.exists() || state_of(&process) == Some('Z');
        assert!(is_gone(), "process {pid} of another user still runs");
        for file in ["worker", "pid"] {
            std::fs::remove_file(self.out.join(file)).unwrap();
        }
    }
}

fn state_of(process: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// What a program of that user says of itself: one group, and no capability.
fn expected() -> Vec<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with(&format!("{USER}:"))).unwrap();
    let fields: Vec<&str> = line.split(':').collect();
    let mut lines: Vec<String> = [fields[2], fields[3], fields[3]].map(str::to_owned).into();
    lines.push(format!("{} {USER} {USER}", fields[5]));
    let none = |of: &&str| format!("Cap{of}:\t0000000000000000");
    lines.extend(["Prm", "Eff", "Amb"].iter().map(none));
    lines
}

/// Whether this process may become other users here, and others may run the program.
fn has_rights() -> bool {
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "61300", "--regid", "61300", "--clear-groups"]);
    other.args([env!("CARGO_BIN_EXE_gatepost"), "--version"]);
    find("setpriv").is_some() && other.output().is_ok_and(|output| output.status.success())
}

const NEEDS: &str =
    "programs of another user need root, `setpriv`, and a `target` that others can read";

#[test]
fn programs_run_as_the_user_that_is_named_and_are_ended() {
    if !has_rights() {
        return skip(NEEDS);
    }
    let site = Site::new();
    site.assert_runs(&["--groups", "4,24"]);
    // The same where the service is not root, as its unit may have it.
    site.give();
    let service = ["--reuid", "61300", "--regid", "61300", "--groups", "4,24"];
    let rights = ["--inh-caps", "+setuid,+setgid,+kill", "--ambient-caps", "+setuid,+setgid,+kill"];
    site.assert_runs(&[&service[..], &rights].concat());
}

#[test]
fn without_the_right_to_it_a_handler_is_not_built_and_check_says_why() {
    if !has_rights() {
        return skip(NEEDS);
    }
    let site = Site::new();
    site.give();
    let refused = |capabilities: &str, said: &str| {
        let service = ["--reuid", "61300", "--regid", "61300", "--groups", "4,24"];
        let rights = ["--inh-caps", capabilities, "--ambient-caps", capabilities];
        let rights = [&service[..], if capabilities.is_empty() { &[] } else { &rights }].concat();
        let output = site.run(&rights, &["check"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{told}");
        let line = format!(
            "error: handler `once` cannot be built: programs cannot be run as user `{USER}`: {said}"
        );
        assert!(told.contains(&line), "{told}");
        assert!(
            told.contains("give its unit `AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL`"),
            "{told}"
        );
        assert!(told.contains("| user = \"nobody\"\n"), "where: {told}");
        printed(&site.try_it(&rights, "once"), 1);
    };
    refused("", "its groups would be kept, for want of CAP_SETGID");
    refused("+setuid,+kill", "its groups would be kept, for want of CAP_SETGID");
    refused("+setgid,+kill", "the system does not allow it");
    refused("+setuid,+setgid", "those that take too long could not be ended, for want of CAP_KILL");
}

#[test]
fn user_that_is_not_there_is_told_where_and_with_what_helps() {
    let folder = Folder::new("", "");
    folder.write_config("", "[handler.a.command]\nrun = [\"true\"]\nuser = \"no-such-user\"\n");
    let output = program::run(&folder, &["check"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("there is no user `no-such-user` in /etc/passwd: make it, or"), "{told}");
    assert!(told.contains("| user = \"no-such-user\"\n"), "{told}");
}
