//! The error type of the whole server: a [`Code`] that clients branch on, a message for the caller, and for faults of
//! the server the cause, which is logged once and never sent.
//!
//! ```text
//! any module                     graphql/error_response.rs or http/
//!   Error { code, message, .. } ──► extensions.code, HTTP status   (to the client)
//!                               └─► one log line with the chain    (Code::Internal, Code::Unavailable)
//! ```
//!
//! Outcomes that a correct client must handle (lost the race, already ended) are not errors. They are values in a
//! mutation's payload.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use axum::http::StatusCode;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `extensions.code` of a GraphQL error. The list is closed: clients may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The document is not valid GraphQL syntax.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// An argument or variable is invalid; the message names it.
    BadUserInput,
    /// No credential, or one that is not valid.
    Unauthenticated,
    /// The caller's role may not do this.
    Forbidden,
    /// The record does not exist, or this caller may not know of it.
    NotFound,
    /// The record's state forbids the operation; the message names the state.
    Conflict,
    /// The same operation is in progress for the same subject.
    OperationInProgress,
    /// A coordinated call was not admitted within its waiting time.
    WaitTimeout,
    /// An idempotency key was reused with different content.
    IdempotencyMismatch,
    /// A body, document, batch or answer is over its size limit.
    PayloadTooLarge,
    /// The document is over a limit on tokens, depth, aliases, directives, root fields or cost; or a batch on cost.
    QueryTooComplex,
    /// Too many requests, connections or subscriptions.
    RateLimited,
    /// The database cannot be reached. Clients may retry after `extensions.retryAfterMs`.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// Every code: `docs/api.md` lists them, and a test compares.
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

    /// The value of `extensions.code`.
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

    /// The HTTP status of a response to a whole request that failed with this code.
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

/// How long a client should wait before it retries after [`Code::Unavailable`], in milliseconds.
pub const RETRY_AFTER_MS: u64 = 1_000;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// A code, a message for the caller, and for faults of the server the cause. Clones share the cause.
#[derive(Debug, Clone)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync + 'static>>,
    /// Milliseconds after which the same request may succeed.
    retry_after_ms: Option<u64>,
}

impl Error {
    /// An error of the caller: `message` is sent unchanged.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None, retry_after_ms: None }
    }

    /// `BAD_USER_INPUT` about `field`, written as in the request: `chat.headline`.
    pub fn invalid(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(Code::BadUserInput, format!("{field}: {problem}"))
    }

    /// There is no `what` with this id that the caller may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }

    /// The record's state forbids the operation; `why` names the state.
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

    /// A fault of the server. The caller does not see the cause.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self { source: Some(Arc::from(source.into())), ..Self::new(Code::Internal, "internal server error") }
    }

    /// A dependency of the server cannot be reached; the caller may retry.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self {
            source: Some(Arc::from(source.into())),
            ..Self::new(Code::Unavailable, "temporarily unavailable, try again")
        }
    }

    /// Too many requests; the same request passes after `wait`.
    pub fn rate_limited(message: impl Into<String>, wait: Duration) -> Self {
        let ms = u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
        Self { retry_after_ms: Some(ms), ..Self::new(Code::RateLimited, message) }
    }

    /// The code that clients branch on.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message that is sent to the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Milliseconds after which the caller may retry: `extensions.retryAfterMs`.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms.or((self.code == Code::Unavailable).then_some(RETRY_AFTER_MS))
    }

    /// True if the database refused a row because of the constraint of this name.
    pub fn violates(&self, constraint: &str) -> bool {
        let source = self.source.as_deref().and_then(|source| source.downcast_ref::<sqlx::Error>());
        source.and_then(|error| error.as_database_error()?.constraint()) == Some(constraint)
    }

    /// True if the cause is an `E`.
    pub fn is_caused_by<E: StdError + 'static>(&self) -> bool {
        matches!(&self.source, Some(source) if source.is::<E>())
    }

    /// The SQLSTATE of a database error.
    fn sqlstate(&self) -> Option<String> {
        let source = self.source.as_deref()?.downcast_ref::<sqlx::Error>()?;
        Some(source.as_database_error()?.code()?.into_owned())
    }

    /// True for a serialization failure or a deadlock: the whole transaction may succeed when it is repeated.
    pub fn is_transient_conflict(&self) -> bool {
        matches!(self.sqlstate().as_deref(), Some("40001" | "40P01"))
    }

    /// The message and all causes, innermost last, in one line for the log.
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

    /// True for a fault of the server: errors of the caller are not logged.
    pub fn is_logged(&self) -> bool {
        matches!(self.code, Code::Internal | Code::Unavailable)
    }

    /// Logs a fault of the server. Errors of the caller are not logged. Call it once for each error.
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
    /// [`Code::Unavailable`] if the database cannot be reached, is overloaded or is shutting down;
    /// [`Code::BadUserInput`] for a text that it cannot store; otherwise [`Code::Internal`].
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as Sql;
        // 22021 is a character that the encoding does not have, 22P05 one that JSON has and text has not: U+0000. The
        // transports refuse it, so this is for a text that was decoded later, such as one inside a cursor.
        if let Sql::Database(refusal) = &error
            && matches!(refusal.code().as_deref(), Some("22021" | "22P05"))
        {
            return Self::new(Code::BadUserInput, "a text contains a character that cannot be stored");
        }
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
