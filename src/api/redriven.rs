//! What became of the dead letters of a redrive.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::event::{HandlerName, Position};
use crate::sync::lock;

use super::rollouts::LetGoResult;
use super::{Api, ApiError};

/// How many redrives are remembered, in memory.
const REDRIVES_MAX: usize = 20;
/// How many letters of each. Each is looked up with each look at the page.
pub(super) const LETTERS_MAX: usize = 100;

type Letter = (HandlerName, Position);

/// The newest redrives, by what [`Api::newest_action`] called them.
#[derive(Debug, Default)]
pub(super) struct Redrives(Mutex<VecDeque<(String, Vec<Letter>)>>);

/// What became of the letters of a redrive so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Of how many this tells: of the first 100.
    pub looked_at: u64,
    pub delivered: u64,
    /// Their handlers did not want them any more.
    pub skipped: u64,
    /// Dead letters once more.
    pub failed: u64,
    /// Those failed and are tried again by the rules of their handlers.
    pub tried_again: u64,
    /// Nothing is known yet.
    pub under_way: u64,
}

impl Api {
    /// Remembers what the action that was noted last redrove.
    pub(super) fn remember_redriven(&self, mut letters: Vec<Letter>) {
        let Some(server) = &self.server else { return };
        letters.truncate(LETTERS_MAX);
        let mut newest = lock(&server.redrives.0);
        newest.push_back((self.newest_action(), letters));
        if newest.len() > REDRIVES_MAX {
            newest.pop_front();
        }
    }

    /// What became of the letters that the action `name` redrove; `None` = it redrove none, or it was long
    /// ago.
    pub async fn redriven(&self, name: &str) -> Result<Option<Redriven>, ApiError> {
        let Some(server) = &self.server else { return Ok(None) };
        let find = |newest: &VecDeque<(String, Vec<Letter>)>| {
            newest.iter().find(|(known, _)| known == name).map(|(_, letters)| letters.clone())
        };
        let Some(letters) = find(&lock(&server.redrives.0)) else { return Ok(None) };
        let mut told = Redriven::default();
        for (result, is_tried_again) in self.results_of(&letters).await? {
            told.looked_at += 1;
            match result {
                LetGoResult::Delivered => told.delivered += 1,
                LetGoResult::Skipped => told.skipped += 1,
                LetGoResult::Failed if is_tried_again => told.tried_again += 1,
                LetGoResult::Failed => told.failed += 1,
                LetGoResult::UnderWay => told.under_way += 1,
                LetGoResult::Gone => told.looked_at -= 1,
            }
        }
        Ok(Some(told))
    }
}
