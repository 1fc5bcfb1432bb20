//! The fields of an address or of a form.

use super::words;
use crate::api::{ApiError, moment};
use crate::body;
use crate::clock::Timestamp;

/// Names and values, decoded. One that is empty counts as left out: that is how forms send it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pairs: Vec<(String, String)>,
    /// Why what they ask for was not done, where the page shows them once more.
    wrong: Option<String>,
}

impl Fields {
    /// Out of `application/x-www-form-urlencoded` text.
    pub(super) fn parse(text: &str) -> Self {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let pairs = body::form_fields(None, text.as_bytes());
        let pairs = pairs.iter().map(|(name, value)| (text_of(name), text_of(value)));
        let pairs = pairs.filter(|(_, value)| !value.is_empty()).collect();
        Self { pairs, wrong: None }
    }

    /// The same without those that `left_out` names, for the page that says what is wrong with them.
    pub(super) fn refused(&self, why: String, left_out: &[&str]) -> Self {
        let kept = self.pairs.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
        Self { pairs: kept.cloned().collect(), wrong: Some(why) }
    }

    /// No fields at all, for the page that says what is wrong with all of them: nothing is narrowed by half.
    pub(super) fn emptied(why: String) -> Self {
        Self { pairs: Vec::new(), wrong: Some(why) }
    }

    /// Just those that `names` names, and these in their place.
    pub(super) fn only(&self, names: &[&str], more: &[(&str, &str)]) -> Self {
        let kept = self.pairs.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned();
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { pairs: kept.chain(more).collect(), wrong: self.wrong.clone() }
    }

    /// Why what they ask for was not done.
    pub(super) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As an owned text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// Those of these that are given, with their values.
    pub(super) fn said(&self, names: &[&'static str]) -> Vec<(&'static str, String)> {
        names.iter().filter_map(|name| Some((*name, self.text(name)?))).collect()
    }

    /// A number; what is none counts as left out.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|text| text.parse().ok())
    }

    /// A moment, before `now` where it is a span.
    pub(super) fn time(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        self.get(name).map(|text| moment(text, now)).transpose()
    }

    /// An error where a field is none of `known`, or is no number though `numbers` names it.
    pub(super) fn check(&self, known: &[&str], numbers: &[&str]) -> Result<(), ApiError> {
        let one_of = |all: &[&str]| match all {
            ["done"] => "nothing is chosen on this page".to_owned(),
            all => format!(
                "there are: {}",
                all.iter().filter(|name| **name != "done").copied().collect::<Vec<_>>().join(", ")
            ),
        };
        for (name, value) in &self.pairs {
            let (name, shown) = (name.as_str(), words::shown(value, 60));
            if numbers.contains(&name) {
                if value.parse::<u64>().is_err() {
                    return Err(ApiError::Bad(format!("`{name}` is a number, not `{shown}`")));
                }
            } else if !known.contains(&name) {
                let (name, all) = (words::shown(name, 60), one_of(&[known, numbers].concat()));
                return Err(ApiError::Bad(format!("there is no `{name}` here; {all}")));
            }
        }
        Ok(())
    }

    /// An address with these fields, without those that `left_out` names.
    pub(super) fn address(&self, path: &str, left_out: &[&str], more: &[(&str, &str)]) -> String {
        let kept = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = kept.filter(|(name, _)| !left_out.contains(name));
        let kept = kept.filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        address(path, kept.chain(more.iter().copied()))
    }
}

/// An address of ours with a query.
pub(super) fn address<'a>(
    path: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut address = path.to_owned();
    for (index, (name, value)) in fields.into_iter().enumerate() {
        address.push(if index == 0 { '?' } else { '&' });
        encode(&mut address, name);
        address.push('=');
        encode(&mut address, value);
    }
    address
}

/// Percent-encoded: everything but the characters that never mean anything in a query.
fn encode(address: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.extend(["%", &hex::encode_upper([byte])]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_make_the_address_that_they_were_read_from() {
        let fields = Fields::parse("q=a%20b%26%3C&empty=&source=hyvor&before=7");
        assert_eq!(fields.get("q"), Some("a b&<"));
        assert_eq!((fields.get("empty"), fields.number("before")), (None, Some(7)));
        let address = fields.address("/events", &["source"], &[("before", "5")]);
        assert_eq!(address, "/events?q=a%20b%26%3C&before=5");
    }
}
