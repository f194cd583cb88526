//! One error type for the whole server: a [`Code`] that clients branch on, a message that tells the
//! caller what to mend, and (for faults of ours) the cause, which is logged once and never sent.
//!
//! ```text
//! sql.rs / service.rs            graphql/engine.rs or http/
//!   Error { code, message, .. } ──► extensions.code, HTTP status   (to the client)
//!                               └─► one log line with the chain    (Code::Internal, Code::Unavailable)
//! ```
//!
//! Outcomes that a correct client has to branch on (lost the race, already ended) are not errors:
//! they are values in a mutation's payload.

use std::{error::Error as StdError, fmt, sync::Arc};

use axum::http::StatusCode;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `extensions.code` of a GraphQL error. The list is closed: clients may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The document is not GraphQL.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// An argument or variable is out of bounds; the message names the field.
    BadUserInput,
    /// No credential, or one that is not valid any more.
    Unauthenticated,
    /// A valid credential whose role may not do this.
    Forbidden,
    /// No such thing, or not for this caller to know of.
    NotFound,
    /// The present state forbids it; the message says which state.
    Conflict,
    /// The same operation is under way for the same subject.
    OperationInProgress,
    /// A coordinated call waited its whole time in vain.
    WaitTimeout,
    /// An idempotency key came back with other content.
    IdempotencyMismatch,
    /// Body, document or batch over its size limit.
    PayloadTooLarge,
    /// The document guard's limits on tokens, depth, aliases, directives, root fields or cost.
    QueryTooComplex,
    /// Too many requests, connections or subscriptions of one caller.
    RateLimited,
    /// The database is away. Safe to try again after `extensions.retryAfterMs`.
    Unavailable,
    /// A fault of this server.
    Internal,
}

impl Code {
    /// Every code, for tests and for the README.
    pub const ALL: [Self; 15] = [
        Self::ParseFailed,
        Self::ValidationFailed,
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::OperationInProgress,
        Self::WaitTimeout,
        Self::IdempotencyMismatch,
        Self::PayloadTooLarge,
        Self::QueryTooComplex,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::OperationInProgress => "OPERATION_IN_PROGRESS",
            Self::WaitTimeout => "WAIT_TIMEOUT",
            Self::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        }
    }

    /// The HTTP status where the whole request is answered by this code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::ParseFailed | Self::ValidationFailed | Self::BadUserInput | Self::QueryTooComplex => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict | Self::OperationInProgress | Self::WaitTimeout => StatusCode::CONFLICT,
            Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// How long a client should wait before it repeats an [`Code::Unavailable`] request, in milliseconds.
pub const RETRY_AFTER_MS: u64 = 1_000;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// A code, a message for the caller, and perhaps a cause for the log. Clones share the cause.
#[derive(Debug, Clone)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync + 'static>>,
}

impl Error {
    /// An error of the caller's making: `message` is sent as it stands.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// `field` (as the client wrote it, `chat.headline`) is wrong in the way `problem` says.
    pub fn invalid(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(Code::BadUserInput, format!("{field}: {problem}"))
    }

    /// No `what` with this id that the caller may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }

    /// The present state forbids it; `why` names the state.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::new(Code::Conflict, why)
    }

    /// The caller's role may not do this.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, why)
    }

    /// No valid credential. Deployed clients look for the word "unauthorized".
    pub fn unauthenticated(why: impl fmt::Display) -> Self {
        Self::new(Code::Unauthenticated, format!("unauthorized: {why}"))
    }

    /// A fault of ours; the caller learns only that there was one.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self { code: Code::Internal, message: "internal server error".into(), source: Some(Arc::from(source.into())) }
    }

    /// Something this server needs is away; the caller may try again.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self {
            code: Code::Unavailable,
            message: "temporarily unavailable, try again".into(),
            source: Some(Arc::from(source.into())),
        }
    }

    /// What clients branch on.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The SQLSTATE, where the database refused.
    fn sqlstate(&self) -> Option<String> {
        let source = self.source.as_deref()?.downcast_ref::<sqlx::Error>()?;
        Some(source.as_database_error()?.code()?.into_owned())
    }

    /// True for a serialization failure or deadlock: the same transaction may succeed when repeated whole.
    pub fn is_transient_conflict(&self) -> bool {
        matches!(self.sqlstate().as_deref(), Some("40001" | "40P01"))
    }

    /// The cause and its causes, innermost last, for one log line.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next: Option<&(dyn StdError + 'static)> = StdError::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// Writes the one log line that a fault of ours gets. Errors of the caller's making are not logged.
    pub fn log(&self, place: &str) {
        match self.code {
            Code::Internal => tracing::error!(place, error = self.chain(), "internal error"),
            Code::Unavailable => tracing::warn!(place, error = self.chain(), "unavailable"),
            _ => {}
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<sqlx::Error> for Error {
    /// A database that is away, overloaded or shutting down is [`Code::Unavailable`]; all else is our fault.
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as Sql;
        let away = match &error {
            Sql::Io(_) | Sql::Tls(_) | Sql::PoolTimedOut | Sql::PoolClosed | Sql::WorkerCrashed | Sql::Protocol(_) => {
                true
            }
            Sql::Database(refusal) => refusal.code().is_some_and(|state| {
                // 08 connection, 53 resources, 57P shutdown or crash, 55P03 lock_timeout, 57014 statement_timeout,
                // 25P03 idle in transaction, 25006 read-only (a failover under way).
                state.starts_with("08")
                    || state.starts_with("53")
                    || state.starts_with("57P")
                    || matches!(&*state, "55P03" | "57014" | "25P03" | "25006")
            }),
            _ => false,
        };
        if away { Self::unavailable(error) } else { Self::internal(error) }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}
