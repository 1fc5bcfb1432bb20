//! Texts of which one has to know who wrote their first character: an argument that begins with `-` is an
//! option to a program.

use minijinja::{Error, OutputSpanKind, Template, Value};

/// Who wrote the first character of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// The template's owner: no value could stand before it.
    Template,
    /// A value, or what is first since a value before it is empty.
    Value,
}

pub(super) fn render(template: &Template<'_, '_>, scope: Value) -> Result<(String, Lead), Error> {
    let (text, spans) = template.render_with_spans(scope)?;
    let is_own = spans.first().is_none_or(|span| {
        let before = template.source().get(..span.source_range().start);
        span.kind() == OutputSpanKind::Raw && before.is_some_and(|text| !text.contains("{{"))
    });
    Ok((text, if is_own { Lead::Template } else { Lead::Value }))
}
