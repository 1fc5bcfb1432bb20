//! `PgBouncer` in front of a `PostgreSQL` of the tests, with its defaults: Debian package `pgbouncer`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::servers::{Server, command, find, own_folder, skip};

pub(crate) struct Pooler {
    child: Child,
    folder: TempDir,
}

impl Pooler {
    /// With `more` in its configuration; `None` where it is not installed.
    pub(crate) fn start(server: &Server, more: &str) -> Option<Self> {
        if find("pgbouncer").is_none() {
            skip("`pgbouncer` is not installed");
            return None;
        }
        let folder = own_folder();
        let here = folder.path().display();
        let socket = server.socket();
        let users = folder.path().join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host={}\n[pgbouncer]\nunix_socket_dir = {here}\n\
             auth_type = trust\nauth_file = {}\n{more}\n",
            socket.parent().unwrap().display(),
            users.display()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, text).unwrap();
        let mut command = command("pgbouncer");
        command.arg(&file).current_dir(folder.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("process up") {
            let n_bytes = lines.read_line(&mut said).unwrap();
            assert!(n_bytes > 0, "it ended: {said}");
        }
        // Somebody must read on: a full pipe would stop it.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Some(Self { child, folder })
    }

    /// The URL of the database `name`, by the pooler's socket.
    pub(crate) fn url(&self, name: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://postgres@localhost:6432/{name}?host={folder}")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }
}
