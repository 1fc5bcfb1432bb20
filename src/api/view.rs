//! The shapes of the answers, written by the server and read by the command line. Field names are part
//! of the API: add, never rename.

mod arrival;
mod dead;
mod event;
mod gateway;
mod handler;
mod status;
mod trouble;
mod wait;

pub use arrival::ArrivalView;
pub use dead::{DeadEntry, LostView};
pub use event::{AttemptView, DeliveryView, EventDetail, EventSummary};
pub use gateway::{GatewayCounts, GatewayState, ReportedSource};
pub use handler::{HandlerView, ReportedBy};
pub use status::{QueueView, SecretView, SourceView, StatusView};
pub use trouble::SourceTrouble;
pub use wait::{WaitReason, WaitView};

pub(super) use event::headers;
pub(super) use handler::handlers;
