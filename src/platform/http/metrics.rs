//! `/metrics`: the Prometheus recorder, and gauges of the process that are read at each scrape.
//!
//! Every part of the server counts through the `metrics` macros. [`recorder`] installs the process's one recorder,
//! which must happen before the first count. Label values are bounded: no id, path or text of a client becomes one.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{extract::State, http::header, response::IntoResponse};
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use time::OffsetDateTime;

use super::state::HttpState;

/// Requests by route, method and status.
pub(super) const REQUESTS: &str = "switchboard_http_requests_total";
/// Time from a request's head to its response's head.
pub(super) const DURATION: &str = "switchboard_http_request_duration_seconds";
/// Requests whose response has not begun.
pub(super) const IN_FLIGHT: &str = "switchboard_http_requests_in_flight";

const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Buckets of waits that last for minutes and hours, in metrics whose names begin with this.
const LONG_WAITS: &str = "switchboard_call_queue_wait";
const LONG_BUCKETS: [f64; 12] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];

/// Histogram samples pile up in memory until they are folded, so they are folded this often even without scrapes.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// The handle of the process's recorder; the first call installs the recorder.
pub(super) fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Prefix(LONG_WAITS.into()), &LONG_BUCKETS))
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed before; /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests by route, method and status; cancelled: the client went away");
    metrics::describe_histogram!(DURATION, metrics::Unit::Seconds, "Time to answer a request");
    metrics::describe_gauge!(IN_FLIGHT, "Requests under way");
    metrics::describe_gauge!("switchboard_build_info", "Always 1; the version is a label");
    metrics::describe_gauge!("switchboard_database_connections", "Connections of the request pool by state");
    metrics::describe_gauge!("process_start_time_seconds", "Start of the process, Unix time");
    metrics::describe_gauge!("process_resident_memory_bytes", "Resident memory");
    metrics::describe_gauge!("process_open_fds", "Open file descriptors");
    metrics::describe_gauge!("process_cpu_seconds_total", "CPU time, user and system");
    gauge!("switchboard_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let start = OffsetDateTime::now_utc();
    #[expect(clippy::cast_precision_loss, reason = "a Unix time in seconds is far below 2^52")]
    gauge!("process_start_time_seconds").set(start.unix_timestamp() as f64);
}

/// Folds histogram samples at an interval; never returns.
pub(super) async fn upkeep() {
    let handle = recorder();
    let mut ticks = tokio::time::interval(FOLD_EVERY);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// `GET /metrics`: the text format of Prometheus.
pub(crate) async fn metrics(State(state): State<Arc<HttpState>>) -> impl IntoResponse {
    let handle = recorder();
    let pool = &state.readiness.database;
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    gauge!("switchboard_database_connections", "state" => "idle").set(f64::from(idle));
    gauge!("switchboard_database_connections", "state" => "busy").set(f64::from(pool.size().saturating_sub(idle)));
    process().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
}

/// Gauges from `/proc`; on systems without it they stay unset.
async fn process() {
    if let Ok(status) = tokio::fs::read_to_string("/proc/self/status").await
        && let Some(kib) = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))
        && let Some(kib) = kib.split_whitespace().next().and_then(|number| number.parse::<u32>().ok())
    {
        gauge!("process_resident_memory_bytes").set(f64::from(kib) * 1_024.0);
    }
    if let Ok(stat) = tokio::fs::read_to_string("/proc/self/stat").await
        && let Some((_, fields)) = stat.rsplit_once(") ")
    {
        // After the program's name come 11 fields, then user and system time in hundredths of a second.
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|number| number.parse::<u64>().ok());
        let ticks = u32::try_from(ticks.sum::<u64>()).unwrap_or(u32::MAX);
        gauge!("process_cpu_seconds_total").set(f64::from(ticks) / 100.0);
    }
    if let Ok(mut entries) = tokio::fs::read_dir("/proc/self/fd").await {
        let mut open = 0_u32;
        while let Ok(Some(_)) = entries.next_entry().await {
            open += 1;
        }
        gauge!("process_open_fds").set(f64::from(open));
    }
}
