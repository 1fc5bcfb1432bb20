//! Offers to upgrade a connection (`Connection: Upgrade`), which we never take up.
//!
//! RFC 9110, 7.8: a server may ignore an offer, and the request goes on as if there were none.
//! Java's `HttpClient`, Ktor and `curl --http2` offer `h2c` with every request. actix reads no
//! other request on a connection behind an offer, and behind one of a WebSocket it takes the body
//! for a stream that has no end. So the words of an offer are blanked before the head is handed on.

/// What a head has to hold at least to be looked at: lower or upper case, behind a line's
/// beginning.
const CONNECTION: &[u8] = b"connection:";
const UPGRADE: &[u8] = b"upgrade:";

/// Blanks the offer in the head that `bytes` begin with. Where they do not hold all of it, or begin
/// with anything else, nothing is changed; nor is anything behind the head's end.
pub(super) fn blank(bytes: &mut [u8]) {
    let Some(end) = end_of_head(bytes) else { return };
    let Some(head) = bytes.get_mut(..end) else { return };
    // A request that offers nothing, as nearly all: one search and no more.
    if memchr::memchr2_iter(b'u', b'U', head).all(|at| !has_word(head, at, b"upgrade")) {
        return;
    }
    let mut lines = head.split_mut(|byte| *byte == b'\n');
    let is_request = lines.next().is_some_and(|line| line.trim_ascii_end().ends_with(b"HTTP/1.1"));
    if !is_request {
        return;
    }
    for line in lines {
        if let Some(options) = value_of(line, CONNECTION) {
            blank_options(options, b"upgrade");
        } else if let Some(protocols) = value_of(line, UPGRADE) {
            blank_options(protocols, b"websocket");
        }
    }
}

/// Where the first head in `bytes` ends, its empty line included.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

fn has_word(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    bytes.get(at..at + word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word))
}

/// What follows `name` in a line of a head.
fn value_of<'a>(line: &'a mut [u8], name: &[u8]) -> Option<&'a mut [u8]> {
    let (found, value) = line.split_at_mut_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

/// Writes blanks over the items of a list that are `word`: an empty item counts for nothing
/// (RFC 9110, 5.6.1).
fn blank_options(list: &mut [u8], word: &[u8]) {
    for item in list.split_mut(|byte| *byte == b',') {
        if item.trim_ascii().eq_ignore_ascii_case(word) {
            for byte in item.iter_mut().filter(|byte| byte.is_ascii_graphic()) {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        blank(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn offer_is_blanked_and_nothing_else() {
        let request = |connection: &str, upgrade: &str| {
            format!(
                "POST /upgrade HTTP/1.1\r\nHost: a\r\n{connection}\r\n{upgrade}\r\n\
                 X-Upgrade: Upgrade\r\n\r\nConnection: Upgrade\r\n\r\n"
            )
        };
        let offer = request("CONNECTION: Upgrade, HTTP2-Settings", "upgrade: h2c");
        assert_eq!(blanked(&offer), request("CONNECTION:        , HTTP2-Settings", "upgrade: h2c"));
        let socket = request("connection: keep-alive, UPGRADE", "Upgrade: WebSocket");
        assert_eq!(
            blanked(&socket),
            request("connection: keep-alive,        ", "Upgrade:          ")
        );
        let close = request("Connection: close", "Upgrade: h2c, websockets");
        assert_eq!(blanked(&close), close);
    }

    #[test]
    fn what_is_no_whole_head_is_left_alone() {
        for text in [
            "",
            "\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\n",
            "GET / HTTP/1.0\r\nConnection: Upgrade\r\n\r\n",
            "Connection: Upgrade\r\nConnection: Upgrade\r\n\r\n",
            "GET /upgrade HTTP/1.1\r\n\r\nConnection: Upgrade\r\n\r\n",
        ] {
            assert_eq!(blanked(text), text);
        }
    }
}
