//! Why a standby is not answered.

use std::io;

use crate::queue::QueueError;

/// Why a standby is not answered.
#[derive(Debug, thiserror::Error)]
pub enum StandbyError {
    #[error(
        "this gateway ({ours}) keeps its queue in format {our_format}, the standby ({theirs}) in \
         format {their_format}: run the same version on both"
    )]
    Version { ours: String, our_format: u32, theirs: String, their_format: u32 },
    #[error(
        "the copy belongs to another gateway ({theirs}, this one is {ours}): give the standby an \
         empty folder, or promote that copy"
    )]
    OtherGateway {
        ours: String,
        /// That of the copy.
        theirs: String,
    },
    #[error(
        "the gateway and the copy have diverged: {0}. The copy may hold acknowledged events that the \
         gateway lacks, so it is left as it is: promote it, or give the standby an empty folder"
    )]
    Diverged(String),
    /// It has not said hello since the gateway's start.
    #[error("the session is not known: say hello first")]
    UnknownSession,
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the gateway's id cannot be read")]
    Id(#[source] io::Error),
    #[error("{0} failed")]
    Internal(&'static str),
}
