//! `[queue]`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::queue::embedded;
use crate::settings::{ByteSize, Table};
use crate::standby::Acknowledge;

mod shared;

pub use shared::{EngineSettings, SharedLogSettings};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    pub path: PathBuf,
    /// How long settled events stay for search and replay.
    pub retention: Duration,
    /// How long what waits for a handler that is not configured is kept.
    pub orphan_retention: Duration,
    /// How much the queue may take on disk.
    pub disk_max: ByteSize,
    /// How much of the disk must stay free.
    pub disk_reserve: ByteSize,
    /// How long dead letters stay; `None` = until they are dropped.
    pub dead_retention: Option<Duration>,
    /// Memory for the filters of dedupe keys.
    pub dedupe_memory: ByteSize,
    /// How many deliveries may wait at a time, over all handlers.
    pub waiting_max: NonZeroU32,
    /// When an event is acknowledged with the embedded queue.
    pub ack: Acknowledge,
    /// The log that several gateways share; `None` = the queue is this machine's alone.
    pub shared: Option<SharedLogSettings>,
}

const PATH: &str = "data/queue";
const RETENTION: Duration = Duration::from_hours(7 * 24);
const ORPHAN_RETENTION: Duration = Duration::from_hours(30 * 24);
const DISK_MAX: ByteSize = ByteSize(10 << 30);
/// Two segments of the log always stand ready, and sled needs some room.
const DISK_MAX_MIN: ByteSize = ByteSize(64 << 20);
const DISK_RESERVE: ByteSize = ByteSize(256 << 20);
const DISK_RESERVE_MIN: ByteSize = ByteSize(embedded::DISK_RESERVE_MIN);
const DEDUPE_MEMORY: ByteSize = ByteSize(32 << 20);
const WAITING_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

pub(super) fn read(root: &mut Table<'_>) -> QueueSettings {
    let mut queue = QueueSettings {
        path: root.folder().join(PATH),
        retention: RETENTION,
        orphan_retention: ORPHAN_RETENTION,
        disk_max: DISK_MAX,
        disk_reserve: DISK_RESERVE,
        dead_retention: None,
        dedupe_memory: DEDUPE_MEMORY,
        waiting_max: WAITING_MAX,
        ack: Acknowledge::Local,
        shared: None,
    };
    let Some(mut table) = root.table("queue") else { return queue };
    (queue.ack, queue.shared) = shared::read(&mut table);
    queue.path = table.take_or("path", queue.path);
    queue.retention = table.take_or("retention", queue.retention);
    queue.orphan_retention = table.take_or("orphan_retention", queue.orphan_retention);
    queue.disk_max = table
        .checked_or("disk_max", "for example `disk_max = \"10GiB\"`", check_disk_max)
        .unwrap_or(queue.disk_max);
    queue.disk_reserve = read_disk_reserve(&mut table).unwrap_or(queue.disk_reserve);
    queue.dead_retention = table.take("dead_retention");
    queue.dedupe_memory = table.take_or("dedupe_memory", queue.dedupe_memory);
    queue.waiting_max = table.take_or("waiting_max", queue.waiting_max);
    table.finish();
    queue
}

/// What is too small is taken for the least that serves: with less, a full disk would stay full.
fn read_disk_reserve(table: &mut Table<'_>) -> Option<ByteSize> {
    let disk_reserve: ByteSize = table.take("disk_reserve")?;
    if disk_reserve < DISK_RESERVE_MIN {
        let message = format!(
            "on a full disk outcomes and what frees the queue need {DISK_RESERVE_MIN} (three segments of the log): \
             events leave that free, not {disk_reserve}"
        );
        let help =
            format!("write `disk_reserve = \"{DISK_RESERVE_MIN}\"` or more, or leave it out");
        table.warning("disk_reserve", message, help);
    }
    Some(disk_reserve.max(DISK_RESERVE_MIN))
}

fn check_disk_max(disk_max: ByteSize) -> Result<ByteSize, String> {
    if disk_max < DISK_MAX_MIN {
        Err(format!("the queue needs at least {DISK_MAX_MIN}"))
    } else {
        Ok(disk_max)
    }
}
