//! The part of the schema about coordinated calls.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Subscription};
use futures_util::StreamExt as _;

use super::{
    Completion, CoordinationFeed, GrantToken, Hold, LineKey, NewRequest, Operations, rights,
    rules::{CallType, Grant},
};
use crate::platform::{
    clock::Clock,
    error::{Error, Result},
    event::Cursor,
    graphql::{
        context::ContextExt as _,
        scalars::Datetime,
        source::{self, SourceRegistered},
    },
    input,
    subscription::{self, Change, ChangeOperation},
};

/// Longest id of a chat elsewhere, in bytes.
const LONGEST_CHAT_ID: usize = 128;

/// Asks for the coordination of a chat.
#[derive(Debug, InputObject)]
pub struct CoordinateChatCallInput {
    /// What the caller is about to do.
    call_type: CallType,
    /// The caller's name for this request, 1 to 200 characters. A repeat gets the same grant.
    request_id: String,
    /// A chat here or, for a company's server, any id of its own; 1 to 128 bytes.
    chat_id: ID,
    /// Longest wait for an opposite call; 0 does not wait. Default and most: the setting `SWITCHBOARD_OPERATION_WAIT`.
    wait_ms: Option<i32>,
    /// Length of the lease, 100 to 600000. Default: the setting `SWITCHBOARD_OPERATION_LEASE`.
    lease_ms: Option<i32>,
}

/// The right to call, until it is completed or its lease ends.
#[derive(Debug, SimpleObject)]
pub struct ChatCallGrant {
    /// The request's type.
    call_type: CallType,
    /// The caller's name for the request.
    request_id: String,
    /// Whose line: a chat here, or an id from elsewhere.
    chat_id: ID,
    /// Grows with each grant of this chat: 20 digits, so that the order of texts is the order of numbers.
    fencing_token: String,
    /// When somebody else may be granted it.
    lease_expires_at: Datetime,
    /// How long the request waited.
    held_for_ms: i32,
}

/// The result of `coordinateChatCall`.
#[derive(Debug, SimpleObject)]
pub struct CoordinateChatCallPayload {
    /// The right to call.
    grant: ChatCallGrant,
}

/// Gives the coordination of a chat back.
#[derive(Debug, InputObject)]
pub struct CompleteChatCallInput {
    /// The type of the grant.
    call_type: CallType,
    /// The request of the grant.
    request_id: String,
    /// The chat of the grant.
    chat_id: ID,
    /// The token of the grant.
    fencing_token: String,
    /// False if the call failed; then `(with error)` is in the reason that the next caller reads.
    succeeded: Option<bool>,
}

/// The result of `completeChatCall`.
#[derive(Debug, SimpleObject)]
pub struct CompleteChatCallPayload {
    /// False if nothing of that type, request and token was held.
    completed: bool,
}

/// A grant that the caller holds, shown to a mutation so that it runs inside.
#[derive(Debug, InputObject)]
pub struct ChatCallGrantInput {
    /// The request of the grant.
    request_id: String,
    /// The token of the grant.
    fencing_token: String,
}

impl From<ChatCallGrantInput> for GrantToken {
    fn from(grant: ChatCallGrantInput) -> Self {
        Self { request_id: grant.request_id, token: parse_token(&grant.fencing_token) }
    }
}

fn parse_token(text: &str) -> Option<i64> {
    (text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn chat_id(id: ID) -> Result<String> {
    match id.0 {
        id if (1..=LONGEST_CHAT_ID).contains(&id.len()) && !id.contains('\0') => Ok(id),
        _ => Err(Error::invalid("chatId", format_args!("must have 1 to {LONGEST_CHAT_ID} bytes"))),
    }
}

fn request_id(id: &str) -> Result<String> {
    input::name("requestId", id)
}

/// A message of `coordinationEvents`: a call that waits for its opposite, and how its wait ended.
#[derive(Debug, SimpleObject)]
pub struct CoordinationEvent {
    /// SNAPSHOT: the call waits since before the stream began. INSERT: an event.
    operation: ChangeOperation,
    /// True when the present state is sent again because the log does not hold all events in between.
    resync: bool,
    /// `StartChatCoordinationHold_Start`, `_Complete` or `_Failed`, likewise `EndChat…`; null on READY.
    event: Option<String>,
    /// The call that is held.
    request_id: Option<String>,
    /// Whose line: a chat here, or an id from elsewhere.
    chat_id: ID,
    /// What the call waits for, or after what it proceeds.
    hold_reason: Option<String>,
    /// `StartChat` or `EndChat`: what held the chat when the call came.
    opposite_call_type: Option<String>,
    /// How long the call waited; on `_Complete` and `_Failed`.
    elapsed_time_in_milliseconds: Option<i32>,
    /// Raised by one at each event of the chat's line; null on READY.
    version: Option<i32>,
    /// When it happened; on READY the time of the message.
    occurred_at: Datetime,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
}

impl CoordinationEvent {
    fn new(chat_id: &str, change: Change<Arc<Hold>>) -> Self {
        let Change { operation, record, cursor, resync, .. } = change;
        let hold = record.as_deref();
        Self {
            operation,
            resync,
            event: hold.map(|hold| hold.event.clone()),
            request_id: hold.map(|hold| hold.request_id.clone()),
            chat_id: chat_id.into(),
            hold_reason: hold.map(|hold| hold.hold_reason.clone()),
            opposite_call_type: hold.map(|hold| hold.opposite_call_type.clone()),
            elapsed_time_in_milliseconds: hold.and_then(|hold| hold.elapsed_time_in_milliseconds),
            version: hold.map(|hold| hold.version),
            occurred_at: hold.map_or_else(|| Clock::default().now(), |hold| hold.occurred_at).into(),
            cursor,
        }
    }
}

/// Mutations of lines.
#[derive(Default)]
pub struct OperationMutation;

#[Object]
impl OperationMutation {
    /// Asks for the right to start or end a chat while nobody does the opposite. Waits its turn behind an opposite call;
    /// the errors say why it was not granted.
    async fn coordinate_chat_call(
        &self,
        context: &Context<'_>,
        input: CoordinateChatCallInput,
    ) -> Result<CoordinateChatCallPayload> {
        let principal = context.principal()?;
        let new = NewRequest {
            call_type: input.call_type,
            request_id: request_id(&input.request_id)?,
            chat_id: chat_id(input.chat_id)?,
            wait_ms: input.wait_ms,
            lease_ms: input.lease_ms,
        };
        let chat_id = LineKey::new(principal.company_id, &new.chat_id).chat_id;
        let operations = context.data_unchecked::<Operations>();
        let Grant { call_type, request_id, token, expires_at, held_for_ms } =
            Box::pin(operations.coordinate(principal, new)).await?;
        let fencing_token = format!("{token:020}");
        let (chat_id, lease_expires_at) = (chat_id.into(), expires_at.into());
        let grant = ChatCallGrant { call_type, request_id, chat_id, fencing_token, lease_expires_at, held_for_ms };
        Ok(CoordinateChatCallPayload { grant })
    }

    /// Gives a granted chat back, so that the next caller enters. Changes nothing if the grant is not the present one.
    async fn complete_chat_call(
        &self,
        context: &Context<'_>,
        input: CompleteChatCallInput,
    ) -> Result<CompleteChatCallPayload> {
        let completion = Completion {
            call_type: input.call_type,
            request_id: request_id(&input.request_id)?,
            chat_id: chat_id(input.chat_id)?,
            token: parse_token(&input.fencing_token),
            succeeded: input.succeeded.unwrap_or(true),
        };
        let operations = context.data_unchecked::<Operations>();
        let completed = Box::pin(operations.complete(context.principal()?, completion)).await?;
        Ok(CompleteChatCallPayload { completed })
    }
}

/// Subscriptions to lines.
#[derive(Default)]
pub struct OperationSubscription;

#[Subscription]
impl OperationSubscription {
    /// The calls that wait for an opposite call on this chat, then each wait as it begins and ends. With `after`: the
    /// events since that cursor instead of the present state.
    async fn coordination_events(
        &self,
        context: &Context<'_>,
        chat_id: ID,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<CoordinationEvent>> {
        let principal = context.principal()?;
        rights::may_coordinate(principal)?;
        let key = LineKey::new(principal.company_id, &self::chat_id(chat_id)?);
        let chat_id = key.chat_id.clone();
        let feed = CoordinationFeed { principal: Arc::clone(principal), key };
        let changes = subscription::subscribe(context.sources(), feed, after);
        let events = changes.map(move |change| Ok(CoordinationEvent::new(&chat_id, change?)));
        Ok(source::own(context, events))
    }
}
