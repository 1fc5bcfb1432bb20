//! The gateway's side: who follows, how far, and who waits for it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::watch;
use tracing::warn;

use super::error::StandbyError;
use super::gather::gather;
use super::lag::{Lag, Marks, StandbyView};
use super::wire::{CopyStand, Hello, Pull, Welcome};
use crate::clock::{Clock, Timestamp};
use crate::files;
use crate::queue::embedded::{COPY_FORMAT, LogPlace, QueueFiles};
use crate::sync::lock;

/// Where in the queue's folder the gateway's id is.
const ID_FILE: &str = "id";
/// The most standbys that are remembered at a time; the one that was silent longest goes.
const SESSIONS_MAX: usize = 8;
/// Where in the queue's folder it stands which copies have diverged.
const DIVERGED_FILE: &str = "diverged.json";
/// The most of them that are remembered; the oldest go.
const DIVERGED_MAX: usize = 64;
/// The longest name of a standby that is kept.
const NAME_CHARS_MAX: usize = 64;
/// A standby that has not asked for so long is not connected: it asks each second.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// The longest wait for something new.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long commits are gathered where no request waits for the copy, so that it is synced ten times a
/// second and not once for each commit.
const LINGER: Duration = Duration::from_millis(100);
/// More than this is sent at once.
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// When an event is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Once it is durable here.
    #[default]
    Local,
    /// Once it is durable in a standby's copy as well.
    Standby,
}

/// What is wanted of standbys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// When an event is acknowledged.
    pub acknowledge: Acknowledge,
    /// How long a standby's acknowledgement may take.
    pub timeout: Duration,
    /// Whether there is to be one.
    pub is_expected: bool,
    /// How far it may be behind before the owner is told.
    pub lag_max: Duration,
}

/// A standby that asked.
#[derive(Debug)]
struct Session {
    name: String,
    durable: LogPlace,
    /// By the steady clock.
    seen: Timestamp,
    /// By the wall clock.
    seen_at: Timestamp,
}

pub struct Standbys {
    files: QueueFiles,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    rule: ArcSwap<Rule>,
    sessions: Mutex<BTreeMap<String, Session>>,
    marks: Mutex<Marks>,
    /// Everything before it is durable in a copy; it never goes back.
    copied: watch::Sender<LogPlace>,
    started: Timestamp,
    id: Mutex<Option<String>>,
    /// The ends of copies that have diverged, as they say hello: what proves it is let go of some day, and a copy that
    /// went on then would lose what it alone has. `None` = not read yet.
    diverged: Mutex<Option<Vec<(CopyStand, u32)>>>,
}

impl Standbys {
    /// Those of the queue that these files are of, which is in `folder`.
    pub fn new(files: QueueFiles, folder: PathBuf, clock: Arc<dyn Clock>, rule: Rule) -> Self {
        let started = clock.steady();
        Self {
            files,
            folder,
            clock,
            rule: ArcSwap::from_pointee(rule),
            sessions: Mutex::default(),
            marks: Mutex::new(Marks::since(started)),
            copied: watch::Sender::new(LogPlace::default()),
            started,
            id: Mutex::default(),
            diverged: Mutex::default(),
        }
    }

    /// Wants this from now on.
    pub fn set_rule(&self, rule: Rule) {
        self.rule.store(Arc::new(rule));
    }

    /// What is wanted.
    pub fn rule(&self) -> Rule {
        **self.rule.load()
    }

    /// Lets a standby in whose copy this gateway can go on with. Blocks while it reads a segment.
    pub fn hello(&self, hello: &Hello) -> Result<Welcome, StandbyError> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        if hello.format != COPY_FORMAT {
            return Err(StandbyError::Version {
                ours: version,
                our_format: COPY_FORMAT,
                theirs: hello.version.clone(),
                their_format: hello.format,
            });
        }
        let gateway = self.id().map_err(StandbyError::Id)?;
        if let Some(theirs) = hello.gateway.clone().filter(|theirs| *theirs != gateway) {
            return Err(StandbyError::OtherGateway { ours: gateway, theirs });
        }
        let checked = self.check_stand(hello);
        // Where this log is damaged its own bytes may be the wrong ones, and the copy's the only good ones.
        let is_certain = self.files.is_whole();
        if let (Err(StandbyError::Diverged(_)), Some(end), true) =
            (&checked, hello.stand, is_certain)
        {
            self.remember_diverged(end);
        }
        checked?;
        let session = random_name();
        let durable = LogPlace::default();
        let name = hello.name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        let (seen, seen_at) = (self.clock.steady(), self.clock.now());
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.seen);
            if let Some(oldest) = oldest.map(|(session, _)| session.clone()) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(session.clone(), Session { name, durable, seen, seen_at });
        Ok(Welcome { format: COPY_FORMAT, version, gateway, session })
    }

    /// Whether the log goes through the copy's end, byte for byte.
    fn check_stand(&self, hello: &Hello) -> Result<(), StandbyError> {
        let Some((stand, checksum)) = hello.stand else { return Ok(()) };
        let diverged = |why: &str| Err(StandbyError::Diverged(why.to_owned()));
        if stand.place() > self.files.head() {
            return diverged(
                "its log ends before that of the copy: it was restored from an older copy, or its \
                 disk has lost what was acknowledged",
            );
        }
        if stand.name.number < self.files.first_segment() {
            // It has let go of that segment; the copy goes on with the first that is left.
            let known = self.with_diverged(|known| known.contains(&(stand, checksum)));
            return if known { diverged("it was refused for that before") } else { Ok(()) };
        }
        let read = self.files.read_segment(stand.name, 0, stand.end as usize)?;
        match read {
            Some(bytes) if crc32c::crc32c(&bytes) == checksum => Ok(()),
            Some(_) => diverged("the same segment has other bytes in it"),
            None if stand.name.number < self.files.first_segment() => Ok(()),
            None => diverged("it has no such segment of the log"),
        }
    }

    fn with_diverged<T>(&self, look: impl FnOnce(&mut Vec<(CopyStand, u32)>) -> T) -> T {
        let read = || {
            let bytes = std::fs::read(self.folder.join(DIVERGED_FILE)).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        // Without the file, or where it makes no sense, none is known.
        look(lock(&self.diverged).get_or_insert_with(|| read().unwrap_or_default()))
    }

    fn remember_diverged(&self, end: (CopyStand, u32)) {
        let noted = self.with_diverged(|known| {
            if known.contains(&end) {
                return Ok(());
            }
            known.push(end);
            let n_too_many = known.len().saturating_sub(DIVERGED_MAX);
            known.drain(..n_too_many);
            let json = serde_json::to_vec(known)?;
            files::replace_durably(&self.folder.join(DIVERGED_FILE), json)
        });
        if let Err(err) = noted {
            warn!(error = %err, "It is not noted for the next start which copy has diverged");
        }
    }

    /// Answers a question, once there is something to answer.
    pub async fn pull(&self, pull: Pull) -> Result<Bytes, StandbyError> {
        self.note(&pull)?;
        let from = pull.from.map(|from| from.place()).unwrap_or_default();
        let wait = Duration::from_millis(pull.wait_ms).min(WAIT_MAX);
        // Where time is up the answer has nothing in it, and says that the gateway lives.
        if tokio::time::timeout(wait, self.files.wait_beyond(from)).await.is_ok()
            && self.rule().acknowledge == Acknowledge::Local
            && from.bytes_until(self.files.head()) < LINGER_BYTES_MAX
        {
            tokio::time::sleep(LINGER).await;
        }
        let files = self.files.clone();
        let gathered = tokio::task::spawn_blocking(move || gather(&files, &pull)).await;
        self.look();
        gathered.unwrap_or(Err(StandbyError::Internal("reading for a standby")))
    }

    /// Notes how far a copy is durable.
    fn note(&self, pull: &Pull) -> Result<(), StandbyError> {
        self.look();
        let head = self.files.head();
        let durable = pull.durable.min(head);
        {
            let mut sessions = lock(&self.sessions);
            let session = sessions.get_mut(&pull.session).ok_or(StandbyError::UnknownSession)?;
            session.durable = session.durable.max(durable);
            (session.seen, session.seen_at) = (self.clock.steady(), self.clock.now());
        }
        self.copied.send_if_modified(|copied| {
            let is_more = durable > *copied;
            *copied = durable.max(*copied);
            is_more
        });
        Ok(())
    }

    /// Notes where the log's end is by now: each second at least, so that a lag is known.
    pub fn look(&self) {
        lock(&self.marks).note(self.clock.steady(), self.files.head());
    }

    /// Waits until all that the log has by now is durable in a copy, where that is wanted. `false` =
    /// it was not in time.
    pub async fn is_copied(&self) -> bool {
        let Rule { acknowledge, timeout, .. } = self.rule();
        match acknowledge {
            Acknowledge::Local => true,
            Acknowledge::Standby => {
                let head = self.files.head();
                let mut copied = self.copied.subscribe();
                let waited = copied.wait_for(|copied| *copied >= head);
                matches!(tokio::time::timeout(timeout, waited).await, Ok(Ok(_)))
            }
        }
    }

    /// How the best copy stands; `None` = there is none, and none is expected.
    pub fn view(&self) -> Option<StandbyView> {
        let rule = self.rule();
        let now = self.clock.steady();
        let (head, copied) = (self.files.head(), *self.copied.borrow());
        self.look();
        let lag = lock(&self.marks).behind(copied, head, now);
        let sessions = lock(&self.sessions);
        let newest = sessions.values().max_by_key(|session| (session.durable, session.seen));
        if newest.is_none() && !rule.is_expected {
            return None;
        }
        let silent = newest.map_or_else(|| now.since(self.started), |one| now.since(one.seen));
        let connected = newest.is_some() && silent < SILENT_MAX;
        // Where no standby asks, none has what comes next.
        let seconds = if connected { lag.seconds } else { lag.seconds.max(silent.as_secs_f64()) };
        Some(StandbyView {
            name: newest.map(|one| one.name.clone()),
            connected,
            last_seen_at: newest.map(|one| one.seen_at),
            lag: Lag { seconds, ..lag },
            acknowledges: rule.acknowledge == Acknowledge::Standby,
        })
    }

    /// Why senders are not answered, where that is so because of the second copy.
    pub fn problem(&self) -> Option<String> {
        let Rule { acknowledge, timeout, .. } = self.rule();
        let view = self.view().filter(|_| acknowledge == Acknowledge::Standby)?;
        let silent = || format!("{:.0} s", view.lag.seconds);
        if !view.connected {
            return Some(format!(
                "no standby has asked for {}: events are not acknowledged (`queue.ack`)",
                silent()
            ));
        }
        (view.lag.seconds > timeout.as_secs_f64())
            .then(|| format!("the standby is {} behind: events are not acknowledged", silent()))
    }

    /// The gateway's id, made where there is none.
    fn id(&self) -> io::Result<String> {
        let mut known = lock(&self.id);
        if let Some(id) = &*known {
            return Ok(id.clone());
        }
        let path = self.folder.join(ID_FILE);
        let id = match std::fs::read_to_string(&path) {
            Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
            Ok(_) => make_id(&path)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => make_id(&path)?,
            Err(err) => return Err(err),
        };
        *known = Some(id.clone());
        Ok(id)
    }
}

/// A name that no other has.
fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn make_id(path: &std::path::Path) -> io::Result<String> {
    let id = random_name();
    files::replace_durably(path, format!("{id}\n"))?;
    Ok(id)
}
