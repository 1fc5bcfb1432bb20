//! Sessions of browsers: bounded, and kept over a restart by the hashes of their ids.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

use super::session_file::{LONGEST, Session, SessionFile, SessionMap};
use crate::clock::Timestamp;
use crate::secret;
use crate::sync::lock;

pub(super) use super::session_file::Role;

const NAME: &str = "gatepost_session";
/// The most sessions; the one that was used the longest ago makes room.
const SESSIONS_MAX: usize = 64;

/// How much older the file's word of when a session was used may be: it is not written for each request.
const NOTED_EVERY: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<KeptSessions>);

#[derive(Debug, Default)]
struct KeptSessions {
    all: SessionMap,
    /// `None` = they end with the process.
    file: Option<SessionFile>,
    noted_at: Timestamp,
}

impl KeptSessions {
    /// Writes them down; without a file they end with the process, which loses nothing else.
    fn note(&mut self, now: Timestamp) {
        self.noted_at = now;
        if let Some(file) = &self.file {
            file.write(&self.all);
        }
    }
}

impl Sessions {
    /// Goes on with those of the last run, where they were begun by tokens with this fingerprint, and keeps
    /// them in the file at `path` from now on.
    pub(super) fn keep_in(&self, path: PathBuf, tokens: [u8; 32], now: Timestamp) {
        let file = SessionFile::new(path, tokens);
        let mut kept = self.sessions();
        kept.all = file.read();
        // After a clock was set back nothing says how old they are.
        kept.all.retain(|_, session| !session.is_over(now) && session.used_at <= now);
        kept.file = Some(file);
        kept.note(now);
    }

    /// Other tokens open the listener from now on: every session ends.
    pub(super) fn set_tokens(&self, tokens: [u8; 32], now: Timestamp) {
        let mut kept = self.sessions();
        kept.all.clear();
        if let Some(file) = &mut kept.file {
            file.set_tokens(tokens);
        }
        kept.note(now);
    }

    /// Begins one; gives the cookie to set.
    pub(super) fn begin(&self, role: Role, now: Timestamp) -> io::Result<String> {
        let id = secret::random_hex()?;
        let mut kept = self.sessions();
        let sessions = &mut kept.all;
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(key(&id), Session { role, began_at: now, used_at: now });
        kept.note(now);
        let seconds = LONGEST.as_secs();
        Ok(format!("{NAME}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}", *id))
    }

    /// What the session of this id may do; `None` = there is none, or it is over.
    pub(super) fn role_of(&self, id: &str, now: Timestamp) -> Option<Role> {
        let mut kept = self.sessions();
        let session = kept.all.get_mut(&key(id)).filter(|session| !session.is_over(now))?;
        session.used_at = now;
        let role = session.role;
        if now.since(kept.noted_at) >= NOTED_EVERY {
            kept.note(now);
        }
        Some(role)
    }

    pub(super) fn end(&self, id: &str, now: Timestamp) {
        let mut kept = self.sessions();
        kept.all.remove(&key(id));
        kept.note(now);
    }

    fn sessions(&self) -> MutexGuard<'_, KeptSessions> {
        // A panic elsewhere leaves the map whole.
        lock(&self.0)
    }
}

fn key(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

/// The session's id in the request's cookies.
pub(super) fn id_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == NAME).map(|(_, id)| id.trim())
}

/// The cookie that takes the session's away.
pub(super) fn no_cookie() -> String {
    format!("{NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn id(cookie: &str) -> String {
        cookie.split(['=', ';']).nth(1).unwrap().to_owned()
    }

    #[test]
    fn sessions_end_by_themselves_and_when_they_are_ended() {
        let sessions = Sessions::default();
        let at = |hours| Timestamp::from_millis(0).after(Duration::from_hours(hours));
        let used = id(&sessions.begin(Role::Owner, at(0)).unwrap());
        let idle = id(&sessions.begin(Role::Reader, at(0)).unwrap());
        for hours in (0..=168).step_by(12) {
            assert_eq!(sessions.role_of(&used, at(hours)), Some(Role::Owner), "{hours}");
        }
        assert_eq!(sessions.role_of(&used, at(169)), None, "the longest time");
        assert_eq!(sessions.role_of(&idle, at(13)), None, "not used");
        let ended = id(&sessions.begin(Role::Owner, at(200)).unwrap());
        sessions.end(&ended, at(200));
        assert_eq!(sessions.role_of(&ended, at(200)), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_idlest_makes_room() {
        let sessions = Sessions::default();
        let at = |secs| Timestamp::from_millis(0).after(Duration::from_secs(secs));
        let first = id(&sessions.begin(Role::Owner, at(0)).unwrap());
        for n in 1..=SESSIONS_MAX as u64 {
            sessions.begin(Role::Owner, at(n)).unwrap();
        }
        assert_eq!(sessions.sessions().all.len(), SESSIONS_MAX);
        assert_eq!(sessions.role_of(&first, at(99)), None);
    }

    #[test]
    fn sessions_go_on_after_a_restart_until_their_end_or_other_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions");
        let at = |hours| Timestamp::from_millis(0).after(Duration::from_hours(hours));
        let open = |tokens: u8, hours| {
            let sessions = Sessions::default();
            sessions.keep_in(path.clone(), [tokens; 32], at(hours));
            sessions
        };
        let first = open(1, 10);
        let owner = id(&first.begin(Role::Owner, at(10)).unwrap());
        let ended = id(&first.begin(Role::Owner, at(10)).unwrap());
        first.end(&ended, at(10));
        assert_eq!(first.role_of(&owner, at(11)), Some(Role::Owner));
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(&owner), "only its hash is kept");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let second = open(1, 22);
        assert_eq!(second.role_of(&owner, at(22)), Some(Role::Owner));
        assert_eq!(second.role_of(&ended, at(22)), None);
        assert_eq!(open(1, 9).role_of(&owner, at(9)), None, "the clock was set back");
        let third = open(1, 22);
        assert_eq!(third.role_of(&owner, at(22)), None, "and they are gone for good");

        let owner = id(&third.begin(Role::Owner, at(30)).unwrap());
        assert_eq!(open(2, 30).role_of(&owner, at(30)), None, "other tokens");
        let owner = id(&third.begin(Role::Owner, at(30)).unwrap());
        third.set_tokens([3; 32], at(30));
        assert_eq!(open(3, 30).role_of(&owner, at(30)), None);
        let owner = id(&third.begin(Role::Owner, at(30)).unwrap());
        assert_eq!(open(3, 43).role_of(&owner, at(43)), None, "not used for long");
    }

    #[test]
    fn what_is_no_file_of_sessions_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions");
        for text in ["", "{}", "[1", "{\"tokens\":\"00\",\"sessions\":[{}]}"] {
            std::fs::write(&path, text).unwrap();
            let sessions = Sessions::default();
            sessions.keep_in(path.clone(), [0; 32], Timestamp::from_millis(0));
            assert!(sessions.sessions().all.is_empty(), "{text}");
        }
    }
}
