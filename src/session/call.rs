//! Calls of the SQL functions that decide: their results, and what they refuse.

use std::future::Future;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;

use super::Sessions;
use crate::platform::{
    error::{Code, Error, Result},
    unit::{Unit, Verb},
};

/// A call of one SQL function, as a value.
pub(super) trait FunctionCall: Sync {
    /// The function's name, for metrics.
    const FUNCTION: &'static str;
    /// The function's result, once it has not refused.
    type Outcome: DeserializeOwned;

    /// Calls it. One statement, so its own transaction.
    fn call(&self, connection: &mut PgConnection) -> impl Future<Output = Result<Value>> + Send;
}

/// A call as a verb of the unit of work. The function appends its events itself.
struct Called<'a, F>(&'a F);

impl<F: FunctionCall> Verb for Called<'_, F> {
    type Outcome = Value;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Value> {
        self.0.call(unit.connection()).await
    }
}

impl Sessions {
    /// Calls a function of the database.
    ///
    /// # Errors
    /// What the function refuses, by its code; `UNAVAILABLE`.
    pub(super) async fn call<F: FunctionCall>(&self, function: &F) -> Result<F::Outcome> {
        let mut connection = self.work.pool().acquire().await?;
        let result = self.work.run_guarded(&mut connection, &Called(function)).await?;
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
