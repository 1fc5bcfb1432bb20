//! The dashboard, as browsers and programs see it.

mod access;
mod api;
mod axe;
mod browser;
mod by_hand;
mod details;
mod hostile;
mod lists;
mod schemathesis;
mod steer;
mod told;
