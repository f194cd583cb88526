//! The settings of the call queue. A server writes them into the database when it starts: SQL functions see no environment.

use std::time::Duration;

use clap::Args;

use crate::platform::config::duration;

/// Limits, leases and aging of the call queue.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call queue")]
pub struct CallQueueSettings {
    /// Calls at once of a user that has no limit of its own
    #[arg(long, env = "SWITCHBOARD_USER_CALLS", default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub user_calls: i32,
    /// Calls at once of a company that has no limit of its own
    #[arg(long, env = "SWITCHBOARD_SYSTEM_CALLS", default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub system_calls: i32,
    /// A call slot without news for that long is asked about, then freed
    #[arg(long, env = "SWITCHBOARD_SLOT_LEASE", default_value = "2m", value_parser = duration(1_000..=86_400_000))]
    pub slot_lease: Duration,
    /// How long direct calls may keep a user's campaigns waiting; 0: for ever
    #[arg(long, env = "SWITCHBOARD_QUEUE_AGING", default_value = "10m", value_parser = duration(0..=86_400_000))]
    pub queue_aging: Duration,
}
