//! Prometheus' text format (version 0.0.4).

use std::{collections::BTreeMap, fmt::Write};

use super::{DURATION_BUCKETS_MS, SeriesCounts, SeriesLabels, TcpCounts};

/// Istio's standard metrics as text.
pub(crate) fn text(
    series: &BTreeMap<SeriesLabels, SeriesCounts>,
    tcp: &BTreeMap<SeriesLabels, TcpCounts>,
) -> String {
    let mut out = String::new();
    counter(&mut out, "istio_requests_total", series, |counts| {
        counts.requests
    });
    histogram(&mut out, series);
    size(&mut out, "istio_request_bytes", series, |counts| {
        counts.request_bytes
    });
    size(&mut out, "istio_response_bytes", series, |counts| {
        counts.response_bytes
    });
    counter(
        &mut out,
        "istio_tcp_connections_opened_total",
        tcp,
        |counts| counts.opened,
    );
    counter(
        &mut out,
        "istio_tcp_connections_closed_total",
        tcp,
        |counts| counts.closed,
    );
    counter(&mut out, "istio_tcp_received_bytes_total", tcp, |counts| {
        counts.received
    });
    counter(&mut out, "istio_tcp_sent_bytes_total", tcp, |counts| {
        counts.sent
    });
    out
}

/// One gauge without labels.
pub(crate) fn gauge(out: &mut String, name: &str, value: u64) {
    let _ = writeln!(out, "# TYPE {name} gauge\n{name} {value}");
}

type AllSeries = BTreeMap<SeriesLabels, SeriesCounts>;

fn counter<C>(
    out: &mut String,
    name: &str,
    series: &BTreeMap<SeriesLabels, C>,
    value: fn(&C) -> u64,
) {
    let _ = writeln!(out, "# TYPE {name} counter");
    for (labels, counts) in series {
        let _ = writeln!(out, "{name}{{{}}} {}", plain(labels), value(counts));
    }
}

/// Sizes are told as a histogram's sum and count: what rates and averages need.
fn size(out: &mut String, name: &str, series: &AllSeries, sum: fn(&SeriesCounts) -> u64) {
    let _ = writeln!(out, "# TYPE {name} summary");
    for (labels, counts) in series {
        let labels = plain(labels);
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", sum(counts));
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", counts.requests);
    }
}

fn histogram(out: &mut String, series: &AllSeries) {
    let name = "istio_request_duration_milliseconds";
    let _ = writeln!(out, "# TYPE {name} histogram");
    for (labels, counts) in series {
        let labels = plain(labels);
        let mut total = 0;
        for (bound, count) in DURATION_BUCKETS_MS.iter().zip(counts.buckets) {
            total += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(
            out,
            "{name}_bucket{{{labels},le=\"+Inf\"}} {}",
            counts.requests
        );
        let sum = counts.duration.as_secs_f64() * 1_000.0;
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", counts.requests);
    }
}

fn plain(labels: &SeriesLabels) -> String {
    let mut out = String::new();
    for (index, (name, value)) in labels.0.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = write!(out, "{comma}{name}=\"{value}\"");
    }
    out
}
