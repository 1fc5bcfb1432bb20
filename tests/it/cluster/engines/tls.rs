//! Whom an engine believes over TLS: servers whose certificates an authority of the owner's own gave out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use gatepost::cluster::{
    EngineAppendError, EngineError, NatsEngine, NatsSettings, PostgresEngine, PostgresSettings,
};
use tempfile::TempDir;

use super::rigs::{nats_settings, postgres_at};
use super::{SharedEngine, append, read_texts};
use crate::support::nats::NatsServers;
use crate::support::patience::Patience;
use crate::support::servers::Server;
use crate::support::tls::{Authority, postgres_with_tls};

/// Files of authorities: that of the server, and another one of the same name.
struct Authorities {
    folder: TempDir,
    own: Authority,
}

impl Authorities {
    fn new() -> Self {
        let (folder, own) = (TempDir::new().unwrap(), Authority::new());
        std::fs::write(folder.path().join("own.pem"), own.pem()).unwrap();
        std::fs::write(folder.path().join("other.pem"), Authority::new().pem()).unwrap();
        Self { folder, own }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Asserts that an append and `check` are refused for a reason with each of `words` in it.
async fn assert_refused(engine: &SharedEngine, words: &[&str]) {
    let appended = engine.append(&Bytes::from_static(b"x")).await;
    let Err(EngineAppendError::Refused(why)) = appended else { panic!("{words:?}: {appended:?}") };
    let checked = engine.check().await;
    let Err(EngineError::Refused(told)) = checked else { panic!("{words:?}: {checked:?}") };
    for word in words {
        assert!(why.contains(word) && told.contains(word), "{word}: {why}; {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_believed_by_its_authority_and_name_alone() {
    let Some(mut server) = Server::postgres() else { return };
    let files = Authorities::new();
    let port = postgres_with_tls(&mut server, &files.own);
    let settings = |host: &str, query: &str| {
        postgres_at(&[&format!("postgres://postgres@{host}:{port}/postgres{query}")], "gatepost")
    };
    let engine = |settings: PostgresSettings| -> SharedEngine {
        Arc::new(PostgresEngine::new(settings).unwrap())
    };
    let with_ca = |host: &str, name: &str| {
        engine(PostgresSettings { ca: Some(files.path(name)), ..settings(host, "") })
    };
    let query =
        |name: &str| format!("?sslmode=verify-full&sslrootcert={}", files.path(name).display());
    let good = with_ca("localhost", "own.pem");
    append(&good, "one").await;
    assert!(good.check().await.unwrap().problems.is_empty());
    append(&engine(settings("localhost", &query("own.pem"))), "two").await;
    assert_eq!(read_texts(&good, 1).await, ["one", "two"]);
    let strangers = [
        with_ca("localhost", "other.pem"),
        engine(settings("localhost", &query("other.pem"))),
        engine(settings("localhost", "?sslmode=verify-full")),
    ];
    for stranger in &strangers {
        assert_refused(stranger, &["not believed", "the authority that gave it out in `ca`"]).await;
    }
    for wrong_name in
        [with_ca("127.0.0.1", "own.pem"), engine(settings("127.0.0.1", &query("own.pem")))]
    {
        assert_refused(&wrong_name, &["not valid for name", "localhost", "let `url` have"]).await;
    }
    assert_refused(&with_ca("localhost", "nowhere.pem"), &["nowhere.pem", "cannot be read"]).await;
    // It takes nothing else.
    assert_refused(&engine(settings("localhost", "?sslmode=disable")), &["no encryption"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_is_believed_by_its_authority_and_name_alone() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let files = Authorities::new();
    let Some(servers) = nats_with_tls(&files.own, files.folder.path()) else { return };
    let engine = |host: &str, ca: Option<&str>| -> SharedEngine {
        let urls = servers.urls().into_iter().map(|url| url.replace("127.0.0.1", host)).collect();
        let ca = ca.map(|name| files.path(name));
        let settings = NatsSettings { servers: urls, ca, ..nats_settings(&servers, "gatepost") };
        Arc::new(NatsEngine::new(settings).unwrap())
    };
    let good = engine("localhost", Some("own.pem"));
    append(&good, "one").await;
    assert!(good.check().await.unwrap().problems.is_empty());
    for stranger in [engine("localhost", Some("other.pem")), engine("localhost", None)] {
        assert_refused(&stranger, &["not believed", "the authority that gave it out in `ca`"])
            .await;
    }
    let wrong_name = engine("127.0.0.1", Some("own.pem"));
    assert_refused(&wrong_name, &["not valid for name", "localhost", "let `url` have"]).await;
    let missing = engine("localhost", Some("nowhere.pem"));
    assert_refused(&missing, &["nowhere.pem", "cannot be read"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_that_is_not_believed_any_more_is_told_as_at_the_start() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let files = Authorities::new();
    let Some(mut servers) = nats_with_tls(&files.own, files.folder.path()) else { return };
    let urls = servers.urls().into_iter().map(|url| url.replace("127.0.0.1", "localhost"));
    let settings = NatsSettings {
        servers: urls.collect(),
        ca: Some(files.path("own.pem")),
        ..nats_settings(&servers, "gatepost")
    };
    let engine: SharedEngine = Arc::new(NatsEngine::new(settings).unwrap());
    append(&engine, "one").await;
    servers.crash(0);
    Authority::new().certify("localhost").write(files.folder.path());
    servers.restart(0);
    // It may not know yet that the connection is lost.
    let patience = Patience::new();
    loop {
        match engine.head().await {
            Err(EngineError::Refused(_)) => break,
            other => patience.look_again(format_args!("refused, not {other:?}")),
        }
    }
    assert_refused(&engine, &["not believed", "the authority that gave it out in `ca`"]).await;
    // Its authority is put into the file that the gateway knows.
    files.own.certify("localhost").write(files.folder.path());
    servers.crash(0);
    servers.restart(0);
    append(&engine, "two").await;
    assert_eq!(read_texts(&engine, 1).await, ["one", "two"]);
}

/// A server that speaks TLS only, as `localhost`.
pub(crate) fn nats_with_tls(authority: &Authority, folder: &Path) -> Option<NatsServers> {
    authority.certify("localhost").write(folder);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.display(), key.display());
    let tls = format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}");
    NatsServers::start(1, &tls)
}
