//! The load program: measures Switchboard beside its limits and its peer, in one run.
//!
//! ```text
//! this process ── starts ──► Postgres (throw-away, fsync on)
//!   │    │         starts ──► switchboard (the release binary) ┐
//!   │    │         starts ──► an older switchboard (--baseline)├─ measured from outside: /proc/PID
//!   │    │         starts ──► plain handlers (this program)    │
//!   │    └──────── starts ──► PostGraphile (benches/peers)     ┘
//!   └─ load over loopback, one contender after the other, round after round ──► tables on standard output
//! ```
//!
//! Contenders take turns within each round, so that other work on the machine falls on all of them. A ratio is taken
//! within each round and reported as `median (min-max)` over the rounds. The load shares the machine with the servers:
//! trust ratios and CPU time, not absolute rates.
//!
//! Counts and times are bounded, all traffic stays on the loopback, and everything is removed at the end.
//!
//! | module | does |
//! | --- | --- |
//! | `stage`, `database` | the throw-away Postgres, its databases, and how each server is started |
//! | `requests`, `contest` | chat by id, `createChat`, `startChat` |
//! | `operations` | coordination of opposite calls: pairs, hand-overs |
//! | `delivery`, `subscriber` | from a commit to the subscribers |
//! | `log`, `start` | events through the log; start of a process |
//! | `sessions` | heartbeats, choice and recovery |
//! | `queue` | admissions, dispatch, long lines |
//! | `timers` | timers that come due at once |
//! | `plain`, `pgbench` | the limits that the server is compared with |
//! | `http`, `socket`, `process` | clients and child processes |
//! | `report`, `ratio` | tables, ratios and aims |
// The future of a mutation is nested as deep as its resolvers, the transports and the tasks around them.
#![recursion_limit = "256"]

mod contest;
mod database;
mod delivery;
mod http;
mod log;
mod operations;
mod pgbench;
mod pipelined;
mod plain;
mod process;
mod queue;
mod ratio;
mod report;
mod requests;
mod sessions;
mod socket;
mod stage;
mod start;
mod subscriber;
mod timers;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use self::stage::Stage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Errors end the run, so their text is all that matters.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures Switchboard beside its limits and its peer.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Rounds; each contender runs once in each, and ratios are taken within a round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each contender's turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=30))]
    seconds: u32,
    /// Seconds that each contender runs before its first round of a part
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(0..=120))]
    warm: u32,
    /// Connections that send requests at once
    #[arg(long, value_delimiter = ',', default_values_t = [8, 32, 128])]
    connections: Vec<usize>,
    /// Subscribers that wait for one event
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000, 5_000])]
    subscribers: Vec<usize>,
    /// Seconds of heartbeats at the pace of 100,000 participants
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    steady: u32,
    /// Items of the lines in which single calls are measured
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    queue: Vec<u32>,
    /// Only these parts: chat, create, start-chat, coordinate, delivery, log, sessions, queue, timers, cold
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Without `PostGraphile`, which npm installs
    #[arg(long)]
    no_postgraphile: bool,
    /// A `switchboard` binary of another build, measured in turns with this one on a database of its own
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// Serves the plain handlers on this database; the program starts itself with it
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

    fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm.into())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The load itself uses one thread and leaves the other cores to the servers. The plain server uses all cores.
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
    let stage = Stage::build(!arguments.no_postgraphile, arguments.baseline.as_deref()).await?;
    let measured = tokio::select! {
        measured = measure_on(arguments, &stage) => measured,
        // An interrupted run stops its servers and removes its database too.
        stopped = interrupted() => stopped,
    };
    stage.clear().await;
    measured
}

/// Fails on SIGINT or SIGTERM.
async fn interrupted() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Err("stopped".into())
}

async fn measure_on(arguments: &Arguments, stage: &Stage) -> Result<()> {
    println!("{}", report::machine(&stage.postgres_version));
    println!(
        "{} rounds, turns of {} s, {} s of warm-up; ratios are `median (min-max)` over the rounds",
        arguments.rounds, arguments.seconds, arguments.warm
    );
    requests::measure(arguments, stage).await?;
    if arguments.wants("coordinate") {
        operations::measure(arguments, stage).await?;
    }
    if arguments.wants("delivery") {
        delivery::measure(arguments, stage).await?;
    }
    if arguments.wants("log") {
        log::measure(arguments, stage).await?;
    }
    if arguments.wants("sessions") {
        sessions::measure(arguments, stage).await?;
    }
    if arguments.wants("queue") {
        queue::measure(arguments, stage).await?;
    }
    if arguments.wants("timers") {
        timers::measure(arguments, stage).await?;
    }
    if arguments.wants("cold") {
        start::measure(arguments, stage).await?;
    }
    Ok(())
}
