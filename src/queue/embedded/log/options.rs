//! How the log is opened, and why it was not.

use std::io;
use std::sync::Arc;

use super::SegmentInfo;
use crate::clock::Clock;
use crate::queue::embedded::record::Lsn;

/// How the log is opened.
#[derive(Clone, Debug)]
pub(crate) struct OpenOptions {
    /// How large segments are made; [`super::SEGMENT_BYTES`].
    pub(crate) segment_bytes: u32,
    /// Bytes that must stay free on the disk when a segment is made.
    pub(crate) disk_reserve: u64,
    /// Asked by its steady time for how long a disk has not answered.
    pub(crate) clock: Arc<dyn Clock>,
    /// What a snapshot says of segments: their heads need not be read.
    pub(crate) known: Vec<SegmentInfo>,
    /// What stood before it was synced, as a snapshot knows: what of that is not whole is damaged, and
    /// not torn.
    pub(crate) synced_until: Lsn,
    /// A last unit that is torn is taken away whole: a log that several nodes share has it.
    pub(crate) drops_torn_units: bool,
}

/// Why the log was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Nothing was changed.
    #[error(
        "`{file}` holds a record of kind {kind} and version {version} at byte {offset}, which a \
         newer gatepost wrote; start that version"
    )]
    Unsupported { file: String, offset: u32, kind: u8, version: u8 },
    /// Nothing was changed.
    #[error(
        "two logs lie in one folder: `{one}` and `{other}` are the same segment. A backup was put back over a queue, or one \
         copied over another: move the folder away, put the one that is wanted into an empty folder (`tar -x` there, \
         `rsync -a --delete`), and get what the other has alone by `gatepost queue export` of it by itself"
    )]
    TwoLogs { one: String, other: String },
    #[error("{what} failed")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// For `map_err`.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}
