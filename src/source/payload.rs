//! Single fields of a JSON body, found in one pass that keeps nothing else: building the whole
//! document would cost more than checking the signature.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::smallvec;

use super::Few;

/// The most paths that one pass looks for: one bit each.
const PATHS_MAX: usize = 32;

/// The field at a dotted path as text; nothing where the body is not JSON or has no text, number
/// or truth value there.
pub(super) fn find_one(body: &[u8], path: &str) -> Option<String> {
    find(body, &[path])?.pop().flatten()
}

/// The fields at several dotted paths, in one pass. Of a repeated key the last counts, as for
/// every reader of the stored event. `None` = the body is not JSON, or nobody looked, for there
/// are no paths.
pub(super) fn find(body: &[u8], paths: &[&str]) -> Option<Few<Option<String>>> {
    if paths.is_empty() || paths.len() > PATHS_MAX {
        return None;
    }
    let mut found = smallvec![None; paths.len()];
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let active = u32::MAX >> (PATHS_MAX - paths.len());
    let seek = Seek { paths, active, depth: 0, found: &mut found };
    let whole = seek.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    whole.is_ok().then_some(found)
}

/// Walks into the parts of a document that some path leads through.
struct Seek<'s> {
    paths: &'s [&'s str],
    /// The paths that lead here, as bits.
    active: u32,
    /// How many of their parts are behind us.
    depth: usize,
    found: &'s mut [Option<String>],
}

impl Seek<'_> {
    /// The active paths whose next part is `key`.
    fn narrow(&self, key: &str) -> u32 {
        let mut narrowed = 0;
        for (index, path) in self.paths.iter().enumerate() {
            let bit = 1 << index;
            if self.active & bit != 0 && path.split('.').nth(self.depth) == Some(key) {
                narrowed |= bit;
            }
        }
        narrowed
    }

    /// The highest place in a list that an active path leads to.
    fn last_index(&self) -> Option<usize> {
        let active = |index: &usize| self.active & (1 << index) != 0;
        let paths = self.paths.iter().enumerate().filter(|(index, _)| active(index));
        paths.filter_map(|(_, path)| path.split('.').nth(self.depth)?.parse().ok()).max()
    }

    /// Sets every active path: the ones that end here to `text`, the others to nothing.
    fn settle(&mut self, text: Option<&str>) {
        for (index, (path, found)) in self.paths.iter().zip(self.found.iter_mut()).enumerate() {
            if self.active & (1 << index) != 0 {
                let ends_here = path.split('.').count() == self.depth;
                *found = text.filter(|_| ends_here).map(str::to_owned);
            }
        }
    }

    fn deeper(&mut self, active: u32) -> Seek<'_> {
        Seek { paths: self.paths, active, depth: self.depth + 1, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.settle(None);
        while let Some(active) = map.next_key_seed(Key(&self))? {
            if active == 0 {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(self.deeper(active))?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.settle(None);
        let last = self.last_index();
        for index in 0_usize.. {
            // Most lists are long, and most paths lead through none.
            let is_wanted = last.is_some_and(|last| index <= last);
            let active = if is_wanted { self.narrow(&index.to_string()) } else { 0 };
            let more = if active == 0 {
                seq.next_element::<IgnoredAny>()?.is_some()
            } else {
                seq.next_element_seed(self.deeper(active))?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.settle(Some(text));
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.settle(Some(&value.to_string()));
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.settle(Some(&value.to_string()));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.settle(Some(&value.to_string()));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.settle(Some(&value.to_string()));
        Ok(())
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.settle(None);
        Ok(())
    }
}

/// Compares a key where it lies, without copying it.
struct Key<'k, 's>(&'k Seek<'s>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<u32, E> {
        Ok(self.0.narrow(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, path: &str, expected: Option<&str>) {
        assert_eq!(find_one(body.as_bytes(), path).as_deref(), expected, "{path} in {body}");
    }

    #[test]
    fn fields_are_found_by_path() {
        check(r#"{"event":"comment.create","data":{}}"#, "event", Some("comment.create"));
        check(r#"{"data":{"id":5,"x":[]},"event":"e"}"#, "data.id", Some("5"));
        check(r#"{"a":{"b":{"c":true}}}"#, "a.b.c", Some("true"));
        check(r#"[{"event":"dropped"},{"event":"open"}]"#, "1.event", Some("open"));
        check(r#"{"\u0065vent":"\u0442\/x"}"#, "event", Some("т/x"));
        check(r#"{"t":-1.5}"#, "t", Some("-1.5"));
    }

    #[test]
    fn what_is_not_a_plain_value_or_not_there_is_nothing() {
        for body in [r#"{"a":null}"#, r#"{"a":{}}"#, r#"{"a":[1]}"#, "{}", "[]", "3", r#""a""#, ""]
        {
            check(body, "a", None);
        }
        check(r#"{"a":"x"}"#, "a.b", None);
    }

    #[test]
    fn of_a_repeated_key_the_last_counts() {
        check(r#"{"a":"1","a":"2"}"#, "a", Some("2"));
        check(r#"{"a":{"b":"1"},"a":{"c":"2"}}"#, "a.b", None);
        check(r#"{"a":{"b":"1"},"a":3}"#, "a.b", None);
    }

    #[test]
    fn a_body_that_is_not_json_to_its_end_has_no_fields() {
        for body in [r#"{"a":"1""#, r#"{"a":"1"} x"#, r#"{"a":"1"}{"#, "a=1", "\u{feff}{\"a\":1}"] {
            check(body, "a", None);
        }
        assert_eq!(find_one(b"\xff\xfe", "a"), None);
    }

    #[test]
    fn several_paths_take_one_pass() {
        let body = br#"{"type":"t","data":{"id":"d","type":"x"},"id":7}"#;
        let found = find(body, &["type", "id", "data.id", "none"]).unwrap();
        assert_eq!(found.as_slice(), [Some("t".into()), Some("7".into()), Some("d".into()), None]);
    }

    #[test]
    fn deep_nesting_harms_nobody() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        check(&format!(r#"{{"x":{deep},"a":"1"}}"#), "a", Some("1"));
        check(&format!(r#"{{"a":{deep}}}"#), "a", None);
    }
}
