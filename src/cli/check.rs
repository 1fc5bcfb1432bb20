//! `check`.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::Value;

use crate::config::{self, Config};
use crate::settings::{Look, Report};

use super::args::Check;
use super::output::{Output, line, note};
use super::store::{self, Reached, Server};
use super::{CliError, against};

/// Finds every mistake at once.
pub(super) async fn run(options: Check, path: &Path, output: Output) -> Result<(), CliError> {
    let (config, mut report) = match config::load(path) {
        Ok(good) => good,
        Err(report) => {
            show(&report, output)?;
            return Err(CliError::ConfigurationShown);
        }
    };
    crate::app::lint::lint(&config, &mut report);
    for (name, why) in crate::app::check_built(&config) {
        let message = format!("handler `{name}` cannot be built: {why}");
        report.fail(&format!("handler.{name}"), message);
    }
    match crate::app::check_certificate(&config) {
        Some((key, message, true)) => report.fail(key, message),
        Some((key, message, false)) => {
            let renew = "renew it: Gatepost takes the new files over by itself".to_owned();
            report.warn(key, config.place_of(key), "", message, renew);
        }
        None => {}
    }
    if report.counts().0 > 0 {
        show(&report, output)?;
        return Err(CliError::ConfigurationShown);
    }
    for (name, line) in crate::app::left_behind_by(&config) {
        report.warn(&format!("handler.{name}"), None, "", line, String::new());
    }
    let mut problems = Vec::new();
    if options.online {
        problems = crate::app::check_online(&config).await;
    }
    if output.is_json() {
        // One answer: the comparison's, where one is asked for.
        if options.against.is_none() {
            show(&report, output)?;
        }
    } else {
        show(&report, output)?;
        note(&summary(&config, &report))?;
        for (name, settings) in &config.sources {
            note(&format!("source `{name}`: {}", settings.repeats()))?;
        }
        note(&format!("the process is {}", crate::app::Sandbox::possible(&config)))?;
    }
    for problem in &problems {
        note(problem)?;
    }
    if !output.is_json() {
        note_proxies(&config).await?;
    }
    if options.diff {
        diff(&config).await?;
    }
    if let (Some(since), Some(new)) = (&options.against, &options.new) {
        compare((since, new), &config, output).await?;
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CliError::Failed(format!("{} of the other ends do not fit", problems.len())))
    }
}

/// Tells of the proxies that the running server's requests come through, where one runs.
/// A server that does not answer is not what is checked.
async fn note_proxies(config: &Config) -> Result<(), CliError> {
    let Ok(Reached::Server(server)) = Server::reach(config).await else { return Ok(()) };
    let Ok(status) = server.get("status", &[]).await else { return Ok(()) };
    let proxies = status.get("proxies").and_then(Value::as_array);
    for proxy in proxies.into_iter().flatten() {
        if let Some(advice) = proxy.get("advice").and_then(Value::as_str) {
            note(advice)?;
        }
    }
    Ok(())
}

/// Compares with the configuration in the file `new`.
async fn compare(
    (since, new): (&str, &Path),
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let (compared, warnings) = match config::load(new) {
        Ok(good) => good,
        Err(report) => {
            show(&report, output)?;
            return Err(CliError::ConfigurationShown);
        }
    };
    if !warnings.problems.is_empty() {
        note(&warnings.render(Look::Plain))?;
    }
    against::run((since, new), config, &compared, output).await
}

/// The report: on standard output for programs, on standard error for people.
fn show(report: &Report, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return line(&store::value(&report.entries())?.to_string());
    }
    if report.problems.is_empty() {
        return Ok(());
    }
    let look = if std::io::stderr().is_terminal() { Look::Coloured } else { Look::Plain };
    note(&report.render(look))
}

fn summary(config: &Config, report: &Report) -> String {
    let (_errors, warnings) = report.counts();
    format!(
        "`{}` is good: {} sources, {} handlers, {warnings} warnings",
        report.file,
        config.sources.len(),
        config.handlers.len()
    )
}

/// What a reload would change in the running server, one line each, and what speaks against it.
async fn diff(config: &Config) -> Result<(), CliError> {
    let answer = Server::require(config).await?.get("reload", &[]).await?;
    let list = |key: &str| {
        let list = answer.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    };
    let mut is_same = true;
    for change in list("changes") {
        is_same = false;
        line(change)?;
    }
    for warning in list("warnings") {
        note(&format!("! {warning}"))?;
    }
    if is_same { note("a reload would change nothing") } else { Ok(()) }
}
