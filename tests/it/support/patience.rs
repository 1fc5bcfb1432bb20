//! Waiting for what must come, with an end: a test that waits for ever says nothing.

use std::fmt::Display;
use std::time::Duration;

use gatepost::clock::Stopwatch;

/// Far beyond what anything takes that is waited for, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Since when something is waited for.
pub(crate) struct Patience(Stopwatch);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(Stopwatch::start())
    }

    /// Returns when it is time to look again; panics with `what` once it was waited for too long.
    #[track_caller]
    pub(crate) fn look_again(&self, what: impl Display) {
        assert!(self.0.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[track_caller]
pub(crate) fn wait_until(what: impl Display, mut is_so: impl FnMut() -> bool) {
    let patience = Patience::new();
    while !is_so() {
        patience.look_again(&what);
    }
}

/// The same where the time begins anew with everything that comes meanwhile, of which `n_come` has come.
#[track_caller]
pub(crate) fn wait_while_more_comes(
    what: impl Display,
    n_come: impl Fn() -> u64,
    is_so: impl Fn() -> bool,
) {
    let (mut patience, mut n_before) = (Patience::new(), n_come());
    while !is_so() {
        let n_now = n_come();
        if n_now != n_before {
            (patience, n_before) = (Patience::new(), n_now);
        }
        patience.look_again(format_args!("{what}, {n_now} so far"));
    }
}
