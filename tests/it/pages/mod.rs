//! The dashboard, as browsers and programs see it.

mod access;
mod api;
mod browser;
mod hostile;
mod steer;
