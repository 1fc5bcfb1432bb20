//! The sources as they are configured, and what came of them.

use std::borrow::Cow;
use std::sync::Arc;

use crate::api::{SecretView, SourceView};
use crate::config::Config;
use crate::event::SourceName;
use crate::http::public::HOOKS;
use crate::ingest::{Endpoint, Ingest, SourceCourse};
use crate::metrics::RequestOutcome;
use crate::secret::SecretRef;
use crate::source::{Provider, SourceSettings};

/// The sources as they are configured, where no server runs.
pub fn configured_sources(config: &Config) -> Vec<SourceView> {
    let base = config.server.public_base(None);
    let sources = config.sources.iter();
    sources.map(|(name, settings)| configured(config, name, settings, base.as_deref())).collect()
}

/// The sources of a server that senders reach at `base`.
pub(super) fn source_views(
    config: &Config,
    ingest: &Ingest,
    base: Option<&str>,
) -> Vec<SourceView> {
    let live = |endpoint: &Arc<Endpoint>| SourceView {
        newest_handshake: ingest.rejected().newest_handshake_of(endpoint.source().name()),
        ..live(config, endpoint, base)
    };
    ingest.endpoints().iter().map(live).collect()
}

fn configured(
    config: &Config,
    name: &SourceName,
    settings: &SourceSettings,
    base: Option<&str>,
) -> SourceView {
    let provider = settings.profile.name();
    let setup = Provider::parse(provider).map(Provider::setup).unwrap_or_default();
    let types = settings.sample_types();
    let path = format!("{HOOKS}{name}");
    let secret = |(index, place): (usize, &SecretRef)| SecretView {
        index,
        place: place.to_string(),
        fingerprint: None,
        last_matched_at: None,
    };
    // A sender that signs its address knows it just so.
    let url = settings.signed_url().map(str::to_owned);
    SourceView {
        name: name.clone(),
        provider: provider.to_owned(),
        url: url.or_else(|| Some(format!("{}{path}", base?))),
        path,
        methods: settings.methods.iter().map(|method| (*method).to_owned()).collect(),
        sample_type: most_asked_for(config, name, &types).map(Cow::Borrowed),
        sample_types: types.into_iter().map(Cow::Borrowed).collect(),
        setup: setup.iter().map(|step| Cow::Borrowed(*step)).collect(),
        is_verified: settings.is_verified(),
        accepted: 0,
        duplicate: 0,
        handshakes: 0,
        newest_handshake: None,
        rejected: 0,
        turned_away: 0,
        last_verified_at: None,
        last_event_at: None,
        rejected_in_a_row: 0,
        rejected_signed: 0,
        watched_since: None,
        rejected_since: None,
        last_rejected_at: None,
        expect_every_seconds: settings.expect_every.map(|every| every.as_secs()),
        secrets: settings.secrets.iter().enumerate().map(secret).collect(),
    }
}

/// The type that most of the enabled handlers ask for, the first of those: a test event is to reach the
/// handler that its owner wrote for one type, not only those that take all.
fn most_asked_for(
    config: &Config,
    source: &SourceName,
    types: &[&'static str],
) -> Option<&'static str> {
    let enabled = config.handlers.values().filter(|settings| settings.is_enabled);
    let asking: Vec<_> = enabled.map(|settings| settings.policy.names()).collect();
    let n_asking = |event_type: &str| {
        asking.iter().filter(|names| names.contains_named(source, event_type)).count()
    };
    // Of several that are alike `max_by_key` takes the last.
    types.iter().rev().copied().max_by_key(|event_type| n_asking(event_type))
}

fn live(config: &Config, endpoint: &Endpoint, base: Option<&str>) -> SourceView {
    let (source, metrics) = (endpoint.source(), endpoint.metrics());
    let SourceCourse { last_event_at, rejected, rejected_signed, watched_since } =
        endpoint.course().get();
    let places = source.settings().secrets.iter().map(ToString::to_string);
    let secrets =
        places.zip(endpoint.secrets()).enumerate().map(|(index, (place, last_matched_at))| {
            let fingerprint = source.fingerprint(index).map(ToOwned::to_owned);
            SecretView { index, place, fingerprint, last_matched_at }
        });
    SourceView {
        accepted: metrics.requests(RequestOutcome::Accepted),
        duplicate: metrics.requests(RequestOutcome::Duplicate),
        handshakes: metrics.requests(RequestOutcome::Handshake),
        rejected: metrics.requests(RequestOutcome::Rejected),
        turned_away: metrics.requests(RequestOutcome::UnverifiedLimited),
        last_verified_at: endpoint.secrets().flatten().max(),
        last_event_at,
        rejected_in_a_row: rejected.map_or(0, |run| run.count),
        rejected_signed,
        watched_since,
        rejected_since: rejected.map(|run| run.since),
        last_rejected_at: rejected.map(|run| run.last_at),
        secrets: secrets.collect(),
        ..configured(config, source.name(), source.settings(), base)
    }
}
