//! `/metrics`: the gauges are set when it is asked for.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};

use super::context::Admin;
use crate::api::figures;
use crate::clock::Timestamp;
use crate::cluster::ClusterView;
use crate::metrics::{self, ClusterFigures, StandbyFigures};

/// As `OpenMetrics` where `accept` names it, as Prometheus does; else in the format that came before.
pub(super) fn metrics(admin: &Admin, accept: Option<&HeaderValue>) -> HttpResponse {
    let now = admin.clock.now();
    admin.metrics.set_queue(&figures(&admin.api.stats(), now));
    let standby = admin.standbys.as_ref().and_then(|standbys| standbys.view());
    admin.metrics.set_standby(standby.map(|view| StandbyFigures {
        is_connected: view.connected,
        lag_seconds: view.lag.seconds,
        lag_bytes: view.lag.bytes,
    }));
    admin.metrics.set_cluster(admin.api.cluster().map(|view| of_cluster(&view, now)));
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (content_type, text) = if accept.contains("application/openmetrics-text") {
        (metrics::CONTENT_TYPE, admin.metrics.text())
    } else {
        (metrics::PLAIN_CONTENT_TYPE, admin.metrics.plain_text())
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(content_type)))
        .body(text)
}

fn of_cluster(view: &ClusterView, now: Timestamp) -> ClusterFigures {
    let n_silent = view.silent().count();
    ClusterFigures {
        n_alive: (view.nodes.len() - n_silent) as u64,
        n_silent: n_silent as u64,
        is_engine_up: view.engine.error.is_none(),
        spilled: view.spilled,
        oldest_spilled_seconds: view
            .oldest_spilled_at
            .map_or(0.0, |at| now.since(at).as_secs_f64()),
        lag_units: view.lag_units(),
        void_settlements: view.void_settlements,
    }
}
