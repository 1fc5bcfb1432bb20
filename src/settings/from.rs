//! What a TOML value can become: the types of the standard library and of the owner.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::hidden::{is_dollar_name, is_secret_itself, path_of_address};
use super::meant::{meant_address, meant_duration, meant_size};
use super::table::Table;
use super::value::{FromToml, Value, read_all};
use super::{ByteSize, parse_duration, unexpanded};
use crate::event::{HandlerName, SourceName};
use crate::secret::SecretRef;

impl FromToml for String {
    fn expected() -> String {
        "a string".to_owned()
    }

    fn example() -> String {
        "\"…\"".to_owned()
    }

    fn meant(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| format!("\"{text}\""))
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None => value.mismatch(),
        }
    }
}

impl FromToml for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn example() -> String {
        "true".to_owned()
    }

    fn meant(text: &str) -> Option<String> {
        let meant = match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => "true",
            "false" | "no" | "off" | "0" => "false",
            _ => return None,
        };
        Some(meant.to_owned())
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        value.as_bool().or_else(|| value.mismatch())
    }
}

impl FromToml for f64 {
    fn expected() -> String {
        "a number".to_owned()
    }

    fn example() -> String {
        "0.5".to_owned()
    }

    fn meant(text: &str) -> Option<String> {
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let parts = [whole, part];
        let is_number = parts.into_iter().all(|part| !part.is_empty() && is_digits(part));
        is_number.then(|| text.to_owned())
    }

    fn schema() -> Json {
        json!({ "type": "number" })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        value.as_float().or_else(|| value.mismatch())
    }
}

/// What a number has to be. A limit of more digits than 32 bits have is the machine's, and is no help.
fn whole_number(least: impl Display, most: impl Display) -> String {
    const DIGITS: usize = 10;
    let (least, most) = (least.to_string(), most.to_string());
    match (least.len() > DIGITS, most.len() > DIGITS) {
        (true, _) => "a whole number".to_owned(),
        (false, true) => format!("a whole number from {least}"),
        (false, false) => format!("a whole number from {least} to {most}"),
    }
}

macro_rules! integer {
    ($($type:ty: $example:literal),+ $(,)?) => {$(
        impl FromToml for $type {
            fn expected() -> String {
                whole_number(<$type>::MIN, <$type>::MAX)
            }

            fn example() -> String {
                $example.to_owned()
            }

            fn meant(text: &str) -> Option<String> {
                text.parse().ok().map(|number: Self| number.to_string())
            }

            fn schema() -> Json {
                json!({ "type": "integer", "minimum": <$type>::MIN, "maximum": <$type>::MAX })
            }

            fn from_toml(value: &Value<'_>) -> Option<Self> {
                let number = value.as_integer().and_then(|number| number.try_into().ok());
                number.or_else(|| not_a_count(value))
            }
        }
    )+};
}
integer!(u16: "1", u32: "1", u64: "1", usize: "1", i64: "1");

macro_rules! nonzero {
    ($($type:ty: $inner:ty),+ $(,)?) => {$(
        impl FromToml for $type {
            fn expected() -> String {
                whole_number(<$type>::MIN, <$type>::MAX)
            }

            fn example() -> String {
                "1".to_owned()
            }

            fn meant(text: &str) -> Option<String> {
                text.parse().ok().map(|number: Self| number.to_string())
            }

            fn schema() -> Json {
                json!({ "type": "integer", "minimum": <$type>::MIN, "maximum": <$type>::MAX })
            }

            fn from_toml(value: &Value<'_>) -> Option<Self> {
                let number: Option<$inner> =
                    value.as_integer().and_then(|number| number.try_into().ok());
                number.and_then(<$type>::new).or_else(|| not_a_count(value))
            }
        }
    )+};
}
nonzero!(NonZeroU16: u16, NonZeroU32: u32, NonZeroU64: u64, NonZeroUsize: usize);

/// Says which number is out of range, where it is a number.
fn not_a_count<T: FromToml>(value: &Value<'_>) -> Option<T> {
    let Some(number) = value.as_integer() else { return value.mismatch() };
    let help = format_args!("for example {}", value.line(&T::example()));
    value.problem(format_args!("`{number}` is not {}", T::expected()), help);
    None
}

macro_rules! from_text {
    ($($type:ty: $expected:literal, $example:literal, $pattern:literal, $parse:expr, $meant:expr;)+) => {$(
        impl FromToml for $type {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn example() -> String {
                $example.to_owned()
            }

            fn meant(text: &str) -> Option<String> {
                $meant(text)
            }

            fn schema() -> Json {
                json!({ "type": "string", "pattern": $pattern })
            }

            fn from_toml(value: &Value<'_>) -> Option<Self> {
                value.parse($parse)
            }
        }
    )+};
}
from_text! {
    Duration: "a duration", "\"10s\"", "^([0-9]+(d|h|min|m|s|ms))+$", parse_duration, meant_duration;
    ByteSize: "a size", "\"1MiB\"", "^[0-9]+ ?([KMGT]i?|k)?B$", str::parse, meant_size;
    SourceName: "a source's name", "\"hyvor\"", "^[a-z0-9][a-z0-9_-]*$", SourceName::parse, |_| None;
    HandlerName: "a handler's name", "\"mail\"", "^[a-z0-9][a-z0-9_-]*$", HandlerName::parse, |_| None;
    SocketAddr: "an address with a port", "\"127.0.0.1:8080\"", ":[0-9]+$", parse_address, meant_address;
    IpNet: "a network", "\"203.0.113.0/24\"", "^[0-9a-fA-F:.]+(/[0-9]+)?$", parse_network, |_| None;
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{}` is not an IP address with a port", text.escape_debug()))
}

/// A network, or one address alone.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
    let network = text.parse().ok().or_else(address);
    network.ok_or_else(|| format!("`{}` is not an IP network", text.escape_debug()))
}

/// Relative paths start from the folder of the configuration file.
impl FromToml for PathBuf {
    fn expected() -> String {
        "a path".to_owned()
    }

    fn example() -> String {
        "\"data/…\"".to_owned()
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        let Some(text) = value.as_str() else { return value.mismatch() };
        if text.is_empty() || text.contains('\0') {
            value.problem("this is not a path", "relative paths start from this file's folder");
            return None;
        }
        if let Some((message, help)) = unexpanded(text) {
            value.warning(message, help);
        }
        Some(value.folder().join(text))
    }
}

impl<T: FromToml> FromToml for Vec<T> {
    fn expected() -> String {
        format!("a list (each {})", T::expected())
    }

    fn example() -> String {
        format!("[{}]", T::example())
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        match value.as_items() {
            Some(items) => read_all(items),
            None => value.mismatch(),
        }
    }
}

/// A table whose keys the owner chose, in the order of the text.
impl<T: FromToml> FromToml for Vec<(String, T)> {
    fn expected() -> String {
        format!("a table (each value {})", T::expected())
    }

    fn example() -> String {
        format!("{{ name = {} }}", T::example())
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        if !value.is_table() {
            return value.mismatch();
        }
        let mut table = value.table()?;
        let entries = table.entries().into_iter();
        let read: Vec<_> = entries.map(|(key, value)| (key, value.read())).collect();
        read.into_iter().map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

impl FromToml for SecretRef {
    fn expected() -> String {
        "a reference to a secret".to_owned()
    }

    fn example() -> String {
        "{ file = \"data/secrets/…\" }".to_owned()
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "properties": {
                "env": { "type": "string" },
                "file": { "type": "string" },
                "credential": { "type": "string" },
                "create": { "type": "boolean" },
            },
            "additionalProperties": false,
        })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        if !value.is_table() {
            // The secret itself was written here.
            value.hide();
            value.problem(
                format_args!("expected a reference to a secret, found {}", value.kind()),
                "write `{ file = \"data/secrets/…\" }`, `{ env = \"NAME\" }` or \
                 `{ credential = \"NAME\" }`: a secret itself does not stand in this file",
            );
            return None;
        }
        let mut table = value.table()?;
        let env = table.take::<String>("env");
        let file = table.take::<PathBuf>("file");
        let credential = table.take::<String>("credential");
        let create = table.take::<bool>("create");
        let ways = ["env", "file", "credential"].into_iter().filter(|way| table.has(way)).count();
        if ways != 1 {
            table.problem_here(
                if ways == 0 { "this says no place of a secret" } else { "this says two places" },
                "write exactly one of `env`, `file` and `credential`",
            );
        } else if table.has("create") && !table.has("file") {
            table.problem("create", "only a file can be created", "leave `create` out");
        }
        if ways == 1 && is_rejected(&table) {
            table.finish();
            return None;
        }
        table.finish();
        let file = file.map(|path| Self::File { path, create: create.unwrap_or(false) });
        let secret = env.map(Self::Env).or(file).or(credential.map(Self::Credential));
        let secret = secret.filter(|_| ways == 1)?;
        value.probe(&secret);
        Some(secret)
    }
}

/// Tells where the secret itself was written in place of where it is kept, or what names no place.
fn is_rejected(table: &Table<'_>) -> bool {
    let itself = ["env", "file", "credential"]
        .into_iter()
        .find(|way| table.text_of(way).is_some_and(|text| is_secret_itself(way, text)));
    if let Some(way) = itself {
        let help = "write it into a file, and `{ file = \"data/secrets/…\" }` here";
        table.problem(way, "this is a secret itself, not where it is kept", help);
        return true;
    }
    if let Some(path) = table.text_of("file").and_then(path_of_address) {
        let help = format_args!("write the path: `{{ file = \"{path}\" }}`");
        table.problem("file", "this is an address, and a secret is read from a path", help);
        return true;
    }
    let env = table.text_of("env");
    if let Some(name) = env.filter(|name| name.is_empty() || name.contains(['$', '=', '\0'])) {
        // Another text with a `$` may be a password.
        let bare = name.trim_matches(['$', '{', '}']);
        let meant = if is_dollar_name(name) { bare } else { "APP_SECRET" };
        let help = format_args!("as in `{{ env = \"{meant}\" }}`");
        table.problem("env", "this is not the name of an environment variable", help);
        return true;
    }
    let is_name =
        |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let is_wrong = table.text_of("credential").is_some_and(|name| !is_name(name));
    if is_wrong {
        let help = "as in `{ credential = \"app\" }`";
        table.problem("credential", "this is not the name of a credential", help);
    }
    is_wrong
}
