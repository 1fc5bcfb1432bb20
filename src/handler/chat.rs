//! `chat`: a message in Slack, Discord, Telegram, ntfy, Teams, Mattermost or Matrix, in each
//! service's own shape.
//!
//! 1. A message takes its turn: no two go out closer together than the service allows. Where it
//!    asks for a pause all the same, every message of this handler waits for it.
//! 2. What comes out of a payload cannot name a channel or a person, nor hide an address behind
//!    words: Slack's `<…>` and Discord's `[…]` are escaped, Discord is told to alert no user,
//!    Telegram and ntfy get plain text.
//! 3. A 2xx counts as soon as it is there, whatever becomes of the rest of the answer: no service
//!    knows a repeat by its id, and everyone would read it twice.
//! 4. An empty text is no message: what a template leaves out with `{% if %}` is skipped.
//! 5. A text that is too long for the service is cut and ends in `…`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::texts::{Text, mark, template};
use super::web::{self, Guard, Private, Speaks, Web};
use super::{BuildContext, BuildError, Handler, Kind, KindSettings, Plan, Step};
use crate::clock::Clock;
use crate::event::{Delivery, Failure, FailureKind, Output};
use crate::expr::{Escape, Scope, Template};
use crate::secret::SecretRef;
use crate::settings::{Table, show_duration};

mod message;
mod service;
#[cfg(test)]
mod tests;

use super::rate_limit::MinInterval;
use service::{Endpoint, Service};

/// `[handler.NAME.chat]`.
pub static KIND: Kind = Kind {
    name: "chat",
    batch_max: 1,
    statuses: Some(300..=599),
    targets: &[
        ("slack.url", "channel"),
        ("discord.url", "channel"),
        ("telegram.token", "bot"),
        ("telegram.server", "server"),
        ("ntfy.server", "server"),
        ("ntfy.topic", "topic"),
        ("teams.url", "channel"),
        ("mattermost.url", "channel"),
        ("matrix.server", "server"),
        ("matrix.room", "room"),
    ],
    planned: &[
        "discord.username",
        "mattermost.channel",
        "mattermost.username",
        "ntfy.priority",
        "ntfy.tags",
        "telegram.chat",
        "telegram.parse_mode",
        "telegram.thread",
        "text",
        "title",
    ],
    read: |table| Some(Box::new(Settings::read(table)?)),
};

#[derive(Clone, Debug)]
pub struct Settings {
    service: Service,
    text: Arc<Template>,
    title: Option<Arc<Template>>,
    min_interval: Duration,
    /// Whom to believe in place of the system's authorities.
    ca: Option<PathBuf>,
    guard: Guard,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let service = Service::read(table);
        let escape = service.as_ref().map_or(Escape::None, Service::escape);
        if !table.has("text") {
            table.missing("text", "write `text = \"{{ event.type }}\"`");
        }
        if table.text_of("text").is_some_and(|text| text.trim().is_empty()) {
            let message =
                "this text is always empty: each event is skipped, and no message goes out";
            table.warning("text", message, "write `text = \"{{ event.type }}\"`");
        }
        let text = template(table, "text", escape);
        // Slack shows a title as plain text; the others read it as they read the text.
        let title_escape = if escape == Escape::Slack { Escape::None } else { escape };
        let title = template(table, "title", title_escape);
        let min_interval = table.take("min_interval");
        let ca = table.take("ca");
        let guard = Guard::read(table, Private::Allowed);
        let service = service?;
        if let Some(server) = service.server() {
            guard.check_key(table, &service.name().to_ascii_lowercase(), server);
        }
        let min_interval = min_interval.unwrap_or_else(|| service.min_interval());
        Some(Self { service, text: text?, title, min_interval, ca, guard })
    }
}

#[async_trait]
impl KindSettings for Settings {
    fn plan(&self, _context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure> {
        let service = self.service.name();
        let steps = deliveries.iter().map(|delivery| {
            Ok(match self.message(delivery)? {
                Some(message) => Step::Message { service, message },
                None => Step::Skip { why: EMPTY.to_owned() },
            })
        });
        steps.collect()
    }

    fn texts(&self) -> Vec<Text> {
        let title = self.title.iter().map(|title| Text::template("title", title));
        title.chain([Text::template("text", &self.text)]).collect()
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Ok(Box::new(Chat {
            endpoint: self.service.endpoint(&|place| context.secret(place))?,
            web: Web::new(self.guard.clone(), self.ca.as_deref(), Speaks::Any, context)?,
            interval: MinInterval::new(self.min_interval),
            clock: Arc::clone(&context.clock),
            // The rest of the time is for the request.
            wait_max: context.timeout / 2,
            settings: self.clone(),
        }))
    }

    fn other_end(&self) -> Option<String> {
        web::place(&self.service.endpoint(&SecretRef::look).ok()?.url)
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        Web::new(self.guard.clone(), self.ca.as_deref(), Speaks::Any, context)?
            .reach(&self.service.endpoint(&|place| context.secret(place))?.url)
            .await
    }
}

impl Settings {
    /// The message about an event; `None` = its text is empty, which says that there is nothing to
    /// tell.
    fn message(&self, delivery: &Delivery) -> Result<Option<serde_json::Value>, Failure> {
        let scope = Scope::of(&delivery.event);
        let text = self.text.render(&scope).map_err(Failure::permanent)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let text = format!("{}{text}", mark(delivery));
        let title = self.title.as_ref().map(|title| title.render(&scope)).transpose();
        let title = title.map_err(Failure::permanent)?;
        Ok(Some(self.service.message(&text, title.as_deref())))
    }
}

/// How long to wait where a service says that it is too much, and no time: ntfy's public server gives
/// back a message each five seconds.
const LIMIT_PAUSE: Duration = Duration::from_secs(5);

/// What is said of a message that is not sent.
const EMPTY: &str = "the text is empty";

struct Chat {
    settings: Settings,
    endpoint: Endpoint,
    web: Web,
    interval: MinInterval,
    clock: Arc<dyn Clock>,
    wait_max: Duration,
}

#[async_trait]
impl Handler for Chat {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let mut output = Output::default();
        for delivery in deliveries {
            output = self.send(delivery).await?;
        }
        Ok(output)
    }
}

impl Chat {
    async fn send(&self, delivery: &Delivery) -> Result<Output, Failure> {
        let Some(message) = self.settings.message(delivery)? else {
            tracing::debug!(event.id = %delivery.event.id, "Nothing sent: {EMPTY}");
            return Ok(Output::skipped(EMPTY));
        };
        self.take_turn().await?;

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.endpoint.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let body = Bytes::from(message.to_string());
        let try_of = if delivery.is_by_hand() { "-try" } else { "" };
        let id = format!("{}{try_of}", delivery.event.id);
        let (method, url) = self.settings.service.request(&self.endpoint, &id);
        let answer = self.web.send(web::request(method, url, headers, body)).await?;
        let judged = answer
            .judge()
            .and_then(|()| self.settings.service.refusal(&answer).map_or(Ok(()), Err));
        let Err(mut failure) = judged else { return Ok(Output::default()) };
        let (pause, why) = self.settings.service.explain(&answer);
        let is_limit = failure.status == Some(429);
        let pause = pause.or(failure.retry_after).or(is_limit.then_some(LIMIT_PAUSE));
        if let Some(pause) = pause {
            self.interval.pause(self.clock.steady(), pause);
            failure.retry_after = Some(pause);
            if is_limit {
                // The service is there and took nothing: that is a wait, not a failure.
                failure.kind = FailureKind::Paused;
            }
        }
        if let Some(why) = why {
            failure.text = crate::event::ErrorText::new(format!("{failure}: {why}"));
        }
        Err(failure)
    }

    /// Waits for this message's turn; fails where that is too far away.
    async fn take_turn(&self) -> Result<(), Failure> {
        self.interval.wait(self.clock.as_ref(), self.wait_max).await.map_err(|wait| {
            let text = format!("the service wants a pause of {}", show_duration(wait));
            Failure::paused(text, wait)
        })
    }
}
