//! Where log lines go, and how they look.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Starts writing log lines to standard error. A second call changes nothing.
pub fn start(settings: LogSettings) {
    let level = settings.level.as_str();
    // What libraries say matters to their authors, but for warnings. What actix says of broken
    // requests is left out: a stranger could fill the disk with it. So is sled: it says the same
    // over and over when the disk is full, and we say once what becomes of it.
    let filter = EnvFilter::new(format!("warn,gatepost={level},actix_http=off,sled=off"));
    // A log that cannot be written, to a full disk say, must not end the thread that writes it.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match settings.format {
        LogFormat::Text => {
            subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).with_target(false).try_init(),
    };
    // Somebody else listens already, as in tests: then nothing is to be done.
    drop(started);
}
