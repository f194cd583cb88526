//! Every setting of the server: the platform's and each concept's.

use clap::Args;

use crate::{
    call::CallSettings,
    call_queue::CallQueueSettings,
    chat::ChatSettings,
    operation::OperationSettings,
    platform::config::{AuthSettings, DatabaseSettings, EventSettings, GuardSettings, HttpSettings, TimerSettings},
    session::SessionSettings,
};

/// All settings of `serve`; the other commands use parts of them.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where the database is, and its limits.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// How credentials are checked, and how long those last that this server issues.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// The transports and the limits of one client.
    #[command(flatten)]
    pub http: HttpSettings,
    /// Limits on one document and on its answer.
    #[command(flatten)]
    pub guard: GuardSettings,
    /// The event log and its delivery.
    #[command(flatten)]
    pub event: EventSettings,
    /// How often due timers are looked for.
    #[command(flatten)]
    pub timer: TimerSettings,
    /// How long races wait, how many contracts they are offered to, and when they reopen.
    #[command(flatten)]
    pub chat: ChatSettings,
    /// Coordination of opposite calls.
    #[command(flatten)]
    pub operation: OperationSettings,
    /// What is kept of phone calls, and how long.
    #[command(flatten)]
    pub call: CallSettings,
    /// Limits, leases and aging of the call queue.
    #[command(flatten)]
    pub call_queue: CallQueueSettings,
    /// Thresholds and paces of video sessions.
    #[command(flatten)]
    pub session: SessionSettings,
}
