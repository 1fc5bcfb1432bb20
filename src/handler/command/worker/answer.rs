//! What a worker says about a delivery.

use std::time::Duration;

use serde::Deserialize;

use crate::body::json::{self, Layout};
use crate::event::{EventId, Failure};

/// The longest pause that a worker may ask for: longer ones are cut to it.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(7 * 24);

/// What became of one delivery.
pub(super) type Reply = Result<(), Failure>;

/// One line. Fields that are not listed are the worker's own business.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) id: EventId,
    ok: Option<bool>,
    /// Seconds.
    retry_after: Option<f64>,
    dead: Option<String>,
    error: Option<String>,
}

/// A line whose other fields cannot be read.
#[derive(Debug, Deserialize)]
struct Wrong {
    id: EventId,
}

/// What it fails with.
const WRONG: &str = "the worker's answer cannot be read: `ok` is `true` or `false`, `retry_after` a number of \
                     seconds, `dead` and `error` are texts";

impl Answer {
    /// Reads a line; `None` where it is no answer. The words in it may be a text that was
    /// cut inside a character, so that it is read as tolerantly as a body. One that says nothing that can
    /// be read, and of which event, is an answer all the same: no other one comes.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().or_else(|| {
            let (answer, _) = json::read(line).ok()?;
            let text = json::write(&answer, Layout::Compact).ok()?;
            serde_json::from_str(&text).ok().or_else(|| {
                let Wrong { id } = serde_json::from_str(&text).ok()?;
                let error = Some(WRONG.to_owned());
                Some(Self { id, ok: None, retry_after: None, dead: None, error })
            })
        })
    }

    /// What it means. `dead` counts before `retry_after`, and both before `ok`.
    pub(super) fn reply(&self) -> Reply {
        if let Some(why) = &self.dead {
            return Err(Failure::permanent(why));
        }
        let error = self.error.as_deref();
        if let Some(seconds) = self.retry_after {
            let seconds = seconds.min(RETRY_AFTER_MAX.as_secs_f64());
            let wait = Duration::try_from_secs_f64(seconds).ok();
            let text = error.unwrap_or("the worker asks to be tried again");
            return Err(Failure::transient(text).with_retry_after(wait));
        }
        if self.ok == Some(true) {
            return Ok(());
        }
        Err(Failure::transient(error.unwrap_or("the worker failed without saying why")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &str, expected: &Result<(), Failure>) {
        let line = format!(r#"{{"id":"01900000-0000-7000-8000-000000000001"{fields}}}"#);
        assert_eq!(Answer::parse(line.as_bytes()).unwrap().reply(), *expected, "{line}");
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let asks = Failure::transient("the worker asks to be tried again");
        check(r#","ok":true"#, &Ok(()));
        check(r#","ok":true,"took_ms":5"#, &Ok(()));
        check(r#","retry_after":30"#, &Err(asks.clone().with_retry_after(seconds(30))));
        check(r#","retry_after":-1"#, &Err(asks.clone()));
        check(r#","retry_after":1e300"#, &Err(asks.with_retry_after(Some(RETRY_AFTER_MAX))));
        check(r#","dead":"no such \"user\"""#, &Err(Failure::permanent("no such \"user\"")));
        check(r#","ok":false,"error":"down""#, &Err(Failure::transient("down")));
        check("", &Err(Failure::transient("the worker failed without saying why")));
        check(r#","dead":"x","ok":true"#, &Err(Failure::permanent("x")));
        for wrong in [r#","ok":"yes""#, r#","ok":1"#, r#","dead":true"#, r#","retry_after":"5""#] {
            check(wrong, &Err(Failure::transient(WRONG)));
        }
        check(r#","dead":"cut \ud83d""#, &Err(Failure::permanent("cut \u{fffd}")));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for line in ["", "hello", "{}", r#"{"id":5}"#, "[]", r#"{"id":"x","ok":true}"#] {
            assert!(Answer::parse(line.as_bytes()).is_none(), "{line}");
        }
    }
}
