//! The settings of sessions. A server writes them into the database when it starts: SQL functions see no environment.

use std::time::Duration;

use clap::Args;

use crate::platform::config::duration;

/// Sessions: providers, presence, health.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sessions")]
pub struct SessionSettings {
    /// Session providers of companies that have not set their own, best first; 1 to 100 names
    #[arg(long = "session-providers", env = "SWITCHBOARD_PROVIDERS", default_value = "daily,p2p", value_delimiter = ',', value_parser = provider)]
    pub providers: Vec<String>,
    /// A participant silent for that long is disconnected
    #[arg(long, env = "SWITCHBOARD_STALE_AFTER", default_value = "30s", value_parser = duration(1_000..=3_600_000))]
    pub stale_after: Duration,
    /// How often alerts and recommendations of sessions are judged
    #[arg(long, env = "SWITCHBOARD_HEALTH_CHECK_EVERY", default_value = "10s", value_parser = duration(500..=600_000))]
    pub health_check_every: Duration,
    /// How often idle sessions are ended and old rows deleted
    #[arg(long, env = "SWITCHBOARD_CLEANUP_EVERY", default_value = "1m", value_parser = duration(1_000..=3_600_000))]
    pub cleanup_every: Duration,
    /// How long the rows of silent participants are kept
    #[arg(long, env = "SWITCHBOARD_HEALTH_RETENTION", default_value = "24h", value_parser = duration(60_000..=31_536_000_000))]
    pub health_retention: Duration,
    /// Whether servers act on a recommendation to leave a provider
    #[arg(long, env = "SWITCHBOARD_AUTOMATIC_RECOVERY", default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub automatic_recovery: bool,
}

/// Parses the name of a provider.
fn provider(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_name = (1..=64).contains(&name.len())
        && name != "none"
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if is_name {
        Ok(name.to_owned())
    } else {
        Err("a name has 1 to 64 of a-z, 0-9, - and _, and is not none".to_owned())
    }
}
