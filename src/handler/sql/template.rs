//! A statement as its owner wrote it, read and checked.

use std::ops::Range;
use std::sync::Arc;

use super::engine::Engine;
use crate::expr::{ExprError, Expression};

mod beside;
mod overwrite;
mod scan;
pub(super) use beside::Beside;
use beside::{beside, tables};
use overwrite::overwrites;
use scan::{SqlParts, SqlToken, scan, slip};

/// The most values of one statement: as many as columns of a table.
const VALUES_MAX: usize = 200;

/// Words that end the transaction, or run outside of any.
const NO_TRANSACTION: [&str; 12] = [
    "abort",
    "attach",
    "begin",
    "commit",
    "detach",
    "end",
    "prepare",
    "release",
    "rollback",
    "savepoint",
    "start",
    "vacuum",
];
/// Those that MySQL commits for by itself.
const MYSQL_COMMITS: [&str; 15] = [
    "alter", "analyze", "create", "drop", "flush", "grant", "install", "lock", "optimize",
    "rename", "repair", "revoke", "truncate", "unlock", "xa",
];
/// What PostgreSQL binds no value in.
const NO_VALUES: [&str; 4] = ["listen", "notify", "set", "unlisten"];
/// What PostgreSQL neither prepares nor explains. A word that it does not know is not among them, so that
/// it says so.
const UTILITIES: [&str; 24] = [
    "alter", "analyze", "call", "cluster", "comment", "copy", "create", "do", "drop", "explain",
    "grant", "listen", "lock", "notify", "refresh", "reindex", "reset", "revoke", "security",
    "set", "show", "truncate", "unlisten", "discard",
];

/// A statement that runs for each event.
#[derive(Clone, Debug)]
pub struct StatementTemplate {
    /// The SQL around the values: one piece more than there are values.
    pieces: Vec<String>,
    pub(super) values: Vec<StatementValue>,
    /// The tables that it names, each with its schema.
    pub(super) tables: Vec<(Option<String>, String)>,
    /// Whether PostgreSQL can prepare it, and so say the types of its values.
    pub(super) is_prepared: bool,
    /// Whether an older event that runs after a newer one undoes what that one wrote.
    pub(super) overwrites: bool,
}

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) struct StatementValue {
    pub(super) expression: Arc<Expression>,
    pub(super) beside: Beside,
}

impl StatementTemplate {
    pub(super) fn parse(text: &str, engine: Engine) -> Result<Self, ExprError> {
        let SqlParts { tokens, expressions } = scan(text, engine)?;
        check(&tokens, engine)?;
        if let Some(range) = expressions.get(VALUES_MAX) {
            let message = format!("at most {VALUES_MAX} values go into one statement");
            return Err(slip(range.clone(), message, "write several statements"));
        }
        let words: Vec<&SqlToken> = tokens.iter().map(|(token, _)| token).collect();
        let values = expressions.into_iter().zip(beside(&words));
        let values = values.map(|(range, beside)| {
            expression(text, range).map(|expression| StatementValue { expression, beside })
        });
        let first = words.first().copied();
        Ok(Self {
            pieces: pieces(text, &tokens),
            values: values.collect::<Result<_, _>>()?,
            tables: tables(&words),
            is_prepared: !matches!(first, Some(SqlToken::Word(word)) if is_one_of(word, &UTILITIES)),
            overwrites: overwrites(&words),
        })
    }

    /// The SQL with `placeholder` in place of each value, by the number of the value.
    pub(super) fn sql(&self, placeholder: impl FnMut(usize) -> String) -> String {
        let mut sql = String::new();
        let mut placeholders = (0..self.values.len()).map(placeholder);
        for piece in &self.pieces {
            sql.push_str(piece);
            sql.extend(placeholders.next());
        }
        sql
    }
}

/// The expression at `range`, whose mistakes are at their place in the whole statement.
fn expression(text: &str, range: Range<usize>) -> Result<Arc<Expression>, ExprError> {
    let written = text.get(range.clone()).unwrap_or_default();
    if written.trim().is_empty() {
        let help = "write what it stands for: `{{ data.id }}`";
        return Err(slip(range, "there is nothing between these braces", help));
    }
    let start = range.start + (written.len() - written.trim_start().len());
    let moved = |err: ExprError| {
        let within = err.range.clone().map(|range| range.start + start..range.end + start);
        ExprError { range: within.or(Some(range)), ..err }
    };
    Expression::compile(written.trim()).map(Arc::new).map_err(moved)
}

fn pieces(text: &str, tokens: &[(SqlToken, Range<usize>)]) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (_, range) in tokens.iter().filter(|(token, _)| *token == SqlToken::Value) {
        pieces.push(text.get(start..range.start).unwrap_or_default().to_owned());
        start = range.end;
    }
    pieces.push(text.get(start..).unwrap_or_default().to_owned());
    pieces
}

/// It is one statement, and stays within the transaction.
fn check(tokens: &[(SqlToken, Range<usize>)], engine: Engine) -> Result<(), ExprError> {
    let Some((first, range)) = tokens.first() else {
        return Err(slip(0..0, "there is no statement here", "leave it out"));
    };
    let end = tokens.iter().position(|(token, _)| *token == SqlToken::Sign(';'));
    if let Some((_, range)) = end.and_then(|end| tokens.get(end + 1)) {
        let help = "write it as the next of `statements`, each in quotation marks of its own";
        return Err(slip(range.clone(), "a second statement begins here", help));
    }
    let SqlToken::Word(word) = first else { return Ok(()) };
    let has = |wanted: &str| {
        let mut tokens = tokens.iter().map(|(token, _)| token);
        tokens
            .any(|token| matches!(token, SqlToken::Word(word) if word.eq_ignore_ascii_case(wanted)))
    };
    let commits = engine == Engine::MySql
        && (is_one_of(word, &MYSQL_COMMITS) && !has("temporary")
            || word.eq_ignore_ascii_case("set") && has("autocommit"));
    if commits || is_one_of(word, &NO_TRANSACTION) {
        let word = word.to_ascii_uppercase();
        let message = format!("`{word}` does not stay within the transaction of its event");
        let help = "leave it out: the statements of an event are one transaction, together with the \
                    ledger";
        return Err(slip(range.clone(), message, help));
    }
    let value = tokens.iter().find(|(token, _)| *token == SqlToken::Value);
    if let Some((_, range)) = value
        && engine == Engine::Postgres
        && is_one_of(word, &NO_VALUES)
    {
        let message = format!("`{}` of PostgreSQL takes no values", word.to_ascii_uppercase());
        let help = "call a function that does the same: `SELECT pg_notify('orders', {{ data.id }})`, \
                    `SELECT set_config('app.user', {{ data.user }}, true)`";
        return Err(slip(range.clone(), message, help));
    }
    Ok(())
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
