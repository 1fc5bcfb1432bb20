//! Where the database is.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::engine::Engine;
use crate::secret::Secret;
use crate::text::host_and_port;

/// A database's address, checked. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres {
        /// The URL as it was written.
        url: String,
        /// Whether TLS is wanted because the URL says nothing of it and leads off this machine.
        default_tls: bool,
    },
    /// A MySQL or MariaDB server.
    MySql {
        /// The URL as it was written.
        url: String,
        /// Whether TLS is wanted because the URL says nothing of it and leads off this machine.
        default_tls: bool,
    },
}

/// A text that is no database's address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Neither of the kinds.
    #[error("this is no database: it begins with `sqlite:`, `postgres://` or `mysql://`")]
    Scheme,
    /// A file that is none.
    #[error("SQLite needs the path of a file here, without parameters: `sqlite:data/site.db`")]
    File,
    /// It holds a password.
    #[error("a password does not stand in the configuration: write it as `password = {{ … }}`")]
    Password,
    /// The driver does not understand it.
    #[error("this is no URL of a database: {0}")]
    Other(String),
}

impl DatabaseUrl {
    /// Reads `text`; a relative path starts from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once(':').ok_or(BadUrl::Scheme)?;
        let url = text.to_owned();
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.starts_with(':') || path.contains(['?', '#', '\0']) {
                    return Err(BadUrl::File);
                }
                Ok(Self::Sqlite(folder.join(path)))
            }
            "postgres" | "postgresql" => {
                refuse_password(rest)?;
                let options = PgConnectOptions::from_str(text).map_err(|err| no_url(&err))?;
                let is_local = options.get_socket().is_some() || is_loopback(options.get_host());
                let default_tls = !is_local && !rest.contains("sslmode=");
                Ok(Self::Postgres { url, default_tls })
            }
            "mysql" | "mariadb" => {
                refuse_password(rest)?;
                let options = MySqlConnectOptions::from_str(text).map_err(|err| no_url(&err))?;
                let is_local = options.get_socket().is_some() || is_loopback(options.get_host());
                let default_tls = !is_local && !rest.contains("ssl-mode=");
                Ok(Self::MySql { url, default_tls })
            }
            _ => Err(BadUrl::Scheme),
        }
    }

    /// Which one it is, for people: where it is, and nothing of the user.
    pub(crate) fn place(&self) -> String {
        let place = match self {
            Self::Sqlite(path) => Some(path.display().to_string()),
            Self::Postgres { url, .. } => PgConnectOptions::from_str(url).ok().map(|options| {
                let (host, port) = (options.get_host(), options.get_port());
                let folder = options.get_socket().map(PathBuf::as_path);
                let folder = folder.or_else(|| host.starts_with('/').then(|| Path::new(host)));
                let socket = folder.map(|folder| folder.join(format!(".s.PGSQL.{port}")));
                show_place(host, port, socket.as_deref())
            }),
            Self::MySql { url, .. } => MySqlConnectOptions::from_str(url).ok().map(|options| {
                let socket = options.get_socket().map(PathBuf::as_path);
                show_place(options.get_host(), options.get_port(), socket)
            }),
        };
        place.map_or_else(|| "database".to_owned(), |place| format!("database `{place}`"))
    }

    /// Which kind of database it is.
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres { .. } => Engine::Postgres,
            Self::MySql { .. } => Engine::MySql,
        }
    }
}

fn show_place(host: &str, port: u16, socket: Option<&Path>) -> String {
    match socket {
        Some(socket) => socket.display().to_string(),
        None => host_and_port(host, port),
    }
}

/// How to connect to the PostgreSQL server of a [`DatabaseUrl::Postgres`].
pub fn postgres_options(
    url: &str,
    default_tls: bool,
    password: Option<&Secret>,
) -> Result<PgConnectOptions, sqlx::Error> {
    let mut connect = PgConnectOptions::from_str(url)?.application_name("gatepost");
    if default_tls {
        connect = connect.ssl_mode(PgSslMode::Require);
    }
    if let Some(password) = password {
        connect = connect.password(&String::from_utf8_lossy(password.expose()));
    }
    // PgBouncer refuses start parameters that it does not know (`extra_float_digits`, `options`), and
    // values come as text anyway.
    Ok(connect.extra_float_digits(None))
}

/// The driver's words; none of them repeats the URL.
fn no_url(err: &sqlx::Error) -> BadUrl {
    BadUrl::Other(match err {
        sqlx::Error::Configuration(source) => source.to_string(),
        other => other.to_string(),
    })
}

fn refuse_password(rest: &str) -> Result<(), BadUrl> {
    let authority = rest.trim_start_matches('/');
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let has_password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    if has_password || rest.contains("password=") { Err(BadUrl::Password) } else { Ok(()) }
}

/// Whether `host` is this machine: a loopback address, `localhost` or a socket's folder.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.starts_with('/')
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, BadUrl> {
        DatabaseUrl::parse(text, Path::new("/etc/gatepost"))
    }

    #[test]
    fn a_sqlite_file_is_beside_the_configuration() {
        for text in ["sqlite:data/site.db", "sqlite://data/site.db"] {
            assert_eq!(parse(text), Ok(DatabaseUrl::Sqlite("/etc/gatepost/data/site.db".into())));
        }
        assert_eq!(parse("sqlite:///var/x.db"), Ok(DatabaseUrl::Sqlite("/var/x.db".into())));
        for text in ["sqlite:", "sqlite::memory:", "sqlite:x.db?mode=ro"] {
            assert_eq!(parse(text), Err(BadUrl::File), "{text}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused() {
        for text in ["postgres://u:p@h/d", "mysql://u:p@h/d", "postgres:///d?user=u&password=p"] {
            assert_eq!(parse(text), Err(BadUrl::Password), "{text}");
        }
    }

    #[test]
    fn tls_is_the_default_off_this_machine_only() {
        let default_tls = |text: &str| match parse(text).unwrap() {
            DatabaseUrl::Sqlite(_) => unreachable!(),
            DatabaseUrl::Postgres { default_tls, .. } | DatabaseUrl::MySql { default_tls, .. } => {
                default_tls
            }
        };
        for local in
            ["postgres://u@localhost/d", "mysql://u@127.0.0.1/d", "postgres://u@%2Frun%2Fpg/d"]
        {
            assert!(!default_tls(local), "{local}");
        }
        assert!(default_tls("postgres://u@db.example.com/d"));
        assert!(default_tls("mysql://u@db.example.com/d"));
        assert!(!default_tls("postgres://u@db.example.com/d?sslmode=verify-full"));
        assert!(!default_tls("mysql://u@db.example.com/d?ssl-mode=VERIFY_IDENTITY"));
    }

    #[test]
    fn place_says_where_and_not_who() {
        for (text, place) in [
            ("postgres://me@db.example.com/d", "db.example.com:5432"),
            ("postgres://me@db.example.com:6432/d?sslmode=require", "db.example.com:6432"),
            ("postgres://me@%2Frun%2Fpg/d", "/run/pg/.s.PGSQL.5432"),
            ("postgres:///d?user=me&host=/run/pg&port=6432", "/run/pg/.s.PGSQL.6432"),
            ("mysql://me@[::1]/d", "[::1]:3306"),
            ("mysql://me@localhost/d?socket=/run/mysqld.sock", "/run/mysqld.sock"),
            ("sqlite:/var/x.db", "/var/x.db"),
        ] {
            assert_eq!(parse(text).unwrap().place(), format!("database `{place}`"), "{text}");
        }
    }

    #[test]
    fn another_scheme_is_no_database() {
        assert_eq!(parse("http://x"), Err(BadUrl::Scheme));
        assert_eq!(parse("comments.db"), Err(BadUrl::Scheme));
    }
}
