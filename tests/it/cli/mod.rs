//! The command line, run as its users do.

mod against;
mod bodies;
mod damage;
mod fixtures;
mod forms;
mod handlers;
mod help;
mod import;
mod init;
pub(crate) mod outputs;
mod outputs_files;
mod outputs_running;
mod owner;
mod packages;
mod rejected;
mod reload;
mod replay;
mod rollouts;
mod service;
mod socket;
mod top;
mod transfer;
mod trial;
mod tries;
mod unit;
mod verbs;
mod wrong;
