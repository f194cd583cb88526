//! The knobs of this concept.

use std::time::Duration;

use clap::Args;

use crate::platform::config::{duration, size};

/// Chats and races.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Chats")]
pub struct ChatSettings {
    /// A race that no agent starts expires after this time, unless the request that creates it sets another
    #[arg(long, env = "SWITCHBOARD_RACE_CAP", default_value = "5m", value_parser = duration(1_000..=86_400_000))]
    pub race_cap: Duration,
    /// Most contracts that one race is offered to
    #[arg(long, env = "SWITCHBOARD_RACE_CONTRACTS", default_value_t = 100, value_parser = size(1..=1_000))]
    pub race_contracts: usize,
    /// If the winner's side ends the chat within this time and without a message, the other offers of a createChatRace
    /// reopen; 0s turns this off
    #[arg(long, env = "SWITCHBOARD_REOFFER_GRACE", default_value = "30s", value_parser = duration(0..=3_600_000))]
    pub reoffer_grace: Duration,
    /// Lets widgets without a token see their website, use a chat whose id they know, and follow chatChanged; always on in
    /// development mode
    #[arg(long, env = "SWITCHBOARD_ANONYMOUS_WIDGETS", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub anonymous_widgets: bool,
    /// Unknown chat ids that callers without a credential may name from one address (of IPv6: one /64 network) at once,
    /// then `RATE_LIMITED`; 0: no limit
    #[arg(long, env = "SWITCHBOARD_GUESSES_AT_ONCE", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub guesses_at_once: u32,
    /// Unknown chat ids from one address in a second after that
    #[arg(long, env = "SWITCHBOARD_GUESSES_PER_SECOND", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub guesses_per_second: u32,
}
