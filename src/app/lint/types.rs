//! Patterns in `on` for types that a preset never sends.

use crate::app::own_events;
use crate::deliver::{EventGlob, OWN_SOURCE};
use crate::settings::nearest;

use super::{COMPLETE, Lint, some_of};

/// Where the events of a pattern come from.
struct TypeSender<'a> {
    name: &'a str,
    /// As it is told.
    title: String,
    types: Vec<&'static str>,
    /// Whether `types` are all that it sends.
    is_complete: bool,
}

impl Lint<'_> {
    /// Those that send what a pattern may mean.
    fn senders(&self, glob: &EventGlob) -> Vec<TypeSender<'_>> {
        let sources = self.sources(glob).into_iter().map(|(name, settings)| {
            let provider = settings.profile.name();
            TypeSender {
                name: name.as_str(),
                title: format!("`{provider}`"),
                types: settings.sample_types(),
                is_complete: COMPLETE.contains(&provider),
            }
        });
        let own = glob.source.matches(OWN_SOURCE).then(|| TypeSender {
            name: OWN_SOURCE,
            title: "Gatepost itself".to_owned(),
            types: own_events::TYPES.to_vec(),
            is_complete: true,
        });
        sources.chain(own).collect()
    }

    pub(super) fn types(&mut self) {
        let mut found = Vec::new();
        for glob in &self.settings.policy.on {
            let senders = self.senders(glob);
            let may_send = |sender: &TypeSender<'_>| {
                !sender.is_complete || sender.types.iter().any(|one| glob.event_type.matches(one))
            };
            // A pattern for several sources need not be about each of them.
            if senders.iter().any(may_send) {
                continue;
            }
            let Some(TypeSender { name, title, types, .. }) = senders.into_iter().next() else {
                continue;
            };
            let wanted = glob.event_type.as_str();
            let message = format!("{title} sends no event of type `{wanted}`");
            let help = match nearest(wanted, types.iter().copied()) {
                Some(near) => format!("did you mean `{name}:{near}`?"),
                None => format!("it sends {}", some_of(&types, 20)),
            };
            found.push((wanted.to_owned(), message, help));
        }
        let key = format!("handler.{}.on", self.name);
        for (wanted, message, help) in found {
            self.warn(&key, &wanted, message, help);
        }
    }
}
