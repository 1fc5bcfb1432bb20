//! `file`: appends each event as a JSON line, synced before it counts as delivered.
//!
//! 1. `Ok` = every line of the call survives a power cut: one fdatasync for the whole batch.
//! 2. A line is never glued to another: what an earlier crash left half written is cut off when the
//!    file is opened, and a failed write is cut back to the last good end.
//! 3. A rotated file is complete before it gets its name, and only files that carry such a name
//!    are ever compressed or removed.
//! 4. Other programs may move or cut the file (logrotate): each call looks first.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::envelope::write_event;
use super::{BuildContext, BuildError, Content, Handler, Kind, KindSettings, Plan, Step};
use crate::event::{Delivery, Failure, Output};
use crate::expr::foreign_placeholder;
use crate::settings::{ByteSize, Table};

mod lines;
mod rotate;
#[cfg(test)]
mod tests;

use lines::LineFile;
use rotate::{Rotated, Rotation};

/// The most deliveries of one call: at 1 KB each some 5 MB behind one fdatasync. More gains
/// nothing and makes a failure cost more.
const BATCH_MAX: usize = 4096;

/// The smallest size at which a file is rotated: below it one would drown in files.
const ROTATE_BYTES_MIN: u64 = 4096;

/// `[handler.NAME.file]`.
pub static KIND: Kind = Kind {
    name: "file",
    batch_max: BATCH_MAX,
    statuses: None,
    targets: &[],
    planned: &["path"],
    read: |table| Some(Box::new(Settings::read(table)?)),
};

#[derive(Clone, Debug)]
pub struct Settings {
    path: PathBuf,
    rotation: Rotation,
    rotated: Rotated,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let path = table.require::<PathBuf>("path");
        let is_template = |text: &str| {
            text.contains("{{") || text.contains("{%") || foreign_placeholder(text).is_some()
        };
        if table.text_of("path").is_some_and(is_template) {
            table.warning(
                "path",
                "no template is read in a path: the file is called so, braces and all, whatever the event",
                "write a handler with its own `on` or `when` for each file; `rotate = \"daily\"` begins one each \
                 day",
            );
        }
        let help = "for example `rotate = \"daily\"`";
        let rotation = table.checked_or("rotate", help, |text: String| read_rotation(&text));
        let max_files = table.take::<std::num::NonZeroUsize>("max_files");
        let gzip = table.take_or("gzip", false);
        if !table.has("rotate") && (max_files.is_some() || gzip) {
            table.problem(
                if max_files.is_some() { "max_files" } else { "gzip" },
                "this says what becomes of rotated files, and the file is not rotated",
                "add `rotate = \"daily\"` or a size, as in `rotate = \"100MiB\"`",
            );
        }
        let path = path?;
        if path.file_name().is_none() {
            table.problem("path", "this is not the name of a file", "as in `data/events.jsonl`");
            return None;
        }
        let rotation = if table.has("rotate") { rotation? } else { Rotation::Never };
        Some(Self {
            path,
            rotation,
            rotated: Rotated { max_files: max_files.map(Into::into), gzip },
        })
    }
}

fn read_rotation(text: &str) -> Result<Rotation, String> {
    match text {
        "never" => Ok(Rotation::Never),
        "daily" => Ok(Rotation::Daily),
        size => match size.parse::<ByteSize>() {
            Ok(ByteSize(bytes)) if bytes >= ROTATE_BYTES_MIN => Ok(Rotation::Size(bytes)),
            Ok(_) => Err(format!("a file is rotated at {ROTATE_BYTES_MIN} bytes or more")),
            Err(_) => Err("expected `daily`, `never` or a size as in `100MiB`".to_owned()),
        },
    }
}

impl KindSettings for Settings {
    fn plan(&self, _context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure> {
        let steps = deliveries.iter().map(|delivery| {
            let mut line = Vec::new();
            write_event(&mut line, &delivery.event, attempt(delivery));
            Step::Append { file: self.path.clone(), line: Content(line) }
        });
        Ok(steps.collect())
    }

    fn writes(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn check(&self, _context: &BuildContext) -> Result<(), BuildError> {
        let shown = self.path.display();
        lines::check(&self.path).map_err(|err| BuildError::io(format!("opening `{shown}`"), err))
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        let shown = self.path.display();
        // Only whether it can be opened: mending its end waits for the first call, since on a
        // reload the handler that was may still be writing.
        lines::open(&self.path).map_err(|err| BuildError::io(format!("opening `{shown}`"), err))?;
        let file = LineFile::new(self.clone(), Arc::clone(&context.clock));
        Ok(Box::new(FileHandler { file: Arc::new(Mutex::new(file)) }))
    }
}

/// What a line says of its attempt: nothing, unless it was made by hand.
fn attempt(delivery: &Delivery) -> Option<u32> {
    delivery.is_by_hand().then_some(delivery.attempt)
}

struct FileHandler {
    /// Locked by the call whose thread writes, for as long as it writes. Calls wait in line without a thread:
    /// a disk that hangs holds one, and not one for each call that was given up.
    file: Arc<Mutex<LineFile>>,
}

#[async_trait]
impl Handler for FileHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let events: Vec<_> =
            deliveries.iter().map(|one| (Arc::clone(&one.event), attempt(one))).collect();
        let mut file = Arc::clone(&self.file).lock_owned().await;
        // A write or a sync can take as long as the disk likes.
        let written = tokio::task::spawn_blocking(move || file.append(&events));
        match written.await {
            Ok(result) => result.map(|()| Output::default()),
            Err(_) => Err(Failure::transient("the write was given up")),
        }
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn default_batch(&self) -> usize {
        BATCH_MAX
    }

    async fn close(&self) {
        let mut file = Arc::clone(&self.file).lock_owned().await;
        let closed = tokio::task::spawn_blocking(move || file.close());
        if closed.await.is_err() {
            tracing::warn!("Closing a file failed");
        }
    }
}
