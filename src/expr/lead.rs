//! Texts of which one has to know who wrote their first character: an argument that begins with `-` is an
//! option to a program.

use minijinja::{Error, OutputSpan, OutputSpanKind, Template, Value};

/// Who wrote the first character of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// The template's owner: no value could stand before it.
    Template,
    /// A value, also behind dashes, or what is first since a value before it is empty.
    Value,
}

pub(super) fn render(template: &Template<'_, '_>, scope: Value) -> Result<(String, Lead), Error> {
    let (text, spans) = template.render_with_spans(scope)?;
    let is_raw = |span: &&OutputSpan| span.kind() == OutputSpanKind::Raw;
    let has_word = |span: &&OutputSpan| {
        text.get(span.output_range()).is_some_and(|own| own.contains(|c| c != '-'))
    };
    // Dashes alone are no word of the owner's: a value behind them would say which option it is.
    let word = spans.iter().take_while(is_raw).find(has_word);
    let end = word.map_or(template.source().len(), |span| span.source_range().start);
    let is_own = (word.is_some() || spans.iter().all(|span| is_raw(&span)))
        && template.source().get(..end).is_some_and(|source| !source.contains("{{"));
    Ok((text, if is_own { Lead::Template } else { Lead::Value }))
}
