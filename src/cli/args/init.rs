//! The options of `init`.

use std::net::SocketAddr;

use clap::Args;

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Who sends, as in `hyvor=hyvor-talk`, or `github` alone; for each one a `--source` of its own.
    #[arg(long = "source", value_name = "NAME=PROVIDER")]
    pub(in crate::cli) sources: Vec<String>,
    /// Mail what comes in to this address.
    #[arg(long = "email", value_name = "ADDRESS")]
    pub(in crate::cli) email: Option<String>,
    /// The mail server: `smtp://localhost:25`, or `smtps://me%40example.com@mail.example.com`, whose
    /// password is asked for, or is in `data/secrets/smtp` already.
    #[arg(long, value_name = "URL", requires = "email")]
    pub(in crate::cli) smtp: Option<String>,
    /// Who the mail is from; left out: the address that it goes to.
    #[arg(long, value_name = "ADDRESS", requires = "email")]
    pub(in crate::cli) from: Option<String>,
    /// Write what comes in as rows: `sqlite:data/site.db`, or `postgres://user@host/database` or
    /// `mysql://…`, whose password is asked for, or is in `data/secrets/database` already.
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) database: Option<String>,
    /// Where the public listener listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(in crate::cli) listen: SocketAddr,
    /// The address of this machine as senders know it: `https://hooks.example.com`.
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) url: Option<String>,
    /// Ask nothing: what no option says is left out. Without `--source` the senders are Hyvor Talk (`hyvor`)
    /// and UserEcho (`userecho`).
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// Write a new file where there is one. The old one is kept beside it, as `….old` (`….old.2` and
    /// so on where there is one).
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// When it is written, take a signed sample through it: it is stored and goes to the handlers.
    #[arg(long)]
    pub(in crate::cli) test_event: bool,
}
