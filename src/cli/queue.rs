//! `queue`: the store itself.

use crate::config::Config;

use super::CliError;
use super::args::Queue;
use super::output::Output;

/// Does what `verb` says.
pub(super) async fn run(verb: Queue, config: &Config, output: Output) -> Result<(), CliError> {
    let _ = (config, output);
    std::future::ready(()).await;
    match verb {
        Queue::Check | Queue::Export | Queue::Import { .. } | Queue::Compact => {
            Err(CliError::Failed("not available yet".into()))
        }
    }
}
