//! A kind whose table has a mistake: its texts can still be compared with the senders' samples.

use async_trait::async_trait;

use super::build::{BuildContext, BuildError};
use super::contract::{Handler, KindSettings};
use super::plan::Plan;
use super::texts::{self, Text};
use crate::event::{Delivery, Failure};
use crate::settings::NotedText;

/// Why nothing but its texts can be had.
const WHY: &str = "there is a mistake in its settings";

/// What is left of the settings of such a kind.
#[derive(Debug)]
pub struct UnreadKind {
    texts: Vec<Text>,
}

impl UnreadKind {
    /// Of the texts that were noted in the kind's table, whose path is `table`.
    pub fn new(table: &str, noted: &[NotedText]) -> Self {
        let below = |noted: &NotedText| {
            let key = noted.key.strip_prefix(table)?.strip_prefix('.')?;
            // An item is told at its list.
            texts::noted(key.split('[').next().unwrap_or(key), noted)
        };
        Self { texts: noted.iter().filter_map(below).collect() }
    }
}

#[async_trait]
impl KindSettings for UnreadKind {
    fn plan(&self, _context: &BuildContext, _deliveries: &[Delivery]) -> Result<Plan, Failure> {
        Err(Failure::permanent(WHY))
    }

    fn texts(&self) -> Vec<Text> {
        self.texts.clone()
    }

    fn build(&self, _context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Err(BuildError::Unfit(WHY.to_owned()))
    }
}
