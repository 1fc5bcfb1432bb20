//! Bodies that are a JSON Web Token: what its sender says is in the claims.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::ValueKind;

use super::json;

/// How the header of each begins: `{"` in base64.
const BEGINNING: &[u8] = b"eyJ";
/// The claim that some put the whole of it into, as JSON in a text.
const DATA: &str = "data";

/// The claims of the token that `text` is; `None` = it is none.
pub(super) fn claims(text: &[u8]) -> Option<Value> {
    let token = text.trim_ascii();
    let mut parts = token.split(|byte| *byte == b'.');
    let (header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if !header.starts_with(BEGINNING) || parts.next().is_some() {
        return None;
    }
    object(header)?;
    let claims = object(payload)?;
    let inner = claims.get_attr(DATA).ok().filter(|data| data.kind() == ValueKind::String);
    let inner = inner.and_then(|data| json::read(data.as_str()?.as_bytes()).ok());
    let Some((inner, _)) = inner.filter(|(inner, _)| inner.kind() == ValueKind::Map) else {
        return Some(claims);
    };
    let fields = claims.try_iter().ok()?.map(|name| {
        let value = claims.get_item(&name).unwrap_or_default();
        (name.as_str().unwrap_or_default().into(), value)
    });
    let mut fields: IndexMap<Box<str>, Value> = fields.collect();
    fields.insert(DATA.into(), inner);
    Some(json::map(fields))
}

fn object(part: &[u8]) -> Option<Value> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    let (value, _) = json::read(&text).ok()?;
    (value.kind() == ValueKind::Map).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(r#"{"alg":"RS256"}"#), encode(payload))
    }

    fn read(text: &str) -> Option<String> {
        let layout = json::Layout::Compact;
        claims(text.as_bytes()).map(|claims| json::write(&claims, layout).unwrap())
    }

    #[test]
    fn claims_are_what_was_sent() {
        let plain = r#"{"event":"call","n":1.10}"#;
        assert_eq!(read(&format!(" {}\n", token(plain))).as_deref(), Some(plain));
        let wix = r#"{"data":"{\"eventType\":\"a\"}","iat":1}"#;
        assert_eq!(read(&token(wix)).as_deref(), Some(r#"{"data":{"eventType":"a"},"iat":1}"#));
        let text = r#"{"data":"x"}"#;
        assert_eq!(read(&token(text)).as_deref(), Some(text));
        let of_list = token("[1]");
        let with_more = format!("{}.x", token("{}"));
        for other in ["", "a.b.c", "eyJ.eyJ.eyJ", "eyJhIjoxfQ", &of_list, &with_more] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
