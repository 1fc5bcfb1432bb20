//! Requests that carry a list of events: one event for each item of a JSON array, or for each of
//! several JSON documents that stand on lines of their own.
//!
//! - An item's type and id are looked for in the item. An id of the whole request tells its items
//!   apart by their place in the list, so that two equal ones are two events.
//! - The list is the body, the text of a form's only field, or what is at the path that the source names.
//! - What is no array and a list over the limits stays one event: nothing is lost. An empty list is none.
//! - A body that came packed is unpacked, and so are its items.

use std::borrow::Cow;
use std::ops::Range;

use super::batch::{self, scan};
use crate::body::json;
use crate::body::{form_fields, starts_like_json};

/// The most items that become events: they are stored by one commit.
pub(crate) const ITEMS_MAX: usize = 4_096;
/// The most bytes of all of the events, each with the request's headers: half a segment of the log.
const BYTES_MAX: usize = 8 << 20;

/// How a request becomes events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// One request is one event.
    #[default]
    Off,
    /// Each item of a JSON array is an event.
    JsonArray,
}

impl Split {
    /// Every way, by its word in the configuration.
    pub(super) const ALL: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("json-array", Self::JsonArray)];
}

/// What may be the list of a body: the body; with a path what stands there, of a form its first step is
/// the field; without one the text of a form's only field. `None` = there is none.
pub(super) fn list_of<'b>(
    path: &str,
    content_type: Option<&[u8]>,
    body: &'b [u8],
) -> Option<Cow<'b, [u8]>> {
    if starts_like_json(body) {
        return batch::list(body, path).map(Cow::Borrowed);
    }
    let (name, path) = path.split_once('.').unwrap_or((path, ""));
    let mut fields = form_fields(content_type, body).into_iter();
    let text = if name.is_empty() {
        fields.next().filter(|_| fields.next().is_none())?.1
    } else {
        fields.find(|(field, _)| **field == *name.as_bytes())?.1
    };
    batch::list(&text, path).filter(|list| is_list(list)).map(|list| Cow::Owned(list.to_vec()))
}

/// Whether a text that begins like this one is a list to be split.
pub(super) fn is_list(text: &[u8]) -> bool {
    is_array(text) || json::lines(text, 1).is_some()
}

fn is_array(text: &[u8]) -> bool {
    json::unmarked(text).trim_ascii_start().starts_with(b"[")
}

/// Where the items of an array stand, of an empty one nowhere; `None` = it is none, or there are too many.
/// `are_lines` = its sender says that each line is an item, so that a single one is a list, too.
/// `item_bytes` is what each costs beside its own text.
pub(super) fn items_of(
    body: &[u8],
    are_lines: bool,
    item_bytes: usize,
) -> Option<Vec<Range<usize>>> {
    if !starts_like_json(body) {
        return None;
    }
    let mut items = json::lines(body, ITEMS_MAX).or_else(|| scan(body, ITEMS_MAX).ok())?;
    if items.is_empty() && is_array(body) {
        return Some(items);
    }
    let is_object = json::unmarked(body).trim_ascii_start().starts_with(b"{");
    if items.is_empty() && are_lines && is_object && json::is_document(body) {
        items.push(0..body.trim_ascii_end().len());
    }
    let bytes = items.len().saturating_mul(item_bytes).saturating_add(body.len());
    (!items.is_empty() && items.len() <= ITEMS_MAX && bytes <= BYTES_MAX).then_some(items)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::NewEvent;
    use crate::source::tests::{configured, verify};
    use crate::source::{Source, SourceSettings};

    fn texts(body: &str) -> Vec<&str> {
        let items = items_of(body.as_bytes(), false, 0).unwrap_or_default();
        items.into_iter().map(|item| body.get(item).unwrap()).collect()
    }

    #[test]
    fn items_keep_their_own_text() {
        let body = "\u{feff} [ {\"a\":[1,{}]} ,\r\n[2] , \"x\\\"],[\" ,1.10,true,null,NaN ] \r\n";
        let items = ["{\"a\":[1,{}]}", "[2]", "\"x\\\"],[\"", "1.10", "true", "null", "NaN"];
        assert_eq!(texts(body), items);
        assert_eq!(texts("[{}]"), ["{}"]);
        assert_eq!(texts("{\"a\":1}\n {\"a\":2}\r\n"), ["{\"a\":1}", " {\"a\":2}"]);
        assert!(is_list(b"{}\n{}") && !is_list(b"{}\n"));
    }

    #[test]
    fn what_is_no_list_is_not_split() {
        for body in ["", "{}", "[]", "[1", "[1,]", "[1] 2", "a=[1]", "\"[1]\"", "[[1],"] {
            assert_eq!(texts(body), [""; 0], "{body}");
        }
        let deep = format!("[{}1{}]", "[".repeat(1_000), "]".repeat(1_000));
        assert_eq!(texts(&deep), [""; 0]);
    }

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// The types, bodies and keys of the events that a believed request becomes.
    fn events(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Vec<NewEvent> {
        let verified = verify(source, headers, body).unwrap();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let body = Bytes::copy_from_slice(body);
        source.split(&verified, NOW, &headers, &body).unwrap_or_default()
    }

    /// How many events a believed request becomes; `None` = it is not split.
    fn n_events(source: &Source, content_type: &str, body: &str) -> Option<usize> {
        let headers = [("x-t", "secret"), ("content-type", content_type)];
        let verified = verify(source, &headers, body.as_bytes()).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Some(source.split(&verified, NOW, &headers, &body)?.len())
    }

    fn of(text: &str) -> Source {
        let verify = "verify = { algorithm = \"token\", header = \"X-T\", type = { json = \"t\" }";
        configured(&format!("split = \"json-array\"\n{verify}, {text} }}"), &["secret"])
    }

    #[test]
    fn each_item_has_its_own_type_id_and_text() {
        let source = of("id = { json = \"id\" }");
        let token = ("x-t", "secret");
        let body =
            br#"[{"t":"open","id":1}, {"t":"bounce","id":2},{"t":"open","id":1},{"n":1.10}]"#;
        let all = events(&source, &[token], body);
        let types: Vec<&str> = all.iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!(types, ["open", "bounce", "open", "unknown"]);
        assert_eq!(all[3].body, r#"{"n":1.10}"#.as_bytes());
        assert!(all.iter().all(|event| event.is_json && event.received_at == NOW));
        assert_eq!(all[0].dedupe, all[2].dedupe);
        assert_ne!(all[0].dedupe, all[1].dedupe);
        assert!(matches!(all[0].dedupe, crate::event::Dedupe::Within { .. }));
        // One that comes again in another list is a repeat.
        assert_eq!(events(&source, &[token], br#"[{"t":"open","id":1}]"#)[0].dedupe, all[0].dedupe);
        for whole in [r#"{"t":"x"}"#, "[{]", "[] 1", "t", r#"{"t":[]}"#] {
            assert!(events(&source, &[token], whole.as_bytes()).is_empty());
        }
    }

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn empty_list_is_no_event() {
        let source = of("id = { json = \"id\" }");
        for (content_type, body) in
            [(JSON, "[]"), (JSON, " [ ] "), (FORM, "mandrill_events=%5B%5D")]
        {
            assert_eq!(n_events(&source, content_type, body), Some(0), "{body}");
        }
        for (content_type, body) in
            [(JSON, "{}"), (JSON, "[] 1"), (FORM, "a=%5B%5D&b=1"), (FORM, "a=")]
        {
            assert_eq!(n_events(&source, content_type, body), None, "{body}");
        }
    }

    #[test]
    fn text_of_the_only_field_of_a_form_is_a_list() {
        let source = of("id = { json = \"id\" }");
        let form =
            "mandrill_events=%5B%7B%22t%22%3A%22open%22%7D%2C+%7B%22t%22%3A%22click%22%7D%5D";
        let all = events(&source, &[("x-t", "secret"), ("content-type", FORM)], form.as_bytes());
        let told: Vec<_> =
            all.iter().map(|event| (event.event_type.as_str(), &*event.body)).collect();
        assert_eq!(told, [("open", &b"{\"t\":\"open\"}"[..]), ("click", b"{\"t\":\"click\"}")]);
        // By itself it is no form any more.
        assert_eq!(all[0].headers.get("content-type"), Some(JSON.as_bytes()));
        assert!(all.iter().all(|event| event.is_json));
    }

    #[test]
    fn list_is_found_at_its_path() {
        let verify =
            "verify = { algorithm = \"token\", header = \"X-T\", type = { json = \"t\" } }";
        let at = |path: &str| {
            let text = format!("split = \"json-array\"\nsplit_at = \"{path}\"\n{verify}");
            configured(&text, &["secret"])
        };
        let source = at("data.items");
        assert_eq!(
            n_events(&source, JSON, r#"{"data":{"items":[{"t":"a"},{}]},"x":[1]}"#),
            Some(2)
        );
        assert_eq!(n_events(&source, JSON, r#"{"data":{"items":[]}}"#), Some(0));
        let all = events(&source, &[("x-t", "secret")], br#"{"data":{"items":[{"t":"a"}]}}"#);
        assert_eq!((all[0].event_type.as_str(), &*all[0].body), ("a", &b"{\"t\":\"a\"}"[..]));
        for whole in [r#"[{"t":"a"}]"#, r#"{"data":{"items":{}}}"#, "{\"data\":1}\n{}", "x"] {
            assert_eq!(n_events(&source, JSON, whole), None, "{whole}");
        }
        // Of a form the first step is the field.
        assert_eq!(n_events(&at("e"), FORM, "sig=1&e=[{},{},{}]"), Some(3));
        assert_eq!(n_events(&at("e.all"), FORM, "sig=1&e={\"all\":[{}]}"), Some(1));
        let name = crate::event::SourceName::parse("s").unwrap();
        let sample = source.settings().sample("a", NOW);
        let event = source.settings().unsigned_event(&name, None, sample, NOW);
        assert_eq!(event.event_type.as_str(), "a");
    }

    #[test]
    fn list_whose_items_are_verified_one_by_one_is_the_one_that_is_split() {
        let verify = "verify = { algorithm = \"token\", json = \"clientState\", each = \"value\", type = { \
                      json = \"t\" } }";
        let graph = configured(&format!("split = \"json-array\"\n{verify}"), &["secret"]);
        let body = r#"{"value":[{"clientState":"secret","t":"a"},{"clientState":"secret"}]}"#;
        assert_eq!(n_events(&graph, JSON, body), Some(2));
    }

    #[test]
    fn id_of_the_whole_request_tells_items_apart_by_their_place() {
        let source = of("id = { header = \"X-Id\" }");
        let headers = [("x-t", "secret"), ("x-id", "1")];
        let all = events(&source, &headers, b"[{},{}]");
        assert_ne!(all[0].dedupe, all[1].dedupe);
        let again = events(&source, &headers, b"[{},{}]");
        assert_eq!((all[0].dedupe, all[1].dedupe), (again[0].dedupe, again[1].dedupe));
    }

    #[test]
    fn packed_list_becomes_events_that_are_not_packed() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(br#"[{"t":"a"},{"t":"b"}]"#).unwrap();
        let headers = [("x-t", "secret"), ("content-encoding", "gzip")];
        let all = events(&of("id = { json = \"id\" }"), &headers, &gzip.finish().unwrap());
        assert_eq!(all[1].body, br#"{"t":"b"}"#.as_slice());
        assert_eq!(all[1].event_type.as_str(), "b");
        assert!(all.iter().all(|event| event.headers.get("content-encoding").is_none()));
    }

    #[test]
    fn single_line_is_a_list_where_its_sender_says_that_lines_are_items() {
        let source = of("id = { json = \"id\" }");
        let headers = [("x-t", "secret"), ("content-type", "application/x-ndjson")];
        let all = events(&source, &headers, b"{\"t\":\"a\"}\r\n");
        assert_eq!((all.len(), all[0].event_type.as_str()), (1, "a"));
        assert_eq!(all[0].body, r#"{"t":"a"}"#.as_bytes());
        // By itself it is no list any more.
        assert_eq!(all[0].headers.get("content-type"), Some(&b"application/json"[..]));
        assert!(events(&source, &headers, b"{\"t\":\"a\"} x").is_empty());
        assert!(events(&source, &headers[..1], b"{\"t\":\"a\"}\n").is_empty());
    }

    #[test]
    fn list_in_utf_16_becomes_events_in_utf_8() {
        let source = of("id = { json = \"id\" }");
        let list = "[{\"t\":\"ö\"},{\"t\":\"b\"}]";
        let body: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let all = events(&source, &[("x-t", "secret")], &body);
        assert_eq!((all.len(), all[0].event_type.as_str()), (2, "ö"));
        assert_eq!(all[1].body, r#"{"t":"b"}"#.as_bytes());
    }

    #[test]
    fn lists_of_sendgrid_are_split() {
        let sender = SourceSettings::of_provider("sendgrid", Vec::new()).unwrap();
        assert_eq!(sender.split, Split::JsonArray);
        let name = crate::event::SourceName::parse("s").unwrap();
        let body = br#"[{"event":"bounce","sg_event_id":"a"},{"event":"open"}]"#.to_vec();
        let event = sender.unsigned_event(&name, None, body, NOW);
        assert_eq!((event.event_type.as_str(), event.is_json), ("bounce", true));
        assert_eq!(event.body, br#"{"event":"bounce","sg_event_id":"a"}"#.as_slice());
        let sample = sender.sample("a.type.that.nobody.knows", NOW);
        assert!(sample.starts_with(b"[{"));
    }

    #[test]
    fn list_over_the_limits_is_not_split() {
        let list = |n: usize| format!("[{}1]", "1,".repeat(n - 1));
        assert_eq!(texts(&list(ITEMS_MAX)).len(), ITEMS_MAX);
        assert_eq!(texts(&list(ITEMS_MAX + 1)), [""; 0]);
        let two = list(2);
        assert!(items_of(two.as_bytes(), false, BYTES_MAX / 2 - two.len()).is_some());
        assert!(items_of(two.as_bytes(), false, BYTES_MAX / 2).is_none());
    }
}
