//! Patterns over events, in `on` and `delete_on`, for types that a preset never sends.

use crate::app::own_events;
use crate::deliver::{EventGlob, OWN_SOURCE};
use crate::event::Glob;
use crate::settings::{is_one_slip, nearest};

use super::{COMPLETE, Lint, some_of};

/// Where the events of a pattern come from.
pub(super) struct TypeSender<'a> {
    pub(super) name: &'a str,
    /// As it is told.
    title: String,
    types: Vec<&'static str>,
    /// Whether `types` are all that it sends.
    is_complete: bool,
}

impl Lint<'_> {
    /// Those that send what a pattern for sources may mean.
    pub(super) fn senders(&self, glob: &Glob) -> Vec<TypeSender<'_>> {
        let sources = self.config.sources.iter().filter(|(name, _)| glob.matches(name.as_str()));
        let sources = sources.map(|(name, settings)| {
            let provider = settings.profile.name();
            TypeSender {
                name: name.as_str(),
                title: format!("`{provider}`"),
                types: settings.known_types(),
                is_complete: COMPLETE.contains(&provider),
            }
        });
        let own = glob.matches(OWN_SOURCE).then(|| TypeSender {
            name: OWN_SOURCE,
            title: "Gatepost itself".to_owned(),
            types: own_events::TYPES.to_vec(),
            is_complete: true,
        });
        sources.chain(own).collect()
    }

    /// Looks at every list of patterns that the handler has.
    pub(super) fn types(&mut self) {
        let own = self.settings.policy.on.iter().cloned();
        let on: Vec<String> = own.map(|glob| glob_text(&glob)).collect();
        self.types_of(&format!("handler.{}.on", self.name), &on);
        let exempt = self.settings.kind.exempt();
        let deletes: Vec<String> = exempt.on.iter().map(|glob| glob.as_str().to_owned()).collect();
        let key = format!("handler.{}.{}.delete_on", self.name, self.settings.kind_name);
        self.types_of(&key, &deletes);
    }

    fn types_of(&mut self, key: &str, patterns: &[String]) {
        let mut found = Vec::new();
        for glob in patterns.iter().filter_map(|text| EventGlob::parse(text)) {
            let senders = self.senders(&glob.source);
            let name = senders.first().map(|sender| sender.name);
            if let Some((message, help)) = unknown_type(&glob.event_type, &senders, name) {
                found.push((glob.event_type.as_str().to_owned(), message, help));
            }
        }
        for (wanted, message, help) in found {
            self.warn(key, &wanted, message, help);
        }
    }
}

/// What is to be said of a type that none of `senders` sends; `of` is the source that stands before the type
/// in a pattern.
pub(super) fn unknown_type(
    wanted: &Glob,
    senders: &[TypeSender<'_>],
    of: Option<&str>,
) -> Option<(String, String)> {
    let may_send = |sender: &TypeSender<'_>| {
        !sender.is_complete || sender.types.iter().any(|one| wanted.matches(one))
    };
    let wanted = wanted.as_str();
    // A pattern for several sources need not be about each of them.
    if senders.iter().any(may_send) {
        let [TypeSender { title, types, is_complete: false, .. }] = senders else {
            return None;
        };
        let near = slip(wanted, types)?;
        let message = format!("this version knows no event of type `{wanted}` of {title}");
        return Some((message, near.help(of)));
    }
    let TypeSender { name, title, types, .. } = senders.first()?;
    // A provider may send types that came after this version.
    let message = if *name == OWN_SOURCE {
        format!("{title} sends no event of type `{wanted}`")
    } else {
        format!("this version knows no event of type `{wanted}` of {title}")
    };
    let help = match nearest(wanted, types.iter().copied()) {
        Some(near) => format!("did you mean {}?", shown(of, near)),
        None => format!("it sends {}", some_of(types, 20)),
    };
    Some((message, help))
}

/// A type as a pattern has it, or as a text does.
fn shown(of: Option<&str>, event_type: &str) -> String {
    of.map_or_else(|| format!("\"{event_type}\""), |source| format!("`{source}:{event_type}`"))
}

fn glob_text(glob: &EventGlob) -> String {
    format!("{}:{}", glob.source.as_str(), glob.event_type.as_str())
}

/// What a type was probably meant to be that is none of those that are known.
enum TypeSlip<'a> {
    Letters(&'a str),
    /// The type with what happened behind it, as some libraries write it.
    Action {
        event_type: &'a str,
        action: &'a str,
    },
}

impl TypeSlip<'_> {
    fn help(&self, of: Option<&str>) -> String {
        match self {
            Self::Letters(near) => format!("did you mean {}?", shown(of, near)),
            Self::Action { event_type, action } => format!(
                "write {}; what happened is in the body: \
                 `when = 'payload.action == \"{action}\"'`",
                shown(of, event_type)
            ),
        }
    }
}

/// Whether both are one word with different endings: `pushed` and `push`, `issue` and `issues`.
fn is_one_word(wanted: &str, known: &str) -> bool {
    let stem = |word: &str| {
        let ends = ["ing", "ed", "es", "s", "d", "e"];
        let end = ends.into_iter().find(|end| word.ends_with(end) && word.len() > end.len() + 2);
        word.len() - end.map_or(0, str::len)
    };
    let is_equal = |length: usize| known.get(..length) == wanted.get(..length);
    stem(wanted) == stem(known) && is_equal(stem(wanted))
}

/// Letters and digits alone: `ORDERS_CREATE` and `orders/create` are one then.
fn squashed(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.collect::<String>().to_ascii_lowercase().replace("payed", "paid")
}

/// The type that is `wanted` in other letters and signs, as a class of a library (`PushEvent`), or
/// without what stands before it: `push` for `repo:push`, where no other one ends so.
fn spelled_otherwise<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = squashed(wanted);
    let class = wanted.strip_suffix("Event").map(squashed).filter(|name| !name.is_empty());
    let is_same = |one: &&&str| {
        let one = squashed(one);
        one == plain || class.as_ref() == Some(&one)
    };
    if let Some(same) = known.iter().find(is_same) {
        return Some(same);
    }
    let last =
        |one: &&&str| one.rsplit_once([':', '/', '.']).is_some_and(|(_, last)| last == wanted);
    let mut ending = known.iter().filter(last);
    let found = ending.next()?;
    ending.next().is_none().then_some(found)
}

/// One letter, the case, an ending or a word too much; anything else may be a type that is not listed.
fn slip<'a>(wanted: &'a str, known: &[&'a str]) -> Option<TypeSlip<'a>> {
    if wanted.contains('*') || known.contains(&wanted) {
        return None;
    }
    if let Some(near) = spelled_otherwise(wanted, known) {
        return Some(TypeSlip::Letters(near));
    }
    let plain = wanted.to_ascii_lowercase().replace(' ', "_");
    let plain = plain.strip_suffix("_hook").unwrap_or(&plain);
    let is_near =
        |one: &&&str| is_one_slip(wanted, one) || **one == plain || is_one_word(plain, one);
    if let Some(near) = known.iter().find(is_near) {
        return Some(TypeSlip::Letters(near));
    }
    let (event_type, action) = wanted.split_once('.')?;
    // Only where no type of the sender has a point in it.
    let is_plain = known.contains(&event_type) && !known.iter().any(|one| one.contains('.'));
    is_plain.then_some(TypeSlip::Action { event_type, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_in_another_spelling_is_known() {
        let known =
            ["orders/create", "repo:push", "invoice.paid", "charge.failed", "payout.failed"];
        for (wanted, found) in [
            ("ORDERS_CREATE", Some("orders/create")),
            ("OrdersCreateEvent", Some("orders/create")),
            ("push", Some("repo:push")),
            ("invoice.payed", Some("invoice.paid")),
            ("failed", None),
            ("Event", None),
            ("orders/created_later", None),
        ] {
            assert_eq!(spelled_otherwise(wanted, &known), found, "{wanted}");
        }
    }
}
