//! `[queue]` with a log that several gateways share.

use std::time::Duration;

use super::*;
use crate::cluster::{ClusterAck, ClusterBackend};
use crate::config::SharedLogSettings;
use crate::standby::Acknowledge;

const POSTGRES: &str = "[queue.postgres]\nurl = 'postgres://gatepost@db.example.com/gatepost'\n";
const NATS: &str = "[queue.nats]\nurl = 'nats://nats-1.example.com'\n";

fn shared(queue: &str) -> SharedLogSettings {
    good(&format!("{SMALL}[queue]\n{queue}")).queue.shared.unwrap()
}

#[test]
fn embedded_queue_is_the_default_and_shares_nothing() {
    let queue = good(SMALL).queue;
    assert_eq!((queue.ack, queue.shared), (Acknowledge::Local, None));
    let queue = good(&format!("{SMALL}[queue]\nbackend = 'sled'\nack = 'standby'")).queue;
    assert_eq!((queue.ack, queue.shared), (Acknowledge::Standby, None));
}

#[test]
fn too_small_a_reserve_is_taken_for_the_least_that_serves() {
    let told = problems("[queue]\ndisk_reserve = '1MiB'");
    assert_eq!(
        told,
        [
            "on a full disk outcomes and what frees the queue need 48MiB (three segments of the log): events leave \
          that free, not 1MiB (write `disk_reserve = \"48MiB\"` or more, or leave it out)"
        ]
    );
    let queue = good(&format!("{SMALL}[queue]\ndisk_reserve = '1MiB'")).queue;
    assert_eq!(queue.disk_reserve.0, 48 << 20);
    assert_eq!(problems("[queue]\ndisk_reserve = '48MiB'"), Vec::<String>::new());
}

#[test]
fn shared_log_has_a_name_a_lease_and_an_answer_that_waits_for_both() {
    let of = shared(&format!("backend = 'postgres'\nnode = 'a'\n{POSTGRES}"));
    assert_eq!((of.node.as_str(), of.ack), ("a", ClusterAck::Both));
    assert_eq!(
        (of.lease, of.engine.backend()),
        (Duration::from_secs(10), ClusterBackend::Postgres)
    );
    let of =
        shared(&format!("backend = 'nats'\nnode = 'b-2'\nack = 'engine'\nlease = '3s'\n{NATS}"));
    assert_eq!((of.node.as_str(), of.ack), ("b-2", ClusterAck::Engine));
    assert_eq!((of.lease, of.engine.backend()), (Duration::from_secs(3), ClusterBackend::Nats));
    let of = shared(&format!("backend = 'nats'\nnode = 'b'\nack = 'local'\nlease = '5m'\n{NATS}"));
    assert_eq!((of.ack, of.lease), (ClusterAck::Local, Duration::from_mins(5)));
}

#[test]
fn what_does_not_fit_the_backend_is_named() {
    let with = |queue: &str| problems(&format!("[queue]\n{queue}"));
    let node = "backend = 'postgres'\nnode = 'a'\n";
    let cases = [
        (POSTGRES.to_owned(), "`[queue.postgres]` is not used: the queue's backend is \"sled\""),
        ("backend = 'nats'\nnode = 'a'".to_owned(), "`nats` is missing in `queue`"),
        (format!("{node}{POSTGRES}{NATS}"), "`[queue.nats]` is not used"),
        (format!("{node}ack = 'standby'\n{POSTGRES}"), "a shared log has copies of its own"),
        ("ack = 'both'".to_owned(), "the embedded queue is no shared log"),
        ("ack = 'engine'".to_owned(), "the embedded queue is no shared log"),
        (
            format!("backend = 'postgres'\nnode = 'Gateway_1'\n{POSTGRES}"),
            "`Gateway_1` is not a node's name",
        ),
        (format!("{node}lease = '2s'\n{POSTGRES}"), "a lease takes 3s to 5m"),
        (format!("{node}lease = '6m'\n{POSTGRES}"), "a lease takes 3s to 5m"),
        (format!("{node}{POSTGRES}[standby]\n"), "a standby copies a queue of one machine"),
        ("backend = 'kafka'\n[queue.nats]\nurl = 'nats://h'".to_owned(), "`kafka` is not known"),
        (
            format!("{node}[queue.postgres]\nurl = 'postgres://u:p@h/d'"),
            "a password does not stand in the configuration",
        ),
        (format!("{node}[queue.postgres]\nurl = 'postgres://h/d'\nhost = 1"), "unknown key `host`"),
    ];
    for (queue, expected) in cases {
        let told = with(&queue);
        assert_eq!(told.len(), 1, "{queue}: {told:?}");
        assert!(told[0].contains(expected), "{told:?} does not say: {expected}");
    }
}

/// Two reloads, of which the second one takes nothing back: the process still has what it began with.
#[test]
fn what_counts_from_the_next_start_on_is_told_until_then() {
    let of = |queue: &str, admin: &str| {
        good(&format!("{SMALL}[queue]\n{queue}\n[admin]\ntoken = 't'\n{admin}"))
    };
    let started = of("disk_max = '1GiB'", "");
    let new = of("disk_max = '2GiB'\norphan_retention = '9d'", "hosts = ['a.example']");
    let lines = |old: &Config, new: &Config| -> Vec<String> {
        diff_since(&started, old, new).iter().map(ToString::to_string).collect()
    };
    let pending = "~ queue.disk_max: \"1GiB\" → \"2GiB\"  (from the next start on)";
    let first = lines(&started, &new);
    assert_eq!(first.len(), 3, "{first:?}");
    assert!(first.iter().filter(|line| line.contains("next start")).eq([pending]), "{first:?}");
    assert_eq!(lines(&new, &new), [pending]);
    assert_eq!(lines(&new, &started).len(), 2, "taken back before it counted");
    let in_force = new.keys_since(&started);
    let value = |key: &str| {
        in_force.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    };
    assert_eq!(value("queue.disk_max"), Some("\"1GiB\""));
    assert_eq!(value("queue.orphan_retention"), Some("\"9d\""));
    // What was left out at the start is in force by its default.
    let started = of("", "");
    assert!(new.keys_since(&started).iter().all(|(key, _)| key != "queue.disk_max"));
    let defaults = new.defaults_since(&started);
    assert!(defaults.iter().any(|(key, _)| key == "queue.disk_max"), "{defaults:?}");
}

#[test]
fn ack_of_a_shared_log_changes_with_the_next_start() {
    let of = |queue: &str| good(&format!("{SMALL}[queue]\n{queue}"));
    let shared = format!("backend = 'postgres'\nnode = 'a'\n{POSTGRES}");
    let effects = |old: &str, new: &str| -> Vec<Effect> {
        diff(&of(old), &of(new)).iter().map(|change| change.effect).collect()
    };
    let both = format!("ack = 'both'\n{shared}");
    let engine = format!("ack = 'engine'\n{shared}");
    assert_eq!(effects(&both, &engine), [Effect::Restart]);
    assert_eq!(effects("ack = 'local'", "ack = 'standby'"), [Effect::Reload]);
}
