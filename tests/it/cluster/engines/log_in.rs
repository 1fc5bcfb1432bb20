//! Secrets that are changed at the servers and in their files while a gateway runs.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use gatepost::cluster::{
    EngineAppendError, NatsEngine, NatsLogin, NatsSettings, PostgresEngine, PostgresSettings,
};
use gatepost::secret::SecretRef;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::rigs::{nats_settings, postgres_at, sql};
use super::{PATIENCE, SharedEngine, append, read_texts};
use crate::support::nats::NatsServers;
use crate::support::servers::Server;

fn secret(path: &Path) -> SecretRef {
    SecretRef::File { path: path.to_owned(), create: false }
}

/// Appends until that fails for a reason with `word` in it.
async fn once_refused(engine: &SharedEngine, word: &str) {
    let began = Instant::now();
    loop {
        let said = match engine.append(&Bytes::from_static(b"x")).await {
            Err(EngineAppendError::Unavailable(why) | EngineAppendError::Refused(why)) => why,
            other => format!("{other:?}"),
        };
        assert!(!said.contains("hunter"), "{said}");
        if said.contains(word) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{said}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Appends `text` as soon as that is accepted again.
async fn once_accepted(engine: &SharedEngine, text: &str) {
    let began = Instant::now();
    while let Err(err) = engine.append(&Bytes::copy_from_slice(text.as_bytes())).await {
        assert!(began.elapsed() < PATIENCE, "{err:?}");
    }
    assert_eq!(read_texts(engine, 1).await.last().map(String::as_str), Some(text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_or_token_of_nats_that_was_changed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    for (users, login) in [
        ("user: gate, password", NatsLogin::User("gate".to_owned(), secret(&path))),
        ("token", NatsLogin::Token(secret(&path))),
    ] {
        let users = format!("authorization {{ {users}: hunter1 }}");
        let Some(mut servers) = NatsServers::start(1, &users) else { return };
        std::fs::write(&path, "hunter1").unwrap();
        let settings = NatsSettings { login, ..nats_settings(&servers, "gatepost") };
        let engine: SharedEngine = Arc::new(NatsEngine::new(settings).unwrap());
        append(&engine, "first").await;
        // The server ends what was logged in by the old one.
        servers.reconfigure(0, "hunter1", "hunter2");
        once_refused(&engine, "authorization violation").await;
        std::fs::write(&path, "hunter2\n").unwrap();
        once_accepted(&engine, "second").await;
        // While it is being replaced it may be missing.
        std::fs::remove_file(&path).unwrap();
        servers.crash(0);
        servers.restart(0);
        once_refused(&engine, "cannot be read").await;
        std::fs::write(&path, "hunter2").unwrap();
        once_accepted(&engine, "third").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_nats_that_were_changed_are_read_again() {
    let issuer = Issuer::new();
    let Some(mut servers) = NatsServers::start(1, &issuer.configuration()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("creds");
    let (old, new) = (KeyPair::new_user(), KeyPair::new_user());
    std::fs::write(&path, issuer.credentials(&old)).unwrap();
    let login = NatsLogin::Credentials(secret(&path));
    let settings = NatsSettings { login, ..nats_settings(&servers, "gatepost") };
    let engine: SharedEngine = Arc::new(NatsEngine::new(settings).unwrap());
    append(&engine, "first").await;
    servers.reconfigure(0, &issuer.account_jwt(None), &issuer.account_jwt(Some(&old)));
    servers.crash(0);
    servers.restart(0);
    once_refused(&engine, "authorization violation").await;
    std::fs::write(&path, "hunter2").unwrap();
    once_refused(&engine, "not as `nsc` writes them").await;
    std::fs::write(&path, issuer.credentials(&new)).unwrap();
    once_accepted(&engine, "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_postgresql_that_was_changed_is_read_again() {
    let Some(server) = Server::postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter1").unwrap();
    sql(&server, "CREATE ROLE gate LOGIN PASSWORD 'hunter1'").await;
    sql(&server, "GRANT CREATE ON DATABASE postgres TO gate").await;
    let rules = "local all gate scram-sha-256\nlocal all all trust\n";
    std::fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
    sql(&server, "SELECT pg_reload_conf()").await;
    let url = server.url("postgres").replace("//postgres@", "//gate@");
    let password = Some(secret(&path));
    let settings = PostgresSettings { password, ..postgres_at(&[&url], "gate") };
    let engine: SharedEngine = Arc::new(PostgresEngine::new(settings).unwrap());
    append(&engine, "first").await;
    sql(&server, "ALTER ROLE gate PASSWORD 'hunter2'").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gate'";
    sql(&server, end).await;
    once_refused(&engine, "password authentication failed").await;
    std::fs::write(&path, "hunter2").unwrap();
    once_accepted(&engine, "second").await;
}

/// Who gives out credentials, as `nsc` does.
struct Issuer {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Issuer {
    fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        Self { operator, account, system: KeyPair::new_account() }
    }

    /// What the servers are told.
    fn configuration(&self) -> String {
        let claims = json!({ "type": "operator", "version": 2 });
        let operator = jwt(&self.operator, &self.operator, &claims);
        let system = jwt(&self.operator, &self.system, &account_claims());
        format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\n\
             resolver_preload: {{\n{}: {}\n{}: {system}\n}}\n",
            self.system.public_key(),
            self.account.public_key(),
            self.account_jwt(None),
            self.system.public_key(),
        )
    }

    /// The account, without a user that was revoked.
    fn account_jwt(&self, revoked: Option<&KeyPair>) -> String {
        let mut claims = account_claims();
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            claims["limits"][limit] = json!(-1);
        }
        if let Some(user) = revoked {
            claims["revocations"][user.public_key()] = json!(ISSUED_AT);
        }
        jwt(&self.operator, &self.account, &claims)
    }

    fn credentials(&self, user: &KeyPair) -> String {
        let claims = json!({
            "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2,
        });
        let (jwt, seed) = (jwt(&self.account, user, &claims), user.seed().unwrap());
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// When all of it was given out, in seconds.
const ISSUED_AT: u64 = 1_700_000_000;

fn account_claims() -> Value {
    json!({
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1,
        },
        "type": "account",
        "version": 2,
    })
}

/// What `issuer` says of `subject`, signed.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let (issuer_key, subject) = (issuer.public_key(), subject.public_key());
    let claims = json!({
        "jti": "a", "iat": ISSUED_AT, "iss": issuer_key, "name": subject, "sub": subject, "nats": claims,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let signed = format!("{head}.{}", part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}
