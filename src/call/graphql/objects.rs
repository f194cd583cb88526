//! Calls as the API shows them.

use std::sync::Arc;

use async_graphql::{
    Context, ID, Object, SimpleObject,
    connection::{Connection, Edge, EmptyFields},
};
use uuid::Uuid;

use super::CallContextExt as _;
use crate::{
    call::{
        self, CallRecord, Operation,
        append::MessageWindow,
        rights,
        rules::{CallStatus, CallType, EndReason, work::OperationKind},
    },
    call_queue::graphql::{CallQueueContextExt as _, CallQueueItem},
    platform::{
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            directives,
            page::{self, Page},
            scalars::{Datetime, Json},
        },
    },
};

/// Kinds of operations, of each of which one runs at most.
const KINDS: i32 = 5;

/// The object `Call` of the schema.
pub struct Call(Arc<CallRecord>);

impl From<CallRecord> for Call {
    fn from(record: CallRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<CallRecord>> for Call {
    fn from(record: Arc<CallRecord>) -> Self {
        Self(record)
    }
}

/// One phone call.
#[Object]
impl Call {
    /// Our id; a call keeps it for life.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The provider's name for it.
    async fn call_control_id(&self) -> Option<&str> {
        self.0.call_control_id.as_deref()
    }

    /// Whose call it is.
    async fn user_id(&self) -> ID {
        self.0.user_id.as_str().into()
    }

    /// Who speaks on the company's side, by an id of its own.
    async fn agent_id(&self) -> ID {
        self.0.agent_id.as_str().into()
    }

    /// Direct or a campaign's.
    async fn call_type(&self) -> CallType {
        self.0.call_type
    }

    /// Whose campaign's it is; null for a direct call.
    async fn campaign_id(&self) -> Option<Uuid> {
        self.0.campaign_id
    }

    /// The number of the other side.
    async fn phone_number(&self) -> Option<&str> {
        self.0.phone_number.as_deref()
    }

    /// The company's own name for the other side.
    async fn contact_id(&self) -> Option<ID> {
        self.0.contact_id.as_deref().map(ID::from)
    }

    /// The name of the other side.
    async fn contact_name(&self) -> Option<&str> {
        self.0.contact_name.as_deref()
    }

    /// Carried, not interpreted.
    async fn user_data(&self) -> Option<Json> {
        self.0.user_data.clone().map(async_graphql::Json)
    }

    /// Which try this is.
    async fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// True if the other side called.
    async fn inbound(&self) -> bool {
        self.0.inbound
    }

    /// End of the lease of its slot; null while it holds none.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn lease_expires_at(&self, context: &Context<'_>) -> Result<Option<Datetime>> {
        let lease = Box::pin(context.call_queue().lease_of_call(context.principal()?, self.0.id)).await?;
        Ok(lease.map(Datetime::from))
    }

    /// The item with which it waits, or has waited; null if it never did.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn queue_item(&self, context: &Context<'_>) -> Result<Option<CallQueueItem>> {
        let item = Box::pin(context.call_queue().item_of_call(context.principal()?, self.0.id)).await?;
        Ok(item.map(CallQueueItem::from))
    }

    /// How far it has come; never goes back.
    async fn status(&self) -> CallStatus {
        self.0.status
    }

    /// Why it ended; null until then.
    async fn end_reason(&self) -> Option<EndReason> {
        self.0.end_reason
    }

    /// True if somebody has asked to hang it up.
    async fn pending_hang_up(&self) -> bool {
        self.0.pending_hang_up
    }

    /// Raised when the call ends; work that carries an older one is stale.
    async fn generation(&self) -> i32 {
        self.0.generation
    }

    /// Starts at 1 and is raised by one at each change; a higher version is the newer state.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it was queued.
    async fn queued_at(&self) -> Option<Datetime> {
        self.0.queued_at.map(Datetime::from)
    }

    /// When it began to ring.
    async fn started_at(&self) -> Option<Datetime> {
        self.0.started_at.map(Datetime::from)
    }

    /// When it was answered.
    async fn answered_at(&self) -> Option<Datetime> {
        self.0.answered_at.map(Datetime::from)
    }

    /// When it ended.
    async fn ended_at(&self) -> Option<Datetime> {
        self.0.ended_at.map(Datetime::from)
    }

    /// When its transcript was closed.
    async fn finalized_at(&self) -> Option<Datetime> {
        self.0.finalized_at.map(Datetime::from)
    }

    /// When it will be hung up; null if no hang-up is scheduled.
    async fn hang_up_at(&self) -> Option<Datetime> {
        self.0.hang_up_at.map(Datetime::from)
    }

    /// The operations that run now.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(KINDS)
    )]
    async fn operations(&self, context: &Context<'_>) -> Result<Vec<CallOperation>> {
        let principal = context.principal()?;
        let reader = rights::name(principal);
        let running = Box::pin(context.calls().operations(principal, self.0.id)).await?;
        let seen = |operation: Operation| {
            let is_own = operation.principal == reader;
            CallOperation::new(operation, is_own)
        };
        Ok(running.into_iter().map(seen).collect())
    }

    /// The transcript, oldest first.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn messages(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, CallMessage, EmptyFields, EmptyFields>> {
        Box::pin(messages(context, &self.0, first, after, last, before)).await
    }
}

/// Something that is done on a call.
#[derive(Debug, SimpleObject)]
pub struct CallOperation {
    /// The operation's id; an id is never given twice.
    id: Uuid,
    /// Our id of the call that it belongs to.
    call_id: Uuid,
    /// What is done.
    kind: OperationKind,
    /// The owner's name for it.
    request_id: String,
    /// Grows with each operation of the call: 20 digits. Null for others than its owner.
    fencing_token: Option<String>,
    /// When somebody else may begin it.
    lease_expires_at: Datetime,
}

impl CallOperation {
    /// The operation as a reader sees it.
    pub(super) fn new(operation: Operation, is_own: bool) -> Self {
        let Operation { id, call_id, kind, request_id, token, expires_at, .. } = operation;
        let fencing_token = is_own.then(|| format!("{token:020}"));
        Self { id, call_id, kind, request_id, fencing_token, lease_expires_at: expires_at.into() }
    }
}

/// A line of a transcript.
#[derive(Debug, SimpleObject)]
pub struct CallMessage {
    /// Its id, made before it was written, so that a repeat finds it.
    id: Uuid,
    /// Our id of the call that it belongs to.
    call_id: Uuid,
    /// Who spoke, in the company's words.
    role: String,
    /// What was said.
    text: String,
    /// When it was written.
    inserted_at: Datetime,
}

impl From<&call::CallMessage> for CallMessage {
    fn from(message: &call::CallMessage) -> Self {
        let call::CallMessage { id, call_id, role, text, inserted_at, .. } = message;
        let (id, call_id, role, text) = (*id, *call_id, role.clone(), text.clone());
        Self { id, call_id, role, text, inserted_at: (*inserted_at).into() }
    }
}

fn number(argument: &str, cursor: Option<String>) -> Result<Option<i32>> {
    let parse = |cursor: String| cursor.parse().map_err(|_| Error::invalid(argument, "is not a cursor of this list"));
    cursor.map(parse).transpose()
}

/// A page of a transcript. A message's cursor is its number.
async fn messages(
    context: &Context<'_>,
    call: &CallRecord,
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Result<Connection<String, CallMessage, EmptyFields, EmptyFields>> {
    if first.is_some() && last.is_some() {
        return Err(Error::invalid("last", "not together with first"));
    }
    let is_backward = last.is_some();
    let size = if is_backward { page::size("last", last)? } else { page::size("first", first)? };
    let (after, before) = (number("after", after)?, number("before", before)?);
    let (after_number, before_number) = (after.unwrap_or(0), before.unwrap_or(i32::MAX));
    let window =
        MessageWindow { after: after_number, before: before_number, newest_first: is_backward, limit: size + 1 };
    let found = context.calls().messages(&context.reading(), context.principal()?, call.id, window).await?;
    let page = if is_backward {
        Page::backward(found, size, before.is_some())
    } else {
        Page::forward(found, size, after.is_some())
    };
    let mut connection = Connection::new(page.behind, page.ahead);
    let edge = |message: Arc<call::CallMessage>| Edge::new(message.number.to_string(), (&*message).into());
    connection.edges = page.items.into_iter().map(edge).collect();
    Ok(connection)
}
