//! The standard streams of a program.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use rustix::fs::{Mode, fchmod};
use tokio::process;

use super::ending::Pipes;

/// Our ends of them.
pub(super) struct Streams {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Streams {
    /// Gives `command` its streams. It has to be dropped once it has run: it holds the other ends.
    pub(super) fn of(command: &mut Command) -> io::Result<Self> {
        let ((stdin, input), (stdout, output), (stderr, errors)) = (pipe()?, pipe()?, pipe()?);
        command.stdin(stdin).stdout(output).stderr(errors);
        Ok(Self { stdin: input.into(), stdout: stdout.into(), stderr: stderr.into() })
    }

    /// The same for a task.
    pub(super) fn into_async(self) -> io::Result<(process::ChildStdin, Pipes)> {
        let stdout = process::ChildStdout::from_std(self.stdout)?;
        let stderr = process::ChildStderr::from_std(self.stderr)?;
        Ok((process::ChildStdin::from_std(self.stdin)?, Pipes { stdout, stderr }))
    }
}

/// Both ends, to read and to write. A pipe belongs to who makes it: a program that runs as another user could
/// not open `/dev/stdin` or `/dev/stderr` by that name. Other users have no name to open it by.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    fchmod(&reader, Mode::from_raw_mode(0o666))?;
    Ok((reader.into(), writer.into()))
}
