//! Finding calls: by id, by the provider's name, in lists, and whether one is active.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Calls,
    append::{CallMessage, MessageWindow},
    loaders::CallList,
    operation::Operation,
    record::{CallName, CallRecord},
    rights,
    rules::{self, CallStatus, InactiveReason},
};
use crate::platform::{
    auth::Principal,
    batch::Reading,
    error::{Error, Result},
    graphql::page::{Page, Place},
};

/// Which calls are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CallSearch {
    /// Only of this user.
    pub user_id: Option<String>,
    /// Only of this campaign.
    pub campaign_id: Option<Uuid>,
    /// Only in these states.
    pub status: Option<Vec<CallStatus>>,
}

/// The place of a call in lists: newest first.
pub(super) fn place(call: &Arc<CallRecord>) -> Place {
    Place { at: OffsetDateTime::UNIX_EPOCH, id: call.id }
}

impl Calls {
    /// One call.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn call(&self, principal: &Principal, name: &CallName) -> Result<Option<Arc<CallRecord>>> {
        rights::require(principal)?;
        let company_id = principal.company_id;
        let id = match name {
            CallName::Id(id) => Some(*id),
            CallName::ControlId(name) => self.loaders.call_of_name(company_id, name).await?,
        };
        match id {
            Some(id) => self.loaders.call(company_id, id).await,
            None => Ok(None),
        }
    }

    /// The operations that run on a call.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn operations(&self, principal: &Principal, call_id: Uuid) -> Result<Vec<Operation>> {
        rights::require(principal)?;
        self.loaders.operations(principal.company_id, call_id).await
    }

    /// The calls that pass, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn list(
        &self,
        reading: &Reading,
        principal: &Principal,
        search: CallSearch,
        after: Option<Place>,
        size: usize,
    ) -> Result<Page<Arc<CallRecord>>> {
        rights::require(principal)?;
        let before = after.map(|place| place.id);
        let list = CallList { company_id: principal.company_id, search, before, limit: size + 1 };
        let found = self.loaders.list(reading, list).await?;
        Ok(Page::forward(found, size, after.is_some()))
    }

    /// The call of a name, and why it is not active; without a reason it is.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn activity(
        &self,
        principal: &Principal,
        control_id: String,
    ) -> Result<(Option<Uuid>, Option<InactiveReason>)> {
        let call = self.call(principal, &CallName::ControlId(control_id)).await?;
        Ok((call.as_ref().map(|call| call.id), rules::inactive(call.as_deref())))
    }

    /// One message of a transcript.
    pub(super) async fn message(
        &self,
        reading: &Reading,
        company_id: Uuid,
        call_id: Uuid,
        number: i32,
    ) -> Result<CallMessage> {
        let window = MessageWindow { after: number - 1, before: number + 1, newest_first: false, limit: 1 };
        let found = self.loaders.messages(reading, company_id, call_id, window).await?.pop();
        found.map(Arc::unwrap_or_clone).ok_or_else(|| Error::internal("a message that was written is gone"))
    }

    /// A window of one call's messages, in the window's order.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub(super) async fn messages(
        &self,
        reading: &Reading,
        principal: &Principal,
        call_id: Uuid,
        window: MessageWindow,
    ) -> Result<Vec<Arc<CallMessage>>> {
        rights::require(principal)?;
        self.loaders.messages(reading, principal.company_id, call_id, window).await
    }
}
