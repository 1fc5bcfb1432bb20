//! What a verb prints: text for people, or JSON. Answers go to standard output, everything else to
//! standard error.

use std::io::{self, Write};

use serde::Serialize;

use super::CliError;

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    is_json: bool,
}

impl Output {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    pub(super) fn is_json(self) -> bool {
        self.is_json
    }

    /// One thing: an object, or `text` for people.
    pub(super) fn one<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        if self.is_json { line(&json_text(value)?) } else { line(&text(value)) }
    }

    /// A list: one array, or a table for people.
    pub(super) fn list<T: Serialize>(
        self,
        values: &[T],
        columns: &[Column<T>],
        none: &str,
    ) -> Result<(), CliError> {
        if self.is_json {
            return line(&json_text(&values)?);
        }
        if values.is_empty() { note(none) } else { line(&table(values, columns)) }
    }
}

/// Text for people, line by line.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.push_str(&line.to_string());
        self.0.push('\n');
    }

    /// Adds text that has its own line ends.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A thing as JSON, which may be read on a terminal, too.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, CliError> {
    let json = serde_json::to_string(value).map_err(|err| CliError::failed(&err))?;
    Ok(crate::text::plain_json(json))
}

/// One column of a table: its head, and the text that it shows of a row.
pub(super) type Column<T> = (&'static str, fn(&T) -> String);

/// Rows in aligned columns, the last one unaligned.
pub(super) fn table<T>(rows: &[T], columns: &[Column<T>]) -> String {
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|(_, text)| text(row)).collect());
    aligned(&std::iter::once(heads).chain(cells).collect::<Vec<_>>())
}

/// Prints `text` and a newline.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Prints `bytes` as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Tells that a list may have ended at its limit; a limit of a few rows is meant as it is.
pub(super) fn note_limit(
    output: Output,
    (n_rows, limit): (usize, usize),
    which: &str,
) -> Result<(), CliError> {
    if output.is_json() || n_rows < limit || limit < LIMIT_TOLD {
        return Ok(());
    }
    note(&format!("\nthese are the {which} {n_rows}; if there are more, `--limit` shows them"))
}

/// The limit where none is given.
const LIMIT_TOLD: usize = 50;

/// Tells `text` beside the answer.
pub(super) fn note(text: &str) -> Result<(), CliError> {
    Ok(writeln!(io::stderr().lock(), "{text}")?)
}

/// Asks for the rest of the line that `text` begins.
pub(super) fn prompt(text: &str) -> Result<(), CliError> {
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())?;
    Ok(err.flush()?)
}

pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let n_columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |index: usize| {
        let widths = lines.iter().filter_map(|line| line.get(index));
        widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(cell);
            let n_missing = width.saturating_sub(cell.chars().count());
            row.extend(std::iter::repeat_n(' ', n_missing + 2));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A stranger's text on a terminal: nothing in it that could say anything else.
pub(super) fn plain(text: &str) -> String {
    crate::text::plain(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_its_columns() {
        let rows = [("mail", 3, None), ("comments", 12, Some("sql"))];
        let columns: [Column<(&str, u32, Option<&str>)>; 3] = [
            ("NAME", |row| row.0.to_owned()),
            ("DEAD", |row| row.1.to_string()),
            ("KIND", |row| row.2.unwrap_or("-").to_owned()),
        ];
        let expected = "NAME      DEAD  KIND\nmail      3     -\ncomments  12    sql\n";
        assert_eq!(table(&rows, &columns), expected);
    }

    #[test]
    fn a_strangers_text_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
