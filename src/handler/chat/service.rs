//! The services: what each wants to be sent, and what it says when it does not.
//!
//! | service | documented at |
//! |---|---|
//! | slack | docs.slack.dev: "Sending messages using incoming webhooks", "Rate limits" (1 a second) |
//! | discord | docs.discord.com: "Execute Webhook", "Rate Limits" (5 in 2 seconds) |
//! | telegram | core.telegram.org/bots/api: `sendMessage`, "Broadcasting to users" (1 a second, 20 a minute in a group) |
//! | ntfy | docs.ntfy.sh: "Publish as JSON" |
//! | teams | learn.microsoft.com: "Create incoming webhooks with Workflows" (4 a second) |
//! | mattermost | developers.mattermost.com: "Incoming webhooks" |
//! | matrix | spec.matrix.org: client-server API, `PUT …/send/{eventType}/{txnId}` |
//!
//! Teams, Mattermost and Matrix are tested for the shape of what they get only.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde_json::Value;

use crate::event::Failure;
use crate::expr::Escape;
use crate::handler::BuildError;
use crate::handler::web::Answer;
use crate::secret::{Secret, SecretError, SecretRef};
use crate::settings::Table;

/// A service with its address, as configured.
#[derive(Clone, Debug)]
pub(super) enum Service {
    /// An incoming webhook. Its URL is the secret.
    Slack { url: SecretRef },
    /// A channel's webhook. Its URL is the secret.
    Discord { url: SecretRef, username: Option<String> },
    /// A bot.
    Telegram {
        server: Url,
        token: SecretRef,
        chat: String,
        /// The topic of a group.
        thread: Option<i64>,
        is_html: bool,
    },
    /// A workflow's webhook. Its URL is the secret.
    Teams { url: SecretRef },
    /// An incoming webhook. Its URL is the secret.
    Mattermost { url: SecretRef, username: Option<String>, channel: Option<String> },
    /// A room, written to as a user.
    Matrix { server: Url, token: SecretRef, room: String },
    /// A topic.
    Ntfy {
        server: Url,
        token: Option<SecretRef>,
        topic: String,
        priority: Option<u16>,
        tags: Vec<String>,
    },
}

/// How a secret is read.
type ReadSecret<'a> = &'a dyn Fn(&SecretRef) -> Result<Secret, SecretError>;

/// Where messages are posted to.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) authorization: Option<HeaderValue>,
}

/// The names of their tables.
const NAMES: [&str; 7] = ["slack", "discord", "telegram", "ntfy", "teams", "mattermost", "matrix"];

impl Service {
    /// Reads the one table of a service that must be there.
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let given: Vec<&str> = NAMES.into_iter().filter(|name| table.has(name)).collect();
        if given.len() != 1 {
            table.problem_here(
                if given.is_empty() { "no service is named" } else { "two services are named" },
                "write exactly one of `slack`, `discord`, `telegram`, `ntfy`, `teams`, `mattermost` \
                 and `matrix`, as in \
                 `slack = { url = { file = \"data/secrets/slack\" } }`",
            );
        }
        let mut read = None;
        for name in NAMES {
            // Alone it is surely the URL or the token, which is a secret.
            if table.text_of(name).is_some() {
                table.hide(name);
            }
            let example = match name {
                "telegram" => "{ token = { file = \"data/secrets/telegram\" }, chat = \"123\" }",
                "matrix" => {
                    "{ server = \"https://matrix.example.com\", room = \"!id:example.com\", \
                     token = { file = \"data/secrets/matrix\" } }"
                }
                "ntfy" => "{ topic = \"my-topic\" }",
                _ => "{ url = { file = \"data/secrets/chat\" } }",
            };
            if let Some(mut inner) = table.table_like(name, example) {
                read = match name {
                    "slack" => inner.require("url").map(|url| Service::Slack { url }),
                    "discord" => read_discord(&mut inner),
                    "telegram" => read_telegram(&mut inner),
                    "teams" => inner.require("url").map(|url| Service::Teams { url }),
                    "mattermost" => read_mattermost(&mut inner),
                    "matrix" => read_matrix(&mut inner),
                    _ => read_ntfy(&mut inner),
                };
                inner.finish();
            }
        }
        read.filter(|_| given.len() == 1)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "Slack",
            Self::Discord { .. } => "Discord",
            Self::Telegram { .. } => "Telegram",
            Self::Ntfy { .. } => "ntfy",
            Self::Teams { .. } => "Teams",
            Self::Mattermost { .. } => "Mattermost",
            Self::Matrix { .. } => "Matrix",
        }
    }

    /// The server, where its address is no secret.
    pub(super) fn server(&self) -> Option<&Url> {
        match self {
            Self::Telegram { server, .. }
            | Self::Ntfy { server, .. }
            | Self::Matrix { server, .. } => Some(server),
            Self::Slack { .. }
            | Self::Discord { .. }
            | Self::Teams { .. }
            | Self::Mattermost { .. } => None,
        }
    }

    /// What is done to values in the text.
    pub(super) fn escape(&self) -> Escape {
        match self {
            Self::Slack { .. } => Escape::Slack,
            // Both read Markdown: no value can hide an address behind words.
            Self::Discord { .. } | Self::Teams { .. } => Escape::Discord,
            Self::Mattermost { .. } => Escape::Mattermost,
            Self::Telegram { is_html: true, .. } => Escape::Html,
            Self::Telegram { is_html: false, .. } | Self::Ntfy { .. } | Self::Matrix { .. } => {
                Escape::None
            }
        }
    }

    /// The least time between two messages, where the owner says nothing else.
    pub(super) fn min_interval(&self) -> Duration {
        match self {
            Self::Discord { .. } => Duration::from_millis(400),
            // A group or channel may have 20 a minute; its number is negative.
            Self::Telegram { chat, .. } if chat.starts_with(['-', '@']) => Duration::from_secs(3),
            Self::Slack { .. } | Self::Telegram { .. } | Self::Teams { .. } => {
                Duration::from_secs(1)
            }
            // Servers of one's own.
            Self::Ntfy { .. } | Self::Mattermost { .. } | Self::Matrix { .. } => Duration::ZERO,
        }
    }

    /// Where messages go, with the secrets in it.
    pub(super) fn endpoint(&self, read: ReadSecret<'_>) -> Result<Endpoint, BuildError> {
        match self {
            Self::Slack { url }
            | Self::Discord { url, .. }
            | Self::Teams { url }
            | Self::Mattermost { url, .. } => {
                let url = secret_text(&read(url)?, self.name())?;
                let url = url.trim().parse::<Url>().ok().filter(is_http);
                let unfit = || format!("the secret is not the URL of a {} webhook", self.name());
                let url = url.ok_or_else(|| BuildError::Unfit(unfit()))?;
                Ok(Endpoint { url, authorization: None })
            }
            Self::Telegram { server, token, .. } => {
                let token = secret_text(&read(token)?, self.name())?;
                let token = token.trim();
                let is_token =
                    token.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c));
                let url = format!("bot{token}/sendMessage");
                // `./`: before the colon of the token stands no scheme.
                let url = server.join(&format!("./{url}")).ok().filter(|_| is_token);
                let unfit = || BuildError::Unfit(NO_BOT.to_owned());
                Ok(Endpoint { url: url.ok_or_else(unfit)?, authorization: None })
            }
            Self::Ntfy { server, token, .. } => {
                let authorization =
                    token.as_ref().map(|token| self.bearer(token, read)).transpose()?;
                Ok(Endpoint { url: server.clone(), authorization })
            }
            Self::Matrix { server, token, room } => {
                let mut url = server.clone();
                let unfit = |()| BuildError::Unfit("the server's URL has no path".to_owned());
                url.path_segments_mut().map_err(unfit)?.pop_if_empty().extend([
                    "_matrix",
                    "client",
                    "v3",
                    "rooms",
                    room,
                    "send",
                    "m.room.message",
                ]);
                Ok(Endpoint { url, authorization: Some(self.bearer(token, read)?) })
            }
        }
    }

    fn bearer(&self, token: &SecretRef, read: ReadSecret<'_>) -> Result<HeaderValue, BuildError> {
        let token = secret_text(&read(token)?, self.name())?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value
            .map_err(|_| BuildError::Unfit("the secret is no token: it is one line".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// How and where a message about the event `id` goes. Matrix knows a repeat by the end of the
    /// address.
    pub(super) fn request(&self, endpoint: &Endpoint, id: &str) -> (Method, Url) {
        let mut url = endpoint.url.clone();
        match self {
            Self::Matrix { .. } => {
                if let Ok(mut path) = url.path_segments_mut() {
                    path.push(id);
                }
                (Method::PUT, url)
            }
            Self::Slack { .. }
            | Self::Discord { .. }
            | Self::Telegram { .. }
            | Self::Ntfy { .. }
            | Self::Teams { .. }
            | Self::Mattermost { .. } => (Method::POST, url),
        }
    }

    /// What an answer that says 200 says within all the same: the old connectors of Teams do.
    pub(super) fn refusal(&self, answer: &Answer) -> Option<Failure> {
        let Self::Teams { .. } = self else { return None };
        let text = String::from_utf8_lossy(&answer.body);
        let (_, why) = text.split_once("message delivery failed with error")?;
        let mut failure = Failure::transient("the service could not pass the message on");
        if why.contains("429") {
            failure.status = Some(429);
        }
        Some(failure)
    }

    /// The pause that it asks for in the body, and its own words about what is wrong.
    pub(super) fn explain(&self, answer: &Answer) -> (Option<Duration>, Option<String>) {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let (pause, why) = match self {
            // A plain word, as in `invalid_payload`.
            Self::Slack { .. } => {
                let word = std::str::from_utf8(&answer.body).ok().map(str::trim);
                let is_word = |word: &&str| {
                    (1..=64).contains(&word.len())
                        && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                };
                (None, word.filter(is_word).map(str::to_owned))
            }
            Self::Discord { .. } => (body.get("retry_after"), text_of(body.get("message"))),
            Self::Telegram { .. } => {
                let moved = body.pointer("/parameters/migrate_to_chat_id").and_then(Value::as_i64);
                let why = text_of(body.get("description"));
                let why = match (why, moved) {
                    (Some(why), Some(id)) => Some(format!("{why}: write `chat = \"{id}\"`")),
                    (why, _) => why,
                };
                (body.pointer("/parameters/retry_after"), why)
            }
            Self::Ntfy { .. } | Self::Matrix { .. } => (None, text_of(body.get("error"))),
            Self::Mattermost { .. } => (None, text_of(body.get("message"))),
            Self::Teams { .. } => {
                let plain = std::str::from_utf8(&answer.body)
                    .ok()
                    .filter(|text| !text.contains(['{', '<']));
                let plain = plain.map(|text| Value::from(text.trim()));
                (None, text_of(body.pointer("/error/message").or(plain.as_ref())))
            }
        };
        let millis = body.get("retry_after_ms").and_then(Value::as_f64);
        let pause = pause.and_then(Value::as_f64).or(millis.map(|millis| millis / 1000.0));
        let pause = pause.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        (pause.map(|pause| pause.min(PAUSE_MAX)), why.filter(|why| !why.is_empty()))
    }
}

/// The longest name that Discord shows a message to be from; it refuses a longer one.
pub(super) const DISCORD_NAME_CHARS_MAX: usize = 80;

/// The longest pause that is believed.
const PAUSE_MAX: Duration = Duration::from_hours(24);

fn read_discord(table: &mut Table<'_>) -> Option<Service> {
    let username = table.take::<String>("username");
    if username.as_ref().is_some_and(|name| name.chars().count() > DISCORD_NAME_CHARS_MAX) {
        let message = "Discord takes a name of 80 characters: what is behind them is cut off";
        table.warning("username", message, "write a shorter one");
    }
    Some(Service::Discord { url: table.require("url")?, username })
}

fn read_telegram(table: &mut Table<'_>) -> Option<Service> {
    let server = read_server(table, "https://api.telegram.org/");
    let token = table.require("token");
    let chat = table.require::<String>("chat");
    if let Some(chat) = &chat
        && !chat.starts_with('@')
        && chat.parse::<i64>().is_err()
    {
        table.problem(
            "chat",
            "this is neither a chat's number nor the name of a channel",
            "as in `\"123456789\"`, `\"-1001234567890\"` or `\"@channel\"`",
        );
    }
    let thread = table.take::<i64>("thread");
    let modes = [("none", false), ("html", true)];
    let is_html = table.choice("parse_mode", &modes).unwrap_or(false);
    Some(Service::Telegram { server: server?, token: token?, chat: chat?, thread, is_html })
}

fn read_mattermost(table: &mut Table<'_>) -> Option<Service> {
    let (username, channel) = (table.take("username"), table.take("channel"));
    Some(Service::Mattermost { url: table.require("url")?, username, channel })
}

fn read_matrix(table: &mut Table<'_>) -> Option<Service> {
    if !table.has("server") {
        table.missing("server", "write `server = \"https://matrix.example.com\"`");
    }
    let server = read_server(table, "https://matrix.example.com/");
    let token = table.require("token");
    let room = table.require::<String>("room");
    if room.as_ref().is_some_and(|room| !room.starts_with('!')) {
        let help = "as in `\"!abcdef:example.com\"`: the room's settings show it under Advanced";
        table.problem("room", "this is not a room's id", help);
    }
    table.has("server").then_some(())?;
    Some(Service::Matrix { server: server?, token: token?, room: room? })
}

fn read_ntfy(table: &mut Table<'_>) -> Option<Service> {
    let server = read_server(table, "https://ntfy.sh/");
    let token = table.take("token");
    let topic = table.require::<String>("topic");
    let help = "for example `priority = 3`";
    let priority = table.checked_or("priority", help, |priority: u16| {
        let is_good = (1..=5).contains(&priority);
        if is_good { Ok(priority) } else { Err("a priority is 1 to 5") }
    });
    let tags = table.take_or("tags", Vec::new());
    if let Some(topic) = &topic {
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if topic.is_empty() || topic.len() > 64 || !topic.chars().all(is_good) {
            let message = "a topic is 1 to 64 letters, digits, `_` and `-`";
            table.problem("topic", message, "for example `topic = \"my-comments\"`");
        }
    }
    Some(Service::Ntfy { server: server?, token, topic: topic?, priority, tags })
}

fn read_server(table: &mut Table<'_>, default: &str) -> Option<Url> {
    let text = table.take_or("server", default.to_owned());
    let text = if text.ends_with('/') { text } else { format!("{text}/") };
    let url = text.parse::<Url>().ok().filter(is_http);
    if url.is_none() {
        table.problem(
            "server",
            "this is not an http or https URL",
            format_args!("as in `{default}`"),
        );
    }
    url
}

const NO_BOT: &str = "the secret is not a bot's token: @BotFather gives one as in `123456:ABC-DEF`";

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn secret_text(secret: &Secret, service: &str) -> Result<String, BuildError> {
    let text = std::str::from_utf8(secret.expose());
    text.map(str::to_owned)
        .map_err(|_| BuildError::Unfit(format!("the secret for {service} is not text")))
}

fn text_of(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    Some(text.chars().filter(|c| !c.is_control()).take(200).collect())
}
