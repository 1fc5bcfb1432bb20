//! `[queue.postgres]`, read and checked.

use std::path::{Path, PathBuf};

use crate::cluster::engine::known_secret;
use crate::handler::sql::{BadUrl, DatabaseUrl};
use crate::secret::SecretRef;
use crate::settings::Table;

/// The schema's name where nothing else is said.
const SCHEMA: &str = "gatepost";
/// PostgreSQL's own limit of a name.
const NAME_BYTES_MAX: usize = 63;

/// What the table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    /// The primary and its standbys, in any order; at least one.
    pub servers: Vec<PostgresServer>,
    /// The password, which does not stand in the URLs.
    pub password: Option<SecretRef>,
    /// The certificate of an authority of the owner's own, in PEM.
    pub ca: Option<PathBuf>,
    /// The schema that the log's tables are in: `[a-z_][a-z0-9_]*`.
    pub schema: String,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresServer {
    /// The URL as it was written; it holds no password.
    pub(super) url: String,
    /// Whether TLS is wanted because the URL says nothing of it and leads off this machine.
    pub(super) default_tls: bool,
    /// For people.
    pub(super) place: String,
}

impl PostgresSettings {
    /// Reads `[queue.postgres]`, and leaves finishing the table to the caller.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let texts = table.one_or_many::<String>("url");
        if !table.has("url") {
            table.missing("url", "write `url = \"postgres://gatepost@db.example.com/gatepost\"`");
        }
        let password = known_secret::read(table, "password");
        let ca = table.take::<PathBuf>("ca");
        let schema = table.checked("schema", check_schema);
        let is_wrong =
            table.has("schema") && schema.is_none() || table.has("password") && password.is_none();
        let servers = read_servers(table, &texts?)?;
        if ca.is_some() && servers.iter().any(PostgresServer::is_unverified) {
            let help = "leave `sslmode` out, or write `sslmode=verify-full`";
            table.problem(
                "url",
                "with `ca` the certificate is looked at, and `sslmode` says not",
                help,
            );
            return None;
        }
        let schema = schema.unwrap_or_else(|| SCHEMA.to_owned());
        (!is_wrong).then_some(Self { servers, password, ca, schema })
    }
}

impl PostgresServer {
    /// Reads a URL; a file that it names by a relative path starts from `folder`. `Err(BadUrl::Scheme)` = it
    /// is that of another database.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, BadUrl> {
        let database = DatabaseUrl::parse(text, folder)?;
        let place = database.place();
        match database {
            DatabaseUrl::Postgres { url, default_tls } => Ok(Self { url, default_tls, place }),
            DatabaseUrl::Sqlite(_) | DatabaseUrl::MySql { .. } => Err(BadUrl::Scheme),
        }
    }

    /// Whether its URL says that no certificate is looked at.
    fn is_unverified(&self) -> bool {
        let mode = self.url.split(['?', '&']).find_map(|part| part.strip_prefix("sslmode="));
        mode.is_some_and(|mode| !mode.starts_with("verify-"))
    }
}

fn read_servers(table: &Table<'_>, texts: &[String]) -> Option<Vec<PostgresServer>> {
    const EXAMPLE: &str = "for example `postgres://gatepost@db.example.com/gatepost`";
    if texts.is_empty() {
        table.problem("url", "without a server there is no log", EXAMPLE);
        return None;
    }
    let mut servers = Vec::new();
    for text in texts {
        match PostgresServer::parse(text, table.folder()) {
            Ok(server) => servers.push(server),
            Err(err) => {
                let help = if err == BadUrl::Password {
                    table.hide("url");
                    "write `password = { file = \"data/secrets/database\" }` and leave it out of the URL"
                } else {
                    EXAMPLE
                };
                let is_other = err == BadUrl::Scheme;
                let other = "the shared log is kept in PostgreSQL: `postgres://…`".to_owned();
                table.problem("url", if is_other { other } else { err.to_string() }, help);
                return None;
            }
        }
    }
    Some(servers)
}

/// Such a name needs no quotes in SQL.
fn check_schema(name: String) -> Result<String, &'static str> {
    let is_good = |c: char| c.is_ascii_lowercase() || c == '_';
    if name.len() > NAME_BYTES_MAX
        || !name.starts_with(is_good)
        || !name.chars().all(|c| is_good(c) || c.is_ascii_digit())
        || name.starts_with("pg_")
    {
        return Err(
            "a schema here is at most 63 small letters, digits and `_`, and begins with a letter",
        );
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    fn read(text: &str) -> (Option<PostgresSettings>, Vec<String>) {
        let reading = settings::read(text, Path::new("/etc/gatepost"), PostgresSettings::read);
        (reading.value, reading.problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn url_alone_is_enough() {
        let (settings, problems) = read("url = \"postgres://gatepost@db.example.com/x\"");
        let expected = PostgresSettings {
            servers: vec![PostgresServer {
                url: "postgres://gatepost@db.example.com/x".to_owned(),
                default_tls: true,
                place: "database `db.example.com:5432`".to_owned(),
            }],
            password: None,
            ca: None,
            schema: "gatepost".to_owned(),
        };
        assert_eq!((settings, problems), (Some(expected), Vec::new()));
    }

    #[test]
    fn primary_and_standbys_are_a_list() {
        let (settings, problems) = read(
            "url = [\"postgres://g@a/x\", \"postgres://g@b/x?sslmode=verify-full\"]\nca = \"ca.pem\"",
        );
        assert_eq!(problems, Vec::<String>::new());
        let PostgresSettings { servers, ca, .. } = settings.unwrap();
        assert_eq!(ca, Some("/etc/gatepost/ca.pem".into()));
        let places: Vec<_> = servers.iter().map(|server| server.place.as_str()).collect();
        assert_eq!(places, ["database `a:5432`", "database `b:5432`"]);
    }

    #[test]
    fn every_mistake_is_named_and_no_password_shown() {
        let (settings, problems) =
            read("url = \"postgres://u:hunter2@h/d\"\nschema = \"Gate-Post\"\nother = 1");
        assert_eq!(settings, None);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().all(|problem| !problem.contains("hunter2")), "{problems:?}");
        for text in ["", "url = []", "url = [\"postgres://h/d\", \"postgres://u:hunter2@h/d\"]"] {
            let (settings, problems) = read(text);
            assert!(settings.is_none() && problems.len() == 1, "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
        for mode in ["disable", "prefer", "require"] {
            let (settings, problems) =
                read(&format!("url = \"postgres://u@h/d?sslmode={mode}\"\nca = \"ca.pem\""));
            assert!(settings.is_none() && problems.len() == 1, "{problems:?}");
            assert!(problems[0].contains("sslmode"), "{problems:?}");
        }
        for text in ["url = \"mysql://u@h/d\"", "url = \"sqlite:x.db\"", "url = \"nats://h\""] {
            let (settings, problems) = read(text);
            assert!(settings.is_none() && problems.len() == 1, "{problems:?}");
            assert!(problems[0].contains("postgres://"), "{problems:?}");
        }
        let made = "url = \"postgres:///d\"\npassword = { file = \"p\", create = true }";
        let (settings, problems) = read(made);
        assert!(settings.is_none() && problems.len() == 1, "{problems:?}");
        for schema in ["1a", "", "pg_x", "a b", "ä"] {
            let (settings, problems) =
                read(&format!("url = \"postgres:///d\"\nschema = \"{schema}\""));
            assert!(settings.is_none() && problems.len() == 1, "{schema}: {problems:?}");
        }
    }
}
