//! Structured logs, on standard error.
//!
//! Rules: one line for one incident, at the level of what somebody has to do about it (error: a fault of ours;
//! warn: something is away and will be retried; info: start, stop, and what changes how the server runs; debug: the
//! rest). No token, key, message text or customer's name in any line. A request's faults are logged where they
//! leave the server, with the whole chain, once.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging. `RUST_LOG` chooses levels; `info` unless set. Without a format: text on a terminal, else JSON.
pub fn init(format: Option<LogFormat>) {
    let terminal = std::io::stderr().is_terminal();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx::postgres::notice=warn"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        // A line that cannot be written is lost: complaining of it in the same place would panic, in whatever logs.
        .log_internal_errors(false);
    let started = match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        eprintln!("logging was started before: {error}");
    }
}
