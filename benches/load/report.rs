//! The result of a turn, and tables in Markdown.

use std::{fmt::Write as _, fs, time::Duration};

/// The result of one turn of one contender.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Half of the requests took no longer; the mean for `pgbench`.
    pub(crate) p50: Duration,
    /// 99 of 100 requests took no longer.
    pub(crate) p99: Duration,
    /// CPU time of the server process for one request; `None` without a server.
    pub(crate) cpu: Option<Duration>,
}

impl Run {
    pub(crate) fn new(mut latencies: Vec<Duration>, took: Duration, cpu: Option<Duration>) -> Self {
        latencies.sort_unstable();
        let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX).max(1);
        Self {
            rate: f64::from(count) / took.as_secs_f64(),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            cpu: cpu.map(|cpu| cpu / count),
        }
    }
}

/// A percentile of sorted values; zero without values.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

/// The item whose `value` is the middle one; `None` without items.
pub(crate) fn median<T: Clone>(items: &[T], value: impl Fn(&T) -> f64) -> Option<T> {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort_by(|one, other| value(one).total_cmp(&value(other)));
    sorted.get(sorted.len() / 2).map(|&item| item.clone())
}

/// Milliseconds, as `1.23`.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

/// Microseconds, as `12.3`.
pub(crate) fn us(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e6)
}

/// A table in Markdown under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
    rows: usize,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let rule = columns.iter().map(|_| "---").collect::<Vec<_>>().join(" | ");
        Self { text: format!("\n### {title}\n\n| {} |\n| {rule} |\n", columns.join(" | ")), rows: 0 }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows += 1;
        let _ = writeln!(self.text, "| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.rows > 0
    }

    /// Prints to standard output.
    pub(crate) fn print(&self) {
        print!("{}", self.text);
    }
}

/// Processors, Postgres and the load average before the run.
pub(crate) fn machine(postgres: &str) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    format!("{cpus} x {model}, Postgres {postgres} with fsync on, load before the run {load}")
}
