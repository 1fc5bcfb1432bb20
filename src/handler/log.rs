//! `log`: one structured line in Gatepost's own log for each event.

use std::sync::Arc;

use async_trait::async_trait;

use super::texts::{Text, mark, template};
use super::{BuildContext, BuildError, Handler, Kind, KindSettings, Plan, Step};
use crate::event::{Delivery, Failure, HandlerName, Output};
use crate::expr::{Escape, Scope, Template};
use crate::settings::Table;

/// `[handler.NAME.log]`.
pub static KIND: Kind = Kind {
    name: "log",
    batch_max: 1,
    statuses: None,
    targets: &[],
    planned: &["level", "message"],
    read: |table| Some(Box::new(Settings::read(table)?)),
};

/// How loud the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Every level by its name.
const LEVELS: [(&str, Level); 4] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[derive(Debug)]
pub struct Settings {
    level: Level,
    /// The line's words; shared with the handler that is built from it.
    message: Option<Arc<Template>>,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let level = table.choice("level", &LEVELS).unwrap_or(Level::Info);
        let message = template(table, "message", Escape::None);
        Some(Self { level, message })
    }
}

impl KindSettings for Settings {
    fn plan(&self, _context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure> {
        let steps = deliveries.iter().map(|delivery| {
            let message = message(self.message.as_deref(), delivery)?;
            Ok(Step::Log { level: self.level.as_str(), message })
        });
        steps.collect()
    }

    fn texts(&self) -> Vec<Text> {
        self.message.iter().map(|message| Text::template("message", message)).collect()
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Ok(Box::new(LogHandler {
            handler: context.handler.clone(),
            level: self.level,
            message: self.message.clone(),
        }))
    }
}

/// The words of an event's line.
fn message(template: Option<&Template>, delivery: &Delivery) -> Result<String, Failure> {
    let words = match template {
        None => "Event".to_owned(),
        Some(template) => {
            template.render(&Scope::of(&delivery.event)).map_err(Failure::permanent)?
        }
    };
    Ok(format!("{}{words}", mark(delivery)))
}

struct LogHandler {
    handler: HandlerName,
    level: Level,
    message: Option<Arc<Template>>,
}

#[async_trait]
impl Handler for LogHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        for delivery in deliveries {
            self.write(delivery, &message(self.message.as_deref(), delivery)?);
        }
        Ok(Output::default())
    }
}

impl LogHandler {
    fn write(&self, delivery: &Delivery, message: &str) {
        let Delivery { event, attempt, .. } = delivery;
        macro_rules! line {
            ($level:ident) => {
                tracing::event!(
                    tracing::Level::$level,
                    handler.name = self.handler.as_str(),
                    event.id = %event.id,
                    source.name = event.source.as_str(),
                    event.type = event.event_type.as_str(),
                    event.received_at = %event.received_at,
                    event.body_bytes = event.body.len(),
                    attempt,
                    "{message}"
                )
            };
        }
        match self.level {
            Level::Debug => line!(DEBUG),
            Level::Info => line!(INFO),
            Level::Warn => line!(WARN),
            Level::Error => line!(ERROR),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::super::testing::{delivery, handler, id, try_settings};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(settings: &str) -> serde_json::Value {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let handler = handler("log", settings, Path::new("."));
        let body = r#"{"data":{"user":"Ann"}}"#;
        tracing::subscriber::with_default(subscriber, || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(handler.handle(&[delivery(body)])).unwrap();
        });
        let line = sink.0.lock().unwrap().clone();
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_line_names_the_event_and_not_its_content() {
        let line = logged("");
        let fields = &line["fields"];
        assert_eq!(line["level"], "INFO");
        assert_eq!(fields["event.id"], id(1).to_string());
        assert_eq!(fields["source.name"], "hyvor");
        assert_eq!(fields["event.type"], "comment.create");
        assert_eq!(fields["handler.name"], "test");
        assert_eq!(fields["attempt"], 1);
        assert!(!line.to_string().contains("Ann"));
    }

    #[test]
    fn the_owner_may_choose_level_and_words() {
        let line = logged("level = \"warn\"\nmessage = \"{{ data.user }} wrote\"");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["fields"]["message"], "Ann wrote");
    }

    #[test]
    fn a_bad_message_is_found_when_reading() {
        let (_, problems) = try_settings("log", "message = \"{{ dta }}\"", Path::new("."));
        assert!(problems[0].contains("`dta` is not in scope"), "{problems:?}");
    }
}
