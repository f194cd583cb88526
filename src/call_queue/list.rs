//! Lists for operators.

use std::{fmt, sync::Arc};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    CallQueue, QueueItem, Status,
    reads::{ItemList, UserList},
};
use crate::{
    call::rules::CallType,
    platform::{
        auth::Principal,
        batch::Reading,
        error::{Error, Result},
        graphql::page::Page,
    },
};

/// A user in the operators' list.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueUser {
    /// Whose calls, by an id of the company's own.
    pub user_id: String,
    /// Limits and counters.
    pub status: Status,
    /// When the item was queued that is next; `None`: none may be dispatched.
    pub oldest_queued_at: Option<OffsetDateTime>,
}

/// The place of a user in the list: by the length of its line, then by name. Its text form is the page's cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserPlace {
    /// Items that wait.
    pub queued: i32,
    /// Whose calls, by an id of the company's own.
    pub user_id: String,
}

impl UserPlace {
    /// Parses the cursor that a request gave as `argument`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for any other text.
    pub fn parse(argument: &str, cursor: &str) -> Result<Self> {
        let place = cursor
            .split_once(':')
            .and_then(|(queued, user_id)| Some(Self { queued: queued.parse().ok()?, user_id: user_id.to_owned() }));
        place.ok_or_else(|| Error::invalid(argument, "is not a cursor of this list"))
    }
}

impl fmt::Display for UserPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.queued, self.user_id)
    }
}

impl QueueUser {
    /// Its place in the list.
    pub fn place(&self) -> UserPlace {
        let queued = self.status.queued_direct + self.status.queued_campaign;
        UserPlace { queued, user_id: self.user_id.clone() }
    }
}

impl CallQueue {
    /// Users, the longest line first.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn users(
        &self,
        reading: &Reading,
        principal: &Principal,
        after: Option<UserPlace>,
        size: usize,
    ) -> Result<Page<QueueUser>> {
        principal.require_company()?;
        let is_behind = after.is_some();
        let list = UserList { company_id: principal.company_id, after, limit: size + 1 };
        Ok(Page::forward(self.reads.users(reading, list).await?, size, is_behind))
    }

    /// Campaign calls of a user, of the last day, that were dispatched before a direct call without a reason.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn priority_violations(&self, reading: &Reading, principal: &Principal, user_id: &str) -> Result<i64> {
        principal.require_company()?;
        self.reads.violations(reading, principal.company_id, user_id).await
    }

    /// Open items of a user, oldest first.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn items(
        &self,
        reading: &Reading,
        principal: &Principal,
        user_id: String,
        call_type: Option<CallType>,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Page<Arc<QueueItem>>> {
        principal.require_company()?;
        let list = ItemList { company_id: principal.company_id, user_id, call_type, after, limit: size + 1 };
        Ok(Page::forward(self.reads.items(reading, list).await?, size, after.is_some()))
    }
}
