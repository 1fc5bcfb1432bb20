//! An event as a test case: with secrets and personal fields masked.

use serde::Serialize;

use crate::event::{EventId, SourceName};
use crate::source::SourceSettings;

use super::{Api, ApiError, ExportedEvent, SenderSecrets};

mod mask;

use mask::Masked;

/// What the files of recorded events end with.
pub const FIXTURE_END: &str = ".event.json";

/// An event as `gatepost test` reads it.
#[derive(Clone, Debug, Serialize)]
pub struct Fixture {
    /// What its file is called: letters, digits, `-` and `.`.
    pub name: String,
    pub event: ExportedEvent,
    /// What could not be masked.
    pub not_masked: Option<&'static str>,
}

impl Fixture {
    /// `source` = what its source is by the configuration; an error where it would be another event once it
    /// is masked.
    pub fn of(
        event: &ExportedEvent,
        source: Option<(&SourceName, &SourceSettings)>,
    ) -> Result<Self, String> {
        let Masked { event, left } = mask::mask(event, source)?;
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
        };
        let id = event.id.rsplit('-').next().unwrap_or_default();
        let mut kind = plain(&event.event_type);
        kind.truncate(TYPE_MAX);
        let name = format!("{}-{kind}-{id}{FIXTURE_END}", event.source);
        Ok(Self { name, event, not_masked: left })
    }

    /// What its file holds.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{:#}\n", serde_json::to_value(&self.event)?))
    }
}

/// So much of a type stands in a file's name: file systems take 255 bytes.
const TYPE_MAX: usize = 120;

impl Api {
    /// An event as a test case, masked by the configuration in force.
    pub async fn fixture(&self, id: EventId) -> Result<Fixture, ApiError> {
        let before = self.position(id).await?.previous();
        let found = self.export(Some(before), 1, SenderSecrets::Given).await?.pop();
        let gone = || ApiError::NotFound(format!("no event `{id}` is retained"));
        let event = found.filter(|found| found.id == id.to_string()).ok_or_else(gone)?;
        let endpoint = self.server()?.ingest.endpoint(&event.source);
        let source = endpoint.as_ref().map(|endpoint| endpoint.source());
        let source = source.map(|source| (source.name(), source.settings()));
        Fixture::of(&event, source).map_err(ApiError::Conflict)
    }
}
