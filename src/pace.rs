//! Work behind the answers in small steps.
//!
//! The machine is small: often it has two processors. A thread that works for milliseconds on end
//! holds one of them for as long, and an answer that waits for a sync, a wake-up and a processor
//! waits for that thread as well. Measured with 16 senders and one `file` handler: the slowest
//! hundredth of the answers took twice as long without these steps.

use std::time::Duration;

use crate::clock::Stopwatch;

/// How long a step is, unless the fewest items that are looked at take longer: a small part of what
/// an answer takes where many senders send at once. A yield is a system call of some microseconds, so
/// it takes a few hundredths of the work; shorter steps would take more.
const STEP: Duration = Duration::from_micros(100);

/// After how many items it is asked what time it is.
const LOOK_EVERY: usize = 8;

/// The same items; after each step's time threads that wait for a processor go first. For loops
/// that no caller waits for.
pub fn in_steps<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    let mut steps = Steps::start();
    items.into_iter().enumerate().map(move |(index, item)| {
        if index % LOOK_EVERY == LOOK_EVERY - 1 {
            steps.look();
        }
        item
    })
}

/// The same for a loop of another shape.
#[derive(Debug)]
pub struct Steps(Stopwatch);

impl Steps {
    /// The first step begins.
    pub fn start() -> Self {
        Self(Stopwatch::start())
    }

    /// Lets threads that wait for a processor go first if the step has lasted its time.
    pub fn look(&mut self) {
        if self.0.elapsed() >= STEP {
            step_aside();
            self.0 = Stopwatch::start();
        }
    }
}

/// Lets threads that wait for a processor go first.
pub fn step_aside() {
    std::thread::yield_now();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_comes_once_and_in_order() {
        let items: Vec<usize> = (0..5 * LOOK_EVERY + 3).collect();
        assert_eq!(in_steps(items.clone()).collect::<Vec<_>>(), items);
    }
}
