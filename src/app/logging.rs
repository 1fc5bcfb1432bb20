//! Where log lines go, and how they look.

use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::{Clock, SystemClock};
use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::text;
use crate::throttle::Throttle;

/// Starts writing log lines to standard error. A second call changes nothing.
pub fn start(settings: LogSettings) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = filter(level);
    // A log that cannot be written, to a full disk say, must not end the thread that writes it.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| OneLine(io::stderr()))
        .log_internal_errors(false)
        .with_target(false);
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    // Another subscriber is installed already, as in tests: then nothing is to be done.
    drop(started);
    tell_panics();
}

/// Our own lines alone. What libraries say of a stranger's bytes comes as often as the stranger likes: h2
/// wrote 35,000 lines a second about one connection. What matters of it, we say, and not more often than
/// once a second.
fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_target("gatepost", level)
}

/// Writes each line as one, whatever a stranger has written into it. The formatter writes a whole
/// line at once.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        self.0.write_all(text::log_line(&line).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Tells of panics in the log, one a second at most. Each one is contained where it happens; what
/// causes it may come from outside, as often as a client likes.
fn tell_panics() {
    let (throttle, clock) = (Throttle::default(), SystemClock::new());
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if let Some(n_silent) = throttle.open(clock.now()) {
            let place = info.location().map(ToString::to_string);
            let words = info.payload_as_str().unwrap_or_default();
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or_default();
            error!(place, thread, n_silent, "Panic: {words}");
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_library_writes_a_line_for_a_stranger() {
        let filter = filter(LevelFilter::INFO);
        for library in ["h2::proto::ping_pong", "actix_http", "rustls", "sled"] {
            assert!(!filter.would_enable(library, &tracing::Level::ERROR), "{library}");
        }
        assert!(filter.would_enable("gatepost::app", &tracing::Level::INFO));
        assert!(!filter.would_enable("gatepost::app", &tracing::Level::DEBUG));
    }

    #[test]
    fn what_is_written_at_once_is_one_line() {
        let mut writer = OneLine(Vec::new());
        writer.write_all(b"INFO a\nERROR b\r\n").unwrap();
        assert_eq!(writer.0, b"INFO a\\nERROR b\\r\n");
    }
}
