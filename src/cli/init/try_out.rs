//! Takes a signed sample through a new configuration: a gateway of its own, on ports of the system's
//! choice, stores it and hands it to the handlers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::args::Send;
use super::super::output::{Output, Page, cell};
use super::super::store::Server;
use super::super::{CliError, chain, send};
use crate::app::Application;
use crate::config::{Config, load};
use crate::http::public::HOOKS;

/// How long the handlers may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether they are done.
const EVERY: Duration = Duration::from_millis(100);

/// Sends a sample of `event_type` to `source`, and shows what the handlers did with it.
pub(super) async fn run(
    mut config: Config,
    path: &Path,
    (source, event_type): (&str, &str),
    output: Output,
) -> Result<(), CliError> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.server.listen = vec![any_port];
    config.admin.listen = any_port;
    let (again, _warnings) =
        load(path).map_err(|report| CliError::Configuration(Box::new(report)))?;
    let application = Application::build(config, path).await;
    let application = application.map_err(|err| CliError::Failed(chain(&err)))?;
    let public = application.public().first().copied().unwrap_or(any_port);
    let stop = application.stop_token();
    let sample = Send {
        source: source.to_owned(),
        event_type: event_type.to_owned(),
        body: None,
        url: Some(format!("http://{public}{HOOKS}{source}")),
    };
    let tried = async {
        let tried = take_through(&sample, &again).await;
        stop.cancel();
        tried
    };
    let (served, tried) = tokio::join!(application.run_until_stopped(), tried);
    served.map_err(|err| CliError::Failed(chain(&err)))?;
    output.one(&tried?, shown)
}

/// Sends it, and waits until each handler has done its first try, or for so long.
async fn take_through(sample: &Send, config: &Config) -> Result<Value, CliError> {
    let answer = send::post(sample, config).await?;
    let id = answer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let server = Server::require(config).await?;
    let mut event = Value::Null;
    let deadline = tokio::time::sleep(PATIENCE);
    let mut deadline = std::pin::pin!(deadline);
    let mut look = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = &mut deadline => break,
            _ = look.tick() => event = server.get(&format!("events/{id}"), &[]).await?,
        }
        if is_done(&event) {
            break;
        }
    }
    Ok(json!({ "id": id, "deliveries": deliveries(&event).cloned().collect::<Vec<_>>() }))
}

fn deliveries(event: &Value) -> impl Iterator<Item = &Value> {
    event.get("deliveries").and_then(Value::as_array).into_iter().flatten()
}

/// Whether every handler has it, does not want it, or has tried.
fn is_done(event: &Value) -> bool {
    let has_tried = |delivery: &Value| {
        let n_tries = delivery.get("attempts").and_then(Value::as_array).map_or(0, Vec::len);
        cell(delivery.get("state")) != "pending" || n_tries > 0
    };
    deliveries(event).next().is_some() && deliveries(event).all(has_tried)
}

fn shown(tried: &Value) -> String {
    let mut page = Page::default();
    page.line(format_args!("\nstored as {}", cell(tried.get("id"))));
    for delivery in deliveries(tried) {
        let (handler, state) = (cell(delivery.get("handler")), cell(delivery.get("state")));
        page.line(format_args!("  {handler}: {state}"));
        let attempts = delivery.get("attempts").and_then(Value::as_array);
        let error = attempts.and_then(|all| all.last()?.get("error")?.as_str());
        if let Some(error) = error {
            page.line(format_args!("    {error}"));
        }
    }
    page.finish()
}
