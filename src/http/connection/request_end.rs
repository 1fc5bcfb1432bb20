//! Where a request ends, as far as that is seen without parsing it.

/// The end of a body in chunks without a trailer.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Behind another line: what ends in this name is another field.
const LENGTH: &[u8] = b"\ncontent-length:";

/// How far a request is that is handed on in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestEnd {
    state: HeadState,
    /// Bytes behind the head.
    body_handed: usize,
    /// Bytes of the body that are still to come.
    body_left: usize,
}

/// What the bytes so far are of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HeadState {
    /// Nothing, or empty lines: those before a head are passed over (RFC 9112, 2.2).
    #[default]
    Before,
    /// They end within a line.
    InLine,
    /// They end with a line, or with the CR of the one behind it: the head ends if that is empty.
    LineEnd,
    Over,
}

impl RequestEnd {
    /// How many of `bytes`, which come next, belong to the request: more than none, unless
    /// it is complete.
    ///
    /// The body comes along where its length stands in a head that is whole, so that nearly every
    /// request is handed on at once. Otherwise the head goes alone, and the service says what follows.
    pub(super) fn cut(&mut self, bytes: &[u8]) -> usize {
        let head = match self.state {
            HeadState::Over => 0,
            HeadState::Before | HeadState::InLine | HeadState::LineEnd => {
                let is_whole = self.state == HeadState::Before;
                let Some(end) = self.find_head_end(bytes) else { return bytes.len() };
                let length = bytes.get(..end).filter(|_| is_whole).and_then(content_length);
                (self.body_left, self.body_handed) = (length.unwrap_or(0), 0);
                end
            }
        };
        let body = self.body_left.min(bytes.len() - head);
        self.body_left -= body;
        self.body_handed += body;
        head + body
    }

    /// Tells once that all of it was handed on, as far as its head says how long it is: what comes
    /// afterwards is the next one.
    pub(super) fn ends(&mut self) -> bool {
        let ends = self.state == HeadState::Over && self.body_left == 0;
        if ends {
            self.state = HeadState::Before;
        }
        ends
    }

    /// What of the body went with the head.
    pub(super) fn body_handed(self) -> usize {
        self.body_handed
    }

    /// Where the head ends, if it does in `bytes`.
    fn find_head_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let is_empty = matches!(bytes.get(from..at), Some([] | [b'\r']));
            from = at + 1;
            match (self.state, is_empty) {
                (HeadState::LineEnd, true) => {
                    self.state = HeadState::Over;
                    return Some(from);
                }
                (HeadState::Before, true) => {}
                _ => self.state = HeadState::LineEnd,
            }
        }
        match (bytes.get(from..), self.state) {
            (None | Some([] | [b'\r']), _) => {}
            (Some(_), _) => self.state = HeadState::InLine,
        }
        None
    }
}

/// How many of `bytes`, which come next in a body in chunks, belong to it.
pub(super) fn cut_chunks(bytes: &[u8]) -> usize {
    memchr::memmem::find(bytes, LAST_CHUNK).map_or(bytes.len(), |at| at + LAST_CHUNK.len())
}

/// The length of the body behind `head`.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut colons = memchr::memchr_iter(b':', head);
    let value = colons.find_map(|at| {
        let line = head.get((at + 1).checked_sub(LENGTH.len())?..=at)?;
        line.eq_ignore_ascii_case(LENGTH).then(|| head.get(at + 1..))?
    })?;
    let line = value.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are handed on of `text`, which comes in pieces.
    fn handed(pieces: &[&str]) -> Vec<usize> {
        let mut request = RequestEnd::default();
        pieces.iter().map(|piece| request.cut(piece.as_bytes())).collect()
    }

    #[test]
    fn a_request_goes_with_its_body_and_without_the_next_one() {
        let next = "POST / HTTP/1.1\r\n";
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\ncontent-length:5\n\n",
            "\r\n\nPOST / HTTP/1.1\r\nX-Content-Length: 9\r\nCONTENT-LENGTH:\t5 \r\n\r\n",
        ] {
            let request = [head, "\r\n\r\n1"].concat();
            assert_eq!(handed(&[&[&request, next].concat()]), [request.len()]);
            // Half a body, then the rest of it.
            let (first, second) = request.split_at(head.len() + 2);
            assert_eq!(handed(&[first, &[second, next].concat()]), [first.len(), second.len()]);
        }
    }

    #[test]
    fn a_head_ends_wherever_it_is_cut() {
        let (head, body) = ("\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "\r\n\r\n1");
        for at in 3..head.len() {
            let (first, second) = head.split_at(at);
            // The head alone: the service says how long the body is.
            assert_eq!(handed(&[first, &[second, body].concat()]), [at, second.len()], "{at}");
        }
    }

    #[test]
    fn what_was_handed_on_of_a_body_is_known_until_the_next_request() {
        let mut request = RequestEnd::default();
        let bytes = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n123";
        assert_eq!(
            (request.cut(bytes), request.body_handed(), request.ends()),
            (bytes.len(), 3, false)
        );
        assert_eq!((request.cut(b"45GET"), request.body_handed()), (2, 5));
        assert_eq!([request.ends(), request.ends()], [true, false]);
        assert_eq!(request.body_handed(), 5);
        request.cut(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(request.body_handed(), 0);
    }

    #[test]
    fn chunks_end_with_the_last_one() {
        for (text, n_bytes) in [("1\r\nx\r\n0\r\n\r\nPOST", 11), ("0\r\n\r\n", 5), ("1\r\nx", 4)] {
            assert_eq!(cut_chunks(text.as_bytes()), n_bytes);
        }
    }
}
