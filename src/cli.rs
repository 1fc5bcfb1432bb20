//! The command line: one verb per file, each a question to the running server or to the store.

use std::path::Path;

use crate::api::{Reloaded, error_chain};
use crate::config::{self, Config};
use crate::settings::Report;

mod against;
mod args;
mod check;
mod cluster;
mod configured;
mod curl;
mod dead;
mod edit;
mod error;
mod events;
mod fitted;
mod fixtures;
mod handlers;
mod human;
mod import;
mod init;
mod known;
mod named_event;
mod other_verbs;
mod output;
mod pretty;
mod progress;
mod queue;
mod rejected;
mod replay;
mod replay_done;
mod rollouts;
mod schema;
mod screen;
mod send;
mod serve;
mod standby;
mod status;
mod store;
mod top;
mod trial;
mod when;

pub use args::Cli;
pub use configured::parse;
pub use error::CliError;

use args::{Check, ClusterVerb, Serve, Verb};
use output::Output;
use store::{Reached, Server};

pub fn run(cli: Cli) -> Result<(), CliError> {
    let Cli { config, json, verb } = cli;
    let output = Output::new(json);
    only_ours();
    match verb {
        Verb::Serve(Serve { file }) => serve::run(&file.unwrap_or(config), output),
        Verb::Import(verb) => import::run(&verb, &config, output),
        Verb::Init(options) => init::run(&options, &config, output),
        Verb::Schema { markdown } => schema::run(markdown),
        Verb::Completions { shell } => schema::completions(shell),
        Verb::Man { folder } => schema::man(&folder),
        Verb::Standby(options) => standby::run(options, output),
        Verb::Restore(options) => standby::restore(options, output),
        Verb::Test(options) => fixtures::test(options, &config, output),
        Verb::Check(options) => wait_for(check(options, &config, output)),
        Verb::Handlers(verb) => wait_for(handlers::run(verb, &config, output)),
        // They are about what the file says.
        Verb::Reload => wait_for(async { reload(&load(&config)?, output).await }),
        Verb::Send(options) => {
            wait_for(async { send::run(options, &load(&config)?, output).await })
        }
        Verb::Status(options) => {
            ask(&config, async |config| status::run(&options, config, output).await)
        }
        Verb::Top(options) => ask(&config, async |config| top::run(&options, config, output).await),
        Verb::Events(verb) => ask(&config, async |config| events::run(verb, config, output).await),
        Verb::Dead(verb) => ask(&config, async |config| dead::run(verb, config, output).await),
        Verb::Rollouts(verb) => {
            ask(&config, async |config| rollouts::run(verb, config, output).await)
        }
        Verb::Rejected(verb) => {
            ask(&config, async |config| rejected::run(verb, config, output).await)
        }
        Verb::Queue(verb) => ask(&config, async |config| queue::run(verb, config, output).await),
        Verb::Cluster(ClusterVerb::Status) => {
            ask(&config, async |config| cluster::status(config, output).await)
        }
    }
}

/// Lets only its owner read what is made: events, secrets, databases and the configuration, which
/// has addresses of people in it.
fn only_ours() {
    let others = rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO;
    rustix::process::umask(others);
}

/// Does what takes its time.
fn wait_for(verb: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verb)
}

/// A question to the server of the configuration at `path`, or to its store.
fn ask(
    path: &Path,
    question: impl AsyncFnOnce(&Config) -> Result<(), CliError>,
) -> Result<(), CliError> {
    wait_for(async { question(&load_or_reach(path).await?).await })
}

async fn check(mut options: Check, path: &Path, output: Output) -> Result<(), CliError> {
    let file = if options.against.is_none() { options.new.take() } else { None };
    check::run(options, file.as_deref().unwrap_or(path), output).await
}

/// The checked configuration. Its warnings are for `check` and `serve`. The secrets are the server's: what
/// systemd passes on to that is seen by no command beside it, `ExecReload=` included.
fn load(path: &Path) -> Result<Config, CliError> {
    load_with_warnings(path).map(|(config, _warnings)| config)
}

/// The same; where it has mistakes what of it leads to the server that runs, which is looked at and steered
/// while its owner writes.
async fn load_or_reach(path: &Path) -> Result<Config, CliError> {
    let report = match config::load_without_secrets(path) {
        Ok((config, _warnings)) => return Ok(config),
        Err(report) => report,
    };
    if let Some(config) = config::to_reach(path)
        && let Ok(Reached::Server(_)) = Server::reach(&config).await
    {
        // Another file's server may be the one that is reached: with no file at all it is that of its folder.
        output::note(&match std::fs::File::open(path) {
            Ok(_) => "! the configuration has mistakes, which `gatepost check` names; the server that runs goes \
                      on with the one before"
                .to_owned(),
            Err(err) => format!(
                "! `{}` cannot be read ({err}): this is the server at `{}`",
                path.display(),
                config.admin.socket.display()
            ),
        })?;
        return Ok(config);
    }
    Err(CliError::Configuration(Box::new(report)))
}

fn load_with_warnings(path: &Path) -> Result<(Config, Report), CliError> {
    config::load_without_secrets(path).map_err(|report| CliError::Configuration(Box::new(report)))
}

async fn reload(config: &Config, output: Output) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    let reloaded: Reloaded = server.post("reload", &serde_json::json!({})).await?;
    output.one(&reloaded, |reloaded| {
        let (changes, warnings) = (reloaded.changes.iter(), reloaded.warnings.iter());
        let mut text = String::from("reloaded");
        for (before, line) in changes.map(|one| ("", one)).chain(warnings.map(|one| ("! ", one))) {
            text.push_str("\n  ");
            text.push_str(before);
            text.push_str(line);
        }
        text
    })
}
