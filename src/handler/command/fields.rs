//! What of an event a program that runs once for it finds in its environment.

use std::sync::Arc;

use super::shell;
use crate::body;
use crate::event::{Delivery, Event, Failure, HandlerName};
use crate::expr::{Expression, Scope};
use crate::handler::{Text, texts};
use crate::settings::Table;
use crate::text::steers_programs;

/// `fields = { BRANCH = "payload.ref" }`: variables whose values are expressions.
#[derive(Clone, Debug, Default)]
pub(super) struct EventFields(Vec<(String, Arc<Expression>)>);

impl EventFields {
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let mut fields = Vec::new();
        for (name, value) in table.entries() {
            if !shell::read_name(name, &value) {
                continue;
            }
            if steers_programs(name) {
                let message =
                    format_args!("`{name}` says what programs do, and a sender would set it");
                value.problem(message, "give it a name of your own, as `EVENT_PATH`");
                continue;
            }
            let expression = texts::expression_of(&value);
            fields.extend(expression.map(|expression| (name.to_owned(), expression)));
        }
        table.finish();
        Self(fields)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn texts(&self) -> Vec<Text> {
        let texts = self.0.iter();
        texts.map(|(name, text)| Text::expression(format!("fields.{name}"), text)).collect()
    }

    /// The variables that tell a program which event it runs for. A field that is missing is none; a body
    /// that cannot be read has none, and will not have any later.
    pub(super) fn variables(
        &self,
        handler: &HandlerName,
        delivery: &Delivery,
    ) -> Result<Vec<(String, String)>, Failure> {
        let event = &delivery.event;
        let mut variables: Vec<(String, String)> = [
            ("GATEPOST_HANDLER", handler.to_string()),
            ("GATEPOST_ATTEMPT", delivery.attempt.to_string()),
            ("GATEPOST_EVENT_ID", event.id.to_string()),
            ("GATEPOST_EVENT_SOURCE", event.source.to_string()),
            ("GATEPOST_EVENT_TYPE", event.event_type.to_string()),
            ("GATEPOST_EVENT_RECEIVED_AT", event.received_at.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        variables.extend(query_variables(event));
        let scope = Scope::of(event);
        for (name, expression) in &self.0 {
            let value = expression
                .text(&scope)
                .map_err(|err| Failure::permanent(format_args!("`fields.{name}`: {err}")))?;
            variables.extend(value.map(|value| (name.clone(), shell::variable(&value))));
        }
        Ok(variables)
    }
}

/// `GATEPOST_QUERY_order` for the parameter `order`. What a variable's name cannot have is `_` in it, and of
/// those with one name the first counts.
fn query_variables(event: &Event) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for (name, value) in body::pairs(event.headers.query_text().as_bytes()) {
        let is_named = !name.is_empty();
        let name = String::from_utf8_lossy(&name)
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
        let name = format!("GATEPOST_QUERY_{name}");
        if is_named && variables.iter().all(|(other, _)| *other != name) {
            variables.push((name, shell::variable(&String::from_utf8_lossy(&value))));
        }
    }
    variables
}
