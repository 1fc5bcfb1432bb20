//! Where the queue and the admin socket are to be, looked at without making anything: `check` tells of what
//! would keep `serve` from starting.

use std::path::Path;

use crate::config::Config;
use crate::files;

use super::handler_records;

/// What stands in the way, with the key of the configuration that says the place.
pub fn check_places(config: &Config) -> Vec<(&'static str, String)> {
    let (queue, socket) = (&config.queue.path, &config.admin.socket);
    let of_queue = no_folder_in(queue).map(|why| ("queue.path", why));
    let of_socket = socket.parent().and_then(no_folder_in);
    let of_socket = of_socket.or_else(|| no_socket_at(socket));
    // It is made under that name first.
    let of_socket = of_socket.or_else(|| no_socket_at(&files::staging(socket)));
    of_queue.into_iter().chain(of_socket.map(|why| ("admin.socket", why))).collect()
}

/// What is where how handlers do is kept, which keeps it from being kept: `serve` starts all the same.
pub fn check_records(config: &Config) -> Option<String> {
    // Gateways that share a log keep none.
    let is_shared = config.queue.shared.is_some();
    handler_records::obstacle(&config.admin.handler_records()).filter(|_| !is_shared)
}

/// Why `path` can be no folder: something else is there, or where one of the folders above it would be.
fn no_folder_in(path: &Path) -> Option<String> {
    // A link to nothing is there, and no folder can be made of it.
    let there = path.ancestors().find(|place| place.symlink_metadata().is_ok())?;
    if there.is_dir() {
        return None;
    }
    let what = if there.is_symlink() { "is a link to no folder" } else { "is no folder" };
    Some(format!("`{}` {what}", there.display()))
}

/// Why no socket can be made at `path`: what is there is none, and is not to be lost.
fn no_socket_at(path: &Path) -> Option<String> {
    files::is_no_socket(path).then(|| format!("`{}` is no socket", path.display()))
}
