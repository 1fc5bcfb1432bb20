//! Values of a believed request, its JSON fields found in one pass over the body.

use super::place::Place;
use super::{Few, Inbound, payload};

/// The values of some places.
pub(super) struct Fields<'a> {
    request: &'a Inbound<'a>,
    /// The fields of the body that were looked for; nothing where it cannot be read, or nobody
    /// looked.
    body: Few<(&'a str, Option<String>)>,
    is_json: bool,
}

impl<'a> Fields<'a> {
    /// Looks for the JSON fields among `places`.
    pub(super) fn find(request: &'a Inbound<'a>, places: impl Iterator<Item = &'a Place>) -> Self {
        let paths: Few<&str> = places.filter_map(Place::json_path).collect();
        let found = payload::find(request, &paths);
        let is_json = found.as_ref().is_some_and(|found| found.is_json);
        let texts = found.into_iter().flat_map(|found| found.texts);
        Self { request, body: paths.into_iter().zip(texts).collect(), is_json }
    }

    /// Whether the body was found to be JSON by the letter.
    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// What stands in `place`, one of those that were looked for; nothing where it is empty.
    pub(super) fn text(&self, place: &Place) -> Option<String> {
        let text = match place {
            Place::Json(wanted) => {
                let mut fields = self.body.iter();
                fields.find(|(path, _)| path == wanted).and_then(|(_, text)| text.clone())
            }
            Place::Header(_) | Place::Query(_) | Place::Form(_) | Place::List(_) => {
                place.find(self.request).text()
            }
        };
        text.filter(|text| !text.is_empty())
    }
}
