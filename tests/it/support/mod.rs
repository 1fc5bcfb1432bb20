//! What the tests share.

pub(crate) mod acme_front;
#[path = "../../support/bad_server.rs"]
pub(crate) mod bad_server;
pub(crate) mod bare;
pub(crate) mod browser;
pub(crate) mod clock;
pub(crate) mod events;
pub(crate) mod folder;
pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod key_host;
pub(crate) mod kinds;
pub(crate) mod nats;
pub(crate) mod patience;
pub(crate) mod pebble;
pub(crate) mod pooler;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod servers;
pub(crate) mod smtp;
pub(crate) mod tls;
pub(crate) mod wire;
