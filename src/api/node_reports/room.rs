//! A report has little room: what is left out of it, and in which order.

use super::NodeReport;
use super::charts::PackedCharts;
use super::turned_down::{CHARS_MAX, cut};
use crate::api::{RatesView, RolloutView};
use crate::cluster::REPORT_MAX;

/// The most of a report that counts of sources take, in bytes: those of some 20.
const SOURCES_MAX: usize = REPORT_MAX / 4;
/// The same of rollouts: those of some 2.
const ROLLOUTS_MAX: usize = REPORT_MAX / 4;
/// What stands around packed charts.
const CHARTS_KEY: &str = r#","charts":"""#;

impl NodeReport {
    /// In at most [`REPORT_MAX`] bytes: with at most half of it what strangers have caused, then as many handlers as
    /// there is room for, and then as many charts.
    pub(super) fn text(mut self, rates: &RatesView) -> Option<String> {
        while serde_json::to_string(&(&self.rejected, &self.refused)).ok()?.len() > REPORT_MAX / 2 {
            let n_rows = self.rejected.len().max(self.refused.len()).saturating_sub(1);
            self.rejected.truncate(n_rows);
            self.refused.truncate(n_rows);
        }
        while serde_json::to_string(&self.sources).ok()?.len() > SOURCES_MAX {
            self.sources.pop();
        }
        while serde_json::to_string(&self.rollouts).ok()?.len() > ROLLOUTS_MAX {
            self.leave_rollout_out()?;
        }
        let charts = PackedCharts::new(rates);
        loop {
            // Wider than any count of them.
            self.n_charts_left_out = u64::from(u32::MAX);
            let n_bytes = serde_json::to_string(&self).ok()?.len();
            if n_bytes <= REPORT_MAX {
                let room = (REPORT_MAX - n_bytes).saturating_sub(CHARTS_KEY.len());
                let (charts, n_left_out) = charts.pack(room);
                (self.charts, self.n_charts_left_out) = (charts, n_left_out as u64);
                return serde_json::to_string(&self).ok();
            }
            self.leave_out()?;
        }
    }

    /// Cuts what is told of rollouts in words: the gateway that carries one on has all of it.
    pub(super) fn cut_texts(&mut self) {
        let cut = |text: &mut String| *text = cut(text, CHARS_MAX);
        for one in &mut self.rollouts {
            cut(&mut one.target);
            one.why.iter_mut().for_each(cut);
        }
        self.rollout_answers.iter_mut().filter_map(|one| one.refused.as_mut()).for_each(cut);
    }

    /// Leaves a rollout out: one that has ended, and the largest. `None` = there is none.
    fn leave_rollout_out(&mut self) -> Option<()> {
        let n_bytes = |one: &RolloutView| serde_json::to_string(one).map_or(0, |text| text.len());
        let all = self.rollouts.iter().enumerate();
        let (place, _) = all.max_by_key(|(_, one)| (one.state.is_end(), n_bytes(one)))?;
        self.rollouts.remove(place);
        Some(())
    }

    /// Leaves out what is missed least. `None` = only what others wait for is left.
    fn leave_out(&mut self) -> Option<()> {
        if self.handlers.pop().is_some() {
            return Some(());
        }
        // Each of them is told by count as well.
        let n_rows = self.rejected.len().max(self.refused.len());
        if let Some(n_left) = n_rows.checked_sub(1) {
            self.rejected.truncate(n_left);
            self.refused.truncate(n_left);
            return Some(());
        }
        self.sources.pop().map(drop).or_else(|| self.leave_rollout_out())
    }
}
