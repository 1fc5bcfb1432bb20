//! Sessions of browsers: in memory, so that a restart ends them, and bounded.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::secret;
use crate::sync::lock;

/// The cookie's name.
const NAME: &str = "gatepost_session";
/// How long a session lasts that is not used.
const IDLE: Duration = Duration::from_hours(12);
/// How long one lasts at all.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// The most sessions; the one that was used the longest ago makes room.
const SESSIONS_MAX: usize = 64;

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Owner,
    /// Look.
    Reader,
}

/// By the hash of the id, so that a lookup takes the same time for each wrong one.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// Times are by the steady clock.
#[derive(Clone, Copy, Debug)]
struct Session {
    role: Role,
    began_at: Timestamp,
    used_at: Timestamp,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.used_at) > IDLE || now.since(self.began_at) > LONGEST
    }
}

impl Sessions {
    /// Begins one; gives the cookie to set.
    pub(super) fn begin(&self, role: Role, now: Timestamp) -> io::Result<String> {
        let id = secret::random_hex()?;
        let mut sessions = self.sessions();
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(key(&id), Session { role, began_at: now, used_at: now });
        let seconds = LONGEST.as_secs();
        Ok(format!("{NAME}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}", *id))
    }

    /// What the session of this id may do; `None` = there is none, or it is over.
    pub(super) fn role_of(&self, id: &str, now: Timestamp) -> Option<Role> {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&key(id)).filter(|session| !session.is_over(now))?;
        session.used_at = now;
        Some(session.role)
    }

    pub(super) fn end(&self, id: &str) {
        self.sessions().remove(&key(id));
    }

    pub(super) fn clear(&self) {
        self.sessions().clear();
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
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
        sessions.end(&ended);
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
        assert_eq!(sessions.sessions().len(), SESSIONS_MAX);
        assert_eq!(sessions.role_of(&first, at(99)), None);
    }
}
