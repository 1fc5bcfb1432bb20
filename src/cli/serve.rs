//! `serve`.

use std::path::Path;

use serde_json::{Value, json};

use crate::app::{self, Application, ProcessState, Sandbox};
use crate::config;
use crate::settings::Look;

use super::output::{Output, Page, note};
use super::{CliError, chain};

/// Runs the server until it is told to stop.
pub(super) fn run(path: &Path, output: Output) -> Result<(), CliError> {
    let (config, warnings) =
        config::load(path).map_err(|report| CliError::Configuration(Box::new(report)))?;
    if !warnings.problems.is_empty() {
        note(&warnings.render(Look::Plain))?;
    }
    app::logging::start(config.log);
    // Before there are threads: it changes the environment.
    let sockets = app::inherited().map_err(|err| {
        CliError::Failed(format!("the sockets that were passed cannot be used: {err}"))
    })?;
    let sandbox = Sandbox::enter(&config);
    tracing::info!("The process is {sandbox}");
    let process = ProcessState { sockets, sandbox };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("deliver")
        .on_thread_start(app::stand_back)
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let application = Application::build_in(process, config, path).await?;
        let banner = banner(&application);
        // Whoever started us may have closed our output: that is no reason not to serve.
        let shown = output.one(&banner, text);
        if let Err(err) = shown {
            tracing::warn!(error = %err, "The addresses could not be printed");
        }
        application.run_until_stopped().await
    });
    // Handlers that do not end in time are not waited for: what they did not settle comes back.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    served.map_err(|err| CliError::Failed(chain(&err)))
}

/// Threads for deliveries: the listeners and the committer have their own.
const WORKERS: usize = 2;

fn banner(application: &Application) -> Value {
    let scheme = if application.is_tls() { "https" } else { "http" };
    let public: Vec<String> =
        application.public().iter().map(|address| format!("{scheme}://{address}")).collect();
    let base = public.first().cloned().unwrap_or_default();
    let sources: Vec<Value> = application
        .sources()
        .iter()
        .map(|source| {
            let url = format!("{base}{}", source.path);
            json!({
                "name": source.name,
                "provider": source.provider,
                "url": url,
                "sample_type": source.sample_type,
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "public": public,
        "admin": application.admin().map(|address| format!("http://{address}")),
        "sources": sources,
    })
}

/// What somebody who starts the server wants to see: where to post, where to look, what to try.
fn text(banner: &Value) -> String {
    let field = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut text = Page::default();
    text.line(format_args!("gatepost {} is running", field(banner, "version")));
    let sources = banner.get("sources").and_then(Value::as_array);
    let sources = sources.map(Vec::as_slice).unwrap_or_default();
    for source in sources {
        let (url, provider) = (field(source, "url"), field(source, "provider"));
        text.line(format_args!("  hooks  POST {url}  ({provider})"));
    }
    text.line(format_args!("  admin  {}", field(banner, "admin")));
    match sources.first() {
        Some(source) => {
            let (name, sample) = (field(source, "name"), field(source, "sample_type"));
            let sample = if sample.is_empty() { "TYPE" } else { &sample };
            text.line(format_args!("  try    gatepost send {name} {sample}"));
        }
        None => {
            text.line(format_args!("  none   add [source.NAME], then `gatepost reload`"));
        }
    }
    text.finish()
}
