//! The way to the mail server: connections that are kept for the next mail.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::composed::Mail;
use super::connection::SmtpConnection;
use super::dialog::{self, Progress, Refused, SendError, Step};
use super::reply::SmtpError;
use super::settings::Settings;
use super::url::{SmtpUrl, TlsUse};
use crate::clock::{Clock, Timestamp};
use crate::event::{Failure, FailureClass};
use crate::handler::trust::{self, Trust};
use crate::handler::{BuildContext, BuildError};
use crate::sync::lock;
use crate::text::host_and_port;

/// How long a connection may stand idle. Servers end idle ones after minutes, and one that is used
/// just then is a failure for nothing.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a server may take for all that comes before the mail itself, where no `timeout` is given: less than
/// for its last word, since nothing is lost or done twice by another try.
pub(super) const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A mail server, and the connections to it that are free.
pub(super) struct Smtp {
    url: SmtpUrl,
    tls: Option<TlsParameters>,
    /// Who judges the server's certificate, in place of the system's authorities.
    trust: Option<Arc<Trust>>,
    credentials: Option<Credentials>,
    hello: ClientId,
    /// How long a server may take for all that comes before the mail itself.
    begin_within: Duration,
    clock: Arc<dyn Clock>,
    /// No more than there can be calls at once.
    idle_max: usize,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: SmtpConnection,
    /// By the steady clock.
    since: Timestamp,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Reads the password and the authority; connects to nothing.
    pub(super) fn new(settings: &Settings, context: &BuildContext) -> Result<Self, BuildError> {
        let url = settings.smtp.clone();
        let credentials = match (&url.user, &settings.password) {
            (Some(user), Some(password)) => {
                let password = context.secret(password)?;
                let password = String::from_utf8_lossy(password.expose()).into_owned();
                Some(Credentials::new(user.clone(), password))
            }
            _ => None,
        };
        let trust = settings.ca.as_deref().map(Trust::read).transpose()?;
        let tls = match url.tls {
            TlsUse::None => None,
            TlsUse::Wrapped | TlsUse::Required | TlsUse::Opportunistic => {
                Some(tls(&url.host, trust.is_some())?)
            }
        };
        Ok(Self {
            url,
            tls,
            trust,
            credentials,
            hello: settings.hello.clone().map_or_else(own_name, ClientId::Domain),
            // An owner who asks for another `timeout` knows a server that takes longer, or wants to wait for none.
            begin_within: context.own_timeout.unwrap_or(BEGIN_TIMEOUT),
            clock: Arc::clone(&context.clock),
            idle_max: context.concurrency,
            idle: Mutex::default(),
        })
    }

    /// Sends one mail to all whom the server accepts; gives the others. Dropped in
    /// mid-way, it ends the connection.
    pub(super) async fn send(
        &self,
        mail: &Mail,
        progress: &Progress,
    ) -> Result<Vec<Refused>, Failure> {
        progress.set(Step::Connecting);
        let limit = self.begin_within;
        let beginning = tokio::time::timeout(limit, self.begin(mail, progress)).await;
        let begun = beginning.map_err(|_| self.gave_up(&progress.step(), limit))?;
        let (mut connection, refused) = begun?;
        if refused.len() < mail.envelope.to().len() {
            progress.set(Step::Text);
            if let Err(err) = connection.text(&mail.bytes).await {
                return Err(self.ended(connection, &err.into(), progress).await);
            }
        }
        self.keep(connection);
        Ok(refused)
    }

    /// Brings a connection to where the mail itself comes next, or has no reader left.
    async fn begin(
        &self,
        mail: &Mail,
        progress: &Progress,
    ) -> Result<(SmtpConnection, Vec<Refused>), Failure> {
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => self.connect(progress).await?,
        };
        match dialog::begin(&mut connection, mail, progress).await {
            Ok(refused) => Ok((connection, refused)),
            Err(err) => Err(self.ended(connection, &err, progress).await),
        }
    }

    /// Leaves the connection on which a mail failed.
    async fn ended(
        &self,
        connection: SmtpConnection,
        err: &SendError,
        progress: &Progress,
    ) -> Failure {
        let failure = self.of_mail(err, &progress.step());
        connection.quit().await;
        failure
    }

    /// The server did not answer at `step`.
    pub(super) fn gave_up(&self, step: &Step, limit: Duration) -> Failure {
        let (at, help) = (self.at(step), self.advice(step));
        Failure::transient(format_args!("{at}: no answer within {limit:?}{help}"))
            .with_class(FailureClass::Timeout)
    }

    /// Where something went wrong.
    pub(super) fn at(&self, step: &Step) -> String {
        format!("mail server `{}`, at {step}", host_and_port(&self.url.host, self.url.port))
    }

    fn text_of(&self, err: &SmtpError, step: &Step) -> String {
        format!("{}: {}", self.at(step), trust::advised(dialog::words_of(err)))
    }

    /// What went wrong with a mail.
    fn of_mail(&self, err: &SendError, step: &Step) -> Failure {
        match err {
            SendError::Sender => Failure::permanent(format_args!("{}: {err}", self.at(step))),
            SendError::Smtp(err) if err.is_permanent() && !dialog::is_of_settings(err, step) => {
                told(err, Failure::permanent(self.text_of(err, step)))
            }
            SendError::Smtp(err) => told(err, Failure::transient(self.text_of(err, step))),
        }
    }

    /// What to say where the server does not answer at `step`.
    pub(super) fn advice(&self, step: &Step) -> &'static str {
        self.url.silent(step)
    }

    /// Connects, logs in and takes leave.
    pub(super) async fn try_connect(&self, progress: &Progress) -> Result<(), Failure> {
        self.connect(progress).await?.quit().await;
        Ok(())
    }

    /// Takes leave on every connection that is free.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.lock_idle());
        join_all(idle.into_iter().map(|idle| idle.connection.quit())).await;
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        lock(&self.idle)
    }

    /// A free connection that still answers.
    async fn take_idle(&self) -> Option<SmtpConnection> {
        loop {
            let Idle { mut connection, since } = self.lock_idle().pop()?;
            let is_fresh = self.clock.steady().since(since) < IDLE_MAX;
            if is_fresh && connection.command("NOOP\r\n").await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: SmtpConnection) {
        let mut idle = self.lock_idle();
        if !connection.is_broken() && idle.len() < self.idle_max {
            idle.push(Idle { connection, since: self.clock.steady() });
        }
    }

    /// What goes wrong before there is a mail is nothing that the mail could be to blame for.
    async fn connect(&self, progress: &Progress) -> Result<SmtpConnection, Failure> {
        let of_server = |err: &SmtpError| {
            let step = progress.step();
            let help = if step == Step::Connecting { self.url.other_way(err) } else { "" };
            told(err, Failure::transient(format!("{}{help}", self.text_of(err, &step))))
        };
        let wrapped = self.tls.clone().filter(|_| self.url.tls == TlsUse::Wrapped);
        let place = (self.url.host.as_str(), self.url.port);
        let connecting = SmtpConnection::open(place, CONNECT_TIMEOUT, wrapped, &self.hello);
        let mut connection = connecting.await.map_err(|err| of_server(&err))?;
        let wants_tls = match self.url.tls {
            TlsUse::Required => true,
            TlsUse::Opportunistic => connection.offers_starttls(),
            TlsUse::Wrapped | TlsUse::None => false,
        };
        if let (true, Some(tls)) = (wants_tls, &self.tls) {
            progress.set(Step::StartTls);
            let started = connection.start_tls(tls.clone(), &self.hello).await;
            started.map_err(|err| of_server(&err))?;
        }
        let shown = connection.certificates().map_err(|err| of_server(&err))?;
        if let (Some(shown), Some(trust)) = (shown, &self.trust)
            && let Err(err) = trust.judge(&self.url.host, shown)
        {
            let why = trust::advised(err.to_string());
            connection.quit().await;
            let text = format!("{}: {why}", self.at(&progress.step()));
            return Err(Failure::transient(text).with_class(FailureClass::Connection));
        }
        if let Some(credentials) = &self.credentials {
            progress.set(Step::LogIn);
            if let Err(err) = connection.log_in(credentials).await {
                connection.quit().await;
                return Err(of_server(&err));
            }
        }
        Ok(connection)
    }
}

impl SmtpUrl {
    /// What to write where the connection failed before a word of SMTP, because one side begins with TLS
    /// and the other without.
    fn other_way(&self, err: &SmtpError) -> &'static str {
        match self.tls {
            TlsUse::Wrapped if trust::is_without_tls(&err.to_string()) => {
                ": the server begins without TLS on this port: write `smtp://`, which is STARTTLS"
            }
            TlsUse::Required | TlsUse::Opportunistic | TlsUse::None
                if matches!(err, SmtpError::Unclear(_)) =>
            {
                ": if the server begins with TLS on this port, write `smtps://`"
            }
            TlsUse::Wrapped | TlsUse::Required | TlsUse::Opportunistic | TlsUse::None => "",
        }
    }

    /// The same where the server said nothing at all: one that begins with TLS waits for us.
    fn silent(&self, step: &Step) -> &'static str {
        match (self.tls, step) {
            (TlsUse::Required | TlsUse::Opportunistic, Step::Connecting) => {
                ": if the server begins with TLS on this port, as it does on 465, write `smtps://`"
            }
            _ => "",
        }
    }
}

/// With `is_judged_after`, `Trust` looks at the certificate before anything is sent that counts: lettre takes no
/// verifier.
fn tls(host: &str, is_judged_after: bool) -> Result<TlsParameters, BuildError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if is_judged_after {
        builder = builder
            .certificate_store(CertificateStore::None)
            .dangerous_accept_invalid_certs(true)
            .dangerous_accept_invalid_hostnames(true);
    }
    builder.build().map_err(|err| BuildError::Unfit(format!("TLS cannot be set up: {err}")))
}

/// What this machine calls itself: its name where that can be looked up. Strict servers refuse one without a dot
/// (504, `reject_non_fqdn_helo_hostname`), as containers have, and take an address in its place (RFC 5321, 4.1.4).
fn own_name() -> ClientId {
    match ClientId::default() {
        ClientId::Domain(name) if !name.contains('.') => ClientId::Ipv4(Ipv4Addr::LOCALHOST),
        name => name,
    }
}

fn told(err: &SmtpError, failure: Failure) -> Failure {
    match err.status() {
        Some(status) => failure.with_status(status),
        None if err.is_timeout() => failure.with_class(FailureClass::Timeout),
        None if err.is_of_connection() => failure.with_class(FailureClass::Connection),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::handler::email::TIMEOUT;
    use crate::handler::testing::context;

    #[test]
    fn beginning_has_the_time_that_the_owner_gives_a_call() {
        let text = "smtp = \"smtp://localhost\"\nfrom = \"a@example.com\"\nto = \"'b@example.com'\"\n\
                    subject = \"x\"\ntext = \"x\"";
        let settings = crate::settings::read(text, Path::new("/"), Settings::read).value.unwrap();
        let begin_within = |own_timeout| {
            let context = BuildContext { timeout: TIMEOUT, own_timeout, ..context(Path::new("/")) };
            Smtp::new(&settings, &context).unwrap().begin_within
        };
        assert_eq!(begin_within(None), BEGIN_TIMEOUT);
        assert_eq!(begin_within(Some(TIMEOUT)), TIMEOUT, "also where it is the usual one");
    }
}
