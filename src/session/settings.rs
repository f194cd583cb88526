//! The settings of sessions. A server writes them into the database when it starts: SQL functions see no environment.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

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
    /// How often silent participants are looked for
    #[arg(long, env = "SWITCHBOARD_PRESENCE_SWEEP_EVERY", default_value = "500ms", value_parser = duration(100..=10_000))]
    pub presence_sweep_every: Duration,
    /// How often alerts and recommendations of sessions are judged
    #[arg(long, env = "SWITCHBOARD_HEALTH_CHECK_EVERY", default_value = "10s", value_parser = duration(500..=600_000))]
    pub health_check_every: Duration,
    /// How often idle sessions are ended and old rows deleted
    #[arg(long, env = "SWITCHBOARD_CLEANUP_EVERY", default_value = "1m", value_parser = duration(1_000..=3_600_000))]
    pub cleanup_every: Duration,
    /// How long the rows of silent participants are kept
    #[arg(long, env = "SWITCHBOARD_HEALTH_RETENTION", default_value = "24h", value_parser = duration(60_000..=31_536_000_000))]
    pub health_retention: Duration,
    /// A session with nobody present for that long ends
    #[arg(long, env = "SWITCHBOARD_SESSION_IDLE_END", default_value = "1h", value_parser = duration(1_000..=2_592_000_000))]
    pub session_idle_end: Duration,
    /// Shortest time on a provider before a switch for quality
    #[arg(long, env = "SWITCHBOARD_PROVIDER_DWELL", default_value = "30s", value_parser = duration(0..=3_600_000))]
    pub provider_dwell: Duration,
    /// How long a session leaves out a provider that failed in it
    #[arg(long, env = "SWITCHBOARD_PROVIDER_COOLING", default_value = "60s", value_parser = duration(0..=3_600_000))]
    pub provider_cooling: Duration,
    /// Age of a choice from which a failure reported without an epoch counts, whoever reports it
    #[arg(long, env = "SWITCHBOARD_PROVIDER_SETTLE", default_value = "10s", value_parser = duration(0..=3_600_000))]
    pub provider_settle: Duration,
    /// Longest time that a session counts as reconnecting after a switch
    #[arg(long, env = "SWITCHBOARD_SESSION_REGROUP", default_value = "30s", value_parser = duration(1_000..=3_600_000))]
    pub session_regroup: Duration,
    /// The bounds by which samples are judged.
    #[command(flatten)]
    pub quality: QualitySettings,
    /// Whether servers act on a recommendation to leave a provider
    #[arg(long, env = "SWITCHBOARD_AUTOMATIC_RECOVERY", default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub automatic_recovery: bool,
}

/// The bounds by which one sample is judged: latency in milliseconds, packet loss in percent.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sessions")]
pub struct QualitySettings {
    /// A sample below this many milliseconds may be excellent
    #[arg(long, env = "SWITCHBOARD_EXCELLENT_LATENCY", default_value_t = 100, value_parser = clap::value_parser!(i32).range(0..=600_000))]
    pub excellent_latency: i32,
    /// A sample below this many percent of packet loss may be excellent
    #[arg(long, env = "SWITCHBOARD_EXCELLENT_PACKET_LOSS", default_value_t = 1.0, value_parser = percent)]
    pub excellent_packet_loss: f32,
    /// A sample above this many milliseconds is at most fair
    #[arg(long, env = "SWITCHBOARD_FAIR_LATENCY", default_value_t = 250, value_parser = clap::value_parser!(i32).range(0..=600_000))]
    pub fair_latency: i32,
    /// A sample above this many percent of packet loss is at most fair
    #[arg(long, env = "SWITCHBOARD_FAIR_PACKET_LOSS", default_value_t = 4.0, value_parser = percent)]
    pub fair_packet_loss: f32,
    /// A sample above this many milliseconds is poor
    #[arg(long, env = "SWITCHBOARD_POOR_LATENCY", default_value_t = 400, value_parser = clap::value_parser!(i32).range(0..=600_000))]
    pub poor_latency: i32,
    /// A sample above this many percent of packet loss is poor
    #[arg(long, env = "SWITCHBOARD_POOR_PACKET_LOSS", default_value_t = 8.0, value_parser = percent)]
    pub poor_packet_loss: f32,
    /// A sample above this many milliseconds is a reason to leave the provider
    #[arg(long, env = "SWITCHBOARD_RECOVER_LATENCY", default_value_t = 800, value_parser = clap::value_parser!(i32).range(0..=600_000))]
    pub recover_latency: i32,
    /// A sample above this many percent of packet loss is a reason to leave the provider
    #[arg(long, env = "SWITCHBOARD_RECOVER_PACKET_LOSS", default_value_t = 10.0, value_parser = percent)]
    pub recover_packet_loss: f32,
}

impl SessionSettings {
    /// As columns of the table `session_settings`.
    pub(super) fn columns(&self) -> Value {
        let interval = |duration: Duration| format!("{} milliseconds", duration.as_millis());
        let quality = &self.quality;
        json!({
            "default_providers": self.providers,
            "stale_after": interval(self.stale_after),
            "sweep_every": interval(self.presence_sweep_every),
            "check_every": interval(self.health_check_every),
            "cleanup_every": interval(self.cleanup_every),
            "retention": interval(self.health_retention),
            "idle_end": interval(self.session_idle_end),
            "dwell": interval(self.provider_dwell),
            "cooling": interval(self.provider_cooling),
            "settle": interval(self.provider_settle),
            "regroup": interval(self.session_regroup),
            "excellent_latency": quality.excellent_latency,
            "excellent_packet_loss": quality.excellent_packet_loss,
            "fair_latency": quality.fair_latency,
            "fair_packet_loss": quality.fair_packet_loss,
            "poor_latency": quality.poor_latency,
            "poor_packet_loss": quality.poor_packet_loss,
            "recover_latency": quality.recover_latency,
            "recover_packet_loss": quality.recover_packet_loss,
            "automatic_recovery": self.automatic_recovery,
        })
    }
}

/// Parses a share of packets.
fn percent(text: &str) -> Result<f32, String> {
    let percent = text.trim().parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "must be 0 to 100".to_owned())
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
