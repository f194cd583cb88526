//! What a verb came to, as it is kept under a client's key.
//!
//! The outcome is kept and the record is not: a repeat reads the record as it is then, so that no client is shown a call
//! that is older than what it has seen.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Calls, record::CallRecord};
use crate::platform::{
    error::Result,
    idempotency::{IdempotencyKey, Idempotent},
    unit::Verb,
};

/// The outcome of a verb on a call, and the call, if it is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer<O> {
    outcome: O,
    call_id: Option<Uuid>,
    /// As the verb left it; a repeat has none.
    #[serde(skip)]
    call: Option<CallRecord>,
}

impl<O> Answer<O> {
    /// What a verb came to on `call`; `None`: no call of that name is known.
    pub(super) fn new(outcome: O, call: Option<CallRecord>) -> Self {
        Self { outcome, call_id: call.as_ref().map(|call| call.id), call }
    }
}

impl Calls {
    /// Runs a verb, under the client's key if there is one.
    pub(super) async fn answered<V, O>(
        &self,
        company_id: Uuid,
        key: Option<IdempotencyKey>,
        verb: V,
    ) -> Result<(O, Option<Arc<CallRecord>>)>
    where
        V: Verb<Outcome = Answer<O>> + Send + 'static,
        O: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let answer = match key {
            Some(key) => self.work.run(Idempotent { key, verb }).await?,
            None => self.work.run(verb).await?,
        };
        self.shown(company_id, answer).await
    }

    /// The outcome of a verb, and the call as its caller is shown it.
    pub(super) async fn shown<O>(&self, company_id: Uuid, answer: Answer<O>) -> Result<(O, Option<Arc<CallRecord>>)> {
        let Answer { outcome, call_id, call } = answer;
        let call = match (call, call_id) {
            (Some(call), _) => Some(Arc::new(call)),
            (None, Some(id)) => self.loaders.call(company_id, id).await?,
            (None, None) => None,
        };
        Ok((outcome, call))
    }
}
