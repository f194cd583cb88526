//! A server under measurement: a child process that says where it listens, and what the system says of it.

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

/// What a server prints on standard error when it is ready.
const READY: &str = "listening on http://";
/// The unit of CPU time in /proc, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or("a server ended at once")?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let mut said = String::new();
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, address)) = line.split_once(READY) {
                    return Ok(address.trim().parse::<SocketAddr>()?);
                }
                said = said + &line + "\n";
            }
            Err(format!("a server did not start: {said}").into())
        };
        let address: Result<SocketAddr> = timeout(Duration::from_mins(1), wait).await?;
        // What it says later is nobody's concern, but the pipe must not fill.
        tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
        Ok(Self { child, pid, address: address? })
    }

    /// CPU time that it has used in all, in the system too.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in parentheses may hold anything; after it come state (3) … utime (14), stime (15).
        let (_, rest) = stat.rsplit_once(')').ok_or("stat without a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        Ok(TICK * ticks)
    }

    /// Memory that is its own, with its share of what it shares, in KiB.
    pub(crate) fn pss(&self) -> Result<u64> {
        self.memory("Pss:")
    }

    /// Memory that it has resident, in KiB.
    pub(crate) fn rss(&self) -> Result<u64> {
        self.memory("Rss:")
    }

    fn memory(&self, line: &str) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let found = rollup.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line in smaps_rollup")?;
        Ok(found.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Ends it and waits for the end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Runs `work` and answers what it came to, how long it took, and the CPU that `server` used meanwhile.
pub(crate) async fn watched<T>(server: &Server, work: impl Future<Output = T>) -> Result<(T, Duration, Duration)> {
    let (before, began) = (server.cpu()?, Instant::now());
    let done = work.await;
    Ok((done, began.elapsed(), server.cpu()?.saturating_sub(before)))
}
