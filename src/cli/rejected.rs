//! `rejected`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::api::{Changed, ClusterAnswer, ExplainView, RejectedView, ReleaseAsk, StoredEvent};
use crate::config::Config;
use crate::ingest::RejectedRing;
use crate::secret::SecretRef;
use crate::source::{Source, SourceCredentials};
use crate::text::{bytes, counted};

use super::args::{Rejected, RejectedRelease, SaidRejected};
use super::human::{ago, ago_and_exact};
use super::output::{self, Column, Output, Page, plain};
use super::store::{Reached, Server};
use super::{CliError, cluster, known};

const COLUMNS: &[Column<RejectedView>] = &[
    ("NUMBER", |one| one.number.to_string()),
    ("RECEIVED", |one| ago(one.received_at)),
    ("SOURCE", |one| one.source.to_string()),
    ("CLIENT", client),
    ("SIZE", |one| bytes(one.body_bytes as u64)),
    ("REASON", |one| plain(&one.reason)),
];

const NONE: &str = "no rejected requests are kept";

fn client(one: &RejectedView) -> String {
    one.client.map_or_else(|| "-".to_owned(), |client| client.to_string())
}

/// Does what `verb` says. While no server runs, what the last one kept is read from its file.
pub(super) async fn run(verb: Rejected, config: &Config, output: Output) -> Result<(), CliError> {
    let kept = match (&verb, Server::reach(config).await?) {
        (_, Reached::Server(server)) => Kept::Server(server),
        // Only a server can store what is released.
        (Rejected::Release(_), Reached::Nobody) => Kept::Server(Server::require(config).await?),
        (_, Reached::Nobody) => {
            let ring = RejectedRing::open(config.admin.rejected());
            Kept::File(ring, config.credentials(), sources_of(config))
        }
    };
    match verb {
        Rejected::List { limit, source } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let rejected = kept.of_source(source.as_deref(), limit).await?;
            if let Some(name) = source.as_ref().filter(|_| rejected.is_empty())
                && !known::is_source(name, config)
            {
                return Err(CliError::Failed(known::no_source(name, config)));
            }
            output.list(&rejected, COLUMNS, NONE)?;
            output::note_limit(output, (rejected.len(), limit), "newest")?;
            kept.list_elsewhere(source.as_deref(), output).await
        }
        Rejected::Show { number, raw } => {
            let request = kept.one(kept.number(number).await?).await?;
            if raw { output::bytes(&body(&request)?) } else { output.one(&request, text) }
        }
        Rejected::Explain { number } => {
            let explained = kept.explain(kept.number(number).await?, config).await?;
            output.one(&explained, |ExplainView { explanation, .. }| {
                let mut lines = vec![plain(&explanation.line)];
                lines.extend(explanation.config_hint.as_deref().map(plain));
                if let Some(table) = &explanation.config_table {
                    lines.push(String::new());
                    lines.extend(table.lines().map(plain));
                }
                lines.join("\n")
            })
        }
        Rejected::Release(RejectedRelease { number: Some(number), .. }) => {
            output.one(&kept.release(number).await?, |stored| format!("stored as {}", stored.id))
        }
        Rejected::Release(RejectedRelease { source, reason, all, limit, dry_run, .. }) => {
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            let ask = ReleaseAsk { source, reason, limit, all, dry_run };
            let changed = kept.release_all(&ask).await?;
            let unknown = ask.source.filter(|name| !known::is_source(name, config));
            if let Some(name) = unknown.filter(|_| changed.matched == 0) {
                return Err(CliError::Failed(known::no_source(&name, config)));
            }
            output.one(&changed, |Changed { matched, done, failed, .. }| {
                let requests = counted(*matched, "request", "requests");
                let stored = if dry_run { "would be stored" } else { "stored" };
                format!("{done} of {requests} {stored}, {failed} still fail verification")
            })?;
            kept.note_kept_elsewhere(output).await
        }
    }
}

/// Whom to ask.
enum Kept {
    /// The server that runs.
    Server(Server),
    /// What the last one left.
    File(RejectedRing, SourceCredentials, Vec<Source>),
}

/// The sources whose secrets are there: none is made for a look at what was refused.
fn sources_of(config: &Config) -> Vec<Source> {
    let sources = config.sources.iter().filter(|(_, settings)| {
        let mut secrets = settings.secrets.iter().chain(&settings.verify_token);
        !secrets.any(SecretRef::is_missing_file)
    });
    let sources = sources.map(|(name, settings)| Source::build(name.clone(), settings.clone()));
    sources.flatten().collect()
}

impl Kept {
    /// The newest that were sent to `source`, or to all.
    async fn of_source(
        &self,
        source: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RejectedView>, CliError> {
        let Some(source) = source else { return self.list(limit).await };
        let mut rejected = self.list(RejectedRing::ENTRIES_MAX).await?;
        rejected.retain(|request| request.source.as_str() == source);
        rejected.truncate(limit);
        Ok(rejected)
    }

    async fn list(&self, limit: usize) -> Result<Vec<RejectedView>, CliError> {
        match self {
            Self::Server(server) => {
                server.get("rejected", &[("limit".to_owned(), limit.to_string())]).await
            }
            Self::File(ring, credentials, sources) => {
                let sources: Vec<&Source> = sources.iter().collect();
                Ok(RejectedView::list(ring, credentials, &sources, limit))
            }
        }
    }

    /// What other gateways told that share the log, for people: `--json` lists what can be named by its number.
    async fn list_elsewhere(&self, source: Option<&str>, output: Output) -> Result<(), CliError> {
        let Self::Server(server) = self else { return Ok(()) };
        if output.is_json() {
            return Ok(());
        }
        // The list is there: a server that stopped since makes no error of it.
        let ClusterAnswer { reports, .. } = match server.get("cluster", &[]).await {
            Ok(answer) => answer,
            Err(err) => {
                return output::note(&format!("what other gateways told is not known: {err}"));
            }
        };
        let text = cluster::rejected_elsewhere(&reports, source);
        if text.is_empty() { Ok(()) } else { output::line(&text) }
    }

    /// Says which other gateways keep some too: a release is of those that are kept where it is asked for.
    async fn note_kept_elsewhere(&self, output: Output) -> Result<(), CliError> {
        let Self::Server(server) = self else { return Ok(()) };
        if output.is_json() {
            return Ok(());
        }
        // What was asked for is done, whatever is known of the others.
        let Ok(ClusterAnswer { reports, .. }) = server.get("cluster", &[]).await else {
            return Ok(());
        };
        let text = cluster::kept_elsewhere(&reports);
        if text.is_empty() { Ok(()) } else { output::line(&text) }
    }

    async fn number(&self, said: SaidRejected) -> Result<u64, CliError> {
        match said {
            SaidRejected::Number(number) => Ok(number),
            SaidRejected::Last => {
                let newest = self.list(1).await?.pop();
                let none = || CliError::Failed("no rejected request is kept".into());
                newest.map(|request| request.number).ok_or_else(none)
            }
        }
    }

    async fn one(&self, number: u64) -> Result<RejectedView, CliError> {
        match self {
            Self::Server(server) => server.get(&format!("rejected/{number}"), &[]).await,
            Self::File(ring, credentials, sources) => {
                let sources: Vec<&Source> = sources.iter().collect();
                Ok(RejectedView::one(ring, credentials, &sources, number)?)
            }
        }
    }

    async fn explain(&self, number: u64, config: &Config) -> Result<ExplainView, CliError> {
        match self {
            Self::Server(server) => server.get(&format!("rejected/{number}/explain"), &[]).await,
            Self::File(ring, ..) => {
                let sources = config.sources.iter();
                let sources =
                    sources.map(|(name, settings)| Source::build(name.clone(), settings.clone()));
                let sources: Vec<Source> =
                    sources.collect::<Result<_, _>>().map_err(|err| CliError::failed(&err))?;
                let sources: Vec<&Source> = sources.iter().collect();
                Ok(ExplainView::new(ring, &sources, number)?)
            }
        }
    }

    async fn release(&self, number: u64) -> Result<StoredEvent, CliError> {
        match self {
            Self::Server(server) => {
                server.post(&format!("rejected/{number}/release"), &json!({})).await
            }
            Self::File(..) => Err(CliError::Unreachable("no server is running".to_owned())),
        }
    }

    async fn release_all(&self, ask: &ReleaseAsk) -> Result<Changed, CliError> {
        match self {
            Self::Server(server) => server.post("rejected/release", ask).await,
            Self::File(..) => Err(CliError::Unreachable("no server is running".to_owned())),
        }
    }
}

fn body(request: &RejectedView) -> Result<Vec<u8>, CliError> {
    let text = request.body_base64.as_deref().unwrap_or_default();
    STANDARD.decode(text).map_err(|err| CliError::failed(&err))
}

fn text(request: &RejectedView) -> String {
    let mut text = Page::default();
    text.line(format_args!(
        "request {} to {}, {}, from {}: {}",
        request.number,
        request.source,
        ago_and_exact(request.received_at),
        client(request),
        plain(&request.reason),
    ));
    text.line(format_args!("{} {}", plain(&request.method), plain(&request.path)));
    headers(request.headers.as_deref().unwrap_or_default(), &mut text);
    let size = bytes(request.body_bytes as u64);
    text.line(format_args!("\n{size} of body: see them with --raw"));
    text.finish()
}

/// Adds one header a line.
pub(super) fn headers(headers: &[(String, String)], text: &mut Page) {
    for (name, value) in headers {
        text.line(format_args!("{}: {}", plain(name), plain(value)));
    }
}
