//! Patterns in `on` for types that a preset never sends.

use crate::settings::nearest;

use super::{COMPLETE, Lint, some_of};

impl Lint<'_> {
    pub(super) fn types(&mut self) {
        let mut found = Vec::new();
        for glob in &self.settings.policy.on {
            for (name, source) in self.sources(glob) {
                let (provider, types) = (source.profile.name(), source.sample_types());
                let is_known = types.iter().any(|known| glob.event_type.matches(known));
                if is_known || !COMPLETE.contains(&provider) {
                    continue;
                }
                let wanted = glob.event_type.as_str();
                let message = format!("`{provider}` sends no event of type `{wanted}`");
                let help = match nearest(wanted, types.iter().copied()) {
                    Some(near) => format!("did you mean `{name}:{near}`?"),
                    None => format!("it sends {}", some_of(&types, 20)),
                };
                found.push((wanted.to_owned(), message, help));
            }
        }
        let key = format!("handler.{}.on", self.name);
        for (wanted, message, help) in found {
            self.warn(&key, &wanted, message, help);
        }
    }
}
