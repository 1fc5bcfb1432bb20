//! Where the queue and the admin socket are to be, looked at without making anything: `check` tells of what
//! would keep `serve` from starting.

use std::cell::LazyCell;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{io, iter};

use crate::config::Config;
use crate::files;

use super::handler_records;

/// What stands in the way, with the key of the configuration that says the place.
pub fn check_places(config: &Config) -> Vec<(&'static str, String)> {
    let (queue, socket) = (&config.queue.path, &config.admin.socket);
    let of_queue = files::no_folder_in(queue).map(|why| ("queue.path", why));
    let of_socket = socket.parent().and_then(files::no_folder_in);
    let of_socket = of_socket.or_else(|| no_socket_at(socket));
    // It is made under that name first.
    let of_socket = of_socket.or_else(|| no_socket_at(&files::staging(socket)));
    let of_socket = of_socket.map(|why| ("admin.socket", why));
    let tokens = tokens(config).into_iter();
    let of_tokens = tokens.filter_map(|(key, token)| Some((key, files::no_file_at(token)?)));
    of_queue.into_iter().chain(of_socket).chain(of_tokens).collect()
}

/// The files of tokens, which are made where they are missing.
fn tokens(config: &Config) -> Vec<(&'static str, &Path)> {
    let standby = config.standby.as_ref().map(|standby| ("standby.token", &*standby.token));
    let read_only = config.admin.read_only_token.as_deref();
    let read_only = read_only.map(|token| ("admin.read_only_token", token));
    let admin = ("admin.token", &*config.admin.token);
    [Some(admin), read_only, standby].into_iter().flatten().collect()
}

/// Folders in which this user can make nothing, with the key that leads into each: who runs `check` may be
/// another than who runs `serve`.
pub fn unwritable_places(config: &Config) -> Vec<(&'static str, String)> {
    let socket = config.admin.socket.parent().map(|folder| ("admin.socket", folder));
    // Beside the admin token other files are made; the others only where they are missing.
    let tokens = tokens(config).into_iter();
    let tokens = tokens.filter(|(key, token)| *key == "admin.token" || !token.exists());
    let tokens = tokens.filter_map(|(key, token)| Some((key, token.parent()?)));
    let mut told: Vec<&Path> = Vec::new();
    let places = iter::once(("queue.path", &*config.queue.path)).chain(socket).chain(tokens);
    let unwritable = places.filter_map(|(key, place)| {
        let there = place.ancestors().find(|one| one.is_dir())?;
        if told.contains(&there) || files::is_writable(there) {
            return None;
        }
        told.push(there);
        Some((key, format!("this user cannot write to the folder `{}`", there.display())))
    });
    unwritable.collect()
}

/// Files of secrets that root, who asks, can read and the service cannot, each with its key: whose the queue is
/// runs it. A file whose group may read it is left out, since a service can be in any group.
pub fn kept_from_the_service(config: &Config) -> Vec<(String, String)> {
    let Ok(queue) = config.queue.path.canonicalize() else { return Vec::new() };
    let Ok(owner) = queue.metadata() else { return Vec::new() };
    if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
        return Vec::new();
    }
    // Systemd may be asked for it, which takes its time.
    let user = LazyCell::new(|| files::user_shown(owner.uid()));
    let may = |path: &Path, bit: u32| {
        let Ok(found) = path.metadata() else { return true };
        let is_by_group = found.gid() != 0 && found.mode() >> 3 & bit != 0;
        let shift = if found.uid() == owner.uid() { 6 } else { 0 };
        is_by_group || found.mode() >> shift & bit != 0
    };
    let may_read = |path: &Path| {
        let Ok(path) = path.canonicalize() else { return true };
        // It comes to its queue, whatever stands there for others (`/var/lib/private`).
        let mut folders = path.ancestors().skip(1).filter(|one| !queue.starts_with(one));
        may(&path, 0o4) && folders.all(|folder| may(folder, 0o1))
    };
    let of_tokens = tokens(config).into_iter().map(|(key, path)| (key.to_owned(), path));
    let kept = config.secret_files().chain(of_tokens).filter(|(_, path)| !may_read(path));
    let kept = kept.map(|(key, path)| {
        (key, format!("the user {}, whose the queue is, cannot read `{}`", *user, path.display()))
    });
    kept.collect()
}

/// The addresses to listen at that this machine does not have, each with its key. Ports are not tried: a
/// server may be running.
pub fn foreign_addresses(config: &Config) -> Vec<(&'static str, String)> {
    let public = config.server.listen.iter().map(|address| ("server.listen", address.ip()));
    let admin = iter::once(("admin.listen", config.admin.listen.ip()));
    let foreign = public.chain(admin).filter(|(_, ip)| {
        let tried = TcpListener::bind((*ip, 0));
        tried.is_err_and(|err| err.kind() == io::ErrorKind::AddrNotAvailable)
    });
    foreign.map(|(key, ip)| (key, format!("{ip} is no address of this machine"))).collect()
}

/// What is where how handlers do is kept, which keeps it from being kept: `serve` starts all the same.
pub fn check_records(config: &Config) -> Option<String> {
    // Gateways that share a log keep none.
    let is_shared = config.queue.shared.is_some();
    handler_records::obstacle(&config.admin.handler_records()).filter(|_| !is_shared)
}

/// Why no socket can be made at `path`: what is there is none, and is not to be lost.
fn no_socket_at(path: &Path) -> Option<String> {
    files::is_no_socket(path).then(|| format!("`{}` is no socket", path.display()))
}
