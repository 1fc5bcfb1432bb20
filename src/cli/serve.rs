//! `serve`.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use crate::api::SourceView;
use crate::app::{self, Application, ProcessState, Sandbox};
use crate::config::{self, LogFormat};
use crate::event::SourceName;
use crate::settings::{ReportStyle, Severity};

use super::output::{Output, Page, note};
use super::{CliError, error_chain};

/// Runs the server until it is told to stop.
pub(super) fn run(path: &Path, output: Output) -> Result<(), CliError> {
    let (config, mut warnings) =
        config::load_to_run(path).map_err(|report| CliError::Configuration(Box::new(report)))?;
    if !config.queue.path.exists() {
        // At the first start every secret is new, and no note on it is news.
        warnings.problems.retain(|problem| problem.severity != Severity::Note);
    }
    if !warnings.problems.is_empty() {
        // Where nothing can be said, on a full disk say, the server runs all the same.
        drop(note(&warnings.render(ReportStyle::Plain)));
    }
    app::logging::start(config.log);
    // A log that is read as JSON has this among its lines.
    let output = if config.log.format == LogFormat::Json { Output::new(true) } else { output };
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
        .on_thread_start(app::lower_thread_priority)
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let application = Application::build_in(process, config, path).await?;
        let banner = Banner::new(&application);
        // The parent process may have closed our output: that is no reason not to serve.
        let shown = output.one(&banner, text);
        if let Err(err) = shown {
            tracing::warn!(error = %err, "The addresses could not be printed");
        }
        application.run_until_stopped().await
    });
    // Handlers that do not end in time are not waited for: what they did not settle comes back.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    served.map_err(|err| CliError::Failed(error_chain(&err)))
}

/// Threads for deliveries: the listeners and the committer have their own.
const WORKERS: usize = 2;

/// What is shown when the server starts.
#[derive(Debug, Serialize)]
struct Banner {
    version: &'static str,
    public: Vec<String>,
    admin: Option<String>,
    sources: Vec<BannerSource>,
}

/// A source that can be posted to.
#[derive(Debug, Serialize)]
struct BannerSource {
    name: SourceName,
    provider: String,
    /// At this machine.
    url: String,
    /// What is pasted into the sender's console, where that is known.
    public_url: Option<String>,
    methods: Vec<String>,
    sample_type: Option<Cow<'static, str>>,
}

impl Banner {
    fn new(application: &Application) -> Self {
        let scheme = if application.is_tls() { "https" } else { "http" };
        let public = application.public().iter();
        let public: Vec<String> = public.map(|address| format!("{scheme}://{address}")).collect();
        let base = public.first().cloned().unwrap_or_default();
        let source = |source: SourceView| BannerSource {
            url: format!("{base}{}", source.path),
            public_url: source.url,
            methods: usual(&source.methods),
            name: source.name,
            sample_type: source.sample_type,
            provider: source.provider,
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            sources: application.sources().into_iter().map(source).collect(),
            admin: application.admin().map(|address| format!("http://{address}")),
            public,
        }
    }
}

/// Those that senders use, or all where there is none of them.
fn usual(methods: &[String]) -> Vec<String> {
    let usual = methods.iter().filter(|one| ["GET", "POST"].contains(&one.as_str()));
    let usual: Vec<String> = usual.cloned().collect();
    if usual.is_empty() { methods.to_vec() } else { usual }
}

/// Where to post, where to look, what to try.
fn text(banner: &Banner) -> String {
    let mut text = Page::default();
    text.line(format_args!("gatepost {} is running", banner.version));
    for BannerSource { url, public_url, methods, provider, .. } in &banner.sources {
        let methods = methods.join(" or ");
        text.line(format_args!("  hooks  {methods} {url}  ({provider})"));
        if let Some(public) = public_url.as_ref().filter(|public| *public != url) {
            text.line(format_args!("         for its sender: {public}"));
        }
    }
    text.line(format_args!("  admin  {}", banner.admin.as_deref().unwrap_or_default()));
    match banner.sources.first() {
        Some(source) => {
            let sample = source.sample_type.as_deref().unwrap_or("TYPE");
            text.line(format_args!("  try    gatepost send {} {sample}", source.name));
        }
        None => {
            text.line(format_args!("  none   add [source.NAME], then `gatepost reload`"));
        }
    }
    text.finish()
}
