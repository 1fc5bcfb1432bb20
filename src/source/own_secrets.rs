//! Keeps a source's own secrets out of what is shown, wherever a sender has put them: an owner who sets one up
//! tries other headers and parameters first, and shows others what came of it.

use std::borrow::Cow;

use memchr::memmem;
use url::form_urlencoded::byte_serialize;

use crate::secret::HIDDEN;

use super::configured::Source;

/// Shorter ones stand in other words, too.
const BYTES_MIN: usize = 6;

impl Source {
    /// `text` without the source's secrets, as they are and as addresses and forms have them.
    pub fn hide_secrets<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut shown = Cow::Borrowed(text);
        for secret in self.secrets.iter().chain(&self.verify_token) {
            let plain = secret.expose().trim_ascii();
            if plain.len() < BYTES_MIN {
                continue;
            }
            let encoded: String = byte_serialize(plain).collect();
            for form in [plain, encoded.as_bytes()] {
                if let Some(without) = replaced(&shown, form) {
                    shown = Cow::Owned(without);
                }
            }
        }
        shown
    }
}

/// `text` with something else in place of `part`, where it is there.
fn replaced(text: &[u8], part: &[u8]) -> Option<Vec<u8>> {
    let mut without = Vec::new();
    let mut from = 0;
    for at in memmem::find_iter(text, part) {
        without.extend_from_slice(text.get(from..at)?);
        without.extend_from_slice(HIDDEN.as_bytes());
        from = at + part.len();
    }
    without.extend_from_slice(text.get(from..)?);
    (from > 0).then_some(without)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SourceName;
    use crate::secret::Secret;
    use crate::source::SourceSettings;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let settings = SourceSettings::of_provider("github", Vec::new()).unwrap();
        let name = SourceName::parse("github").unwrap();
        let secrets = vec![Secret::new("its+secret\n"), Secret::new("short")];
        let source = Source::with_secrets(name, settings, secrets).unwrap();
        for (text, expected) in [
            ("a=its+secret", "a=(hidden)"),
            ("a=its%2Bsecret&b=its+secret", "a=(hidden)&b=(hidden)"),
            ("its+secre", "its+secre"),
            ("short", "short"),
            ("", ""),
        ] {
            assert_eq!(source.hide_secrets(text.as_bytes()), expected.as_bytes());
        }
    }
}
