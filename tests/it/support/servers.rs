//! Real database servers: started in a folder of their own, on a Unix socket, gone with the test.
//!
//! Debian packages: `postgresql` and `mariadb-server`. Where a server is not installed, the tests
//! that need it say so and end; with `CI=true` in the environment they fail.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "what is skipped depends on the environment and is told"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The user that a server runs as when the tests run as root, which servers refuse: `nobody`.
const NOBODY: u32 = 65_534;

/// A server that is running.
pub(crate) struct Server {
    kind: Kind,
    child: Child,
    folder: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    MariaDb,
}

impl Server {
    /// PostgreSQL, or `None` where it is not installed.
    pub(crate) fn postgres() -> Option<Self> {
        Self::start_new(Kind::Postgres, &["postgres", "initdb"])
    }

    /// MariaDB, or `None` where it is not installed.
    pub(crate) fn mariadb() -> Option<Self> {
        Self::start_new(Kind::MariaDb, &["mariadbd", "mariadb-install-db"])
    }

    fn start_new(kind: Kind, programs: &[&str]) -> Option<Self> {
        if let Some(missing) = programs.iter().find(|program| find(program).is_none()) {
            skip(&format!("`{missing}` is not installed"));
            return None;
        }
        let folder = own_folder();
        init(kind, folder.path());
        let child = start(kind, folder.path());
        Some(Self { kind, child, folder })
    }

    /// The URL of the database `name`, by the socket.
    pub(crate) fn url(&self, name: &str) -> String {
        let folder = self.folder.path().display();
        match self.kind {
            Kind::Postgres => format!("postgres://postgres@localhost/{name}?host={folder}"),
            Kind::MariaDb => format!("mysql://root@localhost/{name}?socket={folder}/my.sock"),
        }
    }

    /// The URL of the database `name`, by a proxy.
    pub(crate) fn url_through(&self, name: &str, address: std::net::SocketAddr) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://postgres@{address}/{name}?sslmode=disable"),
            Kind::MariaDb => format!("mysql://root@{address}/{name}?ssl-mode=DISABLED"),
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        match self.kind {
            Kind::Postgres => self.folder.path().join(".s.PGSQL.5432"),
            Kind::MariaDb => self.folder.path().join("my.sock"),
        }
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops all its processes where they stand (SIGSTOP), or lets them go on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let own = Pid::from_child(&self.child);
        let signal = if is_frozen { Signal::STOP } else { Signal::CONT };
        // The first one makes the others, so it is the first one to stop.
        kill_process(own, signal).unwrap();
        for child in children(own) {
            // One of them may end by itself meanwhile.
            let sent = kill_process(child, signal);
            assert!(matches!(sent, Ok(()) | Err(Errno::SRCH)), "{sent:?}");
        }
    }

    /// Ends it as a crash does and starts it anew.
    pub(crate) fn crash_and_restart(&mut self) {
        self.crash();
        self.restart();
    }

    /// A standby of PostgreSQL, which follows from here on.
    pub(crate) fn standby(&self) -> Self {
        let folder = own_folder();
        let mut command = command("pg_basebackup");
        command.args(["-U", "postgres", "-c", "fast", "-R", "-D"]).arg(folder.path().join("data"));
        let output = command.arg("-h").arg(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { kind: self.kind, child: start(self.kind, folder.path()), folder }
    }

    /// Copies PostgreSQL's data as a backup does.
    pub(crate) fn back_up(&self) {
        let mut command = command("pg_basebackup");
        command.args(["-U", "postgres", "-c", "fast", "-D"]).arg(self.folder.path().join("backup"));
        let output = command.arg("-h").arg(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it as a crash does, and starts it anew with what it had when it was backed up: what came since
    /// is lost, as at a failover to a standby that is behind.
    pub(crate) fn lose_what_came_since(&mut self) {
        self.crash();
        std::fs::remove_dir_all(self.data()).unwrap();
        std::fs::rename(self.folder.path().join("backup"), self.data()).unwrap();
        self.restart();
    }

    /// Has PostgreSQL listen on a port of loopback, with TLS and nothing else, by a certificate and its key in PEM
    /// form. Its socket has that number from then on.
    pub(crate) fn listen_with_tls(&mut self, port: u16, (cert, key): (&str, &str)) {
        let data = self.data();
        std::fs::write(data.join("cert.pem"), cert).unwrap();
        std::fs::write(data.join("key.pem"), key).unwrap();
        let own_alone = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(data.join("key.pem"), own_alone).unwrap();
        if is_root() {
            chown(data.join("key.pem"), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
        let more = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\nssl_cert_file = 'cert.pem'\n\
             ssl_key_file = 'key.pem'\n"
        );
        configure(self.folder.path(), &more);
        self.crash_and_restart();
    }

    /// Ends all its processes at once, as a machine that loses its power.
    pub(crate) fn kill(&mut self) {
        let own = Pid::from_child(&self.child);
        // The first one makes the others, so it is stopped first: none is missed.
        kill_process(own, Signal::STOP).unwrap();
        for process in children(own).into_iter().chain([own]) {
            let sent = kill_process(process, Signal::KILL);
            assert!(matches!(sent, Ok(()) | Err(Errno::SRCH)), "{sent:?}");
        }
        self.child.wait().unwrap();
    }

    /// Starts it after a crash.
    pub(crate) fn restart(&mut self) {
        self.child = start(self.kind, self.folder.path());
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(&mut self) {
        // It ended before, and was not started again.
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        let pid = Pid::from_child(&self.child);
        match self.kind {
            // An immediate shutdown: no checkpoint, recovery at the next start. A plain kill would
            // leave its other processes behind.
            Kind::Postgres => kill_process(pid, Signal::QUIT).unwrap(),
            Kind::MariaDb => kill_process(pid, Signal::KILL).unwrap(),
        }
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// The processes that `parent` made.
fn children(parent: Pid) -> Vec<Pid> {
    let status = |entry: std::fs::DirEntry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().to_owned();
        (line == parent.as_raw_nonzero().to_string()).then(|| Pid::from_raw(number))?
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(status).collect()
}

/// Says that a test is skipped and why; fails where nothing may be skipped.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}, and CI=true skips nothing");
    eprintln!("SKIPPED: {why}; `./test` as root installs what is missing");
}

/// A program in `PATH`, or where Debian puts the servers that it keeps out of it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from));
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A folder that a server's user may write into, by a path that is short enough for its socket.
pub(crate) fn own_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("gp").tempdir_in("/tmp").unwrap();
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    folder
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `program` as the user that servers run as.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap());
    command.stdin(Stdio::null()).env_remove("LC_ALL").env("LANG", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Makes the folder of its data. MariaDB has its own folder for temporary tables: at a start it removes
/// all that it finds there, those of another test's server as well.
fn init(kind: Kind, folder: &Path) {
    let data = folder.join("data");
    let mut command = match kind {
        Kind::Postgres => {
            let mut command = command("initdb");
            command.args(["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "-D"]);
            command.arg(data);
            command
        }
        Kind::MariaDb => {
            let mut command = command("mariadb-install-db");
            command.args(["--no-defaults", "--skip-test-db"]);
            command.arg("--auth-root-authentication-method=normal");
            command.arg(format!("--datadir={}", data.display()));
            command.arg(format!("--tmpdir={}", folder.display()));
            command
        }
    };
    let output = command.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if kind == Kind::Postgres {
        configure(folder, "listen_addresses = ''\nshared_buffers = 32MB\n");
    }
}

/// Adds to PostgreSQL's configuration: what stands last holds.
fn configure(folder: &Path, more: &str) {
    let file = folder.join("data/postgresql.conf");
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(more.as_bytes()).unwrap();
}

/// Starts the server and waits for its own word that it is ready.
fn start(kind: Kind, folder: &Path) -> Child {
    let data = folder.join("data");
    let (mut command, ready) = match kind {
        Kind::Postgres => {
            let mut command = command("postgres");
            command.arg("-D").arg(data).arg("-k").arg(folder);
            // A standby accepts read-only ones.
            (command, "system is ready to accept")
        }
        Kind::MariaDb => {
            let mut command = command("mariadbd");
            command.args(["--no-defaults", "--skip-networking", "--innodb-buffer-pool-size=32M"]);
            command.arg(format!("--datadir={}", data.display()));
            command.arg(format!("--tmpdir={}", folder.display()));
            command.arg(format!("--socket={}/my.sock", folder.display()));
            command.arg(format!("--pid-file={}/my.pid", folder.display()));
            (command, "ready for connections")
        }
    };
    let spawned = command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(ready) {
        let n_bytes = lines.read_line(&mut said).unwrap();
        assert!(n_bytes > 0, "the server ended: {said}");
    }
    // Somebody must read on: a full pipe would stop the server.
    thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    child
}
