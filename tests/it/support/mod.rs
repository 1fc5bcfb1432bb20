//! What the tests share.

pub(crate) mod clock;
pub(crate) mod events;
pub(crate) mod gateway;
pub(crate) mod program;
pub(crate) mod wire;
