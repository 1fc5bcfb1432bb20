//! `check`.

use std::io::IsTerminal;
use std::path::Path;

use crate::api::{Reloaded, StatusView};
use crate::app::{OtherEnds, lint};
use crate::clock::Timestamp;
use crate::cluster::EngineReport;
use crate::config::{self, Checked, Config};
use crate::secret::SecretRef;
use crate::settings::{Problem, Report, ReportStyle, Severity};
use crate::text::counted;

use super::args::Check;
use super::output::{Output, json_text, line, note};
use super::store::{Reached, Server};
use super::{CliError, against};

/// What becomes of a handler that cannot be built.
const UNBUILT: &str = "until that is mended its events wait; `gatepost serve` starts without it, and \
                       `enabled = false` leaves it out";

/// Finds every mistake at once.
pub(super) async fn run(options: Check, path: &Path, output: Output) -> Result<(), CliError> {
    let (config, mut report) = match load(path) {
        Ok(good) => good,
        Err(report) => return Err(refused(&report, output)),
    };
    build(&config, &mut report);
    match crate::app::check_certificate(&config) {
        Some((key, message, true)) => report.fail(key, None, message, ""),
        Some((key, message, false)) => {
            let renew = "renew it: Gatepost takes the new files over by itself".to_owned();
            report.warn(key, config.place_of(key), "", message, renew);
        }
        None => {}
    }
    places(&config, &mut report);
    if let Some(line) = crate::app::left_behind_by(&config) {
        report.warn("handler", None, "", line, String::new());
    }
    if report.counts().0 > 0 {
        let refused = refused(&report, output);
        // A handler that cannot be built keeps no reload from being made. For programs there is one answer.
        if options.diff
            && !output.is_json()
            && let Err(err) = diff((path, &config), output).await
        {
            note(&err.to_string())?;
        }
        return Err(refused);
    }
    let online = if options.online { Some(online(&config).await) } else { None };
    show_good(&config, &report, &options, output)?;
    let problems = online.as_ref().map_or(&[][..], |ends| &ends.problems);
    let reached = online.iter().flat_map(|ends| &ends.reached).filter(|_| !output.is_json());
    reached.chain(problems).try_for_each(|line| note(line))?;
    if !output.is_json() {
        note_proxies(&config).await?;
    }
    if options.diff {
        diff((path, &config), output).await?;
    }
    if let (Some(since), Some(new)) = (&options.against, &options.new) {
        refuse_itself(path, new)?;
        compare((since.at, new), &config, output).await?;
    }
    ends(problems.len())
}

/// Tells of what is in the way where things are to be made, and of addresses that are not here.
fn places(config: &Config, report: &mut Report) {
    for (key, message) in crate::app::check_places(config) {
        let help = "name another place, or move what is there";
        report.fail(key, config.place_of(key), message, help);
    }
    let mut warn = |key: &str, message, help: &str| {
        report.warn(key, config.place_of(key), "", message, help.to_owned());
    };
    for (key, message) in crate::app::unwritable_places(config) {
        let help =
            "let `check` run as the user that `serve` runs as; if it does, name another place";
        warn(key, message, help);
    }
    for (key, message) in crate::app::kept_from_the_service(config) {
        let help = format!(
            "where the service runs as that user: `chown --reference='{}'` on it, or pass it as a systemd credential",
            config.queue.path.display()
        );
        warn(&key, message, &help);
    }
    if ["/etc", "/usr", "/boot"].iter().any(|system| config.queue.path.starts_with(system)) {
        let message = format!("the queue would be in `{}`", config.queue.path.display());
        let help = "services cannot write there: name a folder below `/var/lib`, as the head of `gatepost.service` does, also \
                    for the admin socket and token";
        warn("queue.path", message, help);
    }
    for (key, message) in crate::app::foreign_addresses(config) {
        let help =
            "on the machine that has it this is right; `0.0.0.0` and `[::]` are all of a machine's";
        warn(key, message, help);
    }
    if let Some(message) = crate::app::check_records(config) {
        warn("admin.token", message, "move what is there, or name another folder for `token`");
    }
}

fn ends(n_problems: usize) -> Result<(), CliError> {
    match n_problems {
        0 => Ok(()),
        1 => Err(CliError::Failed("1 of the other ends does not fit".to_owned())),
        n => Err(CliError::Failed(format!("{n} of the other ends do not fit"))),
    }
}

/// Shows what is wrong. That stays an error where the reader has gone, as `head` does.
fn refused(report: &Report, output: Output) -> CliError {
    match show(report, output) {
        Ok(()) | Err(CliError::OutputClosed) => CliError::ConfigurationShown,
        Err(err) => err,
    }
}

/// Reads the file at `path` and looks at its handlers with their samples, as far as they can be read where
/// something is wrong.
fn load(path: &Path) -> Result<(Config, Report), Report> {
    let Checked { config, partial, mut report } =
        config::check_file(path, Some(SecretRef::probe_outside))?;
    if let Some(config) = config {
        lint::lint(&config, &mut report);
        return Ok((config, report));
    }
    if let Some(partial) = partial {
        lint::lint_partial(&partial, &mut report);
        build(&partial.config, &mut report);
        report.sort();
    }
    Err(report)
}

/// Names the handlers that cannot be built, but for those that an error is told of already.
pub(super) fn build(config: &Config, report: &mut Report) {
    for (name, why) in crate::app::check_built(config) {
        let part = format!("handler.{name}");
        let is_told = |problem: &Problem| {
            let below = problem.path.strip_prefix(&part);
            problem.severity == Severity::Error
                && below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
        };
        if report.problems.iter().any(is_told) {
            continue;
        }
        let key = config.key_of(&name, &why);
        let place = key.as_ref().and_then(|key| config.place_of(key));
        let message = format!("handler `{name}` cannot be built: {why}");
        report.fail(&key.unwrap_or(part), place, message, UNBUILT);
    }
}

/// What the other ends are, with that of the shared log where there is one.
async fn online(config: &Config) -> OtherEnds {
    let mut ends = crate::app::check_online(config).await;
    match crate::app::check_engine(config).await {
        Some(Ok(EngineReport { version, durability, problems })) => {
            let problems = problems.into_iter().map(|one| format!("shared log: {one}"));
            ends.problems.extend(problems);
            ends.reached.push(format!("shared log: {version}; {durability}"));
        }
        Some(Err(why)) => ends.problems.push(format!("shared log: {why}")),
        None => {}
    }
    ends
}

/// Shows a configuration that is good: its warnings, and in words what it does.
fn show_good(
    config: &Config,
    report: &Report,
    options: &Check,
    output: Output,
) -> Result<(), CliError> {
    if output.is_json() {
        // One answer: that of what is asked for beside it.
        if options.against.is_none() && !options.diff {
            show(report, output)?;
        }
    } else {
        show(report, output)?;
        note(&summary(config, report))?;
        for (name, settings) in &config.sources {
            note(&format!("source `{name}`: {}", settings.repeats()))?;
        }
        note(&format!("the process is {}", crate::app::Sandbox::possible(config)))?;
    }
    Ok(())
}

/// Tells of the proxies that the running server's requests come through, where one runs.
/// A server that does not answer is not what is checked.
async fn note_proxies(config: &Config) -> Result<(), CliError> {
    let Ok(Reached::Server(server)) = Server::reach(config).await else { return Ok(()) };
    let Ok(status) = server.get::<StatusView>("status", &[]).await else { return Ok(()) };
    status.proxies.iter().try_for_each(|proxy| note(&proxy.advice))
}

/// A configuration differs in nothing from itself, whatever was changed in it.
fn refuse_itself(path: &Path, new: &Path) -> Result<(), CliError> {
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    if place(new).is_none_or(|new| place(path) != Some(new)) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "`{}` is the configuration that the other one is compared with: save what you changed as \
         another file, or see what a reload would change with `gatepost check --diff`",
        new.display()
    )))
}

/// Compares with the configuration in the file `new`.
async fn compare(
    (since, new): (Timestamp, &Path),
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let (compared, warnings) = match load(new) {
        Ok(good) => good,
        Err(report) => {
            show(&report, output)?;
            return Err(CliError::ConfigurationShown);
        }
    };
    if !warnings.problems.is_empty() {
        note(&warnings.render(ReportStyle::Plain))?;
    }
    against::run((since, new), config, &compared, output).await
}

/// The report: on standard output for programs, on standard error for people.
fn show(report: &Report, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return line(&json_text(&report.entries())?);
    }
    tell(report)
}

/// The report for people.
pub(super) fn tell(report: &Report) -> Result<(), CliError> {
    if report.problems.is_empty() {
        return Ok(());
    }
    let style =
        if std::io::stderr().is_terminal() { ReportStyle::Coloured } else { ReportStyle::Plain };
    note(&report.render(style))
}

fn summary(config: &Config, report: &Report) -> String {
    let (_errors, warnings) = report.counts();
    format!(
        "`{}` is good: {}, {}, {}",
        report.file,
        counted(config.sources.len() as u64, "source", "sources"),
        counted(config.handlers.len() as u64, "handler", "handlers"),
        counted(warnings as u64, "warning", "warnings")
    )
}

/// What a reload would change in the running server, one line each, and what speaks against it. Of another
/// file than the server reads: what would change if it stood in that one's place.
async fn diff((path, config): (&Path, &Config), output: Output) -> Result<(), CliError> {
    let mut reloaded: Reloaded = Server::require(config).await?.get("reload", &[]).await?;
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    let served = Path::new(&reloaded.file);
    let is_other = place(served).is_some_and(|served| place(path) != Some(served));
    if is_other {
        let (before, _) = load(served).map_err(|report| refused(&report, output))?;
        let changes = config::diff(&before, config);
        reloaded.changes = changes.iter().map(ToString::to_string).collect();
        reloaded.warnings.clear();
    }
    if output.is_json() {
        return line(&json_text(&reloaded)?);
    }
    for change in &reloaded.changes {
        line(change)?;
    }
    for warning in &reloaded.warnings {
        note(&format!("! {warning}"))?;
    }
    match (is_other, reloaded.changes.is_empty()) {
        (true, false) => {
            note(&format!("compared with `{}`, which the server reads", served.display()))
        }
        (true, true) => {
            note(&format!("nothing differs from `{}`, which the server reads", served.display()))
        }
        (false, true) => note("a reload would change nothing"),
        (false, false) => Ok(()),
    }
}
