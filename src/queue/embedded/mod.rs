//! The embedded queue: one log, one state per handler, sled for look-ups. ARCHITECTURE.md draws its
//! threads and its files.
//!
//! Four sentences to remember:
//!
//! 1. The log is the truth; each handler's state is a function of it, made by one function,
//!    `apply`.
//! 2. When in doubt, deliver again or store again: no derived file, no clock and no look-up may
//!    cause a loss, only a repeat.
//! 3. sled answers questions of people. No module on the way in or out imports it.
//! 4. A segment is freed by one rule in one place: freeze, copy what is alive, trim.
//!
//! In reading order: `record` (the bytes), `log`, `state`, `subscription`, `commit`, `cleaner`,
//! `snapshot`, `recovery`, `open`, `driver`; beside them `keys`, `kept`, `index`, `read`.
//!
//! Lock order: `handlers` (look-ups only), a subscription's `reader`, its `live`, its outbox, then
//! leaves. The committer takes `handlers`, outboxes and leaves, never `reader` or `live`.

mod append_all;
mod calls;
mod carry;
pub mod check;
pub(crate) mod cleaner;
pub(crate) mod commit;
mod copied;
pub(crate) mod core;
mod driver;
mod embedded_queue;
pub(crate) mod events;
mod files;
pub(crate) mod index;
#[cfg(feature = "test-support")]
mod inline;
pub(crate) mod kept;
mod key_recovery;
pub(crate) mod keys;
mod layout;
mod lived;
mod lock_file;
pub(crate) mod log;
mod open;
pub(crate) mod read;
pub(crate) mod recent_commits;
pub(crate) mod record;
mod recovery;
mod redrive;
mod remake;
mod settings;
mod shared;
pub(crate) mod snapshot;
pub(crate) mod snapshot_file;
pub(crate) mod state;
mod states;
mod stats;
pub(crate) mod step;
pub(crate) mod subscription;
pub(crate) mod take_over;
#[cfg(feature = "test-support")]
#[doc(hidden)]
pub mod testing;

pub use commit::CommitObserver;
pub use copied::{COPY_FORMAT, CopyFolder, FolderHolds, check_servable, whole_until};
#[cfg(feature = "test-support")]
use embedded_queue::Driver;
pub use embedded_queue::EmbeddedQueue;
pub use files::{LogPlace, QueueFiles};
pub use kept::KeptFile;
pub use keys::KeyFile;
pub use log::SegmentFile;
pub use open::Opened;
pub use record::SegmentId;
pub use settings::{DISK_RESERVE_MIN, IndexIn, Settings};
pub use shared::SharedSession;
pub use subscription::SharedChange;
pub use take_over::is_of_version_1;

#[cfg(test)]
mod tests;
