//! Calls of the SQL functions that decide: their results, and what they refuse.

use std::future::Future;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Sessions;
use crate::platform::{
    error::{Code, Error, Result},
    unit::{Lines, Unit, Verb},
};

/// A call of one SQL function, as a value.
pub(super) trait FunctionCall: Send + Sync + 'static {
    /// The function's name, for metrics.
    const FUNCTION: &'static str;
    /// The function's result, once it has not refused.
    type Outcome: DeserializeOwned;

    /// Where it waits before it takes a connection.
    fn lines(&self) -> Lines;

    /// Calls it. One statement, so its own transaction.
    fn call(&self, connection: &mut PgConnection) -> impl Future<Output = Result<Value>> + Send;
}

/// A call as a verb of the unit of work. The function appends its events itself.
struct Called<F>(F);

impl<F: FunctionCall> Verb for Called<F> {
    type Outcome = Value;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Value> {
        self.0.call(unit.connection()).await
    }

    fn lines(&self) -> Lines {
        self.0.lines()
    }
}

/// The lines of a call about a session: the calls about one session take one connection, and one caller leaves some to
/// the others.
pub(super) fn lines(company_id: Uuid, session_id: &str, caller: &str) -> Lines {
    let session = Lines::id_of(&["session", session_id]);
    Lines { subject: Some((company_id, session)), caller: Some((company_id, caller.to_owned())) }
}

impl Sessions {
    /// Calls a function of the database.
    ///
    /// # Errors
    /// What the function refuses, by its code; `RATE_LIMITED` if too many calls about the session wait; `UNAVAILABLE`.
    pub(super) async fn call<F: FunctionCall>(&self, function: F) -> Result<F::Outcome> {
        let result = self.work.run_statement(Called(function)).await?;
        metrics::counter!("switchboard_session_calls_total", "function" => F::FUNCTION).increment(1);
        decoded(result)
    }
}

/// The result of a function, or the error that it gave.
pub(super) fn decoded<T: DeserializeOwned>(result: Value) -> Result<T> {
    if result.get("success") == Some(&Value::Bool(false)) {
        let text = |name: &str| result.get(name).and_then(Value::as_str).unwrap_or_default();
        let code = Code::ALL.into_iter().find(|code| code.as_str() == text("code")).unwrap_or(Code::Internal);
        return Err(Error::new(code, text("error")));
    }
    Ok(serde_json::from_value(result)?)
}
