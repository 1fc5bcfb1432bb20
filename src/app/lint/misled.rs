//! Conditions that look like another one: a text that stands alone, a source within a type.

use std::sync::Arc;

use crate::expr::{Expression, misleading_parts};

use super::Lint;

impl Lint<'_> {
    pub(super) fn misled(&mut self) {
        let deletes = self.settings.kind.exempt().when;
        let kind = self.settings.kind_name;
        let conditions = [
            ("when".to_owned(), self.settings.policy.when.clone()),
            (format!("{kind}.delete_when"), deletes),
        ];
        for (key, condition) in conditions {
            let Some(condition) = condition else { continue };
            let key = format!("handler.{}.{key}", self.name);
            for part in misleading_parts(condition.source()) {
                let words = condition.source().get(part.range).unwrap_or_default().to_owned();
                self.warn(&key, &words, part.message, part.help);
            }
            self.source_in_type(&key, &condition);
        }
    }

    /// `event.type == "hyvor:comment.create"`, as `on` has it.
    fn source_in_type(&mut self, key: &str, condition: &Arc<Expression>) {
        let sources: Vec<String> = self.config.sources.keys().map(ToString::to_string).collect();
        let found = super::never::comparisons(condition).into_iter().find_map(|one| {
            let literal = one.literals.into_iter().find(|literal| {
                let text = literal.trim_matches(['"', '\'']);
                let source = text.split_once(':').map(|(source, _)| source);
                source.is_some_and(|source| sources.iter().any(|name| name == source))
            })?;
            (one.field == "event.type").then_some(literal)
        });
        if let Some(literal) = found {
            let text = literal.trim_matches(['"', '\'']);
            let (source, event_type) = text.split_once(':').unwrap_or_default();
            let message = format!("no event has the type `{text}`: its source is not a part of it");
            let help = format!(
                "`event.type` is `{event_type}`, and `event.source` is `{source}`; or write \
                 `on = [\"{text}\"]`"
            );
            self.warn(key, &literal, message, help);
        }
    }
}
