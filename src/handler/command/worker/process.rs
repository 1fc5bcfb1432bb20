//! One running worker: its process, and a thread at each of its three pipes. The one that reads
//! answers also waits for the process and says that it has ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::super::group::Group;
use super::super::program::Program;
use super::super::said::{Tail, last_line};
use super::super::streams::Streams;
use super::answer::Answer;
use super::late::LateAnswers;
use super::unanswered::{AwaitedAnswer, Late, Unanswered, not_begun};
use crate::clock::{Clock, Timestamp};
use crate::event::{EventId, Failure, HandlerName, Output, Stream};
use crate::sync::lock;

/// The longest line that is read from a worker: an answer is short.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Lines that wait are put together up to this size: one write for many.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a worker has to end after it has closed its output.
const END_TIME: Duration = Duration::from_secs(1);

/// How long a worker that hangs has to end after SIGTERM.
const END_GRACE: Duration = Duration::from_secs(3);

/// How often one looks whether it has.
const END_STEP: Duration = Duration::from_millis(5);

/// How long one waits for the last words on stderr, which are there at once unless another process keeps it open.
const STDERR_GRACE: Duration = Duration::from_millis(500);

/// A worker's process. Dropped, it is ended.
pub(super) struct Process {
    /// Lines on their way; `None` = the input is closed. Bounded as the lines without an answer are.
    input: Mutex<Option<Sender<Vec<u8>>>>,
    inner: Arc<Inner>,
}

/// What the threads share.
struct Inner {
    program: Arc<Program>,
    handler: HandlerName,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    group: Mutex<Group>,
    /// By the steady clock, in milliseconds; the smallest value = never.
    answered_at: AtomicI64,
    has_ended: watch::Sender<bool>,
    late: Arc<LateAnswers>,
}

#[derive(Default)]
struct State {
    unanswered: Unanswered,
    /// It has said what is no answer.
    is_strange: bool,
    /// The end of what it said on stderr, and how many bytes that was in all.
    stderr: Tail,
    n_stderr_bytes: u64,
    /// It was told to end.
    is_ending: bool,
    /// How it ended, and when, by the steady clock.
    end: Option<(String, Timestamp)>,
}

impl Process {
    /// Starts it. What it answers when no call waits goes to `late`.
    pub(super) fn start(
        program: &Arc<Program>,
        handler: &HandlerName,
        clock: Arc<dyn Clock>,
        late: Arc<LateAnswers>,
    ) -> io::Result<Self> {
        let mut command = program.command(program.run.plain())?;
        command.env("GATEPOST_HANDLER", handler.as_str());
        let Streams { stdin, stdout, stderr } = Streams::of(&mut command)?;
        let child = command.spawn()?;
        drop(command);
        let inner = Arc::new(Inner {
            program: Arc::clone(program),
            handler: handler.clone(),
            clock,
            state: Mutex::default(),
            group: Mutex::new(Group::led_by(Some(child.id()))),
            answered_at: AtomicI64::new(i64::MIN),
            has_ended: watch::Sender::new(false),
            late,
        });
        let (input, lines) = channel();
        let (silent, last_words) = channel();
        let process = Self { input: Mutex::new(Some(input)), inner: Arc::clone(&inner) };
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name("gatepost-worker".to_owned()).spawn(work).map(|_| ())
        };
        // The thread that waits for the process comes first: it must not miss the end of one whose
        // other threads could not be had.
        let reader = Arc::clone(&inner);
        spawn(Box::new(move || reader.read(stdout, child, &last_words)))?;
        let listener = Arc::clone(&inner);
        spawn(Box::new(move || listener.listen(stderr, silent)))?;
        spawn(Box::new(move || inner.write(stdin, &lines)))?;
        Ok(process)
    }

    /// Will have the answer to `id`, for as long as the receiver is there. It gets no new line where it
    /// has `late_max` before it that no call waits for.
    pub(super) fn expect(&self, id: EventId, attempt: u32, late_max: usize) -> AwaitedAnswer {
        let mut state = self.inner.state();
        match &state.end {
            None => state.unanswered.expect(id, attempt, late_max),
            // It came in between: nothing is to be sent.
            Some((end, _)) => {
                let (answer, reply) = oneshot::channel();
                answer.send(Err(not_begun(end))).unwrap_or_default();
                AwaitedAnswer::ToLine(reply)
            }
        }
    }

    /// Whether it has a line of this event before it, and is there to answer it.
    pub(super) fn has_line(&self, id: EventId) -> bool {
        let state = self.inner.state();
        !state.is_ending && state.unanswered.has(id)
    }

    /// How many lines it has not answered.
    pub(super) fn n_lines(&self) -> usize {
        self.inner.state().unanswered.len()
    }

    /// Whether it gets no new lines for now.
    pub(super) fn is_full(&self, late_max: usize) -> bool {
        self.inner.state().unanswered.is_full(late_max)
    }

    /// What it says of this event counts no more.
    pub(super) fn forget(&self, id: EventId) {
        self.inner.state().unanswered.forget(id);
    }

    /// What becomes of each of `ids`, which had their time.
    pub(super) fn late(&self, ids: &[EventId]) -> Vec<Late> {
        let mut state = self.inner.state();
        let is_ending = state.is_ending;
        state.unanswered.late(ids, is_ending)
    }

    /// Sends whole lines.
    pub(super) fn send(&self, lines: Vec<u8>) {
        let input = self.input();
        // Where the channel is closed the worker has ended or is about to: all calls that wait get
        // that answer.
        if let Some(Err(_)) = input.as_ref().map(|input| input.send(lines)) {
            self.kill();
        }
    }

    /// How it ended, and when, by the steady clock; `None` while it runs.
    pub(super) fn end(&self) -> Option<(String, Timestamp)> {
        self.inner.state().end.clone()
    }

    /// Whether it has said what is no answer.
    pub(super) fn is_strange(&self) -> bool {
        self.inner.state().is_strange
    }

    /// Whether it has ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.inner.answered_at.load(Ordering::Relaxed) != i64::MIN
    }

    /// Whether it has answered anything since that moment.
    pub(super) fn has_answered_since(&self, moment: Timestamp) -> bool {
        self.inner.answered_at.load(Ordering::Relaxed) >= moment.as_millis()
    }

    /// Whether it has answered nothing for that long.
    pub(super) fn is_silent_for(&self, time: Duration, now: Timestamp) -> bool {
        let answered_at = Timestamp::from_millis(self.inner.answered_at.load(Ordering::Relaxed));
        now.since(answered_at) >= time
    }

    /// How much it has said on stderr so far.
    pub(super) fn n_stderr_bytes(&self) -> u64 {
        self.inner.state().n_stderr_bytes
    }

    /// The end of what it has said on stderr since it had said `n_bytes`.
    pub(super) fn said_since(&self, n_bytes: u64) -> Output {
        let state = self.inner.state();
        let n_new = state.n_stderr_bytes.saturating_sub(n_bytes);
        let n_new = usize::try_from(n_new).unwrap_or(usize::MAX);
        Output::new([state.stderr.excerpt(Stream::Stderr, n_new, &self.inner.program)])
    }

    /// Whether it was told to end and has not yet.
    pub(super) fn is_ending(&self) -> bool {
        let state = self.inner.state();
        state.is_ending && state.end.is_none()
    }

    /// Ends it in order: SIGTERM to its group, and SIGKILL [`END_GRACE`] later where that was not
    /// enough. Does not wait.
    pub(super) fn end_in_order(&self) {
        if std::mem::replace(&mut self.inner.state().is_ending, true) {
            return;
        }
        self.terminate();
        let inner = Arc::clone(&self.inner);
        let see_off = move || {
            let mut waited = Duration::ZERO;
            while waited < END_GRACE && inner.state().end.is_none() {
                thread::sleep(END_STEP);
                waited = waited.saturating_add(END_STEP);
            }
            inner.group().kill();
        };
        let spawned = thread::Builder::new().name("gatepost-worker".to_owned()).spawn(see_off);
        if let Err(err) = spawned {
            tracing::warn!(error = %err, "A worker was killed at once: there is no thread for it");
            self.kill();
        }
    }

    /// Tells it that nothing more will come.
    pub(super) fn close_input(&self) {
        *self.input() = None;
    }

    /// Asks it to end, with all that it has started.
    pub(super) fn terminate(&self) {
        self.inner.group().terminate();
    }

    /// Ends it at once, with all that it has started.
    pub(super) fn kill(&self) {
        self.inner.group().kill();
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        let mut has_ended = self.inner.has_ended.subscribe();
        // The sender lives as long as `self`: there is always an answer.
        if has_ended.wait_for(|has_ended| *has_ended).await.is_err() {
            tracing::debug!("A worker's end was not seen");
        }
    }

    fn input(&self) -> MutexGuard<'_, Option<Sender<Vec<u8>>>> {
        lock(&self.input)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        lock(&self.group)
    }

    fn write(&self, mut stdin: ChildStdin, lines: &Receiver<Vec<u8>>) {
        while let Ok(mut gathered) = lines.recv() {
            while gathered.len() < WRITE_BYTES
                && let Ok(more) = lines.try_recv()
            {
                gathered.extend_from_slice(&more);
            }
            if stdin.write_all(&gathered).is_err() {
                // One that does not read is of no use; its end is told by the reading thread.
                self.group().kill();
                return;
            }
        }
    }

    fn read(&self, stdout: ChildStdout, child: Child, last_words: &Receiver<()>) {
        let mut stdout = BufReader::with_capacity(WRITE_BYTES, stdout);
        let mut line = Vec::new();
        while let Ok(1..) = read_line(&mut stdout, &mut line) {
            if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX {
                tracing::warn!(handler.name = %self.handler, "A worker's line is too long");
                break;
            }
            if let Some(answer) = Answer::parse(&line) {
                self.take_answer(&answer);
            } else if !std::mem::replace(&mut self.state().is_strange, true) {
                // Said once, however much it says.
                tracing::warn!(handler.name = %self.handler, "A worker says what is no answer");
            }
        }
        drop(stdout);
        let status = self.wait_for(child);
        // Left without words, the time is soon over.
        if last_words.recv_timeout(STDERR_GRACE).is_ok() {
            tracing::trace!("A worker's last words were heard");
        }
        self.set_end(status);
    }

    fn take_answer(&self, answer: &Answer) {
        self.answered_at.store(self.clock.steady().as_millis(), Ordering::Relaxed);
        // Sent and kept under the lock: whose event waits no longer has its answer.
        let mut state = self.state();
        if let Some(late) = state.unanswered.answered(answer.id, answer.reply()) {
            tracing::debug!(handler.name = %self.handler, "A worker's answer is kept for the next try");
            self.late.keep(answer.id, late);
        }
    }

    /// Waits for a process that has closed its output; one that does not end is ended.
    fn wait_for(&self, mut child: Child) -> io::Result<ExitStatus> {
        let mut waited = Duration::ZERO;
        loop {
            {
                let mut group = self.group();
                let status = child.try_wait();
                if !matches!(status, Ok(None)) {
                    // The process number may be reused from here on.
                    group.let_go();
                }
                match status {
                    Ok(Some(status)) => return Ok(status),
                    Err(err) => return Err(err),
                    Ok(None) if waited >= END_TIME => group.kill(),
                    Ok(None) => {}
                }
            }
            thread::sleep(END_STEP);
            waited = waited.saturating_add(END_STEP);
        }
    }

    fn set_end(&self, status: io::Result<ExitStatus>) {
        let mut state = self.state();
        let how = match status {
            Ok(status) => match status.code() {
                Some(code) => format!("the worker ended with exit code {code}"),
                None => format!("the worker was ended ({status})"),
            },
            Err(err) => format!("the worker was lost: {err}"),
        };
        let end = match state.stderr.last_line(&self.program).as_str() {
            "" => how,
            said => format!("{how}: {said}"),
        };
        let is_ending = state.is_ending;
        for (waiting, fails) in state.unanswered.end(is_ending) {
            let failure = if fails { Failure::transient(&end) } else { not_begun(&end) };
            // A call that timed out has dropped its receiver.
            waiting.send(Err(failure)).unwrap_or_default();
        }
        state.end = Some((end, self.clock.steady()));
        drop(state);
        self.has_ended.send_replace(true);
    }

    /// Keeps the end of stderr; each line is in the log at level `debug`.
    fn listen(&self, stderr: ChildStderr, silent: Sender<()>) {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while let Ok(1..) = read_line(&mut stderr, &mut line) {
            let said = self.program.without_secrets(&String::from_utf8_lossy(&line));
            let said = last_line(&said);
            if !said.is_empty() {
                tracing::debug!(handler.name = %self.handler, said, "A worker said");
            }
            let mut state = self.state();
            state.stderr.push(&line);
            state.n_stderr_bytes = state.n_stderr_bytes.saturating_add(line.len() as u64);
        }
        drop(silent);
    }
}

/// Reads a line of bounded length; 0 = the end.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', line)
}
