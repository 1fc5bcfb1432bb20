//! The command line, run as its users do.

mod help;
mod rejected;
mod service;
mod verbs;
