//! One run of the program for each event.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin};

use super::ending::{Endings, Running};
use super::{Program, last_line, time_for_program, variables};
use crate::event::{Delivery, Failure, FailureClass, HandlerName};
use crate::handler::{BuildContext, Handler};
use crate::settings::show_duration;

/// How much of the end of stderr is kept for the error's text.
const STDERR_BYTES: usize = 4096;

/// How long stderr is still read after the program's end: somebody it left behind may hold it
/// open.
const STDERR_GRACE: Duration = Duration::from_millis(50);

/// How long programs that were given up have to end when Gatepost does.
const CLOSE_TIME: Duration = Duration::from_millis(1_500);

/// `EX_DATAERR` of sysexits(3).
const EXIT_BAD_DATA: i32 = 65;

/// Runs the program for each event.
pub(super) struct Once {
    program: Program,
    handler: HandlerName,
    time: Duration,
    /// What of the call's time is left behind it, less what its caller needs.
    rest: Duration,
    endings: Endings,
}

impl Once {
    pub(super) fn new(program: Program, context: &BuildContext) -> Self {
        let time = time_for_program(context.timeout);
        let rest = context.timeout.saturating_sub(time) / 2;
        let (handler, endings) = (context.handler.clone(), Endings::default());
        Self { program, handler, time, rest, endings }
    }

    async fn run(&self, delivery: &Delivery) -> Result<(), Failure> {
        let event = &delivery.event;
        let mut command = self.program.command();
        command
            .envs(variables(&self.handler, delivery))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).spawn().map_err(|err| {
            let program = self.program.shown();
            Failure::transient(format_args!("`{program}` cannot be run: {err}"))
        })?;
        let stdin = child.stdin.take();
        // Dropped with this future, when its caller gives up: nothing of the group is left then.
        let mut running = Running::new(child, &self.endings);
        let mut said = Vec::new();
        let work = async {
            let Some((child, mut stderr)) = running.parts() else {
                return Err(std::io::ErrorKind::NotFound.into());
            };
            let exit = async {
                tokio::select! {
                    status = child.wait() => status,
                    () = feed(stdin, &event.body) => child.wait().await,
                }
            };
            let mut exit = std::pin::pin!(exit);
            let status = tokio::select! {
                status = &mut exit => status,
                () = listen(stderr.as_deref_mut(), &mut said) => exit.await,
            };
            // What was said just before the end may still be in the pipe.
            let rest = listen(stderr, &mut said);
            if tokio::time::timeout(STDERR_GRACE, rest).await.is_err() {
                tracing::debug!(handler.name = %self.handler, "A program left somebody behind");
            }
            status
        };
        let Ok(status) = tokio::time::timeout(self.time, work).await else {
            return Err(self.end(running).await);
        };
        let status = status
            .map_err(|err| Failure::transient(format_args!("the program was lost: {err}")))?;
        judge(status, &last_line(&said))
    }

    /// Ends a program that had its time. Most are gone before the call is over, so that the next try
    /// does not meet them.
    async fn end(&self, running: Running) -> Failure {
        if let Some(ended) = running.end()
            && tokio::time::timeout(self.rest, ended).await.is_err()
        {
            tracing::debug!(handler.name = %self.handler, "A program takes its time to end");
        }
        let time = show_duration(self.time);
        let failure = Failure::transient(format_args!("not done after {time}, ended"));
        failure.with_class(FailureClass::Timeout)
    }
}

#[async_trait]
impl Handler for Once {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        for delivery in deliveries {
            self.run(delivery).await?;
        }
        Ok(())
    }

    async fn close(&self) {
        self.endings.close(CLOSE_TIME).await;
    }
}

/// Writes the body and ends the input. A program that does not read all of it, or nothing, is in
/// its right: its exit code counts.
async fn feed(stdin: Option<ChildStdin>, body: &[u8]) {
    if let Some(mut stdin) = stdin
        && let Err(err) = stdin.write_all(body).await
    {
        tracing::trace!(error = %err, "A program did not read its input");
    }
}

/// Reads until the end and keeps the last bytes.
async fn listen(stderr: Option<&mut ChildStderr>, said: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    // An error ends it as the end does.
    while stderr.read_buf(said).await.is_ok_and(|n_bytes| n_bytes > 0) {
        if said.len() > 2 * STDERR_BYTES {
            said.drain(..said.len() - STDERR_BYTES);
        }
    }
}

fn judge(status: ExitStatus, said: &str) -> Result<(), Failure> {
    let Some(code) = status.code() else {
        return Err(Failure::transient(format_args!("ended by a signal ({status})")));
    };
    let text = match said {
        "" => format!("exit code {code}"),
        _ => format!("exit code {code}: {said}"),
    };
    let failure = match code {
        0 => return Ok(()),
        EXIT_BAD_DATA => Failure::permanent(text),
        // Among them 75, `EX_TEMPFAIL`: nothing says that it cannot get well.
        _ => Failure::transient(text),
    };
    Err(failure.with_status(u16::try_from(code).unwrap_or(u16::MAX)))
}
