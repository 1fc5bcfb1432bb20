//! `sql` over SQLite and over real PostgreSQL and MariaDB servers.

use std::path::PathBuf;

use gatepost::handler::Handler;
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use crate::support::kinds;
use crate::support::servers::Server;

mod bits;
mod bytes;
mod columns;
mod defaults;
mod documents;
mod faults;
mod filled;
mod given_up;
mod ledger;
mod online;
mod owner;
mod replays;
mod rows;
mod speed;
mod statements;
mod statements_online;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    MySql,
}

/// A database of the test's own, and a way to look into it without the handler.
pub(crate) struct Database {
    pub(crate) engine: Engine,
    /// As it stands in `url = "…"`.
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    pub(crate) server: Option<Server>,
}

impl Database {
    /// One of each kind that can be had here.
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Server::postgres()?),
            Engine::MySql => Some(Server::mariadb()?),
        };
        let url = match &server {
            None => "sqlite:site.db".to_owned(),
            Some(server) => server.url("site"),
        };
        let database = Self { engine, url, folder, server };
        if let Some(server) = &database.server {
            let system = if engine == Engine::Postgres { "postgres" } else { "mysql" };
            database.run_on(&server.url(system), "CREATE DATABASE site").await;
        }
        Some(database)
    }

    /// A handler named `test` with this table's text behind the URL.
    pub(crate) fn handler(&self, text: &str) -> Box<dyn Handler> {
        self.handler_at(&self.url, text)
    }

    pub(crate) fn handler_at(&self, url: &str, text: &str) -> Box<dyn Handler> {
        kinds::build("sql", &format!("url = \"{url}\"\n{text}"), self.folder.path())
    }

    /// Runs SQL without rows.
    pub(crate) async fn run(&self, sql: &str) {
        self.run_on(&self.url, sql).await;
    }

    async fn run_on(&self, url: &str, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Sqlite => {
                let mut connection =
                    sqlx::SqliteConnection::connect(&self.file_url()).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
            Engine::Postgres => {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
            Engine::MySql => {
                let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// The first column of each row, which must be text; NULL is `-`.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        let texts: Vec<Option<String>> = match self.engine {
            Engine::Sqlite => {
                let mut connection =
                    sqlx::SqliteConnection::connect(&self.file_url()).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| row.get_unchecked(0)).collect()
            }
            Engine::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| row.get_unchecked(0)).collect()
            }
            Engine::MySql => {
                let mut connection = sqlx::MySqlConnection::connect(&self.url).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| row.get_unchecked(0)).collect()
            }
        };
        texts.into_iter().map(|text| text.unwrap_or_else(|| "-".to_owned())).collect()
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> usize {
        let text_type = if self.engine == Engine::MySql { "CHAR" } else { "TEXT" };
        let counted =
            self.texts(&format!("SELECT CAST(count(*) AS {text_type}) FROM {table}")).await;
        counted[0].parse().unwrap()
    }

    pub(crate) fn file_path(&self) -> PathBuf {
        self.folder.path().join("site.db")
    }

    fn file_url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.file_path().display())
    }
}
