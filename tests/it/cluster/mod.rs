//! Several gateways on one shared log.

pub(crate) mod engines;
mod processes;
