//! The mutations of calls in the API.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use time::Duration;
use uuid::Uuid;

use super::{
    CallContextExt as _, name,
    objects::{Call, CallMessage, CallOperation},
    own_id,
};
use crate::{
    call::{
        Completed, CompletedOperation, FinalizeOutcome, NewCall, NewCallMessage, NewOperation, Report, ReportOutcome,
        rules::{
            CallStatus, EndReason, HangUpOutcome,
            work::{BeginOutcome, OperationKind},
        },
    },
    platform::{
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            scalars::{Datetime, Json},
        },
        input,
    },
};

/// Longest time until a scheduled hang-up, in milliseconds: a day.
const LONGEST_DELAY_MS: i32 = 86_400_000;
/// Drain of a request that names none, in milliseconds.
const DRAIN_MS: i32 = 5_000;
/// Longest drain, in milliseconds.
const LONGEST_DRAIN_MS: i32 = 20_000;
/// Leases that may be asked for, in milliseconds.
const LEASES_MS: std::ops::RangeInclusive<i32> = 100..=600_000;
/// Most bytes of a call's user data.
const MOST_USER_DATA: usize = 16_384;

pub(crate) fn user_data(field: &str, data: Option<Json>) -> Result<Option<serde_json::Value>> {
    let Some(async_graphql::Json(data)) = data else { return Ok(None) };
    if data.to_string().len() > MOST_USER_DATA {
        return Err(Error::invalid(field, format_args!("must have at most {MOST_USER_DATA} bytes")));
    }
    Ok(Some(data))
}

fn maybe(field: &str, value: Option<String>) -> Result<Option<String>> {
    value.map(|value| input::name(field, &value)).transpose()
}

/// A call that began at the provider.
#[derive(Debug, InputObject)]
pub struct RegisterCallInput {
    /// The provider's name for it, 1 to 200 characters.
    call_control_id: String,
    /// Whose call it is.
    user_id: ID,
    /// Who speaks on the company's side, by an id of its own.
    agent_id: ID,
    /// The number of the other side.
    phone_number: Option<String>,
    /// The name of the other side.
    contact_name: Option<String>,
    /// Carried, not interpreted; at most 16 KiB.
    user_data: Option<Json>,
}

/// The result of `registerCall`.
#[derive(SimpleObject)]
pub struct RegisterCallPayload {
    /// The call, as it is now.
    call: Call,
}

/// News of a call.
#[derive(Debug, InputObject)]
pub struct UpdateCallStatusInput {
    /// The call, unless its other name is given.
    call_id: Option<Uuid>,
    /// The provider's name for the call, unless its id is given.
    call_control_id: Option<String>,
    /// The state that the provider reports.
    status: CallStatus,
    /// Why it ended; only with ENDED.
    end_reason: Option<EndReason>,
    /// The provider's name for the call from now on. A call keeps its first one.
    assign_call_control_id: Option<String>,
    /// When it happened; default: now. By this time reports that arrive in any order give the same call.
    occurred_at: Option<Datetime>,
    /// A repeat with the same key gets the first outcome; 1 to 200 characters, kept for a day.
    idempotency_key: Option<String>,
}

/// The result of `updateCallStatus`.
#[derive(SimpleObject)]
pub struct UpdateCallStatusPayload {
    /// What became of the news.
    outcome: ReportOutcome,
    /// The call after the news; null if it is not known yet.
    call: Option<Call>,
}

/// Names a call to hang up.
#[derive(Debug, InputObject)]
pub struct HangUpCallInput {
    /// The call, unless its other name is given.
    call_id: Option<Uuid>,
    /// The provider's name for the call, unless its id is given.
    call_control_id: Option<String>,
    /// Why, for people; 1 to 200 characters.
    reason: String,
    /// The caller's name for this command to this call; a repeat, by whomever, gets the first outcome. 1 to 200 characters,
    /// kept for a day.
    command_id: Option<String>,
}

/// The result of `hangUpCall`.
#[derive(SimpleObject)]
pub struct HangUpCallPayload {
    /// Whether this request began the hang-up.
    outcome: HangUpOutcome,
    /// The call after the request; null if it is not known yet.
    call: Option<Call>,
}

/// Names a call to hang up later.
#[derive(Debug, InputObject)]
pub struct ScheduleHangUpInput {
    /// The call, unless its other name is given.
    call_id: Option<Uuid>,
    /// The provider's name for the call, unless its id is given.
    call_control_id: Option<String>,
    /// How much later, 0 to 86400000 milliseconds. 0 means now, null cancels.
    after_ms: Option<i32>,
    /// Why, for people; 1 to 200 characters.
    reason: String,
}

/// The result of `scheduleHangUp`.
#[derive(SimpleObject)]
pub struct ScheduleHangUpPayload {
    /// When the call will be hung up; null if it will not be, or is being ended.
    hang_up_at: Option<Datetime>,
    /// The call after the request.
    call: Call,
}

/// Asks to be the one that does something on a call.
#[derive(Debug, InputObject)]
pub struct BeginCallOperationInput {
    /// The call, unless its other name is given.
    call_id: Option<Uuid>,
    /// The provider's name for the call, unless its id is given.
    call_control_id: Option<String>,
    /// What is to be done.
    kind: OperationKind,
    /// The caller's name for it, 1 to 200 characters. A repeat gets the same operation, its lease renewed.
    request_id: String,
    /// Length of the lease, 100 to 600000. Default: the setting `SWITCHBOARD_OPERATION_LEASE`.
    lease_ms: Option<i32>,
}

/// The result of `beginCallOperation`.
#[derive(Debug, SimpleObject)]
pub struct BeginCallOperationPayload {
    /// BEGUN: the caller does it, nobody else.
    outcome: BeginOutcome,
    /// The operation, if it was begun.
    operation: Option<CallOperation>,
}

/// Says that an operation is done.
#[derive(Debug, InputObject)]
pub struct CompleteCallOperationInput {
    /// The operation, by the id that its begin was given.
    operation_id: Uuid,
    /// The fencing token that its begin was given.
    fencing_token: String,
    /// False if what was to be done has failed; default true.
    succeeded: Option<bool>,
}

/// The result of `completeCallOperation`.
#[derive(Debug, SimpleObject)]
pub struct CompleteCallOperationPayload {
    /// False if nothing of that token was running.
    completed: bool,
    /// True if work may still begin on the call.
    call_active: bool,
}

/// A line of a transcript to write.
#[derive(Debug, InputObject)]
pub struct AppendCallMessageInput {
    /// The call, unless its other name is given.
    call_id: Option<Uuid>,
    /// The provider's name for the call, unless its id is given.
    call_control_id: Option<String>,
    /// Who spoke, in the company's words; 1 to 200 characters.
    role: String,
    /// What was said; 1 to 10,000 characters.
    text: String,
    /// A repeat with the same key gets the message that the first one wrote; 1 to 200 characters, kept for a day.
    idempotency_key: Option<String>,
}

/// The result of `appendCallMessage`.
#[derive(SimpleObject)]
pub struct AppendCallMessagePayload {
    /// The line as it is stored.
    message: CallMessage,
}

/// Names a call to finalize.
#[derive(Debug, InputObject)]
pub struct FinalizeCallInput {
    /// The call, unless its other name is given.
    call_id: Option<Uuid>,
    /// The provider's name for the call, unless its id is given.
    call_control_id: Option<String>,
    /// Longest wait for running operations, 0 to 20000 milliseconds; default 5000.
    drain_ms: Option<i32>,
}

/// The result of `finalizeCall`.
#[derive(SimpleObject)]
pub struct FinalizeCallPayload {
    /// Whether this request closed the transcript.
    outcome: FinalizeOutcome,
    /// Operations that had not completed when it was closed.
    abandoned_operations: i32,
    /// The call, finalized.
    call: Call,
}

/// Mutations of calls.
#[derive(Default)]
pub struct CallMutation;

#[Object]
impl CallMutation {
    /// Brings in a call that began at the provider. What was reported of it before is applied at once. A repeat returns the
    /// existing call.
    async fn register_call(&self, context: &Context<'_>, input: RegisterCallInput) -> Result<RegisterCallPayload> {
        let new = NewCall {
            call_control_id: input::name("callControlId", &input.call_control_id)?,
            user_id: own_id("userId", &input.user_id)?,
            agent_id: own_id("agentId", &input.agent_id)?,
            phone_number: maybe("phoneNumber", input.phone_number)?,
            contact_name: maybe("contactName", input.contact_name)?,
            user_data: user_data("userData", input.user_data)?,
        };
        let call = Box::pin(context.calls().register(context.principal()?, new)).await?;
        Ok(RegisterCallPayload { call: call.into() })
    }

    /// Reports what happened to a call. Late, repeated and reordered reports never move it back.
    async fn update_call_status(
        &self,
        context: &Context<'_>,
        input: UpdateCallStatusInput,
    ) -> Result<UpdateCallStatusPayload> {
        if input.end_reason.is_some() && input.status != CallStatus::Ended {
            return Err(Error::invalid("endReason", "only with the status ENDED"));
        }
        let report = Report {
            name: name(input.call_id, input.call_control_id)?,
            status: input.status,
            end_reason: input.end_reason,
            assign_call_control_id: maybe("assignCallControlId", input.assign_call_control_id)?,
            occurred_at: input.occurred_at.map(Into::into),
        };
        let key = input.idempotency_key.as_deref();
        let (outcome, call) = Box::pin(context.calls().report(context.principal()?, report, key)).await?;
        Ok(UpdateCallStatusPayload { outcome, call: call.map(Call::from) })
    }

    /// Asks for a call to be hung up. Of any number of requests one begins it; a dialer that sees the call on
    /// `callHangUps` then hangs it up.
    async fn hang_up_call(&self, context: &Context<'_>, input: HangUpCallInput) -> Result<HangUpCallPayload> {
        let reason = input::name("reason", &input.reason)?;
        let command_id = input.command_id.map(|id| input::name("commandId", &id)).transpose()?;
        let name = name(input.call_id, input.call_control_id)?;
        let hang_up = context.calls().hang_up(context.principal()?, name, &reason, command_id.as_deref());
        let (outcome, call) = Box::pin(hang_up).await?;
        Ok(HangUpCallPayload { outcome, call: call.map(Call::from) })
    }

    /// Hangs a call up later. Replaces the call's earlier time.
    async fn schedule_hang_up(
        &self,
        context: &Context<'_>,
        input: ScheduleHangUpInput,
    ) -> Result<ScheduleHangUpPayload> {
        input::name("reason", &input.reason)?;
        let name = name(input.call_id, input.call_control_id)?;
        if input.after_ms.is_some_and(|after| !(0..=LONGEST_DELAY_MS).contains(&after)) {
            return Err(Error::invalid("afterMs", format_args!("must be 0 to {LONGEST_DELAY_MS}")));
        }
        let after = input.after_ms.map(|after| Duration::milliseconds(after.into()));
        let scheduled = Box::pin(context.calls().schedule_hang_up(context.principal()?, name, after)).await?;
        Ok(ScheduleHangUpPayload { hang_up_at: scheduled.0.map(Datetime::from), call: scheduled.1.into() })
    }

    /// Begins an operation on a call. Only who gets BEGUN acts. Nothing begins on a call that ends.
    async fn begin_call_operation(
        &self,
        context: &Context<'_>,
        input: BeginCallOperationInput,
    ) -> Result<BeginCallOperationPayload> {
        if input.lease_ms.is_some_and(|lease| !LEASES_MS.contains(&lease)) {
            let (low, high) = (LEASES_MS.start(), LEASES_MS.end());
            return Err(Error::invalid("leaseMs", format_args!("must be {low} to {high}")));
        }
        let new = NewOperation {
            name: name(input.call_id, input.call_control_id)?,
            kind: input.kind,
            request_id: input::name("requestId", &input.request_id)?,
            lease: input.lease_ms.map_or(context.calls().lease(), |lease| Duration::milliseconds(lease.into())),
        };
        let (outcome, operation) = Box::pin(context.calls().begin_operation(context.principal()?, new)).await?;
        Ok(BeginCallOperationPayload {
            outcome,
            operation: operation.map(|operation| CallOperation::new(operation, true)),
        })
    }

    /// Completes an operation. Changes nothing if its token is not the present one.
    async fn complete_call_operation(
        &self,
        context: &Context<'_>,
        input: CompleteCallOperationInput,
    ) -> Result<CompleteCallOperationPayload> {
        let done = CompletedOperation {
            id: input.operation_id,
            token: input.fencing_token.parse().ok(),
            succeeded: input.succeeded.unwrap_or(true),
        };
        let Completed { completed, call_active } =
            Box::pin(context.calls().complete_operation(context.principal()?, done)).await?;
        Ok(CompleteCallOperationPayload { completed, call_active })
    }

    /// Writes into a call's transcript, until it is finalized.
    async fn append_call_message(
        &self,
        context: &Context<'_>,
        input: AppendCallMessageInput,
    ) -> Result<AppendCallMessagePayload> {
        let new = NewCallMessage {
            name: name(input.call_id, input.call_control_id)?,
            role: input::name("role", &input.role)?,
            text: input::text("text", &input.text)?,
        };
        let key = input.idempotency_key.as_deref();
        let message = Box::pin(context.calls().append(&context.reading(), context.principal()?, new, key)).await?;
        Ok(AppendCallMessagePayload { message: (&message).into() })
    }

    /// Closes the transcript of a call that ends, after its running operations, at most `drainMs` later.
    async fn finalize_call(&self, context: &Context<'_>, input: FinalizeCallInput) -> Result<FinalizeCallPayload> {
        let name = name(input.call_id, input.call_control_id)?;
        let drain_ms = input.drain_ms.unwrap_or(DRAIN_MS);
        if !(0..=LONGEST_DRAIN_MS).contains(&drain_ms) {
            return Err(Error::invalid("drainMs", format_args!("must be 0 to {LONGEST_DRAIN_MS}")));
        }
        let drain = Duration::milliseconds(drain_ms.into());
        let (outcome, call) = Box::pin(context.calls().finalize(context.principal()?, &name, drain)).await?;
        Ok(FinalizeCallPayload { outcome, abandoned_operations: call.abandoned, call: call.into() })
    }
}
