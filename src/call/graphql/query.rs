//! Queries on calls.

use async_graphql::{
    Context, ID, Object, SimpleObject,
    connection::{Connection, EmptyFields},
};
use uuid::Uuid;

use super::{CallContextExt as _, objects::Call};
use crate::{
    call::{
        CallSearch,
        list::place,
        rules::{CallStatus, InactiveReason},
    },
    platform::{
        error::Result,
        graphql::{
            context::ContextExt as _,
            directives,
            page::{self, Place},
        },
        input,
    },
};

/// Whether work may begin on a call.
#[derive(Debug, SimpleObject)]
pub struct CallActivity {
    /// True if work may begin.
    active: bool,
    /// Why not; null if it may.
    reason: Option<InactiveReason>,
    /// The call; null if no call of that name is known.
    call_id: Option<Uuid>,
}

/// Queries on calls.
#[derive(Default)]
pub struct CallQuery;

#[Object]
impl CallQuery {
    /// True unless a hang-up is pending, or the call is unknown, finalized, transferred or over.
    async fn check_call_active(&self, context: &Context<'_>, call_control_id: String) -> Result<CallActivity> {
        let name = input::name("callControlId", &call_control_id)?;
        let (call_id, reason) = context.calls().activity(context.principal()?, name).await?;
        Ok(CallActivity { active: reason.is_none(), reason, call_id })
    }

    /// One call, by exactly one of its names.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call(
        &self,
        context: &Context<'_>,
        id: Option<Uuid>,
        call_control_id: Option<String>,
    ) -> Result<Option<Call>> {
        let principal = context.principal()?;
        principal.require_company()?;
        let name = super::name(id, call_control_id)?;
        Ok(context.calls().call(principal, &name).await?.map(Call::from))
    }

    /// The calls that match the arguments, newest first.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn calls(
        &self,
        context: &Context<'_>,
        user_id: Option<ID>,
        campaign_id: Option<Uuid>,
        status: Option<Vec<CallStatus>>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, Call, EmptyFields, EmptyFields>> {
        let size = page::size("first", first)?;
        let after = after.map(|cursor| Place::parse("after", &cursor)).transpose()?;
        let user_id = user_id.map(|id| super::own_id("userId", &id)).transpose()?;
        let search = CallSearch { user_id, campaign_id, status };
        let found = context.calls().list(&context.reading(), context.principal()?, search, after, size).await?;
        Ok(found.into_connection(place, Call::from))
    }
}
