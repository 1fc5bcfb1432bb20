//! HTTP by hand: the bytes that go out are the test's own, however wrong they are.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// Far longer than any answer takes; a test that waits that long has failed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// The id of a 200.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

/// A connection.
pub(crate) struct Wire<T = TcpStream> {
    stream: T,
    rest: Vec<u8>,
}

/// A socket that does not wait for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn connect_from(client: IpAddr, address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client, 0)).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    connected.set_nonblocking(false).unwrap();
    connected.set_read_timeout(Some(TIMEOUT)).unwrap();
    connected.set_write_timeout(Some(TIMEOUT)).unwrap();
    connected
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Ends our side.
    pub(crate) fn finish(&mut self) -> &mut Self {
        match self.stream.shutdown(std::net::Shutdown::Write) {
            Ok(()) => {}
            Err(err) => assert!(is_gone(&err), "{err}"),
        }
        self
    }
}

impl<T: Read + Write> Wire<T> {
    pub(crate) fn over(stream: T) -> Self {
        Self { stream, rest: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &T {
        &self.stream
    }

    pub(crate) fn stream_mut(&mut self) -> &mut T {
        &mut self.stream
    }

    /// Writes `bytes`; a peer that has hung up meanwhile may have answered all the same.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> &mut Self {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(err) => assert!(is_gone(&err), "{err}"),
        }
        self
    }

    /// Reads one answer; `None` where the peer hangs up without one.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let head_len = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.read() {
                assert!(self.rest.is_empty(), "half an answer");
                return None;
            }
        };
        let head = String::from_utf8(self.rest.drain(..head_len + 4).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map(|length| length.parse().unwrap());
        let length: usize = if status == 100 { 0 } else { length.unwrap_or(0) };
        while self.rest.len() < length {
            assert!(self.read(), "half a body");
        }
        answer.body = self.rest.drain(..length).collect();
        Some(answer)
    }

    /// Whether the peer has hung up, with nothing left to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.read() && self.rest.is_empty()
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.rest.extend_from_slice(&buffer[..n]);
                true
            }
            Err(err) if is_gone(&err) => false,
            // A handler's program has ended: its signal reaches any thread of the process, and a read with a
            // timeout is not gone on with.
            Err(err) if err.kind() == std::io::ErrorKind::Interrupted => self.read(),
            Err(err) => panic!("no answer: {err}"),
        }
    }
}

fn is_gone(err: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(err.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// The head of a request, with an empty line at its end.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        head += &[name, ": ", value, "\r\n"].concat();
    }
    head + "\r\n"
}

/// A whole request on a connection of its own, and its answer.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    if !body.is_empty() || method == "POST" {
        headers.push(("Content-Length", &length));
    }
    let mut bytes = head(method, path, &headers).into_bytes();
    bytes.extend_from_slice(body);
    Wire::to(address).write(&bytes).answer().expect("an answer")
}

pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    request(address, "POST", path, headers, body)
}

/// `bytes` on a connection of their own, and the answer to them.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    Wire::to(address).write(bytes).answer()
}
