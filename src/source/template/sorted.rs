//! Fields of a form or of the query in the order of their names.

use std::fmt;

use super::super::field_ref::{Pair, pairs, query};
use super::super::rejection::Rejection;
use super::super::request::Inbound;

/// The most fields of a form that are sorted for a request that is not verified yet; Twilio sends
/// some 50.
pub(super) const FORM_FIELDS_MAX: usize = 1000;

/// `{sorted_form:PAIR:ITEM:LEFT,OUT}`: how names, values and fields are put together; or
/// `{php_form:LEFT,OUT}`: as PHP's `serialize` writes an array of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct SortedRule {
    pub(in crate::source) of: SortedOf,
    is_php: bool,
    /// What is between a name and its value.
    pair: String,
    /// What is between two fields.
    item: String,
    /// Names of fields that are not signed: the signature's own.
    without: Vec<String>,
}

/// Where the fields stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum SortedOf {
    Form,
    Query,
}

impl SortedRule {
    /// What follows the name of the variable and its colon; nothing where `kind` is another
    /// variable.
    pub(super) fn parse(kind: &str, text: &str) -> Option<Self> {
        let names = |text: &str| {
            let names = text.split(',').filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        let of = match kind {
            "php_form" => {
                let (pair, item) = (String::new(), String::new());
                let (of, without) = (SortedOf::Form, names(text));
                return Some(Self { of, is_php: true, pair, item, without });
            }
            "sorted_form" => SortedOf::Form,
            "sorted_query" => SortedOf::Query,
            _ => return None,
        };
        let mut parts = text.splitn(3, ':');
        let pair = parts.next().unwrap_or_default().to_owned();
        let item = parts.next().unwrap_or_default().to_owned();
        let without = names(parts.next().unwrap_or_default());
        Some(Self { of, is_php: false, pair, item, without })
    }

    /// Whether a field of this name is signed.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.without.iter().all(|left_out| left_out.as_bytes() != name)
    }

    /// The text that is signed. Fields of one name keep the order of their values.
    pub(super) fn text(&self, request: &Inbound<'_>) -> Result<Vec<u8>, Rejection> {
        let bytes = match self.of {
            SortedOf::Form => request.body,
            SortedOf::Query => query(request).as_bytes(),
        };
        let mut fields: Vec<Pair<'_>> = pairs(bytes).take(FORM_FIELDS_MAX + 1).collect();
        if fields.len() > FORM_FIELDS_MAX {
            return Err(Rejection::TooManyFields);
        }
        fields.retain(|(name, _)| self.has(name));
        fields.sort_by(|(left, _), (right, _)| left.cmp(right));
        if self.is_php {
            return php_array(&fields);
        }
        let mut text = Vec::with_capacity(bytes.len());
        for (name, value) in fields {
            if !text.is_empty() {
                text.extend_from_slice(self.item.as_bytes());
            }
            for part in [&*name, self.pair.as_bytes(), &*value] {
                text.extend_from_slice(part);
            }
        }
        Ok(text)
    }
}

/// As `serialize` writes an array of texts; a name that is a number is one. PHP keeps the last one of a
/// repeated name, and readers of the event see all of them: what is not signed is not believed.
fn php_array(fields: &[Pair<'_>]) -> Result<Vec<u8>, Rejection> {
    if let Some([(name, _), _]) = fields.array_windows().find(|[(one, _), (next, _)]| one == next) {
        let name = String::from_utf8_lossy(name);
        return Err(Rejection::Repeated(format!("form field `{name}`")));
    }
    let mut out = format!("a:{}:{{", fields.len()).into_bytes();
    let write = |out: &mut Vec<u8>, text: &[u8]| {
        out.extend_from_slice(format!("s:{}:\"", text.len()).as_bytes());
        out.extend_from_slice(text);
        out.extend_from_slice(b"\";");
    };
    for (name, value) in fields {
        let number = std::str::from_utf8(name).ok().and_then(|name| name.parse::<i64>().ok());
        match number.filter(|number| number.to_string().as_bytes() == &**name) {
            Some(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
            None => write(&mut out, name),
        }
        write(&mut out, value);
    }
    out.push(b'}');
    Ok(out)
}

impl fmt::Display for SortedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_php {
            return write!(f, "php_form:{}", self.without.join(","));
        }
        let kind = match self.of {
            SortedOf::Form => "sorted_form",
            SortedOf::Query => "sorted_query",
        };
        write!(f, "{kind}:{}:{}", self.pair, self.item)?;
        if !self.without.is_empty() {
            write!(f, ":{}", self.without.join(","))?;
        }
        Ok(())
    }
}
