//! The command line, run as its users do.

mod help;
mod service;
mod verbs;
