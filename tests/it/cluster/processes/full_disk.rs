//! A server of the log whose disk becomes full, under load.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use super::engine_faults::{ask, assert_whole, leader};
use super::rig::Cluster;
use super::senders::Senders;
use super::{Receiver, addresses};
use crate::crash::disk::Disk;
use crate::support::nats::NatsServers;

/// Writes until there is no room.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let failure = loop {
        if let Err(failure) = file.write_all(&[0; 4096]).and_then(|()| file.sync_data()) {
            break failure;
        }
    };
    assert_eq!(failure.kind(), ErrorKind::StorageFull, "{failure}");
}

#[test]
fn full_disk_of_the_stream_leader_loses_nothing() {
    let receiver = Receiver::start();
    let Some(disk) = Disk::new(64) else { return };
    let Some(servers) = NatsServers::start_on(3, "", Some(&disk.path())) else { return };
    let urls = format!("{:?}", servers.urls());
    let mut cluster = Cluster::on(servers, ("nats", &urls), &receiver);
    let nodes = cluster.start_pair();
    while leader(&cluster.server) != 0 {
        ask(cluster.server.ask_to_lead("gatepost", 0));
    }
    let senders = Senders::start_apart(&addresses(&nodes), 4);
    senders.wait_for(200);
    senders.rest(Duration::from_millis(20));
    let filler = disk.path().join("filler");
    fill(&filler);
    senders.wait_for(senders.n_acknowledged() + 500);
    assert_ne!(leader(&cluster.server), 0, "what cannot write leads no more");
    std::fs::remove_file(&filler).unwrap();
    // It does without JetStream until it is started again, as its owner has to.
    cluster.server.crash(0);
    cluster.server.restart(0);
    senders.wait_for(senders.n_acknowledged() + 200);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}
