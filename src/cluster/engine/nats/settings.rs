//! `[queue.nats]`, read and checked.

use std::path::PathBuf;
use std::str::FromStr;

use async_nats::ServerAddr;

use crate::cluster::engine::known_secret;
use crate::secret::SecretRef;
use crate::settings::Table;

/// The stream's name where nothing else is said.
const STREAM: &str = "gatepost";
/// Two of three acknowledge: one server may be down.
const REPLICAS: usize = 3;
/// JetStream's own limit.
const REPLICAS_MAX: usize = 5;
const STREAM_BYTES_MAX: usize = 32;

/// What the table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// The servers' URLs as they were written; none holds a password.
    pub servers: Vec<String>,
    /// The stream's name: `[a-zA-Z0-9_-]`.
    pub stream: String,
    /// How many servers hold a stream that is made.
    pub replicas: usize,
    /// How to log in.
    pub login: NatsLogin,
    /// The certificate of an authority of the owner's own, in PEM.
    pub ca: Option<PathBuf>,
    /// Whether a connection without TLS is given up.
    pub requires_tls: bool,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsLogin {
    /// The servers ask for nothing, or for what the address proves.
    Nothing,
    /// A file as `nsc` writes it, with a JWT and a key.
    Credentials(SecretRef),
    /// By name and password.
    User(String, SecretRef),
    /// By one word.
    Token(SecretRef),
}

impl NatsSettings {
    /// Reads `[queue.nats]`, and leaves finishing the table to the caller.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let servers = read_servers(table);
        let stream = table.checked("stream", check_stream);
        let replicas = table.checked("replicas", check_replicas);
        let login = read_login(table);
        let ca = table.take::<PathBuf>("ca");
        let tls = table.take::<bool>("tls");
        let is_wrong = |key: &str, is_read: bool| table.has(key) && !is_read;
        if is_wrong("stream", stream.is_some())
            || is_wrong("replicas", replicas.is_some())
            || is_wrong("tls", tls.is_some())
        {
            return None;
        }
        let servers = servers?;
        let leads_away = servers.iter().any(|server| !is_loopback(server));
        Some(Self {
            servers,
            stream: stream.unwrap_or_else(|| STREAM.to_owned()),
            replicas: replicas.unwrap_or(REPLICAS),
            login: login?,
            ca,
            requires_tls: tls.unwrap_or(leads_away),
        })
    }
}

fn read_servers(table: &mut Table<'_>) -> Option<Vec<String>> {
    const EXAMPLE: &str = "for example `nats://nats-1.example.com`, or a list of all servers";
    let Some(servers) = table.one_or_many::<String>("url") else {
        if !table.has("url") {
            table.missing("url", "write `url = [\"nats://nats-1.example.com\", …]`");
        }
        return None;
    };
    if servers.is_empty() {
        table.problem("url", "without a server there is no log", EXAMPLE);
        return None;
    }
    for server in &servers {
        // What follows the last `@` is the host.
        if server.contains('@') {
            table.hide("url");
            let help = "write `user` and `password`, `token` or `credentials` instead";
            table.problem("url", "how to log in does not stand in the URL", help);
            return None;
        }
        let is_known = server.starts_with("nats://") || server.starts_with("tls://");
        if !is_known || host(server).is_none() {
            table.problem("url", "this is no URL of a NATS server", EXAMPLE);
            return None;
        }
    }
    Some(servers)
}

fn read_login(table: &mut Table<'_>) -> Option<NatsLogin> {
    let credentials = known_secret::read(table, "credentials");
    let user = table.take::<String>("user");
    let password = known_secret::read(table, "password");
    let token = known_secret::read(table, "token");
    let given: Vec<&str> =
        ["credentials", "user", "token"].into_iter().filter(|key| table.has(key)).collect();
    if let [_, second, ..] = given[..] {
        table.problem(second, "one way to log in is enough", "leave the others out");
        return None;
    }
    if table.has("user") != table.has("password") {
        let (has, lacks) =
            if table.has("user") { ("user", "password") } else { ("password", "user") };
        table.problem(has, format_args!("`{has}` needs `{lacks}`"), "write both, or neither");
        return None;
    }
    match given.first() {
        None => Some(NatsLogin::Nothing),
        Some(&"credentials") => credentials.map(NatsLogin::Credentials),
        Some(&"user") => Some(NatsLogin::User(user?, password?)),
        Some(_) => token.map(NatsLogin::Token),
    }
}

fn host(server: &str) -> Option<String> {
    let address = ServerAddr::from_str(server).ok()?;
    Some(address.host().to_owned()).filter(|host| !host.is_empty())
}

/// Whether `server` is on this machine.
fn is_loopback(server: &str) -> bool {
    let Some(host) = host(server) else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn check_stream(name: String) -> Result<String, &'static str> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > STREAM_BYTES_MAX || !name.chars().all(is_good) {
        return Err("a stream here is 1 to 32 letters, digits, `_` or `-`");
    }
    Ok(name)
}

fn check_replicas(replicas: u64) -> Result<usize, String> {
    match usize::try_from(replicas) {
        Ok(replicas) if (1..=REPLICAS_MAX).contains(&replicas) => Ok(replicas),
        Ok(_) | Err(_) => Err(format!("a stream is on 1 to {REPLICAS_MAX} servers")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings;

    fn read(text: &str) -> (Option<NatsSettings>, Vec<String>) {
        let reading = settings::read(text, Path::new("/etc/gatepost"), NatsSettings::read);
        (reading.value, reading.problems.into_iter().map(|problem| problem.message).collect())
    }

    fn good(text: &str) -> NatsSettings {
        let (settings, problems) = read(text);
        assert_eq!(problems, Vec::<String>::new(), "{text}");
        settings.unwrap()
    }

    #[test]
    fn url_alone_is_enough() {
        let settings = good("url = \"nats://127.0.0.1:4222\"");
        assert_eq!(settings.servers, ["nats://127.0.0.1:4222"]);
        assert_eq!((settings.stream.as_str(), settings.replicas), ("gatepost", 3));
        assert_eq!((settings.login, settings.requires_tls), (NatsLogin::Nothing, false));
    }

    #[test]
    fn tls_is_needed_off_this_machine_unless_it_is_said_otherwise() {
        assert!(!good("url = [\"nats://localhost\", \"nats://[::1]:4333\"]").requires_tls);
        assert!(good("url = [\"nats://localhost\", \"nats://n2.example.com\"]").requires_tls);
        assert!(!good("url = \"nats://10.0.0.2\"\ntls = false").requires_tls);
        assert!(good("url = \"nats://127.0.0.1\"\ntls = true").requires_tls);
    }

    #[test]
    fn each_way_to_log_in() {
        let secret = |path: &str| SecretRef::File { path: path.into(), create: false };
        let with = |login: &str| good(&format!("url = \"nats://localhost\"\n{login}")).login;
        let expected = NatsLogin::Credentials(secret("/etc/gatepost/a.creds"));
        assert_eq!(with("credentials = { file = \"a.creds\" }"), expected);
        let expected = NatsLogin::User("u".to_owned(), secret("/etc/gatepost/p"));
        assert_eq!(with("user = \"u\"\npassword = { file = \"p\" }"), expected);
        let expected = NatsLogin::Token(secret("/etc/gatepost/t"));
        assert_eq!(with("token = { file = \"t\" }"), expected);
    }

    #[test]
    fn what_is_wrong_is_named_once_and_no_password_shown() {
        for text in [
            "",
            "url = []",
            "url = \"http://h\"",
            "url = \"h:4222\"",
            "url = \"nats://u:hunter2@h\"",
            "url = [\"nats://h\", \"nats://hunter2@h\"]",
            "url = \"nats://h\"\nstream = \"a.b\"",
            "url = \"nats://h\"\nreplicas = 6",
            "url = \"nats://h\"\nreplicas = 0",
            "url = \"nats://h\"\nuser = \"u\"",
            "url = \"nats://h\"\npassword = { file = \"p\" }",
            "url = \"nats://h\"\ntoken = { file = \"p\" }\ncredentials = { file = \"c\" }",
            // It would be made at a log-in where it is missing.
            "url = \"nats://h\"\ncredentials = { file = \"c\", create = true }",
            "url = \"nats://h\"\nuser = \"u\"\npassword = { file = \"p\", create = true }",
            "url = \"nats://h\"\ntoken = { file = \"t\", create = true }",
            "url = \"nats://h\"\nother = 1",
        ] {
            let (settings, problems) = read(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(settings.is_none() || text.contains("other"), "{text}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }
}
