//! Small pieces of HTML that are made of our own words and numbers only, and so go into a page as
//! they are. A stranger's text never comes here.

use std::fmt::{self, Write};
use std::time::Duration;

use askama::filters::HtmlSafe;

use super::words;
use crate::api::HandlerStatus;
use crate::clock::Timestamp;
use crate::queue::DeliveryState;

/// A moment: short, with the exact time behind it.
#[derive(Clone, Debug)]
pub(super) struct When {
    iso: String,
    text: String,
}

impl When {
    /// How long ago it was, in one unit: two of them are wider than a column of a phone. The time itself where
    /// that is a day or more.
    pub(super) fn ago(at: Timestamp, now: Timestamp) -> Self {
        let age = now.since(at);
        let text = if age < Duration::from_secs(1) {
            "just now".to_owned()
        } else if age < Duration::from_hours(24) {
            format!("{} ago", words::span(whole_units(age)))
        } else {
            words::clock(at, now, false)
        };
        Self { iso: at.to_string(), text }
    }

    /// How long until then.
    pub(super) fn ahead(at: Timestamp, now: Timestamp) -> Self {
        let left = Duration::from_secs(at.since(now).as_secs());
        let text =
            if left.is_zero() { "now".to_owned() } else { format!("in {}", words::span(left)) };
        Self { iso: at.to_string(), text }
    }

    /// Whether both are said by the same words.
    pub(super) fn is_said_as(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// The time of day.
    pub(super) fn clock(at: Timestamp, now: Timestamp) -> Self {
        Self { iso: at.to_string(), text: words::clock(at, now, false) }
    }

    /// The time of day with seconds.
    pub(super) fn exact(at: Timestamp, now: Timestamp) -> Self {
        Self { iso: at.to_string(), text: words::clock(at, now, true) }
    }
}

/// Without what is less than the largest unit.
fn whole_units(age: Duration) -> Duration {
    let seconds = age.as_secs();
    let unit = match seconds {
        0..60 => 1,
        60..3_600 => 60,
        _ => 3_600,
    };
    Duration::from_secs(seconds / unit * unit)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iso, text } = self;
        write!(f, "<time datetime=\"{iso}\" title=\"{iso}\">{text}</time>")
    }
}

impl HtmlSafe for When {}

/// A sign: a shape with a colour. The word beside it says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Ok,
    Wait,
    Run,
    Bad,
    Down,
    Skip,
    None,
    Pause,
}

impl Sign {
    pub(super) fn of(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Pending => Self::Run,
            DeliveryState::Delivered => Self::Ok,
            DeliveryState::Skipped => Self::Skip,
            DeliveryState::Retry | DeliveryState::Held => Self::Wait,
            DeliveryState::Dead => Self::Bad,
        }
    }

    /// Of a handler that is in this state.
    pub(super) fn of_handler(state: HandlerStatus, is_failing: bool) -> Self {
        match state {
            HandlerStatus::Running if is_failing => Self::Wait,
            HandlerStatus::Running => Self::Ok,
            HandlerStatus::Paused => Self::Pause,
            HandlerStatus::Down | HandlerStatus::Failed => Self::Down,
            HandlerStatus::Finishing => Self::Run,
            HandlerStatus::Disabled | HandlerStatus::Stopped | HandlerStatus::Unconfigured => {
                Self::None
            }
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("ok", "ok"),
            Self::Wait => ("wait", "wait"),
            Self::Run => ("run", "run"),
            Self::Bad => ("dead", "bad"),
            Self::Down => ("down", "bad"),
            Self::Skip => ("skip", "off"),
            Self::None => ("none", "off"),
            Self::Pause => ("pause", "wait"),
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, colour) = self.names();
        write!(f, "<svg class=\"i {colour}\" aria-hidden=\"true\"><use href=\"#{shape}\"/></svg>")
    }
}

impl HtmlSafe for Sign {}

/// A delivery's state in a word.
pub(super) const fn state_word(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Skipped => "skipped",
        DeliveryState::Retry => "waits for another try",
        DeliveryState::Held => "waits for an earlier one",
        DeliveryState::Dead => "dead letter",
    }
}

/// Numbers as bars, with what is bad on top.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    good: Vec<u32>,
    bad: Vec<u32>,
    label: String,
    width: u32,
    height: u32,
}

impl Bars {
    /// A small chart for a row of a table. `label` is ours.
    pub(super) fn small(good: &[u32], bad: &[u32], label: String) -> Self {
        Self::new(good, bad, label, 132, 24)
    }

    /// A small chart of the most that a figure was in each minute.
    pub(super) fn levels(levels: &[u32], label: String) -> Self {
        // Two minutes each, as in the other small ones.
        let good = levels.chunks(2).map(|two| two.iter().copied().max().unwrap_or_default());
        Self { good: good.collect(), bad: Vec::new(), label, width: 132, height: 24 }
    }

    pub(super) fn large(good: &[u32], bad: &[u32], label: String) -> Self {
        Self::new(good, bad, label, 960, 72)
    }

    fn new(good: &[u32], bad: &[u32], label: String, width: u32, height: u32) -> Self {
        // A small one has half as many bars: two minutes each.
        let per_bar = if width < 300 { 2 } else { 1 };
        let sums = |numbers: &[u32]| -> Vec<u32> {
            numbers.chunks(per_bar).map(|chunk| chunk.iter().sum()).collect()
        };
        Self { good: sums(good), bad: sums(bad), label, width, height }
    }
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { good, bad, label, width, height } = self;
        write!(
            f,
            "<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" "
        )?;
        write!(f, "aria-label=\"{label}\"><path class=\"grid\" d=\"M0 {height}H{width}\"/>")?;
        let bad_at = |index: usize| bad.get(index).copied().unwrap_or(0);
        let totals = good
            .iter()
            .enumerate()
            .map(|(index, good)| u64::from(*good) + u64::from(bad_at(index)));
        let most = totals.max().unwrap_or(0).max(1);
        let n_bars = u32::try_from(good.len()).unwrap_or(1).max(1);
        // In tenths, so that all numbers are whole.
        let (step, room) = (width * 10 / n_bars, u64::from(*height - 2) * 10);
        let scaled = |number: u32| u64::from(number) * room / most;
        let (mut lower, mut upper) = (String::new(), String::new());
        for (index, number) in good.iter().enumerate() {
            let x = u32::try_from(index).unwrap_or(0) * step;
            // What is not nothing can be seen.
            let tall = |number: u32| if number == 0 { 0 } else { scaled(number).max(10) };
            let (low, high) = (tall(*number), tall(bad_at(index)));
            let base = u64::from(*height) * 10;
            bar(&mut lower, x, step, base, low)?;
            bar(&mut upper, x, step, base - low, high)?;
        }
        write!(f, "<path class=\"f-bar\" d=\"{lower}\"/>")?;
        if !upper.is_empty() {
            write!(f, "<path class=\"f-bad\" d=\"{upper}\"/>")?;
        }
        f.write_str("</svg>")
    }
}

/// One bar of a path, in tenths.
fn bar(path: &mut String, x: u32, step: u32, base: u64, height: u64) -> fmt::Result {
    if height == 0 {
        return Ok(());
    }
    let wide = step * 4 / 5;
    let tenth = |number: u64| (number / 10, number % 10);
    let ((x, x_rest), (base, base_rest)) = (tenth(x.into()), tenth(base));
    let ((wide, wide_rest), (height, height_rest)) = (tenth(wide.into()), tenth(height));
    write!(path, "M{x}.{x_rest} {base}.{base_rest}v-{height}.{height_rest}")?;
    write!(path, "h{wide}.{wide_rest}v{height}.{height_rest}z")
}

impl HtmlSafe for Bars {}

/// A number that is a link to what it counts; a zero is none.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    number: u64,
    /// The list has no more than that.
    is_bound: bool,
    address: String,
}

impl Linked {
    /// `address` is made by [`super::fields::address`], which encodes what is in it.
    pub(super) fn new(number: u64, address: String) -> Self {
        Self { number, is_bound: false, address }
    }

    /// The same of a list that may be shorter.
    pub(super) fn at_most(number: u64, address: String) -> Self {
        Self { is_bound: true, ..Self::new(number, address) }
    }
}

impl fmt::Display for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = words::up_to(self.is_bound, words::count(self.number));
        if self.number == 0 {
            return f.write_str("<span class=\"off\">0</span>");
        }
        write!(f, "<a href=\"{}\">{number}</a>", self.address.replace('&', "&amp;"))
    }
}

impl HtmlSafe for Linked {}

/// A number that nothing lists; a zero is grey.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain(pub(super) u64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = words::count(self.0);
        if self.0 == 0 { f.write_str("<span class=\"off\">0</span>") } else { f.write_str(&number) }
    }
}

impl HtmlSafe for Plain {}

/// Bytes of what stands around a piece of code.
const CODE_TAGS: usize = "<code></code>".len();

/// A text in which what stands between backticks is code. Its pieces are escaped by the templates.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticked {
    /// Each with whether it is code.
    pub(super) pieces: Vec<(String, bool)>,
}

impl Ticked {
    pub(super) fn new(text: &str, chars_max: usize) -> Self {
        Self::of(&words::shown(text, chars_max))
    }

    /// The same, where there is room for it.
    pub(super) fn within(text: &str, chars_max: usize, room: &mut words::Room) -> Self {
        let ticked = Self::of(&room.shown(text, chars_max));
        let n_codes = ticked.pieces.iter().filter(|(_, is_code)| *is_code).count();
        if room.takes_bytes(n_codes * CODE_TAGS) { ticked } else { Self::of("…") }
    }

    /// The same, with a full stop behind it where nothing ends it yet.
    pub(super) fn sentence(text: &str, chars_max: usize) -> Self {
        Self::of(&words::ended(words::shown(text, chars_max)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Out of a text that was made to be shown.
    pub(super) fn of(shown: &str) -> Self {
        let pieces = shown.split('`').enumerate();
        let pieces = pieces.map(|(index, piece)| (piece.to_owned(), index % 2 == 1));
        Self { pieces: pieces.filter(|(piece, _)| !piece.is_empty()).collect() }
    }
}
