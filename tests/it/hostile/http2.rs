//! What many streams on one connection could be used for.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use tokio::time::Instant;

use super::super::support::gateway::{Folder, Gateway};
use super::super::support::http2::{
    Ask, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING,
    RST_STREAM, field, frame, goodbye, head,
};
use super::super::support::program::{Served, printed, run};
use super::super::support::tls::{Pair, connect_believing};
use super::super::support::wire;
use crate::support::patience::wait_until;

const FAR: i32 = 2200;
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;

fn folder(pair: &Pair, server: &str) -> Folder {
    let tls = "tls = { cert = \"cert.pem\", key = \"key.pem\" }";
    let folder = Folder::new(&format!("{tls}\n{server}"), "");
    pair.write(folder.path());
    folder
}

/// The numbers of the streams that a client opens.
fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

fn healthz(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/healthz"))
}

#[test]
fn rapid_resets_end_the_connection() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, ""));
    let mut frames = Frames::connect(gateway.public, &pair.cert);
    let resets: Vec<u8> = streams()
        .take(1_000)
        .flat_map(|stream| {
            let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [healthz(stream), cancel].concat()
        })
        .collect();
    // It may be hung up on before it has written all.
    drop(frames.write(&resets));
    // What the server says last may be lost behind what it no longer reads.
    assert!(matches!(goodbye(&frames.read_all()), None | Some(ENHANCE_YOUR_CALM)));
    // It is told once the connection has ended, which the client may see first.
    let refused = || gateway.ask("GET", "/api/v1/status", "").json()["refused"].to_string();
    wait_until("it is refused", || refused() != "[]");
    assert!(refused().contains("this is not HTTP/1.1 or HTTP/2"), "{}", refused());
    let client = Client::connect(gateway.public, &pair.cert);
    client.ask(&Ask::event(b"{}")).unwrap().id();
    gateway.stop();
}

#[test]
fn streams_over_the_limit_are_refused() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, ""));
    let mut frames = Frames::connect(gateway.public, &pair.cert);
    // Bodies that do not come.
    for stream in streams().take(65) {
        frames.write(&frame(HEADERS, END_HEADERS, stream, &head("POST", "/hooks/hyvor"))).unwrap();
    }
    let reset =
        std::iter::from_fn(|| frames.read()).find(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.payload), (129, REFUSED_STREAM.to_be_bytes().to_vec()));
    gateway.stop();
}

#[test]
fn unread_answers_of_streams_hold_little_memory() {
    let pair = Pair::until(FAR);
    let folder = folder(&pair, "");
    let served = Served::start(&folder);
    let connect = || {
        let mut frames = Frames::connect(served.public(), &pair.cert);
        frames.write(&frame(PING, 0, 0, &[0; 8])).unwrap();
        frames
    };
    let mut clients: Vec<_> = (0..20).map(|_| connect()).collect();
    let before = served.resident_bytes();
    for frames in &mut clients {
        frames.socket().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        for stream in streams().take(100_000) {
            if let Err(err) = frames.write(&healthz(stream)) {
                assert!(
                    matches!(
                        err.kind(),
                        ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ),
                    "{err}"
                );
                break;
            }
        }
    }
    let grown = served.resident_bytes().saturating_sub(before);
    assert!(grown <= 20 << 20, "{grown} bytes for 20 connections");
    drop(clients);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn frames_without_requests_end_the_connection() {
    const WINDOW_UPDATE: u8 = 8;
    const PRIORITY: u8 = 2;
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, ""));
    let update = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    for flood in [update.repeat(20_000), priority.repeat(20_000)] {
        let mut frames = Frames::connect(gateway.public, &pair.cert);
        // It may be hung up on before it has written all.
        drop(frames.write(&flood));
        assert!(matches!(goodbye(&frames.read_all()), None | Some(ENHANCE_YOUR_CALM)));
    }
    // A client that asks may confirm what it gets.
    let mut frames = Frames::connect(gateway.public, &pair.cert);
    for stream in streams().take(3_000) {
        frames.write(&[healthz(stream), update.repeat(6)].concat()).unwrap();
        while frames.read().unwrap().kind != DATA {}
    }
    let refused = gateway.ask("GET", "/api/v1/status", "").json()["refused"].to_string();
    assert!(refused.contains("this is not HTTP/1.1 or HTTP/2"), "{refused}");
    gateway.stop();
}

#[test]
fn pings_and_settings_that_are_not_read_hold_little_memory() {
    let pair = Pair::until(FAR);
    let folder = folder(&pair, "");
    let served = Served::start(&folder);
    let mut frames = Frames::connect(served.public(), &pair.cert);
    let before = served.resident_bytes();
    frames.socket().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let many = [frame(PING, 0, 0, &[7; 8]), frame(4, 0, 0, &[])].concat().repeat(1_000);
    for _ in 0..2_000 {
        if frames.write(&many).is_err() {
            break;
        }
    }
    let grown = served.resident_bytes().saturating_sub(before);
    assert!(grown <= 8 << 20, "{grown} bytes");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn unfinished_bodies_of_streams_hold_no_more_memory_than_they_may() {
    let pair = Pair::until(FAR);
    let folder = folder(&pair, "unverified_bytes = \"8MiB\"\nrequest_timeout = \"60s\"");
    let served = Served::start(&folder);
    let mut clients: Vec<_> =
        (0..120).map(|_| Frames::connect(served.public(), &pair.cert)).collect();
    let before = served.resident_bytes();
    let mut n_refused = 0;
    for frames in &mut clients {
        // As much as a connection may send before anything of it is read.
        for stream in streams().take(2) {
            let mut block = head("POST", "/hooks/hyvor");
            block.extend(field("content-length", "1000000"));
            frames.write(&frame(HEADERS, END_HEADERS, stream, &block)).unwrap();
            frames.write(&frame(DATA, 0, stream, &[b'x'; 12_000]).repeat(5)).unwrap();
        }
        // The second comes behind what the first has found.
        let mut answers = Vec::new();
        for n in [1, 2] {
            frames.write(&frame(PING, 0, 0, &[n; 8])).unwrap();
            let is_pong = |frame: &Frame| frame.kind == PING && frame.payload == [n; 8];
            answers
                .extend(std::iter::from_fn(|| frames.read()).take_while(|frame| !is_pong(frame)));
        }
        n_refused += answers.iter().filter(|frame| frame.kind == HEADERS).count();
    }
    let grown = served.resident_bytes().saturating_sub(before);
    assert!(n_refused >= 40, "{n_refused}");
    assert!(grown <= 24 << 20, "{grown} bytes");
    served.kill();
}

#[test]
fn heads_of_streams_are_limited_as_all_heads_are() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, ""));
    let client = Client::connect(gateway.public, &pair.cert);
    let status = |ask: Ask<'_>| client.ask(&ask).unwrap().status;
    let long =
        |length: usize| Ask::new("GET", "/healthz", b"").header("x-long", "v".repeat(length));
    assert_eq!(status(long(47 << 10)), 200);
    assert_eq!(status(long(49 << 10)), 431);
    assert_eq!(status(long(100 << 10)), 431);
    let many = |n_headers: usize| {
        let ask = Ask::new("GET", "/healthz", b"");
        (0..n_headers).fold(ask, |ask, _| ask.header("x-many", "v"))
    };
    assert_eq!(status(many(96)), 200);
    assert_eq!(status(many(97)), 431);
    gateway.stop();
}

#[test]
fn heads_that_unpack_to_much_more_hold_little_memory() {
    let pair = Pair::until(FAR);
    let folder = folder(&pair, "request_timeout = \"60s\"");
    let served = Served::start(&folder);
    let mut frames = Frames::connect(served.public(), &pair.cert);
    // One long header goes into the table of the connection, and each byte more stands for it.
    let mut block = head("POST", "/hooks/hyvor");
    let long = field("x-bomb", &"b".repeat(4_000));
    let first = [&block[..], &[0x40], &long[1..]].concat();
    frames.write(&frame(HEADERS, END_HEADERS, 1, &first)).unwrap();
    block.extend([0xbe; 15_000]);
    let before = served.resident_bytes();
    for stream in streams().skip(1).take(60) {
        if frames.write(&frame(HEADERS, END_HEADERS, stream, &block)).is_err() {
            break;
        }
    }
    let answered = std::iter::from_fn(|| frames.read())
        .find(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
    let grown = served.resident_bytes().saturating_sub(before);
    // What the server says last may be lost behind what it no longer reads: then the connection is gone.
    let mut is_gone =
        || (0..1_000).any(|_| frames.write(&frame(HEADERS, END_HEADERS, 999, &block)).is_err());
    assert!(answered.is_some() || is_gone(), "they are refused");
    assert!(grown <= 16 << 20, "{grown} bytes");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn heads_that_never_end_are_ended() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, ""));
    let mut frames = Frames::connect(gateway.public, &pair.cert);
    frames.write(&frame(HEADERS, 0, 1, &head("POST", "/hooks/hyvor"))).unwrap();
    let more = frame(CONTINUATION, 0, 1, &field("x-more", &"m".repeat(1_000)));
    // What the server says last may be lost behind what it no longer reads.
    assert!((0..100_000).any(|_| frames.write(&more).is_err()));
    let refused = gateway.ask("GET", "/api/v1/status", "").json()["refused"].to_string();
    assert!(refused.contains("this is not HTTP/1.1 or HTTP/2"), "{refused}");
    gateway.stop();
}

#[test]
fn streams_count_as_connections() {
    let pair = Pair::until(FAR);
    let folder = folder(&pair, "request_timeout = \"60s\"");
    // Half of them may be connections.
    let served = Served::start_with_files(&folder, 256);
    // Far more bodies that do not come than there may be connections.
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut frames = Frames::connect(served.public(), &pair.cert);
        for stream in streams().take(60) {
            let block = head("POST", "/hooks/hyvor");
            frames.write(&frame(HEADERS, END_HEADERS, stream, &block)).unwrap();
        }
        frames.write(&frame(PING, 0, 0, &[1; 8])).unwrap();
        assert!(std::iter::from_fn(|| frames.read()).any(|frame| frame.kind == PING));
        clients.push(frames);
    }
    let mut other = connect_believing(served.public(), &pair.cert, &[b"http/1.1"]);
    let head = wire::head("GET", "/healthz", &[]);
    assert_eq!(other.write(head.as_bytes()).answer().unwrap().status, 200);
    let n_reset = clients.iter_mut().map(|frames| {
        frames.socket().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        frames.read_all().iter().filter(|frame| frame.kind == RST_STREAM).count()
    });
    let n_reset: usize = n_reset.sum();
    assert!(n_reset > 0, "{n_reset}");
    let status = printed(&run(&folder, &["status"]), 0);
    assert!(status.contains("the longest idle one was closed"), "{status}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn slow_beginnings_of_http2_are_ended_and_shown() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, "request_timeout = \"2s\""));
    let open = |begun: &[u8]| {
        let mut wire = connect_believing(gateway.public, &pair.cert, &[b"h2"]);
        let began = Instant::now();
        wire.write(begun);
        // Settings of the server come before.
        while wire.stream_mut().read(&mut [0; 64]).is_ok_and(|n_read| n_read > 0) {}
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    };
    let refused = || gateway.ask("GET", "/api/v1/status", "").json()["refused"].to_string();
    open(b"");
    assert_eq!(refused(), "[]", "what says nothing asks for nothing");
    open(b"PRI * HTTP/2.0\r\n");
    wait_until("it is shown", || refused().contains("the head took too long"));
    gateway.stop();
}

#[test]
fn slow_bodies_of_streams_are_answered_408() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair, "request_timeout = \"2s\""));
    let mut frames = Frames::connect(gateway.public, &pair.cert);
    let block = head("POST", "/hooks/hyvor");
    frames.write(&frame(HEADERS, END_HEADERS, 1, &block)).unwrap();
    frames.write(&frame(DATA, 0, 1, b"{")).unwrap();
    let frames = frames.read_all();
    assert!(frames.iter().any(|frame| frame.kind == HEADERS && frame.stream == 1), "{frames:?}");
    let refused = gateway.ask("GET", "/api/v1/status", "").json()["refused"].to_string();
    assert!(refused.contains("longer than `request_timeout`"), "{refused}");
    gateway.stop();
}
