//! What users are called that are in no file: systemd knows those of `DynamicUser=` and of containers, and asks
//! LDAP and the like where it is set up for that.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Where systemd is asked (its document "User/Group Record Lookup API via Varlink"): the service that asks all
/// others, which not every machine runs, else the one of `DynamicUser=` alone.
pub(super) const FOLDER: &str = "/run/systemd/userdb";
const SERVICES: [&str; 2] = ["io.systemd.Multiplexer", "io.systemd.DynamicUser"];
/// How long one service may take from the connection to the end of its answer. A name is asked for to tell the
/// owner what is wrong: that does not wait for a directory that is away.
const TIMEOUT: Duration = Duration::from_secs(1);
/// A user's record has some hundred bytes, and a read takes up to 4,096.
const READS_MAX: usize = 16;

/// The name of a user by the services whose sockets are in `folder`.
pub(super) fn told_by_systemd(folder: &Path, uid: u32) -> Option<String> {
    SERVICES.into_iter().find_map(|service| ask(folder, service, uid))
}

/// One question, for [`TIMEOUT`] at the longest. A thread asks it, since a connection to a service that takes none
/// has no limit of its own.
fn ask(folder: &Path, service: &'static str, uid: u32) -> Option<String> {
    let path = folder.join(service);
    let (told, answer) = mpsc::channel();
    // The thread that asked may have given up.
    let asking = move || drop(told.send(exchange(&path, service, uid)));
    thread::Builder::new().name("user name".to_owned()).spawn(asking).ok()?;
    answer.recv_timeout(TIMEOUT).ok().flatten()
}

/// JSON up to a zero byte, both ways, as varlink has it. An error has no `record`.
fn exchange(path: &Path, service: &str, uid: u32) -> Option<String> {
    let mut socket = UnixStream::connect(path).ok()?;
    socket.set_write_timeout(Some(TIMEOUT)).ok()?;
    socket.set_read_timeout(Some(TIMEOUT)).ok()?;
    let question = json!({
        "method": "io.systemd.UserDatabase.GetUserRecord",
        "parameters": { "uid": uid, "service": service },
    });
    socket.write_all(format!("{question}\0").as_bytes()).ok()?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    // Who asked is gone after a second: so is this thread, soon, whatever comes in drips.
    for _ in 0..READS_MAX {
        let n_bytes = socket.read(&mut piece).ok()?;
        answer.extend_from_slice(piece.get(..n_bytes)?);
        if n_bytes == 0 || answer.last() == Some(&0) {
            break;
        }
    }
    let answer: Value = serde_json::from_slice(answer.strip_suffix(b"\0")?).ok()?;
    let name = answer.pointer("/parameters/record/userName")?.as_str()?;
    // It is shown to people as it is.
    let is_name =
        |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-@$".contains(c));
    (!name.is_empty() && is_name(name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

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
    fn service_that_never_comes_to_an_end_is_given_up_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SERVICES[1])).unwrap();
        let dripping = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // Each byte comes within the time of one read.
            while socket.write_all(b" ").is_ok() {
                thread::sleep(TIMEOUT / 20);
            }
        });
        assert_eq!(told_by_systemd(folder.path(), 7), None);
        dripping.join().unwrap();
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
