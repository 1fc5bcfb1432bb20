//! What tests and the simulation need of the embedded queue's inside.

mod faults;
mod inode;
mod lying_store;
pub mod manual_queue;
mod memory_disk;
mod memory_storage;
mod names;
mod refusing_queue;

pub(crate) use lying_store::LyingStore;

pub use faults::{Call, Faults, Verdict};
pub use manual_queue::{Standing, standing};
pub use memory_disk::MemoryDisk;
pub use memory_storage::{CrashOptions, MemoryStorage};
pub use refusing_queue::RefusingQueue;
