//! The command line's words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::event::HandlerName;
use crate::queue::DeliveryState;

use super::when::SaidTime;

mod dead;
mod event;
mod handlers;
mod import;
mod init;
mod rejected;
mod standby;

pub(super) use dead::{Dead, DeadChange, DeadDrop, DeadFilter, DeadRedrive, RolloutsVerb};
pub(super) use event::{EventsEdit, IdBeginning, SaidEvent};
pub(super) use handlers::{Handlers, HandlersTry, Top};
pub(super) use import::{Import, ImportFile};
pub(super) use init::Init;
pub(super) use rejected::{Rejected, RejectedRelease, SaidRejected};
pub(super) use standby::{Promote, Restore, Standby, StandbyVerb};

/// A webhook receiver that never loses what it has answered 200 for.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        short_alias = 'c',
        global = true,
        value_name = "PATH",
        env = "GATEPOST_CONFIG",
        default_value = "config.toml"
    )]
    pub config: PathBuf,
    /// Print JSON: one array for a list, one object for a single thing.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the server.
    Serve(Serve),
    /// Find every mistake in the configuration at once.
    Check(Check),
    /// Compare what handlers make of recorded events with what is expected.
    Test(Test),
    /// Write a configuration file to start from: asks for what no option says.
    Init(Init),
    /// Print a configuration made from that of another program.
    #[command(subcommand)]
    Import(Import),
    /// Let the running server read its configuration again.
    Reload,
    /// Sign a sample with the source's own secret and post it.
    Send(Send),
    /// Show how everything stands.
    Status(Status),
    /// Watch how everything stands and how fast it goes.
    Top(Top),
    /// What came in, and what was done with it.
    #[command(subcommand)]
    Events(Events),
    /// Deliveries that were given up.
    #[command(subcommand)]
    Dead(Dead),
    /// Redrives of dead letters by stages.
    #[command(subcommand)]
    Rollouts(RolloutsVerb),
    /// Requests that failed verification.
    #[command(subcommand)]
    Rejected(Rejected),
    /// The handlers and their places in the log.
    #[command(subcommand)]
    Handlers(Handlers),
    /// The durable store itself.
    #[command(subcommand)]
    Queue(Queue),
    /// Hold a second copy of a gateway's queue, and make a gateway of it.
    Standby(Standby),
    /// The gateways that share one log.
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Make a queue of a copy, in an empty folder.
    Restore(Restore),
    /// Print a JSON Schema of the configuration file.
    Schema {
        /// Print the page that `docs/configuration.md` is, in place of the schema.
        #[arg(long)]
        markdown: bool,
    },
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Write the manual pages into a folder: for those who make packages.
    #[command(hide = true)]
    Man {
        /// The folder, which is there already.
        folder: PathBuf,
    },
}

/// Verbs of `cluster`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ClusterVerb {
    /// Show which gateways there are, who delivers to which handler, and how the shared log does.
    Status,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file, as with `--config`.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Also say what a reload would change in the running server.
    #[arg(long)]
    pub diff: bool,
    /// Also look whether the other ends (databases, mail servers) are there.
    #[arg(long)]
    pub online: bool,
    /// Also take the retained events since then (`7d`) through NEW, and say what it would do
    /// otherwise.
    #[arg(long, value_name = "TIME", requires = "new")]
    pub against: Option<SaidTime>,
    /// The configuration file, as with `--config`; with `--against` the new one.
    #[arg(value_name = "NEW")]
    pub new: Option<PathBuf>,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Only say whether the running server is ready (as /readyz): for health checks of containers.
    #[arg(long)]
    pub ready: bool,
}

/// Options of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The folder with the recorded events (`events save` writes them); left out: `tests` beside the
    /// configuration.
    pub folder: Option<PathBuf>,
    /// Write what handlers make of them now as what is expected.
    #[arg(long)]
    pub update: bool,
}

/// Options of `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// The source to send to.
    pub source: String,
    /// The event's type, as in `comment.create`; left out: says which the source has.
    #[arg(value_name = "TYPE")]
    pub event_type: Option<String>,
    /// The body to send in place of the built-in sample; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// Where to send it, in place of the server that the configuration describes.
    #[arg(long)]
    pub url: Option<String>,
    /// Print the signed request as a `curl` command in place of posting it. It can be sent for as long as the
    /// source takes its signature.
    #[arg(long)]
    pub curl: bool,
}

/// Verbs of `events`.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// List events, newest first.
    List(EventsList),
    /// Show one event and what each handler did with it.
    Show {
        /// The event's id, or its beginning; `last` is the newest that was sent.
        id: SaidEvent,
        /// Print the body, byte for byte, and nothing else.
        #[arg(long)]
        raw: bool,
    },
    /// Write an event, with secrets and personal fields masked, into a file for `gatepost test`.
    Save {
        /// The event's id, or its beginning; `last` is the newest that was sent.
        id: SaidEvent,
        /// The folder; left out: `tests` beside the configuration.
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
    /// Print events as they come in with their positions, until interrupted; a restart of the server
    /// is waited for.
    Tail(EventsTail),
    /// Deliver events again that are already settled.
    Replay(EventsReplay),
    /// Make a new event of one, with another body.
    Edit(EventsEdit),
}

/// Which events.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct EventsFilter {
    /// Only this source.
    #[arg(long)]
    pub(super) source: Option<String>,
    /// Only types that match, where `*` stands for any run of characters.
    #[arg(long = "type", value_name = "PATTERN")]
    pub(super) event_type: Option<String>,
    /// Only events since then: `2h`, `7d`, `2026-11-22` (a day of UTC) or `2026-11-22T10:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<SaidTime>,
    /// Only events before then.
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<SaidTime>,
    /// Only events whose body contains this text.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) contains: Option<String>,
    /// Only events with this value in their JSON body: `customer=cus_9`, `data.comment.id=5`.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) field: Option<String>,
    /// Words as the dashboard takes them: text, `customer:cus_9`, `data.comment.id:5`, `handler:mail`, `has:dead`, `since:2h`.
    #[arg(long, value_name = "WORDS", value_parser = said_words, allow_hyphen_values = true)]
    pub(super) search: Option<String>,
}

/// Options of `events list`.
#[derive(Debug, Args)]
pub struct EventsList {
    #[command(flatten)]
    pub(super) filter: EventsFilter,
    /// Only events that this handler was or will be given, by today's `on`; what its `when` skipped
    /// is among them.
    #[arg(long)]
    pub(super) handler: Option<HandlerName>,
    /// Only events with a delivery in this state: pending, delivered, skipped, retry (or waiting),
    /// held or dead.
    #[arg(long, value_parser = said_state)]
    pub(super) state: Option<DeliveryState>,
    /// At most this many.
    #[arg(long, short_alias = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
}

/// As from a shell's variable that is not set, no words would mean every event.
fn said_words(text: &str) -> Result<String, &'static str> {
    let says_nothing = text.chars().all(|c| c.is_whitespace() || c == '"');
    if says_nothing { Err("there are no words in it") } else { Ok(text.to_owned()) }
}

fn said_state(text: &str) -> Result<DeliveryState, String> {
    crate::api::state(text).map_err(|err| err.to_string())
}

/// Options of `events tail`.
#[derive(Debug, Args)]
pub struct EventsTail {
    #[command(flatten)]
    pub(super) filter: EventsFilter,
    /// Go on for ever, as it does anyway: for hands that type it.
    #[arg(long, short, hide = true)]
    pub(super) follow: bool,
    /// Begin behind this position, such as the last one that was printed; left out: with what comes.
    #[arg(long, value_name = "POSITION")]
    pub(super) from: Option<u64>,
}

/// Options of `events replay`.
#[derive(Debug, Args)]
#[command(group(
    clap::ArgGroup::new("what")
        .args([
            "id", "source", "event_type", "since", "until", "contains", "field", "search", "handler",
            "all",
        ])
        .multiple(true)
        .required(true)
))]
pub struct EventsReplay {
    /// One event, by its id or the beginning of that; left out: all that the filter finds.
    #[arg(conflicts_with_all = [
        "source", "event_type", "since", "until", "contains", "field", "search", "after", "restart",
    ])]
    pub(super) id: Option<SaidEvent>,
    /// Every event to every handler: where no filter says less, this must be said, also with
    /// `--after` or `--dry-run`.
    #[arg(long, conflicts_with_all = [
        "id", "source", "event_type", "since", "until", "contains", "field", "search", "handler",
    ])]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filter: EventsFilter,
    /// Only to this handler; left out: to every one.
    #[arg(long)]
    pub(super) handler: Option<HandlerName>,
    /// At most this many events a second.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    /// Begin behind this position. Without it, a command that was interrupted goes on by itself
    /// where it stopped.
    #[arg(long, value_name = "POSITION")]
    pub(super) after: Option<u64>,
    /// Begin anew, even where an earlier run of this command was interrupted. Needed where that was
    /// an hour ago or more and `--since 2h` means another time by now.
    #[arg(long)]
    pub(super) restart: bool,
    /// Only say how many there are.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Verbs of `queue`.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// Read every record and name each damage.
    Check,
    /// Print every retained event as a line of JSON.
    Export,
    /// Store events from `export`'s lines, read from FILE or standard input.
    Import {
        /// The file; left out: standard input.
        file: Option<PathBuf>,
    },
    /// Give unused space back.
    Compact,
}
