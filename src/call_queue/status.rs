//! What of a user waits and what is active: `callQueueStatus`, `callConcurrency`.

use uuid::Uuid;

use super::CallQueue;
use crate::platform::{auth::Principal, batch::Reading, error::Result};

/// Limits and counters of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Slots of the user.
    pub user_limit: i32,
    /// Those in use by direct and inbound calls.
    pub active_direct: i32,
    /// Those in use by campaigns' calls.
    pub active_campaign: i32,
    /// Direct items that wait.
    pub queued_direct: i32,
    /// Campaigns' items that wait.
    pub queued_campaign: i32,
    /// Slots of the company.
    pub system_limit: i32,
    /// Those in use.
    pub system_active: i32,
    /// How long the user's last dispatched items had waited, in milliseconds.
    pub waited_ms: Vec<i32>,
    /// The direct item that is next.
    pub next_direct: Option<Uuid>,
    /// The campaigns' item that is next.
    pub next_campaign: Option<Uuid>,
}

impl Status {
    /// Slots that the user may still take.
    pub fn available(&self) -> i32 {
        let of_user = self.user_limit - self.active_direct - self.active_campaign;
        of_user.min(self.system_limit - self.system_active).max(0)
    }

    /// How long the user's last dispatched items had waited, in seconds.
    pub fn average_wait(&self) -> Option<f64> {
        let count = u32::try_from(self.waited_ms.len()).ok().filter(|count| *count > 0)?;
        Some(self.waited_ms.iter().map(|waited| f64::from(*waited)).sum::<f64>() / f64::from(count) / 1_000.0)
    }
}

impl CallQueue {
    /// Limits and counters of a user; of one that never called the defaults.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn status(&self, reading: &Reading, principal: &Principal, user_id: &str) -> Result<Status> {
        principal.require_company()?;
        self.reads.status(reading, principal.company_id, user_id).await
    }
}
