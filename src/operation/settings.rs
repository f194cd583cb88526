//! The knobs of this concept.

use std::time::Duration;

use clap::Args;

use crate::platform::{
    auth::Principal,
    config::duration,
    error::{Error, Result},
};

/// Shortest lease that may be asked for, in milliseconds.
pub(super) const SHORTEST_LEASE_MS: i32 = 100;
/// Longest lease that may be asked for, in milliseconds.
pub(super) const LONGEST_LEASE_MS: i32 = 600_000;
/// How much shorter the longest wait is than the longest time of a request, so that a caller gets `WAIT_TIMEOUT`.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// Coordination of opposite calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Operations")]
pub struct OperationSettings {
    /// Longest wait of coordinateChatCall for an opposite call, and the wait of a call that names none; at least 5 s
    /// below the longest time of a mutation
    #[arg(long, env = "SWITCHBOARD_OPERATION_WAIT", default_value = "20s", value_parser = duration(0..=600_000))]
    pub operation_wait: Duration,
    /// Lease of a coordinated call that names none; a holder that dies frees the line when its lease ends
    #[arg(long, env = "SWITCHBOARD_OPERATION_LEASE", default_value = "30s", value_parser = duration(100..=600_000))]
    pub operation_lease: Duration,
    /// How long the requests of finished coordinated calls are remembered, so that a late repeat is refused
    #[arg(long, env = "SWITCHBOARD_OPERATION_MEMORY", default_value = "10m", value_parser = duration(1_000..=86_400_000))]
    pub operation_memory: Duration,
}

fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

impl OperationSettings {
    /// Checks that a caller that waits in vain is told so before its request is given up.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, which names the setting.
    pub fn check(&self, execution_timeout: Duration) -> Result<()> {
        if self.operation_wait + REPLY_TIME <= execution_timeout {
            return Ok(());
        }
        Err(Error::invalid(
            "SWITCHBOARD_OPERATION_WAIT",
            "must be at least 5 s below SWITCHBOARD_EXECUTION_TIMEOUT, or callers never learn that they waited in vain",
        ))
    }

    /// The wait that a caller asks for, in milliseconds.
    pub(super) fn checked_wait(&self, asked: Option<i32>) -> Result<i32> {
        let longest = milliseconds(self.operation_wait);
        match asked {
            None => Ok(longest),
            Some(wait) if (0..=longest).contains(&wait) => Ok(wait),
            Some(_) => Err(Error::invalid("waitMs", format_args!("must be 0 to {longest}"))),
        }
    }

    /// The lease that a caller gets, in milliseconds. Those of agents and visitors are not longer than the default.
    pub(super) fn checked_lease(&self, asked: Option<i32>, principal: &Principal) -> Result<i32> {
        let default = milliseconds(self.operation_lease);
        match asked {
            None => Ok(default),
            Some(lease) if (SHORTEST_LEASE_MS..=LONGEST_LEASE_MS).contains(&lease) => {
                Ok(if principal.is_company() { lease } else { lease.min(default) })
            }
            Some(_) => {
                Err(Error::invalid("leaseMs", format_args!("must be {SHORTEST_LEASE_MS} to {LONGEST_LEASE_MS}")))
            }
        }
    }
}
