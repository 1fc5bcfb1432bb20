//! A terminal that is drawn on as a whole, and gives single keys.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::time::Duration;

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize,
    tcsetattr,
};

use crate::clock::Stopwatch;

/// How long one look at the keyboard waits, in tenths of a second.
const LOOK_TENTHS: u8 = 2;

/// The terminal as long as it is ours; it is as it was when this is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    before: Termios,
}

/// What a key that was pressed asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Look,
}

impl Screen {
    /// Takes the terminal over: a screen of its own, keys without an echo.
    pub(super) fn open() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        // Ctrl-C is a key like others, so that the terminal is left as it was.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        raw.input_modes.remove(InputModes::IXON);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = LOOK_TENTHS;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before };
        // The alternate screen, without a cursor.
        write_out("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let shown = write_out("\x1b[?25h\x1b[?1049l");
        let restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        if shown.is_err() || restored.is_err() {
            // A terminal that is gone needs nothing.
        }
    }
}

/// How many lines and columns there are.
pub(super) fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 1 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        Ok(_) | Err(_) => (24, 80),
    }
}

/// Shows `text`, cut off to what there is room for, and `last` as the last line.
pub(super) fn draw(text: &str, last: &str) -> io::Result<()> {
    let (rows, columns) = size();
    write_out(&frame(text, last, rows, columns))
}

/// Waits for a key that means something, for so long at most.
pub(super) fn key_within(most: Duration) -> io::Result<Option<Key>> {
    let began = Stopwatch::start();
    while began.elapsed() < most {
        let mut bytes = [0; 16];
        let n_read = io::stdin().lock().read(&mut bytes)?;
        if let Some(key) = bytes.get(..n_read).and_then(key_of) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn key_of(bytes: &[u8]) -> Option<Key> {
    match bytes {
        // `q`, Ctrl-C, Ctrl-D, and Esc alone: an arrow is Esc with more behind it.
        [b'q' | b'Q' | 3 | 4, ..] | [0x1b] => Some(Key::Quit),
        [b' ' | b'\n' | b'r', ..] => Some(Key::Look),
        _ => None,
    }
}

/// The screen's content: every line is written over what was there, so that nothing flickers.
fn frame(text: &str, last: &str, rows: usize, columns: usize) -> String {
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    let mut frame = String::from("\x1b[H");
    let n_lines = rows.saturating_sub(1);
    for line in text.lines().chain(std::iter::repeat("")).take(n_lines) {
        frame.push_str(&cut(line));
        frame.push_str("\x1b[K\r\n");
    }
    if write!(frame, "\x1b[7m{}\x1b[0m\x1b[K", cut(last)).is_err() {
        // Writing to a `String` does not fail.
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_as_large_as_the_screen() {
        let frame = frame("one line\ntwo\nthree\nfour", "keys", 3, 5);
        assert_eq!(frame, "\x1b[Hone l\x1b[K\r\ntwo\x1b[K\r\n\x1b[7mkeys\x1b[0m\x1b[K");
    }

    #[test]
    fn keys_that_mean_something_are_few() {
        for (bytes, expected) in [
            (&b"q"[..], Some(Key::Quit)),
            (b"\x03", Some(Key::Quit)),
            (b"\x1b", Some(Key::Quit)),
            (b"\x1b[A", None),
            (b" ", Some(Key::Look)),
            (b"x", None),
            (b"", None),
        ] {
            assert_eq!(key_of(bytes), expected, "{bytes:?}");
        }
    }
}
