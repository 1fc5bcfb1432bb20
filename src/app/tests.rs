//! How the server ends.

use super::*;

/// Told to end from within the process, as by a test or `init`, the listeners may be gone before the
/// loop beside them has its turn, on a machine that is busy. It looks every second, as connections are
/// swept: what waits for a sweep and then stops the server is always near.
#[tokio::test]
async fn listeners_that_end_as_they_are_told_to_are_no_failure() {
    crate::handler::testing::install_tls();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let text = "[server]\nlisten = '127.0.0.1:0'\n[queue]\ndisk_reserve = '1MiB'\n\
                [admin]\nlisten = '127.0.0.1:0'\n[source.s]\nprovider = 'hyvor-talk'\n\
                secrets = [{ file = 'secret' }]\n";
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("secret"), "the-secret-of-the-tests").unwrap();
    let (config, _warnings) = crate::config::load(&path).unwrap();
    let application = Application::build(config, &path).await.unwrap();
    application.stop_token().cancel();
    while !application.listeners.is_finished() {
        tokio::task::yield_now().await;
    }
    application.check_listeners().unwrap();
    application.run_until_stopped().await.unwrap();
}
