//! Questions on standard error, answers on standard input: a line each, from a terminal or a pipe.
//! Where the input ends, whatever is still asked is answered with nothing.

use std::io::{self, BufRead, IsTerminal, StdinLock};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::super::CliError;
use super::super::output::{note, prompt};
use crate::secret::Secret;

/// How often a question is put again.
const TRIES: usize = 5;

/// Asks; with `--yes` nothing.
pub(in crate::cli) struct Questions {
    input: Option<StdinLock<'static>>,
}

impl Questions {
    pub(in crate::cli) fn new(is_silent: bool) -> Self {
        Self { input: (!is_silent).then(|| io::stdin().lock()) }
    }

    /// The answer, as `check` takes it; `default` where there is none. What `check` refuses is
    /// asked again.
    pub(super) fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, CliError> {
        let mut problem = String::new();
        for _ in 0..TRIES {
            let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
            let line = self.line(&format!("{question}{shown}: "))?;
            let is_over = line.is_none();
            let answer = line.filter(|line| !line.is_empty());
            match check(answer.as_deref().unwrap_or(default)) {
                Ok(checked) => return Ok(checked),
                Err(err) => problem = err,
            }
            if is_over {
                break;
            }
            note(&format!("  {problem}"))?;
        }
        Err(CliError::Usage(problem))
    }

    /// Whether it is to be done; no, without an answer.
    pub(in crate::cli) fn confirm(&mut self, question: &str) -> Result<bool, CliError> {
        let answer = self.line(&format!("{question} [y/N]: "))?.unwrap_or_default();
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A secret, which a terminal does not show; `None` where there is no answer.
    pub(super) fn secret(&mut self, question: &str) -> Result<Option<Secret>, CliError> {
        let hidden = match self.input {
            Some(_) => Hidden::start(),
            None => return Ok(None),
        };
        let line = self.whole_line(&format!("{question}: "));
        if hidden.is_some() {
            // The newline was not shown either.
            note("")?;
        }
        drop(hidden);
        let Some(line) = line? else { return Ok(None) };
        let secret = line.trim();
        if !secret.is_empty() && secret.len() < line.len() {
            note("  the spaces around it were left out: they come with copying")?;
        }
        Ok(Some(secret).filter(|secret| !secret.is_empty()).map(Secret::new))
    }

    /// The next line without spaces around it; `None` where there is no more.
    fn line(&mut self, question: &str) -> Result<Option<String>, CliError> {
        Ok(self.whole_line(question)?.map(|line| line.trim().to_owned()))
    }

    /// The same with the spaces around it.
    fn whole_line(&mut self, question: &str) -> Result<Option<String>, CliError> {
        let Some(input) = &mut self.input else { return Ok(None) };
        prompt(question)?;
        let mut line = String::new();
        let n_read = input.read_line(&mut line)?;
        if n_read == 0 {
            note("")?;
            return Ok(None);
        }
        line.truncate(line.trim_end_matches(['\n', '\r']).len());
        Ok(Some(line))
    }
}

/// Keeps the terminal from showing what is typed, until it is dropped.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn start() -> Option<Self> {
        let input = io::stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = tcgetattr(&input).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if tcsetattr(io::stdin(), OptionalActions::Now, &self.0).is_err() {
            // A terminal that is gone shows nothing more.
        }
    }
}
