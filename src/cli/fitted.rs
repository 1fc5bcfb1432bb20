//! Texts for a terminal of some width: nothing is cut but words for people, and columns go in the order
//! in which they are needed least.

use super::output::{Column, aligned};

/// How much of a text that may be cut is worth a column.
const TEXT_CHARS: usize = 16;

/// Which columns of a table may go, and be cut.
#[derive(Debug)]
pub(super) struct FitRules {
    /// Those that go, the first of them first.
    pub(super) least_needed: &'static [&'static str],
    /// The last column where it is a text: it has what the others leave.
    pub(super) text: Option<&'static str>,
}

/// The rows as a table that is no wider than `width`.
pub(super) fn fitted<T>(
    rows: &[T],
    columns: &[Column<T>],
    rules: &FitRules,
    width: usize,
) -> String {
    let mut kept: Vec<(&str, Vec<String>)> =
        columns.iter().map(|(head, text)| (*head, rows.iter().map(text).collect())).collect();
    let needed = |kept: &[(&str, Vec<String>)]| {
        let widths = kept.iter().map(|(head, cells)| {
            let widest = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
            let natural = widest.max(head.chars().count());
            if rules.text == Some(*head) { natural.min(TEXT_CHARS) } else { natural }
        });
        // Two blanks between columns.
        widths.map(|width| width + 2).sum::<usize>().saturating_sub(2)
    };
    for head in rules.least_needed {
        if needed(&kept) <= width {
            break;
        }
        kept.retain(|(name, _)| name != head);
    }
    let heads = kept.iter().map(|(head, _)| (*head).to_owned()).collect();
    let lines = (0..rows.len()).map(|row| {
        kept.iter().map(|(_, cells)| cells.get(row).cloned().unwrap_or_default()).collect()
    });
    let table = aligned(&std::iter::once(heads).chain(lines).collect::<Vec<_>>());
    table.lines().map(|line| cut(line, width) + "\n").collect()
}

/// The line, or its beginning and a sign that there is more.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The line in as many as it takes, broken between words.
pub(super) fn wrapped(line: &str, width: usize) -> String {
    let mut text = String::new();
    let mut n_chars = 0;
    for word in line.split(' ') {
        let n_more = word.chars().count();
        if n_chars > 0 && n_chars + 1 + n_more > width {
            text.push('\n');
            n_chars = 0;
        } else if n_chars > 0 {
            text.push(' ');
            n_chars += 1;
        }
        text.push_str(word);
        n_chars += n_more;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<(&str, u64, &str)>] = &[
        ("NAME", |row| row.0.to_owned()),
        ("BACKLOG", |row| row.1.to_string()),
        ("DEAD", |row| (row.1 / 3).to_string()),
        ("LAST ERROR", |row| row.2.to_owned()),
    ];
    const RULES: FitRules =
        FitRules { least_needed: &["DEAD", "LAST ERROR", "BACKLOG"], text: Some("LAST ERROR") };

    #[test]
    fn table_fits_every_width_and_cuts_no_number() {
        let rows = [("mail", 1_234_567, "connection refused by 192.0.2.1"), ("rows", 9, "-")];
        for width in 1..120 {
            let text = fitted(&rows, COLUMNS, &RULES, width);
            for (line, row) in text.lines().skip(1).zip(&rows) {
                assert!(line.chars().count() <= width, "{width}: {line}");
                for number in line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()) {
                    let all = [row.1.to_string(), (row.1 / 3).to_string()];
                    assert!(all.contains(&number.to_owned()), "{width}: {line}");
                }
            }
        }
        insta::assert_snapshot!(fitted(&rows, COLUMNS, &RULES, 40), @r"
        NAME  BACKLOG  DEAD    LAST ERROR
        mail  1234567  411522  connection refus…
        rows  9        3       -
        ");
        insta::assert_snapshot!(fitted(&rows, COLUMNS, &RULES, 34), @r"
        NAME  BACKLOG  LAST ERROR
        mail  1234567  connection refused…
        rows  9        -
        ");
        insta::assert_snapshot!(fitted(&rows, COLUMNS, &RULES, 20), @r"
        NAME  BACKLOG
        mail  1234567
        rows  9
        ");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(
            wrapped("12,345 events a second, all well", 12),
            "12,345\nevents a\nsecond, all\nwell\n"
        );
        assert_eq!(wrapped("one line", 80), "one line\n");
    }
}
