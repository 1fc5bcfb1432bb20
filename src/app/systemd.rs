//! What a service manager is told. Without one, nothing.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The public listener's sockets, where the service manager holds them open (`sd_listen_fds(3)`), so that
/// none is refused while the program is restarted; mostly none. To be called once, before anything
/// else: it takes them out of the environment.
pub fn inherited() -> io::Result<Vec<TcpListener>> {
    // Also says whether they are meant for this process.
    let n_sockets = sd_notify::listen_fds()?.len();
    if n_sockets == 0 {
        return Ok(Vec::new());
    }
    let mut sockets = listenfd::ListenFd::from_env();
    let sockets = (0..n_sockets).map(|index| sockets.take_tcp_listener(index));
    sockets.filter_map(Result::transpose).collect()
}

/// The start goes on, and takes longer than the manager may wait.
pub(super) fn starting() {
    let more = u32::try_from(START_EXTENSION.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(more)]);
}

/// How often, while it starts.
pub(super) const START_EVERY: Duration = Duration::from_secs(5);
/// For how long each time: a few are missed on a busy machine.
const START_EXTENSION: Duration = Duration::from_secs(30);

/// Requests are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(err) => warn!(error = %err, "The service manager could not be told of the reload"),
    }
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// All is well: the watchdog may wait again.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(states) {
        warn!(error = %err, "The service manager could not be told");
    }
}

/// When the watchdog wants to hear from us.
#[derive(Debug)]
pub(super) struct Watchdog(Option<tokio::time::Interval>);

impl Watchdog {
    pub(super) fn new() -> Self {
        // Twice as often as is wanted, as sd_watchdog_enabled(3) advises.
        let period = sd_notify::watchdog_enabled().map(|period| period / 2);
        Self(period.filter(|period| *period > Duration::ZERO).map(|period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits until it does; without a watchdog for ever.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
