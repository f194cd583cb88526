//! A server under measurement: a child process, and its CPU time and memory from /proc.

use std::{
    fs,
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::Result;

/// Every server prints this and its address to standard error when it is ready.
const READY: &str = "listening on http://";
/// The unit of CPU time in /proc on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the process and waits until it listens.
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or("a server ended at once")?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let mut printed = String::new();
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, address)) = line.split_once(READY) {
                    return Ok(address.trim().parse::<SocketAddr>()?);
                }
                printed = printed + &line + "\n";
            }
            Err(format!("a server did not start: {printed}").into())
        };
        let address: Result<SocketAddr> = timeout(Duration::from_mins(1), wait).await?;
        // Read and drop later lines: a full pipe would block the server.
        tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
        Ok(Self { child, pid, address: address? })
    }

    /// CPU time since the start, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in parentheses may contain spaces and parentheses. After it come state (3) … utime (14), stime (15).
        let (_, rest) = stat.rsplit_once(')').ok_or("stat without a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        Ok(TICK * ticks)
    }

    /// Proportional set size in KiB: private memory and a share of the shared pages.
    pub(crate) fn pss(&self) -> Result<u64> {
        self.memory("Pss:")
    }

    /// Resident set size in KiB.
    pub(crate) fn rss(&self) -> Result<u64> {
        self.memory("Rss:")
    }

    fn memory(&self, line: &str) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let found = rollup.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line in smaps_rollup")?;
        Ok(found.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Kills the process and waits until it has ended.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Runs `work`. Returns its result, how long it took, and the CPU time that `server` used meanwhile.
pub(crate) async fn watched<T>(server: &Server, work: impl Future<Output = T>) -> Result<(T, Duration, Duration)> {
    let (before, began) = (server.cpu()?, Instant::now());
    let done = work.await;
    Ok((done, began.elapsed(), server.cpu()?.saturating_sub(before)))
}
