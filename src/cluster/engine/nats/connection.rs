//! A connection to the NATS servers: requests with answers, and what went wrong beside them.

use std::fmt;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{
    AuthError, Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, Message, ServerError,
    Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Mutex, watch};

use super::failure::NatsFailure;
use super::login;
use super::settings::NatsSettings;
use crate::cluster::engine::authority;

/// How long one server may take to be connected to; there are others.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A server that leaves two of these unanswered is given up for another one.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);
/// How often it is looked whether the connection is there again.
const RECONNECT_POLL: Duration = Duration::from_millis(10);
/// What is remembered of refusals.
const DENIALS_MAX: usize = 16;

/// What the servers said beside answers.
#[derive(Clone, Debug, Default)]
struct SaidBeside {
    /// Each refused subject, in the server's words.
    denials: Vec<String>,
    /// The newest error of the connection.
    error: Option<String>,
    /// Why there is nothing to log in with.
    login: Option<String>,
    /// How often the connection was lost.
    n_lost: u64,
}

/// A connection, which comes back by itself.
pub(super) struct NatsConnection {
    pub(super) client: Client,
    /// What nodes tell each other of their appends.
    bells: Mutex<Subscriber>,
    said: watch::Sender<SaidBeside>,
}

impl fmt::Debug for NatsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.client.connection_state();
        f.debug_struct("NatsConnection").field("state", &state).finish_non_exhaustive()
    }
}

impl NatsConnection {
    pub(super) async fn open(settings: &NatsSettings, bell: String) -> Result<Self, NatsFailure> {
        let said = watch::Sender::new(SaidBeside::default());
        let (login, to_log_in, beside) = (settings.login.clone(), said.clone(), said.clone());
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            let (login, said) = (login.clone(), to_log_in.clone());
            async move {
                let auth = tokio::task::spawn_blocking(move || login::auth(&login, &nonce)).await;
                let auth = auth.unwrap_or_else(|err| Err(err.to_string()));
                said.send_modify(|said| said.login = auth.as_ref().err().cloned());
                auth.map_err(AuthError::new)
            }
        });
        options = options
            .name("gatepost")
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .request_timeout(None)
            .reconnect_delay_callback(|attempts| {
                let millis = u64::try_from(attempts).unwrap_or(u64::MAX).saturating_mul(50);
                Duration::from_millis(millis).min(RECONNECT_DELAY_MAX)
            })
            // What this engine appends it knows of already.
            .no_echo()
            .event_callback(move |event| {
                note(&beside, &event);
                std::future::ready(())
            });
        if settings.requires_tls {
            options = options.require_tls(true);
        }
        if let Some(ca) = &settings.ca {
            // The client's own error would not name it.
            authority::read(ca).await.map_err(NatsFailure::Refused)?;
            options = options.add_root_certificates(ca.clone());
        }
        let client = options.connect(settings.servers.as_slice()).await;
        let client = client.map_err(|err| match said.borrow().login.clone() {
            Some(why) => NatsFailure::Refused(why),
            None => connect_failure(&err, settings.requires_tls),
        })?;
        let bells = client.subscribe(bell).await;
        let bells = bells.map_err(|err| NatsFailure::Unavailable(err.to_string()))?;
        Ok(Self { client, bells: Mutex::new(bells), said })
    }

    /// Returns once the connection is there. What is asked before would be sent later all the same, when
    /// its caller has given it up.
    pub(super) async fn until_connected(&self) {
        while !self.is_there() {
            tokio::time::sleep(RECONNECT_POLL).await;
        }
    }

    /// Whether it is there, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often it was lost.
    pub(super) fn n_lost(&self) -> u64 {
        self.said.borrow().n_lost
    }

    /// Asks `subject`, and waits for the answer as long as the caller does. Not where the connection is
    /// lost before it is asked: what comes after may be another log.
    pub(super) async fn request(&self, subject: &str, body: Bytes) -> Result<Message, NatsFailure> {
        let n_lost = self.n_lost();
        self.until_connected().await;
        if self.n_lost() != n_lost {
            return Err(NatsFailure::Unavailable("the connection was lost meanwhile".to_owned()));
        }
        let mut said = self.said.subscribe();
        said.mark_unchanged();
        tokio::select! {
            answer = self.client.request(subject.to_owned(), body) => answer.map_err(|err| {
                match err.kind() {
                    RequestErrorKind::NoResponders => NatsFailure::Unavailable(format!(
                        "no server answers for `{subject}`: JetStream is off, or has no leader"
                    )),
                    RequestErrorKind::TimedOut
                    | RequestErrorKind::InvalidSubject
                    | RequestErrorKind::MaxPayloadExceeded
                    | RequestErrorKind::Other => NatsFailure::Unavailable(err.to_string()),
                }
            }),
            denial = denied(&mut said, subject) => Err(NatsFailure::Refused(denial)),
            // The answer is lost with it, and whether it was done is not known: waiting for it costs 3 s.
            () = lost(self.said.subscribe(), n_lost) => {
                Err(NatsFailure::Unavailable("the connection was lost meanwhile".to_owned()))
            }
        }
    }

    /// Why `subject` is not answered in time.
    pub(super) fn no_answer(&self, subject: &str) -> NatsFailure {
        let said = self.said.borrow();
        if let Some(denial) = said.denial_of(subject) {
            return NatsFailure::Refused(denial.to_owned());
        }
        if let Some(why) = &said.login {
            return NatsFailure::Refused(why.clone());
        }
        let why = said.error.as_deref().map(|err| format!(": {err}")).unwrap_or_default();
        NatsFailure::Unavailable(match self.client.connection_state() {
            State::Connected => format!("`{subject}` was not answered in time{why}"),
            State::Pending | State::Disconnected => format!("there is no connection{why}"),
        })
    }

    /// The next place in the log that another node told of. One caller hears each.
    pub(super) async fn next_bell(&self) -> Option<u64> {
        let message = self.bells.lock().await.next().await?;
        std::str::from_utf8(&message.payload).ok()?.parse().ok()
    }
}

impl SaidBeside {
    /// A refusal that concerns `subject`: of itself, or of all answers.
    fn denial_of(&self, subject: &str) -> Option<&str> {
        let subject = format!("\"{subject}\"");
        let concerns = |denial: &&String| {
            denial.contains(&subject) || denial.to_lowercase().contains("subscription to \"_inbox")
        };
        self.denials.iter().rev().find(concerns).map(String::as_str)
    }
}

/// Returns once the servers refuse `subject`.
async fn denied(said: &mut watch::Receiver<SaidBeside>, subject: &str) -> String {
    loop {
        if said.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Some(denial) = said.borrow_and_update().denial_of(subject) {
            return denial.to_owned();
        }
    }
}

/// Returns once a connection is lost that was there when `n_lost` were.
async fn lost(mut said: watch::Receiver<SaidBeside>, n_lost: u64) {
    // An error means that the client is gone.
    drop(said.wait_for(|said| said.n_lost != n_lost).await);
}

fn note(said: &watch::Sender<SaidBeside>, event: &Event) {
    match event {
        // Permissions may be others now.
        Event::Connected => said.send_modify(|said| {
            *said = SaidBeside { n_lost: said.n_lost, ..SaidBeside::default() };
        }),
        Event::Disconnected => said.send_modify(|said| said.n_lost += 1),
        Event::ServerError(ServerError::Other(text))
            if text.to_lowercase().contains("permissions violation") =>
        {
            said.send_modify(|said| {
                if said.denials.len() == DENIALS_MAX {
                    said.denials.remove(0);
                }
                said.denials.push(text.clone());
            });
        }
        Event::ServerError(_) | Event::ClientError(_) => {
            said.send_modify(|said| said.error = Some(event.to_string()));
        }
        Event::LameDuckMode | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {}
    }
}

fn connect_failure(err: &ConnectError, requires_tls: bool) -> NatsFailure {
    if let Some(why) = authority::untrusted(err) {
        return NatsFailure::Refused(why);
    }
    let text = err.to_string();
    // A server without TLS goes on in plain text where TLS begins.
    if requires_tls && text.contains("corrupt message") {
        return NatsFailure::Refused(format!(
            "the server does not speak TLS: set it up there, or write `tls = false` if the network is \
             trusted ({text})"
        ));
    }
    match err.kind() {
        ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::Tls
        | ConnectErrorKind::ServerParse => NatsFailure::Refused(text),
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => NatsFailure::Unavailable(text),
    }
}
