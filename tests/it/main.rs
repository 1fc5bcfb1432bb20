//! What the parts promise together, and each seam to its callers.

#![expect(
    clippy::clone_on_ref_ptr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and is short"
)]

mod architecture;
mod circles;
mod cli;
mod cluster;
mod cluster_queue;
mod command_user;
mod crash;
mod deliver;
mod deploy;
mod deploy_cluster;
mod floors;
mod fuzz;
mod handbook;
mod handlers_email;
mod handlers_faults;
mod handlers_sql;
mod hostile;
mod http;
mod official;
mod pages;
mod proxies;
mod queue;
mod queue_embedded;
mod queue_faults;
mod queue_fixture;
mod recipes;
mod reference;
mod shipped;
mod sizes;
mod standby;
mod support;
mod systemd;
mod tls;
mod traces;
mod words;
