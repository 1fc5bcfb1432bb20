//! Templates and expressions in a kind's table: a mistake is shown where it stands in the text.

use std::sync::Arc;

use crate::event::Delivery;
use crate::expr::{Escape, ExprError, Expression, Template};
use crate::settings::{Table, Value};

/// What stands before a text that people read, where its delivery is one by hand.
pub(super) fn mark(delivery: &Delivery) -> &'static str {
    if delivery.is_by_hand() { "[try] " } else { "" }
}

/// The template under `key`; `None` where it is absent, or wrong, which is recorded.
pub(super) fn template(table: &mut Table<'_>, key: &str, escape: Escape) -> Option<Arc<Template>> {
    let text = table.take::<String>(key)?;
    keep(Template::compile(&text, escape), |err| {
        table.problem_within(key, err.range.clone(), &err, "");
    })
}

/// The template that `value` is; `None` where it is wrong, which is recorded.
pub(super) fn template_of(value: &Value<'_>, escape: Escape) -> Option<Arc<Template>> {
    let text = value.clone().read::<String>()?;
    keep(Template::compile(&text, escape), |err| value.problem_within(err.range.clone(), &err, ""))
}

/// The expression under `key`; `None` where it is absent, or wrong, which is recorded.
pub(super) fn expression(table: &mut Table<'_>, key: &str) -> Option<Arc<Expression>> {
    let text = table.take::<String>(key)?;
    keep(Expression::compile(&text), |err| {
        table.problem_within(key, err.range.clone(), &err, "");
    })
}

fn keep<T>(compiled: Result<T, ExprError>, record: impl FnOnce(ExprError)) -> Option<Arc<T>> {
    compiled.map_err(record).ok().map(Arc::new)
}
