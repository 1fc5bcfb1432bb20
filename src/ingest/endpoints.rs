//! All endpoints, by the names of their sources.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::endpoint::Endpoint;
use crate::metrics::Metrics;
use crate::source::Source;

/// The endpoints. Replaced as a whole: a request keeps the one that it came through.
#[derive(Debug)]
pub(super) struct Endpoints {
    metrics: Metrics,
    by_name: ArcSwap<HashMap<Box<str>, Arc<Endpoint>>>,
}

impl Endpoints {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, by_name: ArcSwap::default() }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.by_name.load().get(name).map(Arc::clone)
    }

    /// Every endpoint, by the source's name.
    pub(super) fn all(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints: Vec<_> = self.by_name.load().values().map(Arc::clone).collect();
        endpoints.sort_by(|left, right| left.source().name().cmp(right.source().name()));
        endpoints
    }

    /// Puts `sources` in place of all that were.
    pub(super) fn replace_all(&self, sources: Vec<Source>) {
        let before = self.by_name.load();
        let endpoints = sources.into_iter().map(|source| self.made_of(source, &before));
        self.by_name.store(Arc::new(endpoints.collect()));
    }

    /// Puts `source` in place of the one of its name.
    pub(super) fn replace(&self, source: Source) {
        let (name, endpoint) = self.made_of(source, &self.by_name.load());
        self.by_name.rcu(|endpoints| {
            let mut endpoints = HashMap::clone(endpoints);
            endpoints.insert(name.clone(), Arc::clone(&endpoint));
            endpoints
        });
    }

    fn made_of(
        &self,
        source: Source,
        before: &HashMap<Box<str>, Arc<Endpoint>>,
    ) -> (Box<str>, Arc<Endpoint>) {
        let name: Box<str> = Box::from(source.name().as_str());
        let before = before.get(&name).map(|endpoint| &**endpoint);
        let endpoint = Arc::new(Endpoint::new(source, &self.metrics, before));
        (name, endpoint)
    }
}
