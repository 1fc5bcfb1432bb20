//! The raw bodies of events, as they came in, attached to their mail.

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment, Body, SinglePart};

use crate::event::{Delivery, Event};

/// The most bytes of bodies in one mail, before they grow by a third: what most servers take.
const BYTES_MAX: usize = 10 << 20;

/// A file in a mail.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) name: String,
    content_type: ContentType,
    bytes: Vec<u8>,
}

impl Attached {
    fn of(event: &Event) -> Self {
        let is_packed = event.headers.get("content-encoding").is_some();
        let written = event.headers.get("content-type").filter(|_| !is_packed);
        let written = written.and_then(|value| std::str::from_utf8(value).ok());
        let essence = written.and_then(|value| value.split(';').next()).unwrap_or_default();
        let (essence, extension) = kind_of(essence.trim());
        let content_type = ContentType::parse(essence).unwrap_or(ContentType::TEXT_PLAIN);
        // Short, so that it needs not be split over several parameters (RFC 2231): Outlook shows such a
        // file as "Untitled attachment".
        let id = event.id.to_string();
        let name = format!("event-{}.{extension}", id.rsplit('-').next().unwrap_or(&id));
        Self { name, content_type, bytes: event.body.to_vec() }
    }

    /// Byte for byte, whatever is in it.
    pub(super) fn into_part(self) -> SinglePart {
        let base64 = ContentTransferEncoding::Base64;
        let body = Body::new_with_encoding(self.bytes, base64)
            // Base64 takes all bytes.
            .unwrap_or_else(Body::new);
        Attachment::new(self.name).body(body, self.content_type)
    }
}

/// A type that a mail program shows as what it is, and how such a file is called. What only means
/// something to HTTP is bytes.
fn kind_of(essence: &str) -> (&'static str, &'static str) {
    let lower = essence.to_ascii_lowercase();
    match lower.as_str() {
        "application/xml" | "text/xml" => ("application/xml", "xml"),
        "application/x-www-form-urlencoded" => ("application/x-www-form-urlencoded", "txt"),
        "text/plain" => ("text/plain", "txt"),
        "application/json" | "text/json" => ("application/json", "json"),
        json if json.ends_with("+json") => ("application/json", "json"),
        _ => ("application/octet-stream", "bin"),
    }
}

/// The bodies of the events, and how many there is no room for.
pub(super) fn bodies(deliveries: &[&Delivery]) -> (Vec<Attached>, usize) {
    let mut attached = Vec::new();
    let mut n_bytes = 0_usize;
    for delivery in deliveries {
        n_bytes += delivery.event.body.len();
        if n_bytes > BYTES_MAX {
            break;
        }
        attached.push(Attached::of(&delivery.event));
    }
    let n_left = deliveries.len().saturating_sub(attached.len());
    (attached, n_left)
}
