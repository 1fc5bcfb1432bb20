//! Templates and expressions in a kind's table: a mistake is shown where it is in the text.

use std::sync::Arc;

use crate::event::Delivery;
use crate::expr::{Escape, ExprError, Expression, Field, Template, foreign_placeholder};
use crate::settings::{NotedText, Table, TextSort, Value};

/// A text of a kind's settings that is worked out for each event.
#[derive(Clone, Debug)]
pub struct Text {
    /// Its key below the kind's table, as in `columns.id`.
    pub key: String,
    pub words: Words,
}

/// Either sort of text.
#[derive(Clone, Debug)]
pub enum Words {
    Template(Arc<Template>),
    Expression(Arc<Expression>),
}

impl Text {
    pub(super) fn template(key: impl Into<String>, template: &Arc<Template>) -> Self {
        Self { key: key.into(), words: Words::Template(Arc::clone(template)) }
    }

    pub(super) fn expression(key: impl Into<String>, expression: &Arc<Expression>) -> Self {
        Self { key: key.into(), words: Words::Expression(Arc::clone(expression)) }
    }
}

impl Words {
    /// What was written.
    pub fn source(&self) -> &str {
        match self {
            Self::Template(template) => template.source(),
            Self::Expression(expression) => expression.source(),
        }
    }

    /// The fields of an event that it asks for.
    pub fn fields(&self) -> Vec<Field> {
        match self {
            Self::Template(template) => template.fields(),
            Self::Expression(expression) => expression.fields(),
        }
    }
}

/// Put before a text that people read, where its delivery is one by hand.
pub(super) fn mark(delivery: &Delivery) -> &'static str {
    if delivery.is_by_hand() { "[try] " } else { "" }
}

/// What is said of a text that has a placeholder of another template in it.
pub(super) fn unread(text: &str) -> Option<(String, String)> {
    let (written, ours) = foreign_placeholder(text)?;
    Some((
        format!("nothing is put in for `{written}`: it stays as it is"),
        format!("write `{ours}`"),
    ))
}

/// The template under `key`; `None` where it is absent, or wrong, which is recorded.
pub(super) fn template(table: &mut Table<'_>, key: &str, escape: Escape) -> Option<Arc<Template>> {
    let text = table.take::<String>(key)?;
    if let Some((message, help)) = unread(&text) {
        table.warning(key, message, help);
    }
    let compiled = keep(Template::compile(&text, escape), |err| {
        table.problem_within(key, err.range.clone(), &err.message, &err.help);
    })?;
    table.note_text(key, TextSort::Template);
    Some(compiled)
}

/// The template that `value` is; `None` where it is wrong, which is recorded.
pub(super) fn template_of(value: &Value<'_>, escape: Escape) -> Option<Arc<Template>> {
    let text = value.clone().read::<String>()?;
    if let Some((message, help)) = unread(&text) {
        value.warning(message, help);
    }
    let compiled = keep(Template::compile(&text, escape), |err| {
        value.problem_within(err.range.clone(), &err.message, &err.help);
    })?;
    value.note_text(TextSort::Template);
    Some(compiled)
}

/// The expression that `value` is; `None` where it is wrong, which is recorded.
pub(super) fn expression_of(value: &Value<'_>) -> Option<Arc<Expression>> {
    let text = value.clone().read::<String>()?;
    let compiled = keep(Expression::compile(&text), |err| {
        value.problem_within(err.range.clone(), &err.message, &err.help);
    })?;
    value.note_text(TextSort::Expression);
    Some(compiled)
}

/// The expression under `key`; `None` where it is absent, or wrong, which is recorded.
pub(crate) fn expression(table: &mut Table<'_>, key: &str) -> Option<Arc<Expression>> {
    let text = table.take::<String>(key)?;
    let compiled = keep(Expression::compile(&text), |err| {
        table.problem_within(key, err.range.clone(), &err.message, &err.help);
    })?;
    table.note_text(key, TextSort::Expression);
    Some(compiled)
}

/// A text that was noted, whose key below the kind's table is `key`.
pub(super) fn noted(key: &str, noted: &NotedText) -> Option<Text> {
    // It was right when it was noted, whatever is escaped in it.
    let words = match noted.sort {
        TextSort::Template => {
            Words::Template(Arc::new(Template::compile(&noted.text, Escape::None).ok()?))
        }
        TextSort::Expression => Words::Expression(Arc::new(Expression::compile(&noted.text).ok()?)),
    };
    Some(Text { key: key.to_owned(), words })
}

fn keep<T>(compiled: Result<T, ExprError>, record: impl FnOnce(ExprError)) -> Option<Arc<T>> {
    compiled.map_err(record).ok().map(Arc::new)
}
