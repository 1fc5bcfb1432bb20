//! Servers of the shared log whose certificates are not believed: it is told how to mend it, and events are taken
//! in meanwhile.

use std::path::Path;

use super::Receiver;
use super::rig::Cluster;
use super::start::{go_on, start_alone};
use crate::cluster::engines::tls::nats_with_tls;
use crate::support::servers::Server;
use crate::support::tls::{Authority, postgres_with_tls};

/// Starts a gateway that believes another authority, and puts the right one into its file as it runs.
fn begin_with_a_stranger<S>(cluster: &mut Cluster<S>, receiver: &Receiver, ca: &Path, right: &str) {
    let started = start_alone(cluster, receiver);
    let node = &started.0;
    let is_told =
        |told: &str| told.contains("its certificate is not believed") && told.contains("`ca`");
    let view = Cluster::view(node);
    assert!(view["engine"]["error"].as_str().is_some_and(is_told), "{view}");
    let told = node.says(&["check", "--online"]);
    assert!(told.contains("shared log:") && is_told(&told), "{told}");
    std::fs::write(ca, right).unwrap();
    go_on(started, receiver);
}

#[test]
fn database_whose_authority_is_another_is_told_and_events_are_taken_in() {
    let receiver = Receiver::start();
    let Some(mut server) = Server::postgres() else { return };
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let port = postgres_with_tls(&mut server, &authority);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, Authority::new().pem()).unwrap();
    let file = ca.display();
    let url = format!("\"postgres://postgres@localhost:{port}/postgres\"\nca = \"{file}\"");
    let mut cluster = Cluster::on(server, ("postgres", &url), &receiver);
    begin_with_a_stranger(&mut cluster, &receiver, &ca, &authority.pem());
}

#[test]
fn stream_whose_authority_is_another_is_told_and_events_are_taken_in() {
    let receiver = Receiver::start();
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let Some(servers) = nats_with_tls(&authority, folder.path()) else { return };
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, Authority::new().pem()).unwrap();
    let urls: Vec<_> =
        servers.urls().iter().map(|url| url.replace("127.0.0.1", "localhost")).collect();
    let keys = format!("{urls:?}\nca = \"{}\"\nreplicas = 1", ca.display());
    let mut cluster = Cluster::on(servers, ("nats", &keys), &receiver);
    begin_with_a_stranger(&mut cluster, &receiver, &ca, &authority.pem());
}
