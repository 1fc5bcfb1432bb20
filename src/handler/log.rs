//! `log`: one structured line in Gatepost's own log for each event.

use std::sync::Arc;

use async_trait::async_trait;

use super::texts::template;
use super::{BuildContext, BuildError, Handler, Kind, KindSettings};
use crate::event::{Delivery, Failure, HandlerName};
use crate::expr::{Escape, Scope, Template};
use crate::settings::Table;

/// `[handler.NAME.log]`.
pub static KIND: Kind =
    Kind { name: "log", batch_max: 1, read: |table| Some(Box::new(Settings::read(table)?)) };

/// How loud the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// What the table says.
#[derive(Debug)]
pub struct Settings {
    level: Level,
    /// The line's words; shared with the handler that is built from it.
    message: Option<Arc<Template>>,
}

impl Settings {
    /// Reads the table.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let levels = [
            ("debug", Level::Debug),
            ("info", Level::Info),
            ("warn", Level::Warn),
            ("error", Level::Error),
        ];
        let level = table.choice("level", &levels).unwrap_or(Level::Info);
        let message = template(table, "message", Escape::None);
        Some(Self { level, message })
    }
}

impl KindSettings for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Ok(Box::new(LogHandler {
            handler: context.handler.clone(),
            level: self.level,
            message: self.message.clone(),
        }))
    }
}

struct LogHandler {
    handler: HandlerName,
    level: Level,
    message: Option<Arc<Template>>,
}

#[async_trait]
impl Handler for LogHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        for delivery in deliveries {
            let message = match &self.message {
                None => "Event".to_owned(),
                Some(template) => {
                    template.render(&Scope::of(&delivery.event)).map_err(Failure::permanent)?
                }
            };
            self.write(delivery, &message);
        }
        Ok(())
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
