//! Values of a believed request, its JSON fields found in one pass over the body.

use super::field_ref::FieldRef;
use super::payload;
use super::request::{Inbound, SmallList};

/// The values of some places.
pub(super) struct Fields<'a> {
    request: &'a Inbound<'a>,
    /// The fields of the body that were looked for; nothing where it cannot be read, or was
    /// not read.
    body: SmallList<(&'a str, Option<String>)>,
    is_json: bool,
}

impl<'a> Fields<'a> {
    /// Looks for the JSON fields among `places`.
    pub(super) fn find(
        request: &'a Inbound<'a>,
        places: impl Iterator<Item = &'a FieldRef>,
    ) -> Self {
        let paths: SmallList<&str> = places.filter_map(FieldRef::json_path).collect();
        let found = payload::find(request, &paths);
        let is_json = found.as_ref().is_some_and(|found| found.is_json);
        let texts = found.into_iter().flat_map(|found| found.texts);
        Self { request, body: paths.into_iter().zip(texts).collect(), is_json }
    }

    /// Whether the body was found to be JSON by the letter.
    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// What is in `place`, one of those that were looked for; nothing where it is empty.
    pub(super) fn text(&self, place: &FieldRef) -> Option<String> {
        let text = match place {
            FieldRef::Json(wanted) => {
                let mut fields = self.body.iter();
                fields.find(|(path, _)| path == wanted).and_then(|(_, text)| text.clone())
            }
            FieldRef::Header(_) | FieldRef::Query(_) | FieldRef::Form(_) | FieldRef::List(_) => {
                place.find(self.request).text()
            }
        };
        text.filter(|text| !text.trim().is_empty())
    }
}
