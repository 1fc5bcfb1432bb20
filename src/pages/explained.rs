//! Why a rejected request was rejected, as `gatepost rejected explain` says it.

use std::time::Duration;

use super::widgets::Ticked;
use super::words::{self, Room};
use crate::api::{Api, ExplainView};

/// So much of a line of an explanation is shown.
const LINE_CHARS_MAX: usize = 600;

#[derive(Debug, Default)]
pub(super) struct Explained {
    /// What was found to be wrong.
    pub(super) line: Option<Ticked>,
    /// What to do; empty where that is not known.
    pub(super) hint: String,
    /// The same as prose, where it is one line.
    pub(super) advice: Option<Ticked>,
    pub(super) is_good_now: bool,
}

impl Explained {
    /// Of one that was released meanwhile, nothing.
    pub(super) async fn of(api: &Api, number: u64, room: &mut Room) -> Self {
        api.explain(number).await.map_or_else(|_| Self::default(), |view| Self::new(view, room))
    }

    /// What holds for all of `numbers`, as far as it can be found out within `time`.
    pub(super) async fn of_group(
        api: &Api,
        numbers: &[u64],
        time: Duration,
        room: &mut Room,
    ) -> Self {
        match api.explain_one_of(numbers, time).await {
            Ok(Some(view)) => Self::new(view, room),
            Ok(None) => {
                let line = "What is wrong with them is not known yet: look again in a moment.";
                Self { line: Some(Ticked::sentence(line, 600)), ..Self::default() }
            }
            Err(_) => Self::default(),
        }
    }

    fn new(ExplainView { explanation, .. }: ExplainView, room: &mut Room) -> Self {
        let mut text = |text: &str| {
            let lines = text.lines().map(|line| room.shown(line, LINE_CHARS_MAX));
            lines.collect::<Vec<_>>().join("\n")
        };
        let line = words::capital(text(&explanation.line));
        let mut hint = text(explanation.config_hint.as_deref().unwrap_or_default());
        let table = text(explanation.config_table.as_deref().unwrap_or_default());
        // A part of a table is no table.
        if table.lines().any(|line| line.ends_with('…')) {
            hint.push_str("\n\n`gatepost rejected explain` shows the table");
        } else if !table.is_empty() {
            hint = format!("{hint}\n\n{table}");
        }
        Self {
            line: (!line.is_empty()).then(|| Ticked::sentence(&line, 600)),
            advice: (!hint.is_empty() && !hint.contains('\n'))
                .then(|| Ticked::sentence(&hint, 700)),
            hint,
            is_good_now: explanation.is_good_now,
        }
    }
}
