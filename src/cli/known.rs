//! Names of handlers and sources that a verb is given. One that is not configured may still have events and dead
//! letters from before; where it has none either, it is a slip, and no empty answer.

use crate::api::{EventsAsk, HandlerView};
use crate::config::Config;
use crate::deliver::OWN_SOURCE;
use crate::event::{HandlerName, SourceName};
use crate::settings::nearest;

use super::CliError;
use super::store::Via;

/// The most names that are told.
const NAMES_MAX: usize = 20;

/// An error where no handler is called so.
pub(super) fn handler(name: &HandlerName, config: &Config) -> Result<(), CliError> {
    if config.handlers.contains_key(name) {
        return Ok(());
    }
    Err(CliError::Failed(no_handler(name, config)))
}

/// That no handler is called so.
pub(super) fn no_handler(name: &HandlerName, config: &Config) -> String {
    let hint = instead(name.as_str(), config.handlers.keys().map(HandlerName::as_str));
    format!("handler `{name}` is not configured{hint}")
}

/// The same for what was asked of a handler and failed.
pub(super) fn or_handler<T>(
    asked: Result<T, CliError>,
    name: &HandlerName,
    config: &Config,
) -> Result<T, CliError> {
    match asked {
        Err(CliError::Failed(why)) => handler(name, config).and(Err(CliError::Failed(why))),
        asked => asked,
    }
}

/// The same where a handler may have been named.
pub(super) fn or_named<T>(
    asked: Result<T, CliError>,
    name: Option<&str>,
    config: &Config,
) -> Result<T, CliError> {
    match name.and_then(|name| HandlerName::parse(name).ok()) {
        Some(name) => or_handler(asked, &name, config),
        None => asked,
    }
}

/// An error where no source is called so and none of its events is retained.
pub(super) async fn source(via: &Via, name: Option<&str>, config: &Config) -> Result<(), CliError> {
    let Some(name) = name.filter(|name| !is_source(name, config)) else { return Ok(()) };
    let ask = EventsAsk { source: Some(name.to_owned()), limit: Some(1), ..EventsAsk::default() };
    if via.list(ask, 1).await?.is_empty() {
        return Err(CliError::Failed(no_source(name, config)));
    }
    Ok(())
}

/// Whether a source is called so.
pub(super) fn is_source(name: &str, config: &Config) -> bool {
    name == OWN_SOURCE || config.sources.keys().any(|known| known.as_str() == name)
}

/// That no source is called so.
pub(super) fn no_source(name: &str, config: &Config) -> String {
    let hint = instead(name, config.sources.keys().map(SourceName::as_str));
    format!("source `{}` is not configured{hint}", super::output::plain(name))
}

/// A hint behind a message: the name that is near, else those that there are.
pub(super) fn instead<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("; did you mean `{near}`?");
    }
    let names: Vec<&str> = known.clone().take(NAMES_MAX).collect();
    match (names.len(), known.count().saturating_sub(NAMES_MAX)) {
        (0, _) => "; none is".to_owned(),
        (_, 0) => format!("; there are: {}", names.join(", ")),
        (_, n_more) => format!("; there are: {} and {n_more} more", names.join(", ")),
    }
}

/// Handlers as the store knows them, each with its kind by the configuration: no server tells it.
pub(super) fn with_kinds(mut handlers: Vec<HandlerView>, config: &Config) -> Vec<HandlerView> {
    for handler in &mut handlers {
        let settings = config.handlers.get(&handler.name);
        handler.kind = settings.map(|settings| settings.kind_name.into());
    }
    handlers
}
