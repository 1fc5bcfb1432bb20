//! `trigger-rule` of adnanh/webhook: what of it says who is calling, and what which events count.

use serde_json::Value;

use super::imported::{hook_field, quoted};

/// What a rule comes to.
#[derive(Debug, Default)]
pub(super) struct TriggerRule {
    pub(super) caller: Option<HookCaller>,
    /// Networks that may send.
    pub(super) allow: Vec<String>,
    /// Conditions that all must hold, as expressions.
    pub(super) conditions: Vec<String>,
    /// What could not be carried over.
    pub(super) lost: Vec<String>,
    /// What holds as before, in a way that its owner should know of.
    pub(super) told: Vec<String>,
    /// Whether it asks who is calling in a way that is no [`TriggerRule::caller`]: within `or` or `not`,
    /// say.
    has_other_guard: bool,
}

/// How a sender shows who it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HookCaller {
    Hmac { algorithm: &'static str, place: Parameter, secrets: Vec<String> },
    Token { place: Parameter, secrets: Vec<String> },
}

/// Where in a request something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) source: String,
    pub(super) name: String,
}

impl Parameter {
    pub(super) fn read(value: &Value) -> Self {
        let text =
            |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { source: text("source"), name: text("name") }
    }

    /// As an expression.
    pub(super) fn expression(&self) -> Result<String, String> {
        match self.source.as_str() {
            _ if self.is_in_address() => Ok(format!("event.query[{}]", quoted(&self.name))),
            "payload" => Ok(hook_field(&self.name)),
            "header" => Ok(format!("event.headers[{}]", quoted(&self.name.to_ascii_lowercase()))),
            other => Err(format!("a value from `{other}` cannot be asked for")),
        }
    }

    pub(super) fn is_in_address(&self) -> bool {
        ["url", "query"].contains(&self.source.as_str())
    }

    /// Whether it is where a password is, rather than a fact about the event.
    fn is_password(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let words = ["token", "secret", "auth", "password", "signature", "key"];
        ["header", "url", "query", "payload"].contains(&self.source.as_str())
            && !name.starts_with("x-event")
            && words.iter().any(|word| name.contains(word))
    }
}

impl TriggerRule {
    pub(super) fn read(rule: &Value) -> Self {
        let mut read = Self::default();
        let mut parts = Vec::new();
        flatten(rule, &mut parts);
        let has_hmac =
            parts.iter().any(|part| matches!(caller(part), Some(HookCaller::Hmac { .. })));
        let in_address = parts.iter().position(|part| address_token(part).is_some());
        let in_address = in_address.filter(|_| parts.iter().all(|part| caller(part).is_none()));
        let in_address = in_address.map(|index| parts.remove(index));
        for part in parts {
            read.part(part, has_hmac);
        }
        let Some(in_address) = in_address else { return read };
        if read.has_other_guard && !read.lost.is_empty() {
            // It may be guessed (`site=3`), and what kept strangers out is lost.
            read.part(in_address, has_hmac);
            return read;
        }
        read.caller = address_token(in_address);
        let name = read.caller.as_ref().map_or("", |caller| &caller.place().name);
        read.told.push(format!(
            "`{name}` of the address is its token: a request without the right one is answered 401"
        ));
        read
    }

    /// Whether strangers were kept out, and would not be by what is carried over.
    pub(super) const fn keeps_out_no_more(&self) -> bool {
        self.caller.is_none() && self.has_other_guard
    }

    /// One of the ways to show who is calling, which all are asked for. A source has one: a token beside it is a
    /// condition on what came in.
    fn caller(&mut self, caller: HookCaller, part: &Value) {
        if self.caller.is_none() {
            self.caller = Some(caller);
            return;
        }
        match (caller, expression(part)) {
            (HookCaller::Token { place, .. }, Ok(condition)) => {
                self.conditions.push(condition);
                self.told.push(format!(
                    "its second token, `{}`, is asked for in `when`, where it stands in plain text: a request \
                     without it is kept and not handed on",
                    place.name
                ));
            }
            (HookCaller::Token { .. } | HookCaller::Hmac { .. }, _) => {
                self.lost.push("a second signature or token: a source has one way".to_owned());
            }
        }
    }

    /// One of the conditions that all must hold.
    fn part(&mut self, part: &Value, has_hmac: bool) {
        let is_wanted =
            |caller: &HookCaller| !has_hmac || matches!(caller, HookCaller::Hmac { .. });
        if let Some(caller) = caller(part).filter(is_wanted) {
            self.caller(caller, part);
            return;
        }
        if let Some(networks) = networks(part) {
            if self.allow.is_empty() {
                let networks = networks.iter().flat_map(|range| range.split_whitespace());
                self.allow.extend(networks.map(str::to_owned));
            } else {
                // Both had to hold: added to the first it would let more in.
                self.has_other_guard = true;
                self.lost.push("a second list of networks: a source has one `allow`".to_owned());
            }
            return;
        }
        self.has_other_guard |= is_guard(part);
        match expression(part) {
            Ok(condition) => self.conditions.push(condition),
            Err(why) => self.lost.push(format!("a condition: {why}")),
        }
    }
}

/// A parameter of the address that has to have one value, whatever it is called: who does not know it was kept
/// out.
fn address_token(part: &Value) -> Option<HookCaller> {
    let rule = part.get("match").filter(|rule| kind(rule) == "value")?;
    let place = Parameter::read(rule.get("parameter")?);
    let secret = rule.get("value")?.as_str().filter(|value| !value.is_empty())?.to_owned();
    place.is_in_address().then_some(HookCaller::Token { place, secrets: vec![secret] })
}

/// The parts of `and`, at any depth.
fn flatten<'a>(rule: &'a Value, parts: &mut Vec<&'a Value>) {
    let mut rest = vec![rule];
    while let Some(rule) = rest.pop() {
        match rule.get("and").and_then(Value::as_array) {
            Some(inner) => rest.extend(inner.iter().rev()),
            None => parts.push(rule),
        }
    }
}

/// The networks that may send, where a rule asks for one of them and nothing else.
fn networks(part: &Value) -> Option<Vec<&str>> {
    fn network(part: &Value) -> Option<&str> {
        let rule = part.get("match").filter(|rule| kind(rule) == "ip-whitelist")?;
        rule.get("ip-range")?.as_str()
    }
    match part.get("or").and_then(Value::as_array).filter(|rules| !rules.is_empty()) {
        Some(rules) => rules.iter().map(network).collect(),
        None => Some(vec![network(part)?]),
    }
}

fn kind(rule: &Value) -> &str {
    rule.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Whether a rule, or one within it, may keep strangers out. When in doubt it may: a kind that is not
/// known here, a parameter of the address.
fn is_guard(rule: &Value) -> bool {
    let mut rest = vec![rule];
    while let Some(rule) = rest.pop() {
        let inner = ["and", "or"].iter().filter_map(|key| rule.get(key)?.as_array()).flatten();
        let before = rest.len();
        rest.extend(inner);
        rest.extend(rule.get("not"));
        let is_joined = rest.len() > before;
        let place = rule.get("match").map(|rule| {
            let is_known = ["value", "regex"].contains(&kind(rule));
            rule.get("parameter").filter(|_| is_known).map(Parameter::read)
        });
        let is_guard = match place {
            Some(Some(place)) => {
                place.is_password() || !["payload", "header"].contains(&place.source.as_str())
            }
            Some(None) => true,
            None => !is_joined,
        };
        if is_guard {
            return true;
        }
    }
    false
}

/// How a sender shows who it is, where `part` asks for that: also by any of several secrets, all of them
/// in the same place.
fn caller(part: &Value) -> Option<HookCaller> {
    let one = |part: &Value| hmac(part).or_else(|| token(part));
    let Some(rules) = part.get("or").and_then(Value::as_array) else { return one(part) };
    let mut rules = rules.iter();
    let mut caller = one(rules.next()?)?;
    rules.try_for_each(|rule| caller.add(one(rule)?))?;
    Some(caller)
}

impl HookCaller {
    pub(super) fn place(&self) -> &Parameter {
        let (Self::Hmac { place, .. } | Self::Token { place, .. }) = self;
        place
    }

    pub(super) fn secrets(&self) -> &[String] {
        match self {
            Self::Hmac { secrets, .. } | Self::Token { secrets, .. } => secrets,
        }
    }

    /// Takes the secrets of another, where that is the same in all else.
    fn add(&mut self, other: Self) -> Option<()> {
        let (own, others) = match (self, other) {
            (
                Self::Hmac { algorithm, place, secrets },
                Self::Hmac { algorithm: other, place: at, secrets: more },
            ) if *algorithm == other && *place == at => (secrets, more),
            (Self::Token { place, secrets }, Self::Token { place: at, secrets: more })
                if *place == at =>
            {
                (secrets, more)
            }
            (_, _) => return None,
        };
        for secret in others {
            if !own.contains(&secret) {
                own.push(secret);
            }
        }
        Some(())
    }
}

fn hmac(part: &Value) -> Option<HookCaller> {
    let rule = part.get("match")?;
    let algorithm = match kind(rule) {
        "payload-hmac-sha1" | "payload-hash-sha1" => "hmac-sha1",
        "payload-hmac-sha256" | "payload-hash-sha256" => "hmac-sha256",
        "payload-hmac-sha512" | "payload-hash-sha512" => "hmac-sha512",
        _ => return None,
    };
    let secret = rule.get("secret")?.as_str()?.to_owned();
    let place = Parameter::read(rule.get("parameter")?);
    Some(HookCaller::Hmac { algorithm, place, secrets: vec![secret] })
}

fn token(part: &Value) -> Option<HookCaller> {
    let rule = part.get("match").filter(|rule| kind(rule) == "value")?;
    let place = Parameter::read(rule.get("parameter")?);
    let secret = rule.get("value")?.as_str().filter(|value| !value.is_empty())?.to_owned();
    place.is_password().then_some(HookCaller::Token { place, secrets: vec![secret] })
}

/// How deep rules within rules are followed.
const DEPTH_MAX: usize = 32;

/// A condition as an expression.
fn expression(rule: &Value) -> Result<String, String> {
    within(rule, DEPTH_MAX)
}

fn within(rule: &Value, depth: usize) -> Result<String, String> {
    let depth = depth.checked_sub(1).ok_or("it is nested too deep")?;
    let joined = |rules: &Value, word: &str| {
        let rules = rules.as_array().filter(|rules| !rules.is_empty());
        let rules = rules.ok_or_else(|| format!("`{}` holds no rules", word.trim()))?;
        let parts: Result<Vec<String>, String> =
            rules.iter().map(|rule| within(rule, depth)).collect();
        Ok(format!("({})", parts?.join(word)))
    };
    if let Some(rules) = rule.get("and") {
        joined(rules, " and ")
    } else if let Some(rules) = rule.get("or") {
        joined(rules, " or ")
    } else if let Some(rule) = rule.get("not") {
        Ok(format!("not ({})", within(rule, depth)?))
    } else if let Some(rule) = rule.get("match") {
        compared(rule)
    } else {
        Err("this is no rule".to_owned())
    }
}

fn compared(rule: &Value) -> Result<String, String> {
    let place = Parameter::read(rule.get("parameter").unwrap_or(&Value::Null));
    match kind(rule) {
        "value" => {
            let field = place.expression()?;
            let value = rule.get("value").unwrap_or(&Value::Null);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Ok(format!("({field} | string) == {}", quoted(&value)))
        }
        "regex" => {
            let regex = rule.get("regex").and_then(Value::as_str).unwrap_or_default();
            pattern(&place.expression()?, regex)
        }
        kind if kind.starts_with("payload-h") => {
            Err("a signature within `or` or `not`: every request is judged by one".to_owned())
        }
        kind => Err(format!("the kind `{kind}` is not known here")),
    }
}

/// A regular expression that is no more than a text with its ends: there are none in expressions.
fn pattern(field: &str, regex: &str) -> Result<String, String> {
    let text = regex.strip_prefix('^');
    let is_at_start = text.is_some();
    let text = text.unwrap_or(regex);
    let (text, is_at_end) = match text.strip_suffix('$') {
        Some(text) if !text.ends_with('\\') => (text, true),
        Some(_) | None => (text, false),
    };
    let (text, is_at_start) = match text.strip_prefix(".*") {
        Some(text) => (text, false),
        None => (text, is_at_start),
    };
    let (text, is_at_end) = match text.strip_suffix(".*") {
        Some(text) if !text.ends_with('\\') => (text, false),
        Some(_) | None => (text, is_at_end),
    };
    let lost = || format!("the regular expression `{regex}`: expressions have none");
    let literal = quoted(&literal(text).ok_or_else(lost)?);
    Ok(match (is_at_start, is_at_end) {
        (true, true) => format!("({field} | string) == {literal}"),
        (true, false) => format!("({field} | string) is startingwith({literal})"),
        (false, true) => format!("({field} | string) is endingwith({literal})"),
        (false, false) => format!("{literal} in ({field} | string)"),
    })
}

/// The text that an expression without operators is.
fn literal(regex: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if !c.is_ascii_alphanumeric() => text.push(c),
                Some(_) | None => return None,
            },
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            c => text.push(c),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
