//! `[queue.postgres]`, read and checked.

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
    /// The URL as it was written; it holds no password.
    pub url: String,
    /// Whether TLS is wanted because the URL says nothing of it and leads off this machine.
    pub default_tls: bool,
    /// The password, which does not stand in the URL.
    pub password: Option<SecretRef>,
    /// The schema that the log's tables are in: `[a-z_][a-z0-9_]*`.
    pub schema: String,
}

impl PostgresSettings {
    /// Reads `[queue.postgres]`, and leaves finishing the table to the caller.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let text = table.require::<String>("url");
        let password = known_secret::read(table, "password");
        let schema = table.checked("schema", check_schema);
        let is_wrong =
            table.has("schema") && schema.is_none() || table.has("password") && password.is_none();
        let (url, default_tls) = read_url(table, &text?)?;
        let schema = schema.unwrap_or_else(|| SCHEMA.to_owned());
        (!is_wrong).then_some(Self { url, default_tls, password, schema })
    }
}

fn read_url(table: &Table<'_>, text: &str) -> Option<(String, bool)> {
    const EXAMPLE: &str = "for example `postgres://gatepost@db.example.com/gatepost`";
    match DatabaseUrl::parse(text, table.folder()) {
        Ok(DatabaseUrl::Postgres { url, default_tls }) => return Some((url, default_tls)),
        Ok(DatabaseUrl::Sqlite(_) | DatabaseUrl::MySql { .. }) | Err(BadUrl::Scheme) => {
            table.problem("url", "the shared log is kept in PostgreSQL: `postgres://…`", EXAMPLE);
        }
        Err(BadUrl::Password) => {
            table.hide("url");
            let help = "write `password = { file = \"data/secrets/database\" }` and leave it out of \
                        the URL";
            table.problem("url", BadUrl::Password, help);
        }
        Err(err) => table.problem("url", err, EXAMPLE),
    }
    None
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
    use std::path::Path;

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
            url: "postgres://gatepost@db.example.com/x".to_owned(),
            default_tls: true,
            password: None,
            schema: "gatepost".to_owned(),
        };
        assert_eq!((settings, problems), (Some(expected), Vec::new()));
    }

    #[test]
    fn every_mistake_is_named_and_no_password_shown() {
        let (settings, problems) =
            read("url = \"postgres://u:hunter2@h/d\"\nschema = \"Gate-Post\"\nother = 1");
        assert_eq!(settings, None);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().all(|problem| !problem.contains("hunter2")), "{problems:?}");
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
