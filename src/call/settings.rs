//! The knobs of this concept.

use std::time::Duration;

use clap::Args;

use crate::platform::config::duration;

/// What is kept of phone calls, and how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Calls")]
pub struct CallSettings {
    /// How long news and hang-ups of a call that is not known yet are kept for the call that takes the name
    #[arg(long, env = "SWITCHBOARD_CALL_NEWS_RETENTION", default_value = "1h", value_parser = duration(1_000..=86_400_000))]
    pub call_news_retention: Duration,
    /// Most news and hang-ups of unknown calls that are kept for one company; more are refused
    #[arg(long, env = "SWITCHBOARD_CALL_NEWS", default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub call_news: i64,
    /// How long after a dialer has hung a call up its end must be reported, else dialers are asked again
    #[arg(long, env = "SWITCHBOARD_HANG_UP_TIME", default_value = "10s", value_parser = duration(100..=600_000))]
    pub hang_up_time: Duration,
}
