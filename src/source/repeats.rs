//! What counts as a repeat at a source, for people.

use crate::event::Dedupe;
use crate::settings::show_duration;

use super::field_ref::FieldRef;
use super::identity::{DedupePolicy, is_alone};
use super::scheme::Scheme;
use super::settings::SourceSettings;

impl SourceSettings {
    /// What counts as a repeat here, for people.
    pub fn repeats(&self) -> String {
        let profile = &self.profile;
        let ids =
            profile.delivery_id.iter().chain(profile.schemes.iter().filter_map(|s| s.id.as_ref()));
        let mut ids = ids.peekable();
        let has_id = ids.peek().is_some();
        let is_signed = |scheme: &Scheme| {
            let ids = scheme.id.iter().chain(&profile.delivery_id);
            ids.take(1).all(|place| is_alone(place, scheme))
        };
        let is_of_body = |place: &FieldRef| matches!(place, FieldRef::Json(_) | FieldRef::Form(_));
        let is_of_own_body = profile.provider.is_none()
            && profile.schemes.iter().filter_map(|scheme| scheme.id.as_ref()).any(is_of_body);
        let is_id_enough = has_id && profile.schemes.iter().all(is_signed);
        let what = if is_id_enough && is_of_own_body {
            "the same id in the body, whatever else it says (name a delivery's, not an order's),"
        } else if is_id_enough {
            "the same delivery id"
        } else if has_id {
            "the same delivery id and the same body"
        } else {
            "the same body"
        };
        let unanswered = format!(
            "an identical resend is a new event, unless the answer to the first cannot have arrived \
             (remembered for {})",
            show_duration(Dedupe::UNANSWERED)
        );
        match self.dedupe {
            DedupePolicy::Off => "no request is taken for a repeat".to_owned(),
            DedupePolicy::Window(window) => {
                format!("{what} within {} is a repeat", show_duration(window))
            }
            DedupePolicy::Identity if has_id || !profile.stamps.is_empty() => {
                let window = show_duration(DedupePolicy::WINDOW);
                let rest = if has_id { "without an id" } else { "without its stamp" };
                format!("{what} within {window} is a repeat; {rest} {unanswered}")
            }
            DedupePolicy::Identity => {
                format!("{unanswered}; `dedupe = \"1h\"` takes every equal body within 1h for one")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::source::tests::read;

    #[test]
    fn repeats_are_described_for_each_kind_of_source() {
        let check = |text: &str, expected: &str| {
            let (settings, problems) = read(&format!("secrets = [{{ env = \"A\" }}]\n{text}"));
            let settings = settings.unwrap_or_else(|| panic!("{problems}"));
            assert!(settings.repeats().starts_with(expected), "{}", settings.repeats());
        };
        check("provider = \"stripe\"", "the same delivery id within 1d is a repeat; without an id");
        check("provider = \"svix\"", "the same delivery id within 1d");
        check("provider = \"github\"", "the same delivery id and the same body within 1d");
        check("provider = \"zendesk\"", "the same delivery id and the same body within 1d");
        check("provider = \"userecho\"", "the same body within 1d is a repeat; without its stamp");
        check("provider = \"hyvor-talk\"", "an identical resend is a new event, unless the answer");
        check("provider = \"hyvor-talk\"\ndedupe = \"1h\"", "the same body within 1h is a repeat");
        check("provider = \"github\"\ndedupe = \"off\"", "no request is taken for a repeat");
        let custom = "algorithm = \"hmac-sha256\", header = \"X-S\"";
        check(&format!("verify = {{ {custom} }}"), "an identical resend is a new event, unless");
        let signed = "signed = \"{id}{body}\", id = { header = \"X-Id\" }";
        check(&format!("verify = {{ {custom}, {signed} }}"), "the same delivery id within");
        let in_body = "id = { json = \"id\" }";
        check(&format!("verify = {{ {custom}, {in_body} }}"), "the same id in the body, whatever");
        // Of CloudEvents the source counts, too.
        let of_source = signed.replace("X-Id", "ce-id");
        check(
            &format!("verify = {{ {custom}, {of_source} }}"),
            "the same delivery id and the same",
        );
        let unsigned = "id = { header = \"X-Id\" }";
        check(&format!("verify = {{ {custom}, {unsigned} }}"), "the same delivery id and the same");
        let token = "algorithm = \"token\", header = \"X-T\", id = { json = \"id\" }";
        check(&format!("verify = {{ {token} }}"), "the same delivery id and the same body");
    }
}
