//! A listening socket that somebody else holds open, as systemd does for `gatepost.socket`.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{Served, printed, run};
use super::super::support::wire::{self, Wire};

/// How often the program is restarted under load.
const N_RESTARTS: usize = 20;
/// Clients that connect anew for each request, and those that keep their connection while they may.
const N_CLIENTS: usize = 6;

/// Starts the server on `socket`, as `sd_listen_fds(3)` describes it.
fn start_on(socket: &TcpListener, folder: &Folder) -> Served {
    let mut command = Command::new("sh");
    command.arg("-c");
    command.arg("exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --json");
    command.arg(env!("CARGO_BIN_EXE_gatepost")).current_dir(folder.path());
    command.env_remove("GATEPOST_CONFIG");
    command.stdin(OwnedFd::from(socket.try_clone().unwrap()));
    Served::spawn(folder, command)
}

/// Posts until `is_over`, each other client on one connection as long as it may; gives the ids. Any refusal, reset or other answer ends the test.
pub(super) fn load(address: SocketAddr, client: usize, is_over: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    let mut kept: Option<Wire> = None;
    while !is_over.load(Ordering::Relaxed) {
        let body = format!("{{\"client\":{client},\"n\":{}}}", ids.len());
        let (length, signature) = (body.len().to_string(), signature(body.as_bytes()));
        let headers = [("Content-Length", &*length), ("X-Signature", &*signature)];
        let request = wire::head("POST", "/hooks/hyvor", &headers) + &body;
        let mut wire = kept.take().unwrap_or_else(|| Wire::to(address));
        let answer = wire.write(request.as_bytes()).answer().expect("an answer to each request");
        ids.push(answer.id());
        let is_last = answer.header("connection") == Some("close");
        kept = (client.is_multiple_of(2) && !is_last).then_some(wire);
    }
    ids
}

#[test]
fn restart_on_a_socket_of_the_service_manager_refuses_and_loses_nothing() {
    let folder = Folder::new("", "");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let served = start_on(&socket, &folder);
    assert_eq!(served.public(), address, "in place of `listen`");
    let is_over = AtomicBool::new(false);
    let (served, ids) = thread::scope(|scope| {
        let (mut served, is_over) = (served, &is_over);
        let clients: Vec<_> = (0..N_CLIENTS)
            .map(|client| scope.spawn(move || load(address, client, is_over)))
            .collect();
        for _ in 0..N_RESTARTS {
            // So that each run has answered somebody.
            wire::request(address, "GET", "/healthz", &[], b"");
            assert_eq!(served.stop(), Some(0));
            served = start_on(&socket, &folder);
        }
        is_over.store(true, Ordering::Relaxed);
        let ids = clients.into_iter().flat_map(|client| client.join().unwrap());
        (served, ids.collect::<Vec<String>>())
    });
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
    assert!(ids.len() > N_RESTARTS, "{} requests", ids.len());
    assert_delivered(&folder, &ids);
}

/// Each of the events is in the file of the folder's handler.
pub(super) fn assert_delivered(folder: &Folder, ids: &[String]) {
    let lines = std::fs::read_to_string(folder.path().join("data/events.jsonl")).unwrap();
    let id_of = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone();
    let delivered: BTreeSet<String> =
        lines.lines().map(|line| id_of(line).as_str().unwrap().to_owned()).collect();
    for id in ids {
        assert!(delivered.contains(id), "{id} of {} was lost", ids.len());
    }
}

#[test]
fn what_is_passed_and_is_no_socket_is_named() {
    let folder = Folder::new("", "");
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve"]);
    command.arg(env!("CARGO_BIN_EXE_gatepost")).current_dir(folder.path());
    let output = command.env_remove("GATEPOST_CONFIG").output().unwrap();
    printed(&output, 1);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the sockets that were passed cannot be used"), "{told}");
    // Sockets that are meant for another process are none of its.
    let output = run(&folder, &["check"]);
    printed(&output, 0);
}
