//! Conditions that hold whatever a caller, a file or a clock does: a broken one is a fault of this
//! program.

use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether `$holds` is true. Where it is false, a build with debug assertions panics, so that
/// tests and the simulation stop there; a release build logs it once per place and goes on, and
/// the caller answers [`super::QueueError::Corrupt`] or poisons the queue.
macro_rules! invariant {
    ($holds:expr, $($message:tt)+) => {{
        static IS_REPORTED: std::sync::atomic::AtomicBool =
            std::sync::atomic::AtomicBool::new(false);
        let holds: bool = $holds;
        if !holds {
            $crate::queue::invariant::report(&IS_REPORTED, format_args!($($message)+));
        }
        holds
    }};
}
pub(crate) use invariant;

#[cold]
#[expect(clippy::manual_assert, reason = "the condition is a constant of the build")]
pub(crate) fn report(is_reported: &AtomicBool, message: Arguments<'_>) {
    if cfg!(debug_assertions) {
        panic!("broken invariant: {message}");
    }
    if !is_reported.swap(true, Ordering::Relaxed) {
        tracing::error!("broken invariant of the queue: {message}; please report it as a bug");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_invariant_that_holds_is_true() {
        assert!(invariant!(1 < 2, "order"));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "broken invariant: 2 is not below 1")]
    fn a_broken_invariant_panics_under_test() {
        let (low, high) = (2, 1);
        invariant!(low < high, "{low} is not below {high}");
    }
}
