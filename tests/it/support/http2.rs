//! Clients of HTTP/2: one that keeps to the protocol, and frames by hand.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::gateway::signature;
use super::tls::{NAME, TlsWire, client_config, connect_believing};
use super::wire::Answer;

/// A request, and what it carries.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: &'a str, path: &'a str, body: &[u8]) -> Self {
        Self { method, path, headers: Vec::new(), body: body.to_vec() }
    }

    /// `body` as Hyvor Talk signs it.
    pub(crate) fn event(body: &[u8]) -> Self {
        Self::new("POST", "/hooks/hyvor", body).header("x-signature", signature(body))
    }

    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A connection on which many requests are made at once.
pub(crate) struct Client {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    ended: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    /// Connects to [`NAME`], believing `pem` alone.
    pub(crate) fn connect(address: SocketAddr, pem: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = Arc::new(client_config(pem, &[b"h2"]));
        let (send, connection) = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(NAME).unwrap();
            let connector = tokio_rustls::TlsConnector::from(config);
            let stream = connector.connect(name, socket).await.unwrap();
            h2::client::handshake(stream).await.unwrap()
        });
        let ended = runtime.spawn(connection);
        Self { runtime, send, ended }
    }

    /// How many requests the server takes at once.
    pub(crate) fn streams_max(&self) -> usize {
        self.send.current_max_send_streams()
    }

    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, h2::Error> {
        self.runtime.block_on(exchange(self.send.clone(), ask))
    }

    /// All of them at once.
    pub(crate) fn ask_all(&self, asks: &[Ask<'_>]) -> Vec<Result<Answer, h2::Error>> {
        self.runtime.block_on(join_all(asks.iter().map(|ask| exchange(self.send.clone(), ask))))
    }

    /// Waits until the server has ended the connection.
    pub(crate) fn ended(self) -> Result<(), h2::Error> {
        drop(self.send);
        self.runtime.block_on(self.ended).unwrap()
    }
}

async fn exchange(send: SendRequest<Bytes>, ask: &Ask<'_>) -> Result<Answer, h2::Error> {
    let mut send = send.ready().await?;
    let mut request = http::Request::builder()
        .method(ask.method)
        .uri(format!("https://{NAME}{}", ask.path))
        .body(())
        .unwrap();
    for (name, value) in &ask.headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let (response, mut body) = send.send_request(request, ask.body.is_empty())?;
    let mut rest = Bytes::from(ask.body.clone());
    // The answer may come before all of the body was taken.
    while !rest.is_empty() {
        body.reserve_capacity(rest.len());
        let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await
        else {
            break;
        };
        let piece = rest.split_to(room.min(rest.len()));
        if body.send_data(piece, rest.is_empty()).is_err() {
            break;
        }
    }
    let (head, mut body) = response.await?.into_parts();
    let headers = head.headers.iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let mut answer = Answer { status: head.status.as_u16(), headers, body: Vec::new() };
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header as HPACK has it that compresses nothing.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // The prefix has seven bits; the rest follows in groups of seven.
        match text.len().checked_sub(127) {
            None => bytes.push(u8::try_from(text.len()).unwrap()),
            Some(mut rest) => {
                bytes.push(127);
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The head of a request.
pub(crate) fn head(method: &str, path: &str) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "https"), (":path", path), (":authority", NAME)];
    pseudo.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A connection within TLS on which frames are written by hand.
pub(crate) struct Frames(TlsWire);

impl Frames {
    /// Behind both sides' beginning; nothing was read yet.
    pub(crate) fn connect(address: SocketAddr, pem: &str) -> Self {
        let mut wire = connect_believing(address, pem, &[b"h2"]);
        wire.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").write(&frame(SETTINGS, 0, 0, &[]));
        Self(wire)
    }

    pub(crate) fn socket(&self) -> &std::net::TcpStream {
        &self.0.stream().sock
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.stream_mut().write_all(bytes)
    }

    /// The next frame; `None` where the server has ended the connection.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.stream_mut().read_exact(&mut head).ok()?;
        let [_, b1, b2, kind, _, s0, s1, s2, s3] = head;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([b1, b2]))];
        self.0.stream_mut().read_exact(&mut payload).ok()?;
        Some(Frame { kind, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
    }

    /// Everything up to the connection's end.
    pub(crate) fn read_all(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.read()).collect()
    }
}

/// Why the server said goodbye, where it did: the code of the protocol.
pub(crate) fn goodbye(frames: &[Frame]) -> Option<u32> {
    let last = frames.iter().rev().find(|frame| frame.kind == GOAWAY)?;
    last.payload[4..8].try_into().ok().map(u32::from_be_bytes)
}
