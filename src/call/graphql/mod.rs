//! The call part of the schema.

pub mod mutation;
pub mod objects;
pub mod query;

use async_graphql::{Context, ID, Subscription};
use std::sync::Arc;
use uuid::Uuid;

pub use self::{
    mutation::CallMutation,
    objects::{Call, CallMessage},
    query::CallQuery,
};
use super::{CallFeed, CallFilter, CallName, Calls, Work, rights, rules::CallStatus};
use crate::platform::{
    error::{Error, Result},
    event::Cursor,
    graphql::{
        context::ContextExt as _,
        source::{self, SourceRegistered},
        stream_event::StreamEvent,
    },
    input,
};

/// What the resolvers of this concept read from the context.
trait CallContextExt<'a> {
    /// The verbs and reads of the concept.
    fn calls(&self) -> &'a Calls;
}

impl<'a> CallContextExt<'a> for Context<'a> {
    fn calls(&self) -> &'a Calls {
        self.data_unchecked()
    }
}

/// The name that a request gives, if it gives one.
fn maybe_name(id: Option<Uuid>, control_id: Option<String>) -> Result<Option<CallName>> {
    match (id, control_id) {
        (None, None) => Ok(None),
        (Some(id), None) => Ok(Some(CallName::Id(id))),
        (None, Some(name)) => Ok(Some(CallName::ControlId(input::name("callControlId", &name)?))),
        (Some(_), Some(_)) => Err(Error::invalid("callControlId", "name the call by one of the two, not by both")),
    }
}

/// The name that a request must give.
fn name(id: Option<Uuid>, control_id: Option<String>) -> Result<CallName> {
    maybe_name(id, control_id)?.ok_or_else(|| Error::invalid("callId", "name the call by callId or callControlId"))
}

/// An id that the company chose.
fn own_id(field: &str, id: &ID) -> Result<String> {
    input::name(field, id)
}

/// Subscriptions to calls.
#[derive(Default)]
pub struct CallSubscription;

#[Subscription]
impl CallSubscription {
    /// The open calls that match the arguments, then every change of calls that match. A call that stops matching is sent
    /// as DELETE. With one call: its present state, then every change of it. With `after`: the changes since that cursor
    /// instead of the present state.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn call_status(
        &self,
        context: &Context<'_>,
        call_id: Option<Uuid>,
        call_control_id: Option<String>,
        user_id: Option<ID>,
        campaign_id: Option<Uuid>,
        status: Option<CallStatus>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Call>>> {
        let filter = CallFilter {
            name: maybe_name(call_id, call_control_id)?,
            user_id: user_id.map(|id| own_id("userId", &id)).transpose()?,
            campaign_id,
            status,
            waits_for: None,
        };
        stream(context, filter, after)
    }

    /// For dialers: the calls that are to be hung up now, then each that enters (INSERT) or leaves (DELETE).
    async fn call_hang_ups(
        &self,
        context: &Context<'_>,
        user_id: Option<ID>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Call>>> {
        work(context, Work::HangUp, user_id, after)
    }

    /// For dialers: the calls that have a slot and are to be dialled now, then each that enters (INSERT) or leaves (DELETE).
    async fn call_dispatched(
        &self,
        context: &Context<'_>,
        user_id: Option<ID>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Call>>> {
        work(context, Work::Dial, user_id, after)
    }
}

fn work(
    context: &Context<'_>,
    work: Work,
    user_id: Option<ID>,
    after: Option<Cursor>,
) -> Result<SourceRegistered<StreamEvent<Call>>> {
    let user_id = user_id.map(|id| own_id("userId", &id)).transpose()?;
    stream(context, CallFilter { user_id, waits_for: Some(work), ..CallFilter::default() }, after)
}

fn stream(
    context: &Context<'_>,
    filter: CallFilter,
    after: Option<Cursor>,
) -> Result<SourceRegistered<StreamEvent<Call>>> {
    let principal = context.principal()?;
    rights::require(principal)?;
    let feed = CallFeed { principal: Arc::clone(principal), filter };
    Ok(source::events(context, feed, after))
}
