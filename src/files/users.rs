//! What users are called that are in no file: systemd knows those of `DynamicUser=` and of containers, and asks
//! LDAP and the like where it is set up for that.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Where systemd is asked (its document "User/Group Record Lookup API via Varlink"): the service that asks all
/// others, which not every machine runs, else the one of `DynamicUser=` alone.
pub(super) const FOLDER: &str = "/run/systemd/userdb";
const SERVICES: [&str; 2] = ["io.systemd.Multiplexer", "io.systemd.DynamicUser"];
/// A name is asked for to tell the owner what is wrong: that does not wait for a directory that is away.
const TIMEOUT: Duration = Duration::from_secs(1);
/// A user's record has some hundred bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// The name of a user by the services whose sockets are in `folder`.
pub(super) fn told_by_systemd(folder: &Path, uid: u32) -> Option<String> {
    SERVICES.iter().find_map(|service| ask(folder, service, uid))
}

/// One question of varlink's: JSON up to a zero byte, both ways. An error has no `record`.
fn ask(folder: &Path, service: &str, uid: u32) -> Option<String> {
    let mut socket = UnixStream::connect(folder.join(service)).ok()?;
    socket.set_read_timeout(Some(TIMEOUT)).ok()?;
    socket.set_write_timeout(Some(TIMEOUT)).ok()?;
    let question = json!({
        "method": "io.systemd.UserDatabase.GetUserRecord",
        "parameters": { "uid": uid, "service": service },
    });
    socket.write_all(format!("{question}\0").as_bytes()).ok()?;
    let mut answer = Vec::new();
    BufReader::new(socket.take(ANSWER_MAX)).read_until(0, &mut answer).ok()?;
    let answer: Value = serde_json::from_slice(answer.strip_suffix(b"\0")?).ok()?;
    let name = answer.pointer("/parameters/record/userName")?.as_str()?;
    // It goes into a command that people paste.
    let is_name =
        |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-@$".contains(c));
    (!name.is_empty() && is_name(name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A service that gives one answer; with the question that it got.
    fn service(folder: &Path, name: &str, answer: &'static str) -> thread::JoinHandle<Value> {
        let listener = UnixListener::bind(folder.join(name)).unwrap();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut question = Vec::new();
            BufReader::new(&socket).read_until(0, &mut question).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
            serde_json::from_slice(question.strip_suffix(b"\0").unwrap()).unwrap()
        })
    }

    #[test]
    fn user_in_no_file_has_the_name_that_systemd_knows() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(told_by_systemd(folder.path(), 61_234), None, "nobody is there to ask");
        let nobody = "{\"error\":\"io.systemd.UserDatabase.NoRecordFound\",\"parameters\":{}}\0";
        let all = service(folder.path(), SERVICES[0], nobody);
        let record = "{\"parameters\":{\"record\":{\"userName\":\"gatepost\",\"uid\":61234}}}\0";
        let dynamic = service(folder.path(), SERVICES[1], record);
        assert_eq!(told_by_systemd(folder.path(), 61_234).as_deref(), Some("gatepost"));
        all.join().unwrap();
        let question = dynamic.join().unwrap();
        assert_eq!(question["method"], "io.systemd.UserDatabase.GetUserRecord");
        assert_eq!(
            question["parameters"],
            json!({ "uid": 61_234, "service": "io.systemd.DynamicUser" })
        );
    }

    #[test]
    fn what_is_no_name_or_no_answer_is_none() {
        for answer in [
            "{\"parameters\":{\"record\":{\"userName\":\"a' ; rm\"}}}\0",
            "{\"parameters\":{\"record\":{\"userName\":\"\"}}}\0",
            "{\"parameters\":{\"record\":{\"userName\":\"cut",
            "",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let asked = service(folder.path(), SERVICES[1], answer);
            assert_eq!(told_by_systemd(folder.path(), 7), None, "{answer}");
            asked.join().unwrap();
        }
    }
}
