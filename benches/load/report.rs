//! Numbers into a table.

use std::{fmt::Write as _, fs, time::Duration};

/// One turn of one contender.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Requests in a second.
    pub(crate) rate: f64,
    /// Half of the requests took no longer.
    pub(crate) p50: Duration,
    /// 99 of 100 took no longer.
    pub(crate) p99: Duration,
    /// Server CPU for one.
    pub(crate) cpu: Option<Duration>,
}

impl Run {
    /// Of these latencies within `took`.
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

/// Of sorted values; zero of none.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

/// The middle one of some turns, by `value`; `None` of none.
pub(crate) fn median<T: Clone>(runs: &[T], value: impl Fn(&T) -> f64) -> Option<T> {
    let mut sorted: Vec<&T> = runs.iter().collect();
    sorted.sort_by(|one, other| value(one).total_cmp(&value(other)));
    sorted.get(sorted.len() / 2).map(|&run| run.clone())
}

/// `1.23` of milliseconds.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

/// `12.3` of microseconds.
pub(crate) fn us(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e6)
}

/// A table in Markdown.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// An empty one under a heading.
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let rule = columns.iter().map(|_| "---").collect::<Vec<_>>().join(" | ");
        Self { text: format!("\n### {title}\n\n| {} |\n| {rule} |\n", columns.join(" | ")) }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let _ = writeln!(self.text, "| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
    }

    /// On standard output.
    pub(crate) fn print(&self) {
        println!("{}", self.text);
    }
}

/// A requirement and what it came to.
pub(crate) fn aim(what: &str, measured: f64, wanted: f64, at_least: bool) {
    let met = if at_least { measured >= wanted } else { measured <= wanted };
    let (verdict, bound) = (if met { "met" } else { "MISSED" }, if at_least { "at least" } else { "at most" });
    println!("- {what}: {measured:.2} ({bound} {wanted}): {verdict}");
}

/// What it ran on.
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
