//! What `check` says of NATS servers.

use super::api::{AccountLimits, StreamApi, StreamInfo};
use super::connection::NatsConnection;
use super::failure::NatsFailure;
use super::settings::NatsSettings;
use crate::cluster::engine::contract::{EngineReport, removed_by_hand};

/// The oldest version of a server that is used: those before it sync replicated streams wrongly (2.12.1
/// lost 131,418 of 930,005 acknowledged messages in a power cut, Jepsen), and mend it step by step.
const VERSION_MIN: (u32, u32) = (2, 15);

/// Why `version` is too old, and what helps.
pub(super) fn too_old(version: &str) -> Option<String> {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    let version_of = (numbers.next().flatten(), numbers.next().flatten());
    if let (Some(major), Some(minor)) = version_of
        && (major, minor) >= VERSION_MIN
    {
        return None;
    }
    let (major, minor) = VERSION_MIN;
    Some(format!(
        "nats-server {version} is too old: the shared log needs {major}.{minor} or newer, whose \
         replicated streams are synced as they should"
    ))
}

pub(super) async fn read(
    api: &StreamApi,
    connection: &NatsConnection,
    settings: &NatsSettings,
) -> Result<EngineReport, NatsFailure> {
    let server = connection.client.server_info();
    let mut problems: Vec<String> = too_old(&server.version).into_iter().collect();
    let limits = match api.limits(connection).await {
        Ok(limits) => limits,
        Err(NatsFailure::Refused(why)) => {
            problems.push(format!("what the account may store is not known: {why}"));
            AccountLimits { max_storage: -1 }
        }
        Err(failure) => return Err(failure),
    };
    if limits.max_storage == 0 {
        problems.push("the account may store nothing in files: raise its max_file".to_owned());
    }
    let stream = match api.info(connection).await {
        Ok(info) => {
            problems.extend(of_stream(&info, api, settings));
            Some(info)
        }
        Err(NatsFailure::NoStream) => {
            if server.cluster.is_none() && settings.replicas > 1 {
                problems.push(single_server(settings));
            }
            None
        }
        Err(NatsFailure::Refused(why)) => {
            problems.push(format!("{why}: {}", permissions(api)));
            None
        }
        Err(failure) => return Err(failure),
    };
    let replicas = stream.map_or(settings.replicas as u64, |info| info.replicas());
    let version = format!("nats-server {}", server.version);
    Ok(EngineReport { version, durability: durability(replicas), problems })
}

/// What this user must be allowed.
pub(super) fn permissions(api: &StreamApi) -> String {
    let StreamApi { stream, units, bell } = api;
    format!(
        "allow this user to publish to {units}, {bell}, $JS.API.INFO, $JS.API.DIRECT.GET.{stream} and \
         $JS.API.STREAM.{{INFO,CREATE,UPDATE,PURGE,MSG.GET}}.{stream}, and to subscribe to {bell} and \
         _INBOX.>"
    )
}

/// A stream of several servers was asked for, and there is one.
pub(super) fn single_server(settings: &NatsSettings) -> String {
    format!(
        "the stream is to be on {} servers and this server is alone: write `replicas = 1`, or let it \
         join a cluster",
        settings.replicas
    )
}

/// `sync_interval` is shown on the monitoring port only, which this connection is not.
fn durability(replicas: u64) -> String {
    const DISK: &str = "whether it is on their disks as well is unknown: a server syncs every 2 \
                        minutes unless it has `sync_interval: always`, and does not say so here";
    if replicas <= 1 {
        return "an acknowledged unit is with one server; whether it is on its disk as well is unknown: \
                it syncs every 2 minutes unless it has `sync_interval: always`, and does not say so here"
            .to_owned();
    }
    let majority = replicas / 2 + 1;
    format!("an acknowledged unit is with {majority} of {replicas} servers; {DISK}")
}

fn of_stream(info: &StreamInfo, api: &StreamApi, settings: &NatsSettings) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(NatsFailure::Refused(why)) = info.check(api) {
        problems.push(why);
    }
    let (first, trimmed) = (info.state.first_seq, info.trimmed());
    if first > trimmed {
        let stream = format!("stream `{}`", api.stream);
        problems.push(removed_by_hand(trimmed, first, &stream));
    }
    let (has, wanted) = (info.replicas(), settings.replicas as u64);
    if has != wanted {
        problems.push(format!(
            "stream `{0}` is on {has} servers, `replicas` says {wanted}: run `nats stream edit {0} \
             --replicas {wanted}`, or write `replicas = {has}`",
            api.stream
        ));
    }
    let replicas = info.cluster.iter().flat_map(|cluster| &cluster.replicas);
    for replica in replicas.filter(|replica| replica.offline || !replica.current) {
        let what = if replica.offline { "is offline" } else { "is behind" };
        problems.push(format!(
            "server `{}` {what}: until it is back, fewer servers hold what is acknowledged",
            replica.name
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::shape::{made, tests};
    use super::*;
    use crate::cluster::engine::nats::api::{StreamCluster, StreamReplica};

    #[test]
    fn older_servers_are_named() {
        for version in ["2.15.0", "2.15.1", "2.16.0-beta.1", "3.0.0", "v2.15.2"] {
            assert_eq!(too_old(version), None, "{version}");
        }
        for version in ["2.14.4", "2.9.10", "1.99.0", "", "?"] {
            assert!(too_old(version).is_some_and(|why| why.contains("2.15 or newer")), "{version}");
        }
    }

    #[test]
    fn promise_names_the_majority() {
        assert!(durability(1).contains("with one server"));
        assert!(durability(3).contains("2 of 3 servers"));
        assert!(durability(5).contains("3 of 5 servers"));
        assert!(durability(3).contains("unknown"));
    }

    #[test]
    fn replicas_that_lack_or_are_behind_are_problems() {
        let (api, settings) = (StreamApi::new("gatepost"), tests::settings());
        let info = tests::info(made(&api, &settings, 1_024));
        assert_eq!(of_stream(&info, &api, &settings), Vec::<String>::new());
        let wanted = NatsSettings { replicas: 5, ..settings.clone() };
        let problems = of_stream(&info, &api, &wanted);
        assert!(problems[0].contains("--replicas 5"), "{problems:?}");
        let replica = |name: &str, current: bool, offline: bool| StreamReplica {
            name: name.to_owned(),
            current,
            offline,
        };
        let replicas =
            vec![replica("a", true, false), replica("b", false, false), replica("c", false, true)];
        let info = StreamInfo {
            cluster: Some(StreamCluster { replicas, ..StreamCluster::default() }),
            ..info
        };
        let problems = of_stream(&info, &api, &settings);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("`b` is behind") && problems[1].contains("`c` is offline"));
    }
}
