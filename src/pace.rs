//! Work behind the answers in small steps.
//!
//! The machine is small: often it has two processors. A thread that works for milliseconds on end
//! holds one of them for as long, and an answer that waits for a sync, a wake-up and a processor
//! waits for that thread as well. Measured with 16 senders and one `file` handler: the slowest
//! hundredth of the answers took twice as long without these steps.

/// How many items are one step: some tens of microseconds.
const STEP: usize = 16;

/// The same items; after every few of them threads that wait for a processor go first. For loops
/// that nobody waits for.
pub fn in_steps<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    items.into_iter().enumerate().map(|(index, item)| {
        if index % STEP == STEP - 1 {
            step_aside();
        }
        item
    })
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
        let items: Vec<usize> = (0..5 * STEP + 3).collect();
        assert_eq!(in_steps(items.clone()).collect::<Vec<_>>(), items);
    }
}
