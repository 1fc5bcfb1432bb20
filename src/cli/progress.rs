//! How far something is, as a bar on a terminal; elsewhere nothing is drawn.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error, which goes away when it is dropped.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

/// What the bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Events,
    Bytes,
}

impl Progress {
    /// Of so many, where that is known.
    pub(super) fn new(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        Self::on(ProgressDrawTarget::stderr(), what, unit, total)
    }

    /// The same, but for what prints its lines on standard output: on one terminal they would mix.
    pub(super) fn beside_output(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let target = if io::stdout().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self::on(target, what, unit, total)
    }

    fn on(target: ProgressDrawTarget, what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, target);
        // A template of ours that is wrong is found by the test below.
        if let Ok(style) = ProgressStyle::with_template(template_of(unit, total.is_some())) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// So many more are done.
    pub(super) fn advance(&self, more: u64) {
        self.0.inc(more);
    }

    /// So many are done.
    pub(super) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// So many of so many are done.
    pub(super) fn set_of(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Whether it is not shown: then lines say how far it is.
    pub(super) fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn template_of(unit: Unit, is_total_known: bool) -> &'static str {
    match (unit, is_total_known) {
        (Unit::Events, true) => "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left",
        (Unit::Events, false) => "{msg} {spinner} {human_pos} events, {elapsed}",
        (Unit::Bytes, true) => "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left",
        (Unit::Bytes, false) => "{msg} {spinner} {bytes}, {elapsed}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_read() {
        for unit in [Unit::Events, Unit::Bytes] {
            for is_total_known in [true, false] {
                let template = template_of(unit, is_total_known);
                assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
            }
        }
    }

    #[test]
    fn nothing_is_drawn_where_there_is_no_terminal() {
        let hidden = Progress::on(ProgressDrawTarget::hidden(), "importing", Unit::Bytes, None);
        assert!(hidden.is_hidden());
    }
}
