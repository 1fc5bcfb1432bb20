//! `send`: what a provider would do, with the source's own secret.

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{RejectedView, StatusView, error_chain};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::deliver::OWN_SOURCE;
use crate::event::{EventType, SourceName};
use crate::secret::SecretError;
use crate::settings::{is_one_slip, nearest};
use crate::source::{SignedRequest, Source};

use super::args::Send;
use super::output::{Output, note, plain};
use super::store::{Reached, Server};
use super::{CliError, curl, known};

/// Longer than the server takes for a durable commit.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Signs a sample, or a file, and posts it, or prints how `curl` would.
pub(super) async fn run(options: Send, config: &Config, output: Output) -> Result<(), CliError> {
    if options.curl {
        let Prepared { address, signed, is_own_tls, .. } = prepare(&options, config).await?;
        let curl = curl::command(&address, &signed.headers, &signed.body, is_own_tls)?;
        return output.one(&AsCurl { curl }, |shown| shown.curl.clone());
    }
    let sent = post(&options, config).await?;
    output.one(&sent, |sent| match sent.id() {
        Some(id) => format!("stored as {id}\nnext: gatepost events show {id}"),
        // Twilio and Slack want an empty answer, or one of its own is configured.
        None => format!("stored\nnext: gatepost events list --source {}", options.source),
    })
}

#[derive(Debug, Serialize)]
struct AsCurl {
    curl: String,
}

/// A request that is ready to be posted.
struct Prepared {
    origin: String,
    address: String,
    signed: SignedRequest,
    /// It goes to the server of this configuration, whose certificate is for another name.
    is_own_tls: bool,
}

/// What `options` ask for, signed by the source's own secret as of now.
async fn prepare(options: &Send, config: &Config) -> Result<Prepared, CliError> {
    let source = source(&options.source, config)?;
    let event_type = match (options.event_type.as_deref(), &options.body) {
        (Some(event_type), _) => event_type,
        // What is sent says it.
        (None, Some(_)) if source.has_type_in_body() => "",
        (None, _) => return Err(no_type(&source)),
    };
    let now = SystemClock::new().now();
    let body = if let Some(file) = &options.body {
        read(file)?
    } else {
        refuse_slip(event_type, &source)?;
        note_made_up(event_type, &source.sample_types())?;
        source.sample(event_type, now)
    };
    let url = match &options.url {
        Some(url) => url.clone(),
        None => own_url(&source, config).await,
    };
    let (origin, path_and_query) = split(&url)?;
    let event_type = EventType::new(event_type);
    let signed = source.sign(&event_type, body, path_and_query, now);
    let signed = signed.map_err(|err| CliError::Failed(error_chain(&err)))?;

    let address = format!("{origin}{}", signed.address(path_and_query));
    let is_own_tls = options.url.is_none() && origin.starts_with("https:");
    Ok(Prepared { origin: origin.to_owned(), address, signed, is_own_tls })
}

/// Posts it; gives the answer, with the address that it came from.
pub(super) async fn post(options: &Send, config: &Config) -> Result<SentSample, CliError> {
    let Prepared { origin, address, signed, is_own_tls } = prepare(options, config).await?;
    let mut request = client(is_own_tls)?.post(&address);
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    let response = request.body(signed.body).send().await;
    let response = response.map_err(|err| {
        let why = error_chain(&err);
        let next = if options.url.is_none() && err.is_connect() {
            "\nnext: `gatepost serve` starts the server of this configuration; `--url` names another one"
        } else {
            ""
        };
        CliError::Unreachable(format!("`{origin}` does not answer: {why}{next}"))
    })?;
    let status = response.status();
    let answer = response.bytes().await.map_err(|err| CliError::failed(&err))?;
    if status != StatusCode::OK {
        let why = why_not(status, &options.source, config).await.unwrap_or_default();
        return Err(CliError::Failed(format!("`{origin}` answered {status}{why}")));
    }
    // A source may answer in its sender's words, without the id.
    let answer = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(SentSample { answer, url: address })
}

/// Why the server of this configuration refused it, which it tells no sender.
async fn why_not(status: StatusCode, source: &str, config: &Config) -> Option<String> {
    let Ok(Reached::Server(server)) = Server::reach(config).await else { return None };
    match status {
        StatusCode::UNAUTHORIZED => {
            let newest = [("limit".to_owned(), "1".to_owned())];
            let newest = server.get::<Vec<RejectedView>>("rejected", &newest).await.ok()?.pop()?;
            let is_it = newest.source.as_str() == source;
            is_it.then(|| format!("\nnext: gatepost rejected explain {}", newest.number))
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            let view = server.get::<StatusView>("status", &[]).await.ok()?;
            let problem = view.problems.into_iter().next()?;
            Some(format!(": {}\nnext: gatepost status", plain(&problem)))
        }
        _ => None,
    }
}

/// What the server answered, and where it was asked.
#[derive(Debug, Serialize)]
pub(super) struct SentSample {
    /// As any sender gets it: the configuration may say otherwise than `{"id": …}`.
    #[serde(flatten)]
    answer: Map<String, Value>,
    url: String,
}

impl SentSample {
    /// The event's, where the source answers with it.
    pub(super) fn id(&self) -> Option<String> {
        self.answer.get("id").and_then(Value::as_str).map(plain)
    }
}

/// Says which types there are samples of.
fn no_type(source: &Source) -> CliError {
    let name = source.name();
    let types = source.sample_types();
    CliError::Usage(match types.first() {
        Some(first) => format!(
            "no type is named; there are samples of {}: `gatepost send {name} {first}`",
            types.join(", ")
        ),
        None => format!("no type is named: `gatepost send {name} TYPE`, with a type that it sends"),
    })
}

fn source(name: &str, config: &Config) -> Result<Source, CliError> {
    let found = SourceName::parse(name).ok();
    let found = found.and_then(|name| config.sources.get_key_value(&name));
    let Some((name, settings)) = found else { return Err(no_source(name, config)) };
    Source::build(name.clone(), settings.clone()).map_err(|err| {
        let next = if SecretError::is_of_unseen_credential(&err) {
            "\nnext: the source's page on the dashboard sends a test event with the server's own secret"
        } else {
            ""
        };
        CliError::Failed(format!("{}{next}", error_chain(&err)))
    })
}

pub(super) fn no_source(name: &str, config: &Config) -> CliError {
    if name == OWN_SOURCE {
        return CliError::Usage(format!(
            "`{name}` is the source of Gatepost's own events, which no sender sends: \
             `gatepost handlers try NAME --sample {name} handler.down` shows one at a handler"
        ));
    }
    CliError::Failed(known::no_source(name, config))
}

/// A hint behind a message, where one of `known` is near.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// What is a letter away from the type of a sample is a slip, and would go to the handlers all the same.
fn refuse_slip(event_type: &str, source: &Source) -> Result<(), CliError> {
    let types = source.sample_types();
    if types.contains(&event_type) || source.settings().known_types().contains(&event_type) {
        return Ok(());
    }
    let slip = types.iter().find(|known| is_one_slip(event_type, known));
    let Some(near) = slip else { return Ok(()) };
    Err(CliError::Usage(format!(
        "there is no sample of `{}`; did you mean `{near}`? With `--body FILE` any type is sent",
        plain(event_type)
    )))
}

/// Says that a body is nothing that the sender would send, where it has samples and none of this type.
pub(super) fn note_made_up(event_type: &str, known: &[&str]) -> Result<(), CliError> {
    if known.is_empty() || known.contains(&event_type) {
        return Ok(());
    }
    let hint = did_you_mean(event_type, known.iter().copied());
    let event_type = plain(event_type);
    note(&format!("there is no sample of `{event_type}`, so its body is made up{hint}"))
}

/// The source's address at the listener of this configuration's server.
async fn own_url(source: &Source, config: &Config) -> String {
    let (scheme, listener) = match running_listener(config).await {
        Some(running) => running,
        None => configured_listener(config),
    };
    format!(
        "{scheme}://{}{}{}",
        on_this_machine(listener),
        crate::http::public::HOOKS,
        source.name()
    )
}

/// What the server that runs speaks and where it listens, as it says itself: that may not be what its file says by
/// now, since `listen` and `tls` count from its next start on. Nothing = none runs, or it does not say.
async fn running_listener(config: &Config) -> Option<(String, SocketAddr)> {
    #[derive(Deserialize)]
    struct Running {
        address: String,
    }
    let Ok(Reached::Server(server)) = Server::reach(config).await else { return None };
    let Running { address } = server.get("config", &[]).await.ok()?;
    let (scheme, listener) = address.split_once("://")?;
    Some((scheme.to_owned(), listener.parse().ok()?))
}

/// The same by the file.
fn configured_listener(config: &Config) -> (String, SocketAddr) {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let listen = config.server.listen.first().copied();
    (scheme.to_owned(), listen.unwrap_or(([127, 0, 0, 1], 8080).into()))
}

/// Every address is one of its own machine.
fn on_this_machine(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        listener.set_ip(match listener {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listener
}

/// `https://host` and `/path?query`.
fn split(url: &str) -> Result<(&str, &str), CliError> {
    let after = url.find("://").map(|at| at + 3).filter(|_| url.starts_with("http"));
    let after = after.ok_or_else(|| CliError::Usage(format!("`{url}` is not a URL")))?;
    let rest = url.get(after..).unwrap_or_default();
    Ok(match rest.find('/') {
        Some(at) => url.split_at(after + at),
        None => (url, "/"),
    })
}

/// The content of `file`, or of standard input.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    let mut body = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut body)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut body))
    };
    read.map_err(|err| CliError::Failed(format!("`{}` cannot be read: {err}", file.display())))?;
    Ok(body)
}

/// `is_own_tls`: it asks this machine's own listener, by an address that no certificate is for.
fn client(is_own_tls: bool) -> Result<reqwest::Client, CliError> {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .tls_danger_accept_invalid_certs(is_own_tls)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    client.map_err(|err| CliError::Failed(error_chain(&err)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_before_its_path() {
        for (url, origin, path) in [
            ("http://127.0.0.1:8080/hooks/a?b=c", "http://127.0.0.1:8080", "/hooks/a?b=c"),
            ("https://example.com", "https://example.com", "/"),
        ] {
            assert_eq!(split(url).unwrap(), (origin, path));
        }
        assert!(matches!(split("example.com/hooks"), Err(CliError::Usage(_))));
    }
}
