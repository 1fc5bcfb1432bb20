//! An HTTP/1.1 server on loopback that answers as it is told, badly where it is told so, and
//! keeps what it was sent. It knows nothing but `std`, so that any test can include it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// What to do with one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A plain answer.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for as long as the client waits.
    Hang,
    /// 200, once the test lets it go: it sends, or is over.
    Held(Arc<Mutex<Receiver<()>>>),
    /// The connection ends after part of the head.
    CutHead,
    /// The connection ends after part of the body.
    CutBody,
    /// The same, where the body comes in chunks.
    CutChunk,
    /// The connection is reset, with the request's body unread.
    Reset,
    /// 200, and a body that never ends.
    Endless,
    /// 200, and a body of which nothing comes.
    SilentBody,
}

/// What a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Lower-case names, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of the one header of this name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value);
        let value = values.next();
        assert!(values.next().is_none(), "`{name}` was sent twice");
        value.map(String::as_str)
    }
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
    n_connections: usize,
}

/// A running server. Its threads end with their connections.
pub(crate) struct BadServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl BadServer {
    /// Starts a server that gives `answers` one after the other, then 200 for ever.
    pub(crate) fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { answers: answers.into_iter().collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        // Ends when the last handle is gone and `drop` has knocked.
        let weak = Arc::downgrade(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(state)) = (stream, weak.upgrade()) else { return };
                state.lock().unwrap().n_connections += 1;
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that was sent so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often a client connected.
    pub(crate) fn n_connections(&self) -> usize {
        self.state.lock().unwrap().n_connections
    }
}

impl Drop for BadServer {
    fn drop(&mut self) {
        self.state = Arc::default();
        // Wakes the listening thread, which then finds nobody there.
        drop(TcpStream::connect(self.address));
    }
}

/// A plain answer.
pub(crate) fn status(status: u16) -> Answer {
    Answer::Status(status, Vec::new(), String::new())
}

/// An answer that is given once something is sent, or the sender is gone.
pub(crate) fn held() -> (Sender<()>, Answer) {
    let (let_go, until) = channel();
    (let_go, Answer::Held(Arc::new(Mutex::new(until))))
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((mut request, length)) = read_head(&mut reader) {
        let answer = state.lock().unwrap().answers.pop_front().unwrap_or_else(|| status(200));
        if matches!(answer, Answer::Reset) {
            // With bytes unread, closing is a reset.
            return;
        }
        request.body = vec![0; length];
        if reader.read_exact(&mut request.body).is_err() {
            return;
        }
        state.lock().unwrap().requests.push(request);
        if !give(&mut writer, &mut reader, answer) {
            return;
        }
    }
}

/// A line with its end; a head that is broken off is none.
fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.ends_with('\n').then_some(line)
}

fn read_head(reader: &mut impl BufRead) -> Option<(Request, usize)> {
    let line = read_line(reader)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    Some((Request { method, path, headers, body: Vec::new() }, length))
}

/// `false` = the connection is to be closed.
fn give(writer: &mut TcpStream, reader: &mut impl Read, answer: Answer) -> bool {
    let text = match answer {
        Answer::Status(status, headers, body) => {
            let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            let mut headers: String = headers.collect();
            if status != 204 {
                headers += "content-length: ";
                headers += &body.len().to_string();
                headers += "\r\n";
            }
            let text = format!("HTTP/1.1 {status} Whatever\r\n{headers}\r\n{body}");
            return writer.write_all(text.as_bytes()).is_ok();
        }
        Answer::Hang => {
            wait_for_end(reader);
            return false;
        }
        Answer::Held(until) => {
            let _let_go = until.lock().unwrap().recv();
            return give(writer, reader, status(200));
        }
        Answer::CutHead => "HTTP/1.1 200 OK\r\ncontent-",
        Answer::CutBody => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome",
        Answer::CutChunk => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nsome",
        Answer::Reset => return false,
        Answer::Endless => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            let mut is_open = writer.write_all(head.as_bytes()).is_ok();
            while is_open {
                is_open = writer.write_all(chunk.as_bytes()).is_ok();
            }
            return false;
        }
        Answer::SilentBody => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
            if writer.write_all(head.as_bytes()).is_ok() {
                wait_for_end(reader);
            }
            return false;
        }
    };
    let _ended = writer.write_all(text.as_bytes());
    false
}

/// Returns when the client closes the connection.
fn wait_for_end(reader: &mut impl Read) {
    let mut rest = [0; 1024];
    while reader.read(&mut rest).is_ok_and(|n_bytes| n_bytes > 0) {}
}
