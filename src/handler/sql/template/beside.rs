//! What each value of a statement is beside: MySQL and SQLite do not say what a placeholder takes, so
//! it is the column that it is compared with or goes into.

use super::scan::SqlToken;

/// What a value is beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::handler::sql) enum Beside {
    /// `column = {{ }}`, `column IN ({{ }})`, `INSERT INTO t (column) VALUES ({{ }})`.
    Column(String),
    /// `CAST({{ }} AS type)`.
    Type(String),
    Nothing,
}

/// The tables that a statement names, each with its schema.
pub(super) fn tables(tokens: &[&SqlToken]) -> Vec<(Option<String>, String)> {
    let mut tables = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if is_word(Some(token), &["into", "update", "from", "join"])
            && let Some((table, _)) = table_at(tokens, index + 1)
            && !tables.contains(&table)
        {
            tables.push(table);
        }
    }
    tables
}

/// The table named at `at`, and where its name ends.
fn table_at(tokens: &[&SqlToken], at: usize) -> Option<((Option<String>, String), usize)> {
    const BEFORE: [&str; 9] =
        ["ignore", "low_priority", "or", "replace", "abort", "fail", "rollback", "only", "table"];
    let is_before = |at: &usize| is_word(tokens.get(*at).copied(), &BEFORE);
    let at = (at..tokens.len()).find(|at| !is_before(at))?;
    let first = name(tokens.get(at)?)?;
    match (tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(SqlToken::Sign('.')), Some(second)) => {
            Some(((Some(first.to_owned()), name(second)?.to_owned()), at + 3))
        }
        _ => Some(((None, first.to_owned()), at + 1)),
    }
}

/// What is in brackets.
enum Brackets {
    /// A row of values, and how many are in front.
    Row(usize),
    /// What a column is compared with.
    In(String),
    Other,
}

/// One for each value, in their order.
pub(super) fn beside(tokens: &[&SqlToken]) -> Vec<Beside> {
    let inserted = inserted(tokens);
    let mut found = Vec::new();
    let mut brackets: Vec<Brackets> = Vec::new();
    let mut has_rows = false;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            SqlToken::Word(_) if brackets.is_empty() => {
                has_rows = if has_rows {
                    !is_word(Some(token), &["on", "as", "returning", "select"])
                } else {
                    is_word(Some(token), &["values", "value"])
                };
            }
            SqlToken::Sign('(') => brackets.push(match compared_in(tokens, index) {
                Some(column) => Brackets::In(column),
                None if has_rows && brackets.is_empty() => Brackets::Row(0),
                None => Brackets::Other,
            }),
            SqlToken::Sign(')') => drop(brackets.pop()),
            SqlToken::Sign(',') => {
                if let Some(Brackets::Row(n_before)) = brackets.last_mut() {
                    *n_before += 1;
                }
            }
            SqlToken::Value => found.push(match brackets.last() {
                Some(Brackets::In(column)) => Beside::Column(column.clone()),
                Some(Brackets::Row(n_before)) if is_alone(tokens, index) => {
                    inserted.get(*n_before).cloned().map_or(Beside::Nothing, Beside::Column)
                }
                Some(_) | None => cast_or_compared(tokens, index),
            }),
            SqlToken::Word(_) | SqlToken::Name(_) | SqlToken::Text | SqlToken::Sign(_) => {}
        }
    }
    found
}

/// The columns of an `INSERT INTO table (…)`.
fn inserted(tokens: &[&SqlToken]) -> Vec<String> {
    let into = tokens.iter().position(|token| is_word(Some(token), &["into"]));
    let Some((_, end)) = into.and_then(|into| table_at(tokens, into + 1)) else {
        return Vec::new();
    };
    let behind = tokens.get(end..).unwrap_or_default();
    let Some((SqlToken::Sign('('), behind)) = behind.split_first() else { return Vec::new() };
    let list = behind.split(|token| **token == SqlToken::Sign(')')).next().unwrap_or_default();
    let names = list.split(|token| **token == SqlToken::Sign(','));
    names
        .map(|one| one.first().and_then(|token| name(token)).unwrap_or_default().to_owned())
        .collect()
}

/// The column of `column IN (` or `column NOT IN (`, whose bracket is at `at`.
fn compared_in(tokens: &[&SqlToken], at: usize) -> Option<String> {
    let before = |n: usize| at.checked_sub(n).and_then(|at| tokens.get(at)).copied();
    if !is_word(before(1), &["in"]) {
        return None;
    }
    let column = if is_word(before(2), &["not"]) { before(3) } else { before(2) };
    name(column?).map(str::to_owned)
}

fn is_alone(tokens: &[&SqlToken], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| tokens.get(at)).copied();
    let is_first = matches!(before, Some(SqlToken::Sign('(' | ',')));
    is_first && matches!(tokens.get(at + 1), Some(SqlToken::Sign(')' | ',')))
}

fn cast_or_compared(tokens: &[&SqlToken], at: usize) -> Beside {
    if is_word(tokens.get(at + 1).copied(), &["as"])
        && at >= 2
        && is_word(tokens.get(at - 2).copied(), &["cast"])
        && let Some(SqlToken::Word(real_type)) = tokens.get(at + 2)
    {
        return Beside::Type(real_type.clone());
    }
    let is_sign = |token: &&&SqlToken| matches!(token, SqlToken::Sign('=' | '<' | '>' | '!'));
    let before = tokens.get(..at).unwrap_or_default();
    let n_signs = before.iter().rev().take_while(is_sign).count();
    let column = before.len().checked_sub(n_signs + 1).and_then(|at| before.get(at));
    match column.and_then(|token| name(token)) {
        Some(column) if n_signs > 0 => Beside::Column(column.to_owned()),
        _ => Beside::Nothing,
    }
}

fn name(token: &SqlToken) -> Option<&str> {
    match token {
        SqlToken::Word(name) | SqlToken::Name(name) => Some(name),
        SqlToken::Text | SqlToken::Value | SqlToken::Sign(_) => None,
    }
}

pub(super) fn is_word(token: Option<&SqlToken>, words: &[&str]) -> bool {
    matches!(token, Some(SqlToken::Word(word)) if words.iter().any(|one| one.eq_ignore_ascii_case(word)))
}
