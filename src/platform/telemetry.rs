//! Structured logs, on standard error.
//!
//! Rules: one line for one incident, at the level of what somebody has to do about it (error: a fault of ours;
//! warn: something is away and will be retried; info: start, stop, and what changes how the server runs; debug: the
//! rest). No token, key, message text or customer's name in any line. A request's faults are logged where they
//! leave the server, with the whole chain, once.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging. `RUST_LOG` chooses levels, for all (`debug`) or by module (`info,switchboard::chat=debug`); `info`
/// unless set. Without a format: text on a terminal, else JSON.
pub fn init(format: Option<LogFormat>) {
    let terminal = std::io::stderr().is_terminal();
    // By target only: filters that look into spans cost each poll of a socket a lock that all of them share.
    let chosen = std::env::var("RUST_LOG").ok().filter(|levels| !levels.is_empty());
    let (levels, unreadable) = match chosen.as_deref().map(str::parse::<Targets>) {
        Some(Ok(levels)) => (levels, None),
        Some(Err(error)) => (usual_levels(), Some(error)),
        None => (usual_levels(), None),
    };
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        // A line that cannot be written is lost: complaining of it in the same place would panic, in whatever logs.
        .log_internal_errors(false);
    let logs = match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => logs.boxed(),
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
    };
    if let Err(error) = tracing_subscriber::registry().with(levels).with(logs).try_init() {
        eprintln!("logging was started before: {error}");
    }
    if let Some(error) = unreadable {
        tracing::warn!(%error, "RUST_LOG cannot be read; the usual levels hold");
    }
}

fn usual_levels() -> Targets {
    Targets::new().with_default(Level::INFO).with_target("sqlx::postgres::notice", Level::WARN)
}
