//! `standby` and `restore`: a second copy of a gateway's queue.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::app;
use crate::clock::{Clock, SystemClock};
use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::files;
use crate::secret::SecretRef;
use crate::standby::{
    self, BucketCopy, CopyFollower, FollowOptions, HeldCopy, LocalCopy, Progress, Promoted,
    Thoroughness,
};
use crate::text::counted;

use super::args::{Promote, Restore, Standby, StandbyVerb};
use super::human::ago;
use super::output::{Output, Page};
use super::progress::{self, Unit};
use super::{CliError, error_chain};

/// Follows a gateway, or does what the verb says.
pub(super) fn run(options: Standby, output: Output) -> Result<(), CliError> {
    match options.verb {
        Some(StandbyVerb::Promote(options)) => promote(&options, output),
        None => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(follow(options, output))
        }
    }
}

/// Follows until that is not possible any more. Ends with an error only: it may be killed at any moment.
async fn follow(options: Standby, output: Output) -> Result<(), CliError> {
    app::logging::start(LogSettings { format: LogFormat::Text, level: LogLevel::Info });
    let Standby { from: Some(from), token_file: Some(file), data, to, bucket, .. } = options else {
        return Err(CliError::Usage("`--from` and `--token-file` say whom to follow".to_owned()));
    };
    if !["http", "https"].contains(&from.scheme()) {
        let text = "`--from` is the address of a gateway's admin listener: http://HOST:PORT";
        return Err(CliError::Usage(text.to_owned()));
    }
    let token = SecretRef::File { path: file, create: false };
    let token = token.resolve().map_err(|err| CliError::failed(&err))?;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let made = MadeFolders::before(&data);
    let copy: Box<dyn HeldCopy> = if let Some(address) = to {
        let place = bucket.access().open(&address).map_err(|err| CliError::failed(&err))?;
        let copy = BucketCopy::open(place, Arc::clone(&clock)).await;
        Box::new(copy.map_err(|err| CliError::failed(&err))?)
    } else {
        let copy = LocalCopy::open(&queue_folder(&data));
        Box::new(copy.map_err(|err| CliError::failed(&err))?)
    };
    let (url, options) = (from.clone(), FollowOptions { from, token, name });
    let follower = CopyFollower::new(options, copy, clock);
    let follower = follower.map_err(|err| CliError::failed(&err))?;
    let tell = |progress: Progress| {
        let told = output.one(&json!({ "standby": progress }), |_| match &progress {
            Progress::Following(gateway) => format!("following {url} (gateway {gateway})"),
            Progress::Complete => "the copy has all that the gateway has".to_owned(),
        });
        // The parent process may have closed our output: that is no reason to stop.
        if let Err(err) = told {
            tracing::warn!(error = %err, "The progress could not be printed");
        }
    };
    let ended = follower.run(tell).await;
    made.remove_if_unused();
    Err(CliError::Failed(error_chain(&ended)))
}

/// What a copy begins with, folders first.
const COPY_BEGUN: [&str; 5] = ["log", "kept", "keys", "FORMAT", "lock"];

/// The folders of a copy that were not there when this began.
struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    fn before(data: &Path) -> Self {
        let folders = [queue_folder(data), data.to_owned()];
        Self(folders.into_iter().filter(|folder| !folder.exists()).collect())
    }

    /// Takes them away where there is nothing in them but what every copy begins with: a gateway that never let this standby in
    /// leaves no half-made copy.
    fn remove_if_unused(self) {
        let Some(queue) = self.0.first() else { return };
        let is_own = |entry: io::Result<DirEntry>| {
            entry.is_ok_and(|entry| COPY_BEGUN.iter().any(|name| entry.file_name() == *name))
        };
        if !std::fs::read_dir(queue).is_ok_and(|mut entries| entries.all(is_own)) {
            return;
        }
        // A folder in which something is stays, and then so do those that it is in.
        for name in COPY_BEGUN {
            let path = queue.join(name);
            let removed =
                if path.is_dir() { std::fs::remove_dir(&path) } else { files::remove(&path) };
            if removed.is_err() {
                return;
            }
        }
        for folder in &self.0 {
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

fn promote(options: &Promote, output: Output) -> Result<(), CliError> {
    let Promote { data, force } = options;
    let bar = progress::Progress::new("reading the copy", Unit::Bytes, Some(0));
    let tell = |done, total| bar.set_of(done, total);
    let promoted = standby::promote(&queue_folder(data), *force, &tell);
    drop(bar);
    let promoted = promoted.map_err(|err| CliError::failed(&err))?;
    output.one(&promoted, |promoted| {
        let mut text = Page::default();
        text.line(format_args!("`{}` is a gateway's now", data.display()));
        text.text(&found(promoted));
        text.line(format_args!(
            "Keep the old gateway from serving (`systemctl disable --now gatepost` there), point \
             senders here, then start `gatepost serve`."
        ));
        text.finish()
    })
}

/// Makes a queue of a copy in an empty folder.
pub(super) fn restore(options: Restore, output: Output) -> Result<(), CliError> {
    let Restore { from, data, verify, force, bucket } = options;
    let how = Thoroughness { force, verify };
    let bar = progress::Progress::new("restoring", Unit::Bytes, Some(0));
    let tell = |done, total| bar.set_of(done, total);
    let restored = if from.starts_with("s3://") {
        let place = bucket.access().open(&from).map_err(|err| CliError::failed(&err))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(standby::restore_from_bucket(&place, &queue_folder(&data), how, &tell))
    } else {
        standby::restore(&queue_folder(Path::new(&from)), &queue_folder(&data), how, &tell)
    };
    drop(bar);
    let restored = restored.map_err(|err| CliError::failed(&err))?;
    output.one(&restored, |restored| {
        let mut text = Page::default();
        text.line(format_args!("restored into `{}`", data.display()));
        text.text(&found(restored));
        text.finish()
    })?;
    CliError::of_damage(restored.damage.len())
}

/// What is in it, and how far it was behind.
fn found(promoted: &Promoted) -> String {
    let Promoted { heard_at, events_behind, was_complete, found, damage, .. } = promoted;
    let mut text = Page::default();
    if let Some(found) = found {
        text.line(format_args!(
            "{} records read, {} in {}; newest position {}",
            found.records,
            counted(found.events, "event", "events"),
            counted(found.segments, "segment", "segments"),
            found.last.0
        ));
        if found.n_missing > 0 {
            let missing = counted(found.n_missing, "event is", "events are");
            text.line(format_args!("{missing} missing between others"));
        }
    } else {
        text.line(format_args!(
            "not verified: `--verify`, or `gatepost queue check` now, reads every record"
        ));
    }
    let heard = heard_at.map_or_else(|| "never".to_owned(), ago);
    let behind = events_behind.map(|n| match n {
        0 => ": the copy had all that it had by then".to_owned(),
        n => format!(": the copy was {} behind then", counted(n, "event", "events")),
    });
    text.line(format_args!("the gateway was heard last {heard}{}", behind.unwrap_or_default()));
    text.line(format_args!(
        "what it took in after that is not here; where its disk can be read, `gatepost queue export` \
         there and `gatepost queue import` here bring it"
    ));
    if !was_complete {
        text.line(format_args!("the copy was not complete: events are missing"));
    }
    for damage in damage {
        text.line(format_args!("damage: {damage}"));
    }
    text.finish()
}

/// The queue's folder in a data folder.
fn queue_folder(data: &Path) -> PathBuf {
    data.join("queue")
}
