//! Handlers beside the queue: what they would do with an event, and doing it once.

use std::sync::Arc;

use crate::api::error_chain;
use crate::clock::Clock;
use crate::config::{Config, HandlerSettings};
use crate::deliver::{self, Match, Policy};
use crate::event::{Delivery, Event, Failure, HandlerName, Output};
use crate::expr::{Expression, Field, Scope};
use crate::handler::{BuildContext, Plan, Purpose, Text, Words};

use super::parts::context;

/// A configured handler, not opened.
#[derive(Debug)]
pub struct Trial<'a> {
    settings: &'a HandlerSettings,
    context: BuildContext,
}

/// Whether a handler wants an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// It does.
    Yes,
    /// It does not, for this reason.
    No(String),
    /// The filter fails: the event would be a dead letter, with this reason.
    Unclear(String),
}

impl<'a> Trial<'a> {
    /// The handler `name` of `config`; `None` = there is none.
    pub fn new(config: &'a Config, name: &HandlerName, clock: &Arc<dyn Clock>) -> Option<Self> {
        let settings = config.handlers.get(name)?;
        Some(Self::of((config, name), settings, clock))
    }

    /// The handler of `config` that has this name and these settings.
    pub(super) fn of(
        (config, name): (&Config, &HandlerName),
        settings: &'a HandlerSettings,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self { settings, context: context(config, (name, settings), clock, Purpose::Look) }
    }

    pub fn kind(&self) -> &'static str {
        self.settings.kind_name
    }

    /// Whether `on` and `when` let the event through.
    pub fn wants(&self, event: &Arc<Event>) -> Wants {
        let policy = &self.settings.policy;
        match deliver::evaluate(policy, event) {
            Match::Take(_) => Wants::Yes,
            Match::Skip if deliver::is_named(&policy.on, event) => {
                let fields = policy.when.as_ref().map(|when| when.fields());
                let missing = missing(&fields.unwrap_or_default(), event);
                let why = if missing.is_empty() { "" } else { ": missing or null is " };
                Wants::No(format!("`when` is false{why}{}", missing.join(", ")))
            }
            Match::Skip => Wants::No("`on` does not name it".to_owned()),
            Match::Error(reason) => Wants::Unclear(reason.to_string()),
        }
    }

    /// Which events it wants.
    pub fn policy(&self) -> &'a Policy {
        &self.settings.policy
    }

    /// What a call with `deliveries` would do. Nothing is opened or sent for that.
    pub fn plan(&self, deliveries: &[Delivery]) -> Result<Plan, Failure> {
        self.settings.kind.plan(&self.context, deliveries)
    }

    /// The texts that are worked out for each event, each with its whole key.
    pub fn texts(&self) -> Vec<Text> {
        let policy = &self.settings.policy;
        let whole = |key: &str| format!("handler.{}.{key}", self.context.handler);
        let own = [("when", &policy.when), ("order_by", &policy.order_by)];
        let own = own.into_iter().filter_map(|(key, expression)| {
            let words = Words::Expression(Arc::clone(expression.as_ref()?));
            Some(Text { key: whole(key), words })
        });
        let kind = self.settings.kind_name;
        let texts = self.settings.kind.texts().into_iter();
        let texts = texts.map(|text| Text { key: whole(&format!("{kind}.{}", text.key)), ..text });
        own.chain(texts).collect()
    }

    /// How many fields `event` does not have that the handler's texts ask for. Those do not count that a text can do
    /// without, as in `x | default("y")`.
    pub fn n_missing(&self, event: &Arc<Event>) -> usize {
        let fields = self.texts().into_iter().flat_map(|text| text.words.fields());
        let fields: Vec<Field> = fields.filter(|field| !field.may_be_missing).collect();
        missing(&fields, event).len()
    }

    /// What would make each call fail now: the whole key, and what is wrong there.
    pub fn doubts(&self) -> Vec<(String, String)> {
        let (name, kind) = (&self.context.handler, self.settings.kind_name);
        let doubts = self.settings.kind.doubts(&self.context).into_iter();
        doubts.map(|(key, what)| (format!("handler.{name}.{kind}.{key}"), what)).collect()
    }

    /// The key that a failure comes from, and the words there.
    pub fn key_of(&self, failure: &str) -> Option<(String, String)> {
        let texts = self.texts();
        // What to write instead may stand behind it.
        let quoted = failure.rsplit_once("(at `").and_then(|(_, rest)| rest.split_once("`)"));
        let quoted = quoted.and_then(|(words, _)| {
            let text = texts.iter().find(|text| text.words.source().contains(words))?;
            Some((text.key.clone(), words.to_owned()))
        });
        // What a column cannot take is said with the column's name, and of others with the key.
        let named = || {
            let (before, rest) = failure.split_once('`')?;
            let (name, _) = rest.split_once('`')?;
            let end = match before {
                "column " | "key column " => format!(".columns.{name}"),
                _ => format!(".{name}"),
            };
            let text = texts.iter().find(|text| text.key.ends_with(&end))?;
            Some((text.key.clone(), String::new()))
        };
        quoted.or_else(named)
    }

    /// Does it, once.
    pub async fn send(&self, delivery: Delivery) -> Result<Output, Failure> {
        let context = BuildContext { purpose: Purpose::Call, ..self.context.clone() };
        let built = self.settings.kind.build(&context);
        let handler = built.map_err(|err| Failure::permanent(error_chain(&err)))?;
        let call = tokio::time::timeout(self.context.timeout, handler.handle(&[delivery])).await;
        handler.close().await;
        call.unwrap_or_else(|_elapsed| Err(Failure::transient("no answer in time")))
    }
}

/// Those of `fields` that the event does not have.
fn missing(fields: &[Field], event: &Arc<Event>) -> Vec<String> {
    let scope = Scope::of(event);
    let mut missing = Vec::new();
    for field in fields.iter().filter_map(Field::dotted) {
        let is_none = Expression::compile(&format!("{field} is none"));
        let is_none = is_none.is_ok_and(|one| one.is_true(&scope).unwrap_or(false));
        let shown = format!("`{field}`");
        if is_none && !missing.contains(&shown) {
            missing.push(shown);
        }
    }
    missing
}
