//! Takes a signed sample through a new configuration: a gateway of its own, on ports of the system's
//! choice, stores it and hands it to the handlers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::super::args::Send;
use super::super::events::state;
use super::super::output::{Output, Page};
use super::super::store::Server;
use super::super::{CliError, error_chain, send};
use crate::api::{DeliveryView, EventDetail};
use crate::app::Application;
use crate::config::{Config, load};
use crate::http::public::HOOKS;
use crate::queue::DeliveryState;

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
    let application = application.map_err(|err| CliError::Failed(error_chain(&err)))?;
    let public = application.public().first().copied().unwrap_or(any_port);
    let stop = application.stop_token();
    let sample = Send {
        source: source.to_owned(),
        event_type: Some(event_type.to_owned()),
        body: None,
        url: Some(format!("http://{public}{HOOKS}{source}")),
        curl: false,
    };
    let tried = async {
        let tried = take_through(&sample, &again).await;
        stop.cancel();
        tried
    };
    let (served, tried) = tokio::join!(application.run_until_stopped(), tried);
    served.map_err(|err| CliError::Failed(error_chain(&err)))?;
    output.one(&tried?, shown)
}

/// Sends it, and waits until each handler has done its first try, or for so long.
async fn take_through(sample: &Send, config: &Config) -> Result<SampleOutcome, CliError> {
    let sent = send::post(sample, config).await?;
    let id = sent.id().unwrap_or_default();
    let server = Server::require(config).await?;
    let mut deliveries = Vec::new();
    let deadline = tokio::time::sleep(PATIENCE);
    let mut deadline = std::pin::pin!(deadline);
    let mut look = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = &mut deadline => break,
            _ = look.tick() => {
                let event: EventDetail = server.get(&format!("events/{id}"), &[]).await?;
                deliveries = event.deliveries;
            }
        }
        if !deliveries.is_empty() && deliveries.iter().all(is_done) {
            break;
        }
    }
    Ok(SampleOutcome { id, deliveries })
}

/// What became of the sample.
#[derive(Serialize)]
struct SampleOutcome {
    id: String,
    deliveries: Vec<DeliveryView>,
}

/// Whether the handler has it, does not want it, or has tried.
fn is_done(delivery: &DeliveryView) -> bool {
    delivery.state != DeliveryState::Pending || !delivery.attempts.is_empty()
}

fn shown(tried: &SampleOutcome) -> String {
    let mut page = Page::default();
    page.line(format_args!("\nstored as {}", tried.id));
    for delivery in &tried.deliveries {
        page.line(format_args!("  {}: {}", delivery.handler, state(delivery.state)));
        if let Some(attempt) =
            delivery.attempts.last().filter(|last| !last.error.as_str().is_empty())
        {
            page.line(format_args!("    {}", attempt.error.as_str()));
        }
    }
    page.finish()
}
