//! The words of sessions. The rules themselves are SQL functions (migration `session_rules`), so that SQL callers and
//! this server decide nothing twice; `tests/it/session/rules.rs` tests them.

use serde::{Deserialize, Serialize};

/// What a participant says of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionState {
    /// It has begun to set itself up.
    Initializing,
    /// It connects to the provider.
    Connecting,
    /// It is in the call.
    Connected,
    /// It lost the call and tries to come back, or it fell silent.
    Reconnecting,
    /// It cannot connect.
    Failed,
    /// It has left.
    Ended,
}

impl ConnectionState {
    /// The state's name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Reconnecting => "RECONNECTING",
            Self::Failed => "FAILED",
            Self::Ended => "ENDED",
        }
    }
}

/// How a participant's connection is, by its own reports and by its silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
pub enum HealthStatus {
    /// Not yet in the call.
    Connecting,
    /// In the call.
    Connected,
    /// On the way back.
    Reconnecting,
    /// Silent for too long, or gone.
    Disconnected,
    /// It could not connect, or not again.
    Failed,
}

impl HealthStatus {
    /// Every status.
    const ALL: [Self; 5] = [Self::Connecting, Self::Connected, Self::Reconnecting, Self::Disconnected, Self::Failed];

    /// The status' name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Reconnecting => "RECONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Failed => "FAILED",
        }
    }

    /// The status of this name, in upper or lower case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(name))
    }
}

/// The quality of a participant's picture or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
pub enum Quality {
    /// Latency under 100 ms and loss under 1 %.
    Excellent,
    /// Better than FAIR.
    Good,
    /// Latency over 250 ms or loss over 4 %.
    Fair,
    /// Latency over 400 ms or loss over 8 %.
    Poor,
    /// The participant sends no such medium.
    Off,
}

impl Quality {
    /// Every quality.
    const ALL: [Self; 5] = [Self::Excellent, Self::Good, Self::Fair, Self::Poor, Self::Off];

    /// The quality's name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excellent => "EXCELLENT",
            Self::Good => "GOOD",
            Self::Fair => "FAIR",
            Self::Poor => "POOR",
            Self::Off => "OFF",
        }
    }

    /// The quality of this name, in upper or lower case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quality| quality.as_str().eq_ignore_ascii_case(name))
    }
}

/// What became of a report that a provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecoveryOutcome {
    /// The session has left the provider because of this report.
    Switched,
    /// Another report of the same failure did it.
    Joined,
    /// The report is about an earlier choice; nothing changed.
    Stale,
    /// The last change was too short a time ago for one that is only about quality.
    Dwell,
    /// There is no other provider to go to.
    NoProvider,
}

impl RecoveryOutcome {
    /// The outcome as the label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Switched => "switched",
            Self::Joined => "joined",
            Self::Stale => "stale",
            Self::Dwell => "dwell",
            Self::NoProvider => "no_provider",
        }
    }
}

/// Why a provider is to be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
pub enum RecoveryKind {
    /// It does not work. Never held back.
    Failure,
    /// It works badly. Held back for 30 s after a change, and only to a provider that is good.
    Quality,
}

impl RecoveryKind {
    /// The kind as the SQL function takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Quality => "quality",
        }
    }
}

/// What is wrong with a session's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlertType {
    /// Participants have gone silent.
    StaleConnections,
    /// Participants have had 3 poor samples of 5.
    PoorQuality,
    /// Participants cannot connect.
    FailedConnections,
}

/// How much of a session an alert concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlertSeverity {
    /// Worth knowing; nobody has to act.
    Info,
    /// Less than half of those present.
    Warning,
    /// At least half of those present.
    Error,
}

/// Whether sessions may choose a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProviderState {
    /// It may be chosen.
    Usable,
    /// It failed widely and is tried again by one session at a time.
    Probing,
    /// It fails widely; not chosen while another is usable.
    Avoided,
    /// It is not in the company's list.
    Disabled,
}
