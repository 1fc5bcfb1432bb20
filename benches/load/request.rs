//! The signed requests of a benchmark: 1 KB each, told apart by their number.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) const SECRET: &str = "the-secret-of-the-benchmark";
pub(crate) const BODY_BYTES: usize = 1024;

/// Its key is set up once, so that a request costs the sender little beside the gateway.
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(crate) fn new() -> Self {
        Self(Hmac::new_from_slice(SECRET.as_bytes()).unwrap())
    }

    /// A request of `/hooks/hook`, head and body, as Hyvor Talk signs it.
    pub(crate) fn request(&self, number: u64) -> String {
        let mut body = format!(r#"{{"event":"comment.create","data":{{"id":{number},"fill":""#);
        body.extend(std::iter::repeat_n('x', BODY_BYTES - 3 - body.len()));
        body.push_str("\"}}");
        let mut signed = self.0.clone();
        signed.update(body.as_bytes());
        format!(
            "POST /hooks/hook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-Signature: {}\r\nContent-Length: {}\r\n\r\n{body}",
            hex::encode(signed.finalize().into_bytes()),
            body.len()
        )
    }
}
