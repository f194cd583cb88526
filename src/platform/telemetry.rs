//! Structured logs on standard error.
//!
//! Rules:
//! - One line for each incident. A fault is logged once, with its chain of causes, where its response is made.
//! - The level is what the operator has to do: `error` for a fault of the server, `warn` for a dependency that cannot
//!   be reached and is retried, `info` for start, stop and changes of the server's state, `debug` for the rest.
//! - No token, key, message text or customer's name in any line, whatever `RUST_LOG` says. At `trace` libraries print the
//!   bytes that they read, so libraries are never logged below `debug`, and those that print them at `debug` as well not
//!   below `info`.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::{
    Layer as _,
    filter::{Targets, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Libraries that print what clients send, or the statements and addresses that they work with, also at `debug`.
const TALKATIVE: [&str; 3] = ["tungstenite", "tokio_tungstenite", "reqwest"];

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// Starts logging. `RUST_LOG` sets the level of all modules (`debug`) or of some (`info,switchboard::chat=debug`); the
/// default is `info`. The default format is text on a terminal, otherwise JSON.
pub fn init(format: Option<LogFormat>) {
    let terminal = std::io::stderr().is_terminal();
    // Filters by target only: a filter that reads spans takes a process-wide lock at each poll of a socket.
    let chosen = std::env::var("RUST_LOG").ok().filter(|levels| !levels.is_empty());
    let (levels, invalid) = match chosen.as_deref().map(str::parse::<Targets>) {
        Some(Ok(levels)) => (levels, None),
        Some(Err(error)) => (default_levels(), Some(error)),
        None => (default_levels(), None),
    };
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        // A line that cannot be written is dropped. Reporting it on the same standard error would panic.
        .log_internal_errors(false);
    let logs = match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => logs.boxed(),
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
    };
    let harmless = filter_fn(is_harmless);
    if let Err(error) = tracing_subscriber::registry().with(levels).with(harmless).with(logs).try_init() {
        eprintln!("logging was started before: {error}");
    }
    if let Some(error) = invalid {
        tracing::warn!(%error, "RUST_LOG cannot be parsed; the default levels apply");
    }
}

/// False for lines that may hold what clients send.
fn is_harmless(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    let least = match library {
        "switchboard" => Level::TRACE,
        library if TALKATIVE.contains(&library) => Level::INFO,
        _ => Level::DEBUG,
    };
    *line.level() <= least
}

fn default_levels() -> Targets {
    Targets::new().with_default(Level::INFO).with_target("sqlx::postgres::notice", Level::WARN)
}
