//! The load program: what Switchboard does in a second, beside its limits and its peers, in one run.
//!
//! ```text
//! this process ── starts ──► Postgres (throw-away, fsync on)
//!   │    │         starts ──► switchboard (the release binary) ┐
//!   │    │         starts ──► plain handlers (this program)    ├─ measured from outside: /proc/PID
//!   │    └──────── starts ──► PostGraphile (benches/peers)     ┘
//!   └─ load over loopback, one contender after the other, round after round ──► a table on standard output
//! ```
//!
//! Everything is bounded in count and time, talks to the loopback only and is removed at the end. Contenders take
//! turns within each round, so that what else the machine does falls on all of them; the median of the rounds is
//! reported. The load shares the machine with what it measures: trust ratios and CPU, not absolute rates.

mod delivery;
mod http;
mod log;
mod pgbench;
mod plain;
mod process;
mod report;
mod requests;
mod socket;
mod stage;
mod start;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use self::stage::Stage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Anything that ends the run.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures Switchboard beside its limits and its peers.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Rounds; each contender runs once in each, and the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each contender's turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=30))]
    seconds: u32,
    /// Connections that send requests at once
    #[arg(long, value_delimiter = ',', default_values_t = [8, 32, 128])]
    connections: Vec<usize>,
    /// Subscribers that wait for one event
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000, 5_000])]
    subscribers: Vec<usize>,
    /// Only these parts: chat, create, start-chat, delivery, log, cold
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Without `PostGraphile`, which npm installs
    #[arg(long)]
    no_postgraphile: bool,
    /// Serves the plain handlers on this database (the program starts itself so)
    #[arg(long, hide = true)]
    plain: Option<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    fn turn(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The load itself needs one thread, which leaves the others to what is measured; a plain server uses them all.
    let mut runtime = match arguments.plain {
        None => tokio::runtime::Builder::new_current_thread(),
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    let run = async {
        match &arguments.plain {
            Some(url) => plain::serve(url).await,
            None => measure(&arguments).await,
        }
    };
    match runtime.enable_all().build().map_err(Into::into).and_then(|runtime| runtime.block_on(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let stage = Stage::build(!arguments.no_postgraphile).await?;
    let measured = tokio::select! {
        measured = measure_on(arguments, &stage) => measured,
        // Whoever interrupts it is left with nothing running either.
        stopped = told_to_stop() => stopped,
    };
    stage.clear().await;
    measured
}

async fn told_to_stop() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Err("stopped".into())
}

async fn measure_on(arguments: &Arguments, stage: &Stage) -> Result<()> {
    println!("{}", report::machine(&stage.postgres_version));
    requests::measure(arguments, stage).await?;
    if arguments.wants("delivery") {
        delivery::measure(arguments, stage).await?;
    }
    if arguments.wants("log") {
        log::measure(arguments, stage).await?;
    }
    if arguments.wants("cold") {
        start::measure(arguments, stage).await?;
    }
    Ok(())
}
