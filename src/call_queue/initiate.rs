//! `initiateCall`: a slot, or a place in line, in one step under the lock of the slots.
//!
//! Calls that arrive together share a transaction: with one transaction each, the one row that all of them lock would be
//! passed on a few hundred times a second. Their keys come first, in order; the lock is waited for without holding it.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{CallQueue, QueueItem, slots, sql};
use crate::{
    call::{CallRecord, record::CALL_DISPATCHED, rules::CallStatus, sql as call_sql},
    platform::{
        auth::Principal,
        batch::{Batched, CallOutcome, Outcomes, WritePath},
        clock,
        error::{Error, Result},
        idempotency::{IdempotencyKey, KeyedCalls},
        unit::Unit,
    },
};

/// A direct call to make. Its fields are within their bounds; it has a number or a contact.
#[derive(Debug, Clone, Serialize)]
pub struct NewCall {
    /// Whose slots it takes.
    pub user_id: String,
    /// Who speaks on the company's side, by an id of its own.
    pub agent_id: String,
    /// The other side, in E.164.
    pub phone_number: Option<String>,
    /// The company's own name for the other side.
    pub contact_id: Option<String>,
    /// The name of the other side.
    pub contact_name: Option<String>,
    /// Carried, not interpreted.
    pub user_data: Option<Value>,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Initiated {
    /// Why it waits; `None`: it has a slot.
    pub reason: Option<String>,
    /// The call, RESERVED or QUEUED.
    pub call: CallRecord,
    /// Its item, if it waits.
    pub item: Option<QueueItem>,
    /// Direct calls of the user that wait.
    pub total_in_queue: i32,
}

/// One call of the mutation.
pub(super) struct Initiate {
    company_id: Uuid,
    actor: String,
    call_id: Uuid,
    queue_id: Uuid,
    key: Option<IdempotencyKey>,
    new: NewCall,
}

impl Batched for Initiate {
    const KIND: &'static str = "initiateCall";
    const IS_ALWAYS_LOCKED: bool = true;
    type Outcome = Initiated;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject(&self) -> Uuid {
        // The lock that carries the decision is the company's.
        self.company_id
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.actor)
    }

    async fn run(calls: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<Initiated>> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let company_id = first.company_id;
        if path == WritePath::Guarded {
            // Nothing is decided without the lock.
            return Ok(calls.iter().map(|_| CallOutcome::PremiseFailed { subject: company_id }).collect());
        }
        let keyed = KeyedCalls::begin(unit, calls.iter().map(|call| call.key.as_ref()).collect()).await?;
        let fresh: Vec<&Self> = keyed.fresh().into_iter().map(|index| &*calls[index]).collect();
        let made = make(&fresh, company_id, unit).await?;
        let outcomes = keyed.finish(unit, made.into_iter().map(|initiated| Some(Ok(initiated)))).await?;
        let decided = |outcome: Option<Result<Initiated>>| {
            CallOutcome::Decided(outcome.unwrap_or_else(|| Err(Error::internal("a call of a batch has no outcome"))))
        };
        Ok(outcomes.into_iter().map(decided).collect())
    }
}

/// Makes calls that were not made before; what became of each.
async fn make(fresh: &[&Initiate], company_id: Uuid, unit: &mut Unit<'_>) -> Result<Vec<Initiated>> {
    let mut made = Vec::new();
    if fresh.is_empty() {
        return Ok(made);
    }
    slots::lock(unit, company_id).await?;
    let ids: Vec<(Uuid, Uuid)> = fresh.iter().map(|call| (call.call_id, call.queue_id)).collect();
    let new: Vec<&NewCall> = fresh.iter().map(|call| &call.new).collect();
    let reasons = sql::initiate_calls(unit.connection(), company_id, &ids, &new).await?;
    let actor = fresh.first().map(|call| call.actor.as_str());
    let of = |is_started: bool| {
        let chosen = fresh.iter().zip(&reasons).filter(move |(_, reason)| reason.is_none() == is_started);
        chosen.map(|(call, _)| call.call_id).collect::<Vec<Uuid>>()
    };
    let (started, waiting) = (of(true), of(false));
    let mut calls: HashMap<Uuid, CallRecord> = HashMap::new();
    for call in call_sql::find_calls(unit.connection(), company_id, &started).await? {
        unit.changes().record(CALL_DISPATCHED, actor, &call, None)?;
        calls.insert(call.id, call);
    }
    slots::queued(unit, company_id, &waiting, actor).await?;
    slots::dispatch(unit, company_id).await?;
    if !waiting.is_empty() {
        let found = call_sql::find_calls(unit.connection(), company_id, &waiting).await?;
        calls.extend(found.into_iter().map(|call| (call.id, call)));
    }
    let items: Vec<Uuid> = fresh.iter().map(|call| call.queue_id).collect();
    let items =
        if waiting.is_empty() { Vec::new() } else { sql::find_items(unit.connection(), company_id, &items).await? };
    let mut items: HashMap<Uuid, QueueItem> = items.into_iter().map(|item| (item.id, item)).collect();
    let mut totals: HashMap<&str, i32> = HashMap::new();
    for (call, reason) in fresh.iter().zip(reasons) {
        let record = calls.remove(&call.call_id).ok_or_else(|| Error::internal("an initiated call is gone"))?;
        let user_id = call.new.user_id.as_str();
        let total_in_queue = if let Some(total) = totals.get(user_id) {
            *total
        } else {
            let total = sql::status(unit.connection(), company_id, user_id).await?.queued_direct;
            totals.insert(user_id, total);
            total
        };
        let is_queued = record.status == CallStatus::Queued;
        let label = if is_queued { "queued" } else { "started" };
        unit.changes().count("switchboard_call_queue_admissions_total", &[("admission", label)]);
        let item = items.remove(&call.queue_id).filter(|_| is_queued);
        let reason = reason.filter(|_| is_queued);
        made.push(Initiated { reason, call: record, item, total_in_queue });
    }
    Ok(made)
}

impl CallQueue {
    /// Makes a direct call: it gets a slot, or a place in its user's line. A repeat with the same key gets the same answer.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `IDEMPOTENCY_MISMATCH`; `RATE_LIMITED` if too many requests wait.
    #[tracing::instrument(name = "call_queue.initiate", skip_all)]
    pub async fn initiate(&self, principal: &Principal, new: NewCall, key: Option<&str>) -> Result<Initiated> {
        principal.require_company()?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        let key = key.map(|key| IdempotencyKey::new(company_id, &actor, "initiateCall", key, &new)).transpose()?;
        let (call_id, queue_id) = (clock::new_id(), clock::new_id());
        self.initiating.run(Initiate { company_id, actor, call_id, queue_id, key, new }).await
    }
}
