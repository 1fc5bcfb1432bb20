//! One run of the program for each event.

use std::io::ErrorKind;
use std::process::ExitStatus;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use super::arguments::ARGUMENT_BYTES_MAX;
use super::ending::{Endings, Pipes, Running};
use super::fields::EventFields;
use super::program::Program;
use super::program_time::ProgramTime;
use super::said::Tail;
use super::streams::Streams;
use crate::event::{Delivery, Failure, FailureClass, HandlerName, Output, Stream};
use crate::handler::{BuildContext, Handler};

/// How long its output is still read after the program's end: a process that it left behind may
/// hold it open.
const OUTPUT_GRACE: Duration = Duration::from_millis(50);

/// How long programs that were given up have to end when Gatepost does.
const CLOSE_TIME: Duration = Duration::from_millis(1_500);

/// `EX_DATAERR` of sysexits(3).
const EXIT_BAD_DATA: i32 = 65;

/// Runs the program for each event.
pub(super) struct Once {
    program: Program,
    fields: EventFields,
    handler: HandlerName,
    time: ProgramTime,
    endings: Endings,
}

impl Once {
    pub(super) fn new(program: Program, fields: EventFields, context: &BuildContext) -> Self {
        let (handler, time) = (context.handler.clone(), ProgramTime { of_call: context.timeout });
        Self { program, fields, handler, time, endings: Endings::default() }
    }

    async fn run(&self, delivery: &Delivery) -> Result<Output, Failure> {
        let event = &delivery.event;
        let (arguments, n_bytes) = self.program.run.arguments(delivery)?;
        let variables = self.fields.variables(&self.handler, delivery)?;
        let n_bytes_of = |(name, value): &(String, String)| name.len() + value.len() + "=\0".len();
        // One that is too long, or so much in all that nothing else is to blame.
        let is_too_long =
            n_bytes + variables.iter().map(n_bytes_of).sum::<usize>() > ARGUMENT_BYTES_MAX;
        let unstarted = |err: &std::io::Error| Failure::transient(self.program.unstarted(err));
        let mut command = self.program.command(arguments).map_err(|err| unstarted(&err))?;
        command.envs(variables);
        let streams = Streams::of(&mut command).and_then(Streams::into_async);
        let (stdin, pipes) = streams.map_err(|err| unstarted(&err))?;
        let child =
            tokio::process::Command::from(command).spawn().map_err(|err| match err.kind() {
                // Of the event, so it is as long whenever it is tried; `env` and `run` can be mended.
                ErrorKind::ArgumentListTooLong if is_too_long => {
                    Failure::permanent(self.program.unstarted(&err))
                }
                _ => unstarted(&err),
            })?;
        // Dropped with this future, when its caller gives up: nothing of the group is left then.
        let mut running = Running::new(child, pipes, &self.endings);
        let mut said = Said::default();
        let work = async {
            let Some((child, pipes)) = running.parts() else {
                return Err(ErrorKind::NotFound.into());
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
                () = said.listen(pipes) => exit.await,
            };
            // What was said just before the end may still be in the pipe.
            if tokio::time::timeout(OUTPUT_GRACE, said.listen(pipes)).await.is_err() {
                tracing::debug!(handler.name = %self.handler, "A program left somebody behind");
            }
            status
        };
        let Ok(status) = tokio::time::timeout(self.time.own(), work).await else {
            let failure = self.end(running, &mut said).await;
            return Err(failure.with_output(said.output(&self.program)));
        };
        let status = status
            .map_err(|err| Failure::transient(format_args!("the program was lost: {err}")))?;
        let output = said.output(&self.program);
        match judge(status, &said.stderr.last_line(&self.program)) {
            Ok(()) => Ok(output),
            Err(failure) => Err(failure.with_output(output)),
        }
    }

    /// Ends a program that had its time. Most are gone before the call is over, so that the next try
    /// does not meet them.
    async fn end(&self, running: Running, said: &mut Said) -> Failure {
        let ending = async {
            let Some(ended) = running.end() else { return };
            if let Ok(mut pipes) = ended.await {
                // Its last words say where it was.
                said.listen(&mut pipes).await;
            }
        };
        // The other half is what the caller needs.
        if tokio::time::timeout(self.time.kept_back() / 2, ending).await.is_err() {
            tracing::debug!(handler.name = %self.handler, "A program takes its time to end");
        }
        let failure = Failure::transient(format_args!(
            "not done after {}, ended: the rest is for ending it",
            self.time
        ));
        failure.with_class(FailureClass::Timeout)
    }
}

#[async_trait]
impl Handler for Once {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let mut output = Output::default();
        for delivery in deliveries {
            output = self.run(delivery).await?;
        }
        Ok(output)
    }

    async fn close(&self) {
        self.endings.close(CLOSE_TIME).await;
    }
}

/// Writes the body and ends the input. A program that does not read all of it, or nothing, is in
/// its right: its exit code counts.
async fn feed(mut stdin: ChildStdin, body: &[u8]) {
    if let Err(err) = stdin.write_all(body).await {
        tracing::trace!(error = %err, "A program did not read its input");
    }
}

/// What a program says.
#[derive(Default)]
struct Said {
    stdout: Tail,
    stderr: Tail,
}

impl Said {
    /// Reads both streams until their ends.
    async fn listen(&mut self, pipes: &mut Pipes) {
        let Pipes { stdout, stderr } = pipes;
        tokio::join!(self.stdout.listen(stdout), self.stderr.listen(stderr));
    }

    fn output(&self, program: &Program) -> Output {
        Output::new([
            self.stdout.excerpt(Stream::Stdout, usize::MAX, program),
            self.stderr.excerpt(Stream::Stderr, usize::MAX, program),
        ])
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
