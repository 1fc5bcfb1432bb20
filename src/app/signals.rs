//! What the system asks of the process.

use std::io;

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT: finish and end.
    Stop,
    /// SIGHUP, or SIGUSR1, which reloads other receivers of webhooks: read the configuration again.
    Reload,
    /// One that means nothing here. Left to the system it would end the process without a word.
    Unused(&'static str),
}

/// Listens from the moment it is made.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Listener,
    interrupt: Listener,
    hang_up: Listener,
    user_1: Listener,
    user_2: Listener,
    alarm: Listener,
    io: Listener,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            alarm: signal(SignalKind::alarm())?,
            io: signal(SignalKind::io())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
            _ = self.user_1.recv() => Signal::Reload,
            _ = self.user_2.recv() => Signal::Unused("SIGUSR2"),
            _ = self.alarm.recv() => Signal::Unused("SIGALRM"),
            _ = self.io.recv() => Signal::Unused("SIGIO"),
        }
    }
}
