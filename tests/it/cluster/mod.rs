//! Several gateways on one shared log.

mod engines;
mod processes;
