//! How the server ends, and what it looks after meanwhile.

use super::health::{RETRY_EVERY, Told, look_once};
use super::*;

/// Told to end from within the process, as by a test or `init`, the listeners may be gone before the
/// loop beside them has its turn, on a machine that is busy. It looks every second, as connections are
/// swept: what waits for a sweep and then stops the server is always near.
#[tokio::test]
async fn listeners_that_end_as_they_are_told_to_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let application = application(folder.path(), "").await;
    application.stop_token().cancel();
    while !application.listeners.is_finished() {
        tokio::task::yield_now().await;
    }
    application.check_listeners().unwrap();
    application.run_until_stopped().await.unwrap();
}

/// The loop looks every 5 s: here the looks are made at once.
#[tokio::test]
async fn handler_that_could_not_be_built_runs_a_minute_after_its_secret_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let handler = "[handler.crm.http]\nurl = 'http://127.0.0.1:9/'\nsecret = { file = 'later' }\n";
    let application = application(folder.path(), handler).await;
    let server = &application.server;
    let own = SystemSource::new(server.core.clone());
    let n_failed = || server.handlers.failed().len();
    let mut told = Told::default();
    look_once(server, &own, &mut told, RETRY_EVERY).await;
    assert_eq!(n_failed(), 1, "there is no secret");
    std::fs::write(folder.path().join("later"), "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw==").unwrap();
    look_once(server, &own, &mut told, 2 * RETRY_EVERY - 1).await;
    assert_eq!(n_failed(), 1, "it is not tried at each look");
    look_once(server, &own, &mut told, 2 * RETRY_EVERY).await;
    assert_eq!(n_failed(), 0);
    application.stop_token().cancel();
    application.run_until_stopped().await.unwrap();
}

/// A server with one source, and what `handlers` says.
async fn application(folder: &Path, handlers: &str) -> Application {
    crate::handler::testing::install_tls();
    let path = folder.join("config.toml");
    let text = "[server]\nlisten = '127.0.0.1:0'\n[queue]\ndisk_reserve = '1MiB'\n\
                [admin]\nlisten = '127.0.0.1:0'\n[source.s]\nprovider = 'hyvor-talk'\n\
                secrets = [{ file = 'secret' }]\n";
    std::fs::write(&path, format!("{text}{handlers}")).unwrap();
    std::fs::write(folder.join("secret"), "the-secret-of-the-tests").unwrap();
    let (config, _warnings) = crate::config::load_to_run(&path).unwrap();
    Application::build(config, &path).await.unwrap()
}
