//! What a handler would do with a call, worked out before anything of it is done.
//!
//! A kind plans by the same functions that it acts by, so what `handlers try` shows, `check` looks
//! at and `test` compares is what is sent. What is not known before it is sent (a signature, the
//! time) is left out, and no secret is in it.

use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Shown in place of a secret.
pub const SECRET: &str = "(secret)";

/// All that one call does, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Plan {
    /// Empty = there is nothing to do.
    pub steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Step {
    /// A line in Gatepost's own log.
    Log { level: &'static str, message: String },
    /// A line at the end of a file.
    Append {
        file: PathBuf,
        /// The line, without its end.
        line: Content,
    },
    Mail {
        from: String,
        to: Vec<String>,
        /// Header lines of its own.
        headers: Vec<(String, String)>,
        subject: String,
        /// The plain text.
        text: String,
        /// The HTML beside it.
        html: Option<String>,
        /// Of what is masked in the headers.
        #[serde(skip)]
        secret: Unshown,
    },
    /// A statement to the database.
    Sql {
        /// With its placeholders. Its casts, and the form of the values, are those that the configuration and
        /// the samples say: when it runs they follow the types that the table has then.
        statement: String,
        /// What is bound to them.
        values: Vec<Value>,
    },
    /// An HTTP request.
    Request {
        method: String,
        url: String,
        /// In the order in which they are set.
        headers: Vec<(String, String)>,
        body: Content,
        /// Of what is masked in the others.
        #[serde(skip)]
        secret: Unshown,
    },
    /// A message in a chat.
    Message {
        service: &'static str,
        /// In the service's own shape.
        message: Value,
    },
    /// A run of a program, or a line to one that keeps running.
    Run {
        /// The program and its arguments.
        run: Vec<String>,
        cwd: PathBuf,
        /// Whom it runs as, where that is another user.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Variables that the event is told by, and the names of the others.
        environment: Vec<(String, String)>,
        /// What it reads.
        input: Content,
        /// Of what is masked in the others.
        #[serde(skip)]
        secret: Unshown,
    },
    /// Nothing: the event has nothing for this handler.
    Skip { why: String },
}

/// Tells two secrets apart without holding them: a hash under a key that this process made for itself. It is
/// compared and never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Unshown(u64);

impl Unshown {
    /// Of all that is masked in one step.
    pub fn of(secrets: impl Hash) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(secrets))
    }
}

impl fmt::Debug for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET)
    }
}

/// Bytes, as text where they are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl Content {
    /// The text, where it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => text.serialize(serializer),
            None => serde_json::json!({ "base64": STANDARD.encode(&self.0) }).serialize(serializer),
        }
    }
}

impl From<Step> for Plan {
    fn from(step: Step) -> Self {
        Self { steps: vec![step] }
    }
}

impl FromIterator<Step> for Plan {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        Self { steps: steps.into_iter().collect() }
    }
}

/// For people: a head for each step, its fields, and its texts below.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("nothing to do");
        }
        for (index, step) in self.steps.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            step.fmt(f)?;
        }
        if self.steps.iter().any(|step| matches!(step, Step::Sql { .. })) {
            write!(f, "\n\n{SQL_TYPES}")?;
        }
        Ok(())
    }
}

/// A plan does not ask the database.
const SQL_TYPES: &str = "The types are those of the configuration and the samples. When it runs, casts and values follow the types \
                         that the table has then.";

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = Page(f);
        match self {
            Self::Log { level, message } => {
                page.head(format_args!("log line ({level})"))?;
                page.text(message)
            }
            Self::Append { file, line } => {
                page.head(format_args!("line in `{}`", file.display()))?;
                page.content(line)
            }
            Self::Mail { from, to, headers, subject, text, html, secret: _ } => {
                page.head(format_args!("mail"))?;
                page.field("From", from)?;
                page.field("To", &to.join(", "))?;
                page.fields(headers)?;
                page.field("Subject", subject)?;
                page.text(text)?;
                html.as_deref().map_or(Ok(()), |html| page.text(html))
            }
            Self::Sql { statement, values } => {
                page.head(format_args!("statement"))?;
                page.text(statement)?;
                let named = values.iter().enumerate();
                named.map(|(index, value)| (index + 1, value)).try_for_each(|(number, value)| {
                    page.field(&format!("value {number}"), &value.to_string())
                })
            }
            Self::Request { method, url, headers, body, secret: _ } => {
                page.head(format_args!("{method} {}", plain(url)))?;
                page.fields(headers)?;
                page.content(body)
            }
            Self::Message { service, message } => {
                page.head(format_args!("message in {service}"))?;
                page.text(&format!("{message:#}"))
            }
            Self::Run { run, cwd, user, environment, input, secret: _ } => {
                let user = user.as_ref().map(|user| format!(" as `{}`", plain(user)));
                let user = user.unwrap_or_default();
                page.head(format_args!("run of {run:?} in `{}`{user}", cwd.display()))?;
                page.fields(environment)?;
                page.content(input)
            }
            Self::Skip { why } => page.head(format_args!("skipped: {why}")),
        }
    }
}

struct Page<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Page<'_, '_> {
    fn head(&mut self, head: fmt::Arguments<'_>) -> fmt::Result {
        self.0.write_fmt(head)
    }

    fn field(&mut self, name: &str, value: &str) -> fmt::Result {
        write!(self.0, "\n  {}: {}", plain(name), plain(value))
    }

    fn fields(&mut self, fields: &[(String, String)]) -> fmt::Result {
        fields.iter().try_for_each(|(name, value)| self.field(name, value))
    }

    fn text(&mut self, text: &str) -> fmt::Result {
        self.0.write_char('\n')?;
        text.lines().try_for_each(|line| {
            let line = line.replace('\t', "    ");
            write!(self.0, "\n  {}", plain(&line))
        })
    }

    fn content(&mut self, content: &Content) -> fmt::Result {
        match content.text() {
            Some("") => self.text("(empty)"),
            Some(text) => self.text(text),
            None => self.text(&format!("({} bytes that are no text)", content.0.len())),
        }
    }
}

/// Whatever a stranger wrote, it cannot drive a terminal.
fn plain(text: &str) -> String {
    crate::text::plain(text).into_owned()
}

mod differ;
#[cfg(test)]
mod tests;
