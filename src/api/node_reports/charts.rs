//! How often something happened on each gateway, as the others are told it: packed, since 84 figures of each series
//! take some 300 bytes as text, and moved on to the present moment where it is read.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::api::{HandlerRates, RatesView, Series, SourceRates};
use crate::clock::Timestamp;
use crate::event::{HandlerName, SourceName};

const MINUTES: usize = 60;
const HOURS: usize = 24;
const MINUTE_MILLIS: i64 = 60_000;
/// The most that is unpacked, in bytes: some 1,000 charts. What 8 KiB can hold is a thousand times as much.
const UNPACKED_MAX: u64 = 512 << 10;

/// What happened with one source or handler, and what of it did not go well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chart {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<SourceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handler: Option<HandlerName>,
    good: Series,
    bad: Series,
}

/// The charts of one gateway, the busiest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackedCharts(Vec<Chart>);

impl PackedCharts {
    /// Those in which anything happened.
    pub(super) fn new(rates: &RatesView) -> Self {
        let sources =
            rates.sources.iter().map(|SourceRates { source, accepted, rejected }| Chart {
                source: Some(source.clone()),
                handler: None,
                good: accepted.clone(),
                bad: rejected.clone(),
            });
        let handlers = rates.handlers.iter().map(|one| Chart {
            source: None,
            handler: Some(one.handler.clone()),
            good: one.delivered.clone(),
            bad: one.failed.clone(),
        });
        let mut charts: Vec<Chart> = sources.chain(handlers).collect();
        charts.retain(|chart| chart.sum() > 0);
        charts.sort_by_key(|chart| std::cmp::Reverse(chart.sum()));
        Self(charts)
    }

    /// As text of at most `bytes_max` bytes, and how many of the quietest were left out for that.
    pub(super) fn pack(mut self, bytes_max: usize) -> (Option<String>, usize) {
        let n_all = self.0.len();
        while !self.0.is_empty() {
            let Some(text) = self.text() else { break };
            if text.len() <= bytes_max {
                return (Some(text), n_all - self.0.len());
            }
            // About as many as there is room for: to pack each number of them would take seconds.
            let n_fitting = self.0.len() * bytes_max / text.len();
            self.0.truncate(n_fitting.min(self.0.len() - 1));
        }
        (None, n_all)
    }

    fn text(&self) -> Option<String> {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&serde_json::to_vec(self).ok()?).ok()?;
        Some(STANDARD_NO_PAD.encode(packer.finish().ok()?))
    }

    /// Reads what [`PackedCharts::pack`] wrote; what cannot be read is no chart.
    pub(super) fn unpack(text: &str) -> Self {
        let read = || {
            let packed = STANDARD_NO_PAD.decode(text).ok()?;
            let mut json = Vec::new();
            let mut unpacker = DeflateDecoder::new(packed.as_slice()).take(UNPACKED_MAX);
            unpacker.read_to_end(&mut json).ok()?;
            serde_json::from_slice(&json).ok()
        };
        read().unwrap_or_default()
    }

    /// Adds them to those of the sources and handlers that `rates` has: they are as of `at`, and `rates` of `now`.
    /// What happened in minutes that are over here and were not there yet is not told yet.
    pub(super) fn add_to(&self, rates: &mut RatesView, at: Timestamp, now: Timestamp) {
        for Chart { source, handler, good, bad } in &self.0 {
            let of_source =
                rates.sources.iter_mut().find(|one| Some(&one.source) == source.as_ref());
            if let Some(SourceRates { accepted, rejected, .. }) = of_source {
                add(accepted, good, at, now);
                add(rejected, bad, at, now);
            }
            let of_handler =
                rates.handlers.iter_mut().find(|one| Some(&one.handler) == handler.as_ref());
            if let Some(HandlerRates { delivered, failed, .. }) = of_handler {
                add(delivered, good, at, now);
                add(failed, bad, at, now);
            }
        }
    }
}

impl Chart {
    /// How often anything happened in a day.
    fn sum(&self) -> u64 {
        self.good.hours.iter().chain(&self.bad.hours).copied().map(u64::from).sum()
    }
}

fn add(to: &mut Series, told: &Series, at: Timestamp, now: Timestamp) {
    let slot = |moment: Timestamp, millis: i64| moment.as_millis().div_euclid(millis);
    // A clock that is ahead has told of what is still to come: it counts for the present.
    let n_passed = |millis: i64| usize::try_from(slot(now, millis) - slot(at, millis)).unwrap_or(0);
    add_slots::<MINUTES>(&mut to.minutes, &told.minutes, n_passed(MINUTE_MILLIS));
    add_slots::<HOURS>(&mut to.hours, &told.hours, n_passed(60 * MINUTE_MILLIS));
}

/// Both have the newest slot last; `n_passed` slots have begun since `told` was.
fn add_slots<const N: usize>(to: &mut Vec<u32>, told: &[u32], n_passed: usize) {
    if to.len() < N {
        to.splice(0..0, std::iter::repeat_n(0, N - to.len()));
    }
    for (slot, more) in to.iter_mut().rev().skip(n_passed).zip(told.iter().rev()) {
        *slot = slot.saturating_add(*more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_millis(n * MINUTE_MILLIS + 59_000)
    }

    fn source(name: &str) -> SourceName {
        SourceName::parse(name).unwrap()
    }

    /// 60 minutes and 24 hours that end in these.
    fn series(newest: &[u32]) -> Series {
        let ending = |n: usize| [vec![0; n - newest.len()], newest.to_vec()].concat();
        Series { minutes: ending(MINUTES), hours: ending(HOURS) }
    }

    fn rates(sources: &[(&str, &[u32], &[u32])]) -> RatesView {
        let one = |(name, good, bad): &(&str, &[u32], &[u32])| SourceRates {
            source: source(name),
            accepted: series(good),
            rejected: series(bad),
        };
        RatesView { sources: sources.iter().map(one).collect(), ..RatesView::default() }
    }

    fn newest(series: &Series) -> (&[u32], &[u32]) {
        (&series.minutes[MINUTES - 3..], &series.hours[HOURS - 3..])
    }

    #[test]
    fn charts_are_added_minute_by_minute_and_hour_by_hour() {
        let told =
            PackedCharts::new(&rates(&[("web", &[1, 2, 3], &[5]), ("elsewhere", &[9], &[])]));
        let (text, n_left_out) = told.clone().pack(8 << 10);
        assert_eq!(n_left_out, 0);
        let read = PackedCharts::unpack(&text.unwrap());
        assert_eq!(read, told);
        for (passed, minutes, hours) in [
            (0, [11, 22, 33], [11, 22, 33]),
            (1, [12, 23, 30], [11, 22, 33]),
            (3, [10, 20, 30], [11, 22, 33]),
            (59, [10, 20, 30], [11, 22, 33]),
            (60, [10, 20, 30], [12, 23, 30]),
            // A clock that is behind.
            (-5, [11, 22, 33], [11, 22, 33]),
        ] {
            let mut here = rates(&[("web", &[10, 20, 30], &[])]);
            read.add_to(&mut here, minute(600), minute(600 + passed));
            assert_eq!(newest(&here.sources[0].accepted), (&minutes[..], &hours[..]), "{passed}");
            assert_eq!(here.sources.len(), 1, "what is not configured here is not shown");
        }
    }

    #[test]
    fn quietest_charts_are_left_out_where_there_is_no_room() {
        let busy: Vec<u32> = (0..20).map(|n| 1_000 + n * 7_919 % 9_973).collect();
        let names: Vec<String> = (0..50).map(|n| format!("quiet-{n}")).collect();
        let mut all: Vec<(&str, &[u32], &[u32])> =
            names.iter().map(|name| (name.as_str(), &busy[..1], &busy[..0])).collect();
        all.push(("busy", &busy, &busy));
        let (text, n_left_out) = PackedCharts::new(&rates(&all)).pack(400);
        assert!(text.as_ref().unwrap().len() <= 400 && (1..50).contains(&n_left_out));
        let mut here = rates(&[("busy", &[], &[])]);
        PackedCharts::unpack(&text.unwrap()).add_to(&mut here, minute(0), minute(0));
        assert_eq!(here.sources[0].accepted.minutes[MINUTES - 20..], busy);
        assert_eq!(PackedCharts::new(&rates(&all)).pack(3), (None, 51));
        assert_eq!(PackedCharts::new(&RatesView::default()).pack(400), (None, 0));
        for damaged in ["", "=", "AAAA", "8J+Yig"] {
            assert_eq!(PackedCharts::unpack(damaged), PackedCharts::default(), "{damaged}");
        }
    }
}
