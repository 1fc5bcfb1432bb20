//! A handler's loop as the queue's users have it, stepped by hand: what it was given and has not
//! settled, and with an order key the lines of deliveries that go one call at a time.

use std::collections::{BTreeMap, VecDeque};

use gatepost_sim::event::Delivery;

/// How many deliveries of a key wait in the loop's memory; the queue holds what comes then.
pub const LINE_MAX: usize = 2;

/// The deliveries of one order key.
#[derive(Debug, Default)]
pub struct Line {
    /// The one whose call is under way.
    pub called: Option<u32>,
    pub waiting: VecDeque<u32>,
    /// The queue holds later ones.
    pub has_spilled: bool,
}

#[derive(Debug, Default)]
pub struct Worker {
    /// All that was given and is not settled, by token.
    pub deliveries: BTreeMap<u32, Delivery>,
    /// Calls of deliveries without a key.
    pub free: Vec<u32>,
    pub lines: BTreeMap<u8, Line>,
}

impl Worker {
    /// The calls under way, in a fixed order.
    pub fn calls(&self) -> Vec<(u32, Option<u8>)> {
        let lines = self.lines.iter();
        let keyed = lines.filter_map(|(key, line)| line.called.map(|token| (token, Some(*key))));
        self.free.iter().map(|token| (*token, None)).chain(keyed).collect()
    }
}
