//! The mutations of the queue in the API.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use uuid::Uuid;

use super::{CallQueueContextExt as _, CallQueueItem, objects::CallConcurrency};
use crate::{
    call::{
        graphql::{Call, mutation::user_data},
        rules::CallType,
    },
    call_queue::{CancelOutcome, CanceledCount, CanceledLines, Initiated, NewCall, number},
    platform::{
        error::{Error, Result},
        graphql::{context::ContextExt as _, directives, scalars::Json},
        input,
    },
};

/// Most calls that one request renews.
const MOST_RENEWED: usize = 1_000;

/// A direct call to make.
#[derive(Debug, InputObject)]
pub struct InitiateCallInput {
    /// Whose slots it takes; 1 to 200 characters.
    user_id: ID,
    /// Who speaks; 1 to 200 characters.
    agent_id: ID,
    /// The number of the other side, with its country: +14155552671. Or the contact, or both.
    phone_number: Option<String>,
    /// The company's own name for the other side.
    contact_id: Option<ID>,
    /// The name of the other side.
    contact_name: Option<String>,
    /// Carried, not interpreted; at most 16 KiB.
    user_data: Option<Json>,
    /// A repeat with the same key within 24 hours gets the same answer; 1 to 200 characters.
    idempotency_key: Option<String>,
}

/// Whether a call has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CallAdmission {
    /// It has a slot, and is to be dialled.
    Started,
    /// It waits for one.
    Queued,
}

/// The result of `initiateCall`.
#[derive(SimpleObject)]
pub struct InitiateCallPayload {
    /// Whether the call has a slot.
    admission: CallAdmission,
    /// Why it waits; null if it does not.
    reason: Option<String>,
    /// The call as it is after the request.
    call: Call,
    /// Its item, with its place; null if it does not wait.
    queue_item: Option<CallQueueItem>,
    /// Direct calls of the user that wait, this one included.
    total_in_queue: i32,
}

/// Names an item to cancel.
#[derive(Debug, InputObject)]
pub struct CancelQueuedCallInput {
    /// The item to take out of the line.
    queue_item_id: Uuid,
}

/// The result of `cancelQueuedCall`.
#[derive(SimpleObject)]
pub struct CancelQueuedCallPayload {
    /// Whether it waited until now.
    outcome: CancelOutcome,
    /// The item after the request.
    queue_item: CallQueueItem,
}

/// Calls that are still alive.
#[derive(Debug, InputObject)]
pub struct RenewCallsInput {
    /// 1 to 1,000 calls.
    call_ids: Vec<Uuid>,
}

/// The result of `renewCalls`.
#[derive(Debug, SimpleObject)]
pub struct RenewCallsPayload {
    /// Calls whose slots are renewed.
    #[graphql(directive = directives::list_size::apply(1_000))]
    renewed: Vec<Uuid>,
    /// Calls that have no slot: they have ended, or are not known. The dialer hangs them up.
    #[graphql(directive = directives::list_size::apply(1_000))]
    ended: Vec<Uuid>,
}

/// Limits to set. What is absent stays as it is.
#[derive(Debug, InputObject)]
pub struct SetCallConcurrencyInput {
    /// The user whose limit is set; absent: the company's.
    user_id: Option<ID>,
    /// Calls at once of the user, 1 to 100; with `userId`.
    limit: Option<i32>,
    /// Calls at once of the company, 1 to 1000.
    system_limit: Option<i32>,
}

/// The result of `setCallConcurrency`.
#[derive(Debug, SimpleObject)]
pub struct SetCallConcurrencyPayload {
    /// Limits and counters of the user; null if none was named.
    concurrency: Option<CallConcurrency>,
}

/// Names lines to cancel.
#[derive(Debug, InputObject)]
pub struct CancelQueuedCallsInput {
    /// The user whose waiting calls are canceled.
    user_id: ID,
    /// Only of this type.
    call_type: Option<CallType>,
    /// Only of this campaign.
    campaign_id: Option<Uuid>,
    /// How many items wait there, as the caller has seen; CONFLICT if it is another number.
    expected: i32,
}

/// The result of `cancelQueuedCalls`.
#[derive(Debug, SimpleObject)]
pub struct CancelQueuedCallsPayload {
    /// Items that waited.
    canceled: i32,
    /// Items whose calls have slots; they go on.
    already_dispatched: i32,
}

/// Mutations of the queue.
#[derive(Default)]
pub struct CallQueueMutation;

#[Object]
impl CallQueueMutation {
    /// Makes a direct call. It gets a slot at once or a place in its user's line; nobody is turned away.
    async fn initiate_call(&self, context: &Context<'_>, input: InitiateCallInput) -> Result<InitiateCallPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        let InitiateCallInput { user_id, agent_id, phone_number, contact_id, contact_name, .. } = input;
        let new = NewCall {
            user_id: input::name("userId", &user_id)?,
            agent_id: input::name("agentId", &agent_id)?,
            phone_number: phone_number.map(|text| number::normalise("phoneNumber", &text)).transpose()?,
            contact_id: contact_id.map(|id| input::name("contactId", &id)).transpose()?,
            contact_name: contact_name.map(|name| input::name("contactName", &name)).transpose()?,
            user_data: user_data("userData", input.user_data)?,
        };
        if new.phone_number.is_none() && new.contact_id.is_none() {
            return Err(Error::invalid("phoneNumber", "either phoneNumber or contactId is required"));
        }
        let key = input.idempotency_key.as_deref();
        let Initiated { reason, call, item, total_in_queue } =
            Box::pin(context.call_queue().initiate(principal, new, key)).await?;
        let admission = if item.is_some() { CallAdmission::Queued } else { CallAdmission::Started };
        let queue_item = item.map(CallQueueItem::from);
        Ok(InitiateCallPayload { admission, reason, call: call.into(), queue_item, total_in_queue })
    }

    /// Takes an item out of the line. One whose call has a slot already is to be hung up instead.
    async fn cancel_queued_call(
        &self,
        context: &Context<'_>,
        input: CancelQueuedCallInput,
    ) -> Result<CancelQueuedCallPayload> {
        let principal = context.principal()?;
        let (outcome, item) = Box::pin(context.call_queue().cancel(principal, input.queue_item_id)).await?;
        Ok(CancelQueuedCallPayload { outcome, queue_item: item.into() })
    }

    /// Takes everything that waits in some lines of a user away at once, if as many wait as expected.
    async fn cancel_queued_calls(
        &self,
        context: &Context<'_>,
        input: CancelQueuedCallsInput,
    ) -> Result<CancelQueuedCallsPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        let lines = CanceledLines {
            user_id: input::name("userId", &input.user_id)?,
            call_type: input.call_type,
            campaign_id: input.campaign_id,
            expected: input.expected,
        };
        let CanceledCount { canceled, already_dispatched } =
            Box::pin(context.call_queue().cancel_all(principal, lines)).await?;
        Ok(CancelQueuedCallsPayload { canceled, already_dispatched })
    }

    /// Says that calls are still alive, although nothing new happened to them.
    async fn renew_calls(&self, context: &Context<'_>, input: RenewCallsInput) -> Result<RenewCallsPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        if !(1..=MOST_RENEWED).contains(&input.call_ids.len()) {
            return Err(Error::invalid("callIds", format_args!("must have 1 to {MOST_RENEWED} ids")));
        }
        let renewed = Box::pin(context.call_queue().renew(principal, input.call_ids)).await?;
        Ok(RenewCallsPayload { renewed: renewed.renewed, ended: renewed.ended })
    }

    /// Sets limits. A lower one ends no call; a higher one dispatches at once.
    async fn set_call_concurrency(
        &self,
        context: &Context<'_>,
        input: SetCallConcurrencyInput,
    ) -> Result<SetCallConcurrencyPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        let user_id = input.user_id.map(|id| input::name("userId", &id)).transpose()?;
        if input.limit.is_some() && user_id.is_none() {
            return Err(Error::invalid("limit", "needs userId"));
        }
        if input.limit.is_some_and(|limit| !(1..=100).contains(&limit)) {
            return Err(Error::invalid("limit", "must be 1 to 100"));
        }
        if input.system_limit.is_some_and(|limit| !(1..=1_000).contains(&limit)) {
            return Err(Error::invalid("systemLimit", "must be 1 to 1000"));
        }
        let queue = context.call_queue();
        Box::pin(queue.set_limits(principal, user_id.clone(), input.limit, input.system_limit)).await?;
        let concurrency = match user_id {
            Some(user_id) => {
                let status = queue.status(&context.reading(), principal, &user_id).await?;
                Some(CallConcurrency::new(&user_id, &status))
            }
            None => None,
        };
        Ok(SetCallConcurrencyPayload { concurrency })
    }
}
