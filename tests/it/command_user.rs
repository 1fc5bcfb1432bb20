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
run = ["sh", "-c", "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status; cat /dev/stdin >/dev/null && echo opened >/dev/stderr"]
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
group = 61301
cwd = "/"
env = { OUT = "OUT_FOLDER", LOGNAME = "own" }
[handler.slow]
timeout = "2s"
[handler.slow.command]
run = ["sh", "-c", "echo $$ > \"$OUT/pid\"; trap '' TERM; sleep 1000"]
user = "nobody"
cwd = "/"
env = { OUT = "OUT_FOLDER" }
[handler.closed]
[handler.closed.command]
run = ["./closed"]
user = "nobody"
cwd = "/"
[handler.plain]
[handler.plain.command]
run = ["grep", "-E", "^Cap(Prm|Eff|Amb)", "/proc/self/status"]
"#;

/// A folder of the service's, with one below that everybody writes in, and the program.
struct Site {
    folder: Folder,
    out: PathBuf,
    program: PathBuf,
}

impl Site {
    /// `None` = this process may not become other users here.
    fn new() -> Option<Self> {
        find("setpriv")?;
        // Where the usual folder, or the one that the program was built in, is shut to others.
        let places = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()];
        let place = places.into_iter().find(|place| is_open_to_others(place))?;
        let folder = Folder::new_in(&place, "", "");
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_gatepost"));
        if !is_open_to_others(&program) {
            let copy = folder.path().join("gatepost");
            std::fs::copy(program, &copy).unwrap();
            program = copy;
        }
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::set_permissions(&out, PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let closed = folder.path().join("closed");
        std::fs::write(&closed, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
        folder.write_config("", &HANDLERS.replace("OUT_FOLDER", out.to_str().unwrap()));
        Some(Self { folder, out, program })
    }

    /// Gives all of it to the service.
    fn give(&self) {
        self.give_to(SERVICE, "");
    }

    /// All but what is called `name`.
    fn give_to(&self, user: u32, name: &str) {
        let below = std::fs::read_dir(self.folder.path()).unwrap();
        let given = below.map(Result::unwrap).filter(|entry| entry.file_name() != name);
        for entry in given {
            chown(entry.path(), Some(user), Some(user)).unwrap();
        }
        chown(self.folder.path(), Some(user), Some(user)).unwrap();
    }

    /// `gatepost ARGUMENTS` as `setpriv` lets it be.
    fn run(&self, rights: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new("setpriv");
        command.args(rights).arg(&self.program).args(arguments);
        command.current_dir(self.folder.path()).env_remove("GATEPOST_CONFIG");
        command.output().unwrap()
    }

    fn try_it(&self, rights: &[&str], handler: &str) -> Output {
        let sample = ["--sample", "hyvor", "comment.create", "--send"];
        self.run(rights, &[&["handlers", "try", handler][..], &sample].concat())
    }

    fn assert_runs_once(&self, rights: &[&str]) {
        let once = printed(&self.try_it(rights, "once"), 0);
        let expected = expected(None, USER).join("\n      ");
        assert!(once.contains(&format!("\n      {expected}\n")), "{expected}: {once}");
        assert!(once.contains("\n      opened\n"), "/dev/stdin, /dev/stderr: {once}");
    }

    /// That programs run as the user and nobody else, and are ended.
    fn assert_runs(&self, rights: &[&str]) {
        self.assert_runs_once(rights);
        printed(&self.try_it(rights, "worker"), 0);
        let worker = std::fs::read_to_string(self.out.join("worker")).unwrap();
        assert_eq!(worker.lines().collect::<Vec<_>>(), expected(Some("61301"), "own"));

        let closed = self.try_it(rights, "closed");
        printed(&closed, 1);
        let closed = String::from_utf8(closed.stderr).unwrap();
        assert!(closed.contains("may user `nobody` read it and enter the folder `/`?"), "{closed}");

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

/// What a program of that user says of itself: one group, its own where no other is named, and no capability.
fn expected(group: Option<&str>, log_name: &str) -> Vec<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with(&format!("{USER}:"))).unwrap();
    let fields: Vec<&str> = line.split(':').collect();
    let group = group.unwrap_or(fields[3]);
    let mut lines: Vec<String> = [fields[2], group, group].map(str::to_owned).into();
    lines.push(format!("{} {USER} {log_name}", fields[5]));
    lines.extend(no_capabilities());
    lines
}

fn no_capabilities() -> [String; 3] {
    ["Prm", "Eff", "Amb"].map(|of| format!("Cap{of}:\t0000000000000000"))
}

/// Whether this process can become another user, who may enter or run `path`.
fn is_open_to_others(path: &Path) -> bool {
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "61300", "--regid", "61300", "--clear-groups", "test", "-x"]);
    other.arg(path).status().is_ok_and(|status| status.success())
}

const NEEDS: &str = "programs of another user need root and `setpriv`";

#[test]
fn programs_run_as_the_user_that_is_named_and_are_ended() {
    let Some(site) = Site::new() else { return skip(NEEDS) };
    site.assert_runs(&["--groups", "4,24"]);
    // The same where the service is not root, as its unit may have it.
    site.give();
    let service = ["--reuid", "61300", "--regid", "61300", "--groups", "4,24"];
    let rights = ["--inh-caps", "+setuid,+setgid,+kill", "--ambient-caps", "+setuid,+setgid,+kill"];
    let rights = [&service[..], &rights].concat();
    site.assert_runs(&rights);
    // What runs as the service does has none of its capabilities either.
    let plain = printed(&site.try_it(&rights, "plain"), 0);
    assert!(no_capabilities().iter().all(|line| plain.contains(line)), "{plain}");

    // What the service may not look at, the user may all the same.
    let shut = site.folder.path().join("shut");
    std::fs::create_dir(&shut).unwrap();
    std::fs::write(shut.join("program"), "#!/bin/sh\n").unwrap();
    for path in [shut.join("program"), shut.clone()] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        chown(&path, Some(expected(None, USER)[0].parse().unwrap()), None).unwrap();
    }
    let program = shut.join("program");
    let handler =
        format!("[handler.shut.command]\nrun = [{program:?}]\nuser = {USER:?}\ncwd = {shut:?}\n");
    site.folder.write_config("", &handler);
    site.give_to(SERVICE, "shut");
    let checked = site.run(&rights, &["check"]);
    let told = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.success() && !told.contains("handler.shut"), "{told}");
    printed(&site.try_it(&rights, "shut"), 0);
}

#[test]
fn service_that_is_the_user_already_needs_rights_for_its_groups_only() {
    let Some(site) = Site::new() else { return skip(NEEDS) };
    let [uid, gid] = [0, 1].map(|index| expected(None, USER).swap_remove(index));
    site.give_to(uid.parse().unwrap(), "");
    let service = ["--reuid", uid.as_str(), "--regid", gid.as_str()];
    site.assert_runs_once(&[&service[..], &["--clear-groups"]].concat());
    let service = [&service[..], &["--groups", "4,24"]].concat();
    let output = site.run(&service, &["check"]);
    let told = String::from_utf8(output.stderr).unwrap();
    let once = "handler `once` cannot be built: programs cannot be run as user `nobody`: its groups would be kept";
    assert!(told.contains(once), "{told}");
    let rights = ["--inh-caps", "+setuid,+setgid", "--ambient-caps", "+setuid,+setgid"];
    site.assert_runs_once(&[&service[..], &rights].concat());
}

#[test]
#[expect(clippy::print_stderr, reason = "what was not tried is told")]
fn namespace_without_the_user_is_told_as_what_it_is() {
    let root_alone = ["--clear-groups", "unshare", "--user", "--map-root-user"];
    let mut nothing = Command::new("setpriv");
    nothing.args(root_alone).arg("true");
    let Some(site) = Site::new() else { return skip(NEEDS) };
    if !nothing.output().is_ok_and(|output| output.status.success()) {
        // A setting of the kernel or of a container, which no package changes.
        eprintln!("skipped: user namespaces are switched off here");
        return;
    }
    let output = site.run(&root_alone, &["check"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("the namespace that Gatepost runs in has no such user"), "{told}");
}

#[test]
fn plan_says_whom_a_program_runs_as() {
    let folder = Folder::new("", HANDLERS);
    for (handler, user) in [("once", "nobody"), ("worker", "nobody:61301")] {
        let output = program::run(
            &folder,
            &["handlers", "try", handler, "--sample", "hyvor", "comment.create"],
        );
        let plan = printed(&output, 0);
        assert!(plan.contains(&format!(" in `/` as `{user}`")), "{plan}");
    }
}

#[test]
fn without_the_right_to_it_a_handler_is_not_built_and_check_says_why() {
    let Some(site) = Site::new() else { return skip(NEEDS) };
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

#[test]
fn check_tells_of_a_folder_in_which_its_user_can_make_nothing() {
    let Some(site) = Site::new() else { return skip(NEEDS) };
    let quiet = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[handler.all.log]\n";
    std::fs::write(site.folder.config(), quiet).unwrap();
    std::fs::create_dir_all(site.folder.path().join("data")).unwrap();
    site.give_to(SERVICE, "data");
    let number = SERVICE.to_string();
    let told = || {
        let rights = ["--reuid", &number, "--regid", &number, "--clear-groups"];
        let output = site.run(&rights, &["check"]);
        printed(&output, 0);
        String::from_utf8(output.stderr).unwrap()
    };
    let closed = told();
    let message = "this user cannot write to the folder `";
    assert_eq!(closed.matches(message).count(), 1, "once for queue, socket and token: {closed}");
    site.give();
    assert!(!told().contains(message), "it is its own: {}", told());
}
