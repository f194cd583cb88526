//! Reads of sessions.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

use super::{
    Sessions,
    loaders::SessionList,
    record::{SessionRecord, UserRecord},
    rights,
};
use crate::platform::{
    auth::Principal,
    batch::Reading,
    error::{Error, Result},
    graphql::page::Page,
};

/// The place of a session in the list: its cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionPlace {
    pub(super) at: OffsetDateTime,
    pub(super) session_id: String,
}

impl SessionPlace {
    /// The place of a session.
    pub fn of(session: &SessionRecord) -> Self {
        Self { at: session.created_at, session_id: session.session_id.clone() }
    }

    /// Parses the cursor that a request gave as `argument`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for text that is no cursor of this list.
    pub fn parse(argument: &str, cursor: &str) -> Result<Self> {
        let place = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (time, id) = bytes.split_at_checked(16)?;
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(time.try_into().ok()?)).ok()?;
            Some(Self { at, session_id: String::from_utf8(id.to_vec()).ok()? })
        };
        place().ok_or_else(|| Error::invalid(argument, "is not a cursor of this list"))
    }

    /// The cursor.
    pub fn cursor(&self) -> String {
        let mut bytes = self.at.unix_timestamp_nanos().to_be_bytes().to_vec();
        bytes.extend(self.session_id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl Sessions {
    /// A session as it is now.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn session(&self, principal: &Principal, session_id: &str) -> Result<Option<Arc<SessionRecord>>> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.session(principal.company_id, session_id).await
    }

    /// The participants of a session as they are now, at most 1,000.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub(crate) async fn users(
        &self,
        reading: &Reading,
        principal: &Principal,
        session_id: &str,
    ) -> Result<Vec<UserRecord>> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.users(reading, principal.company_id, session_id).await
    }

    /// How many participants a session has.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn user_count(&self, principal: &Principal, session_id: &str) -> Result<i32> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.user_count(principal.company_id, session_id).await
    }

    /// How many open sessions are on a provider of the company, and how often it failed in the last hour.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn provider_counts(&self, principal: &Principal, name: &str) -> Result<(i32, i32)> {
        principal.require_company()?;
        self.loaders.provider_counts(principal.company_id, name).await
    }

    /// A page of the company's sessions, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn list(
        &self,
        reading: &Reading,
        principal: &Principal,
        active: Option<bool>,
        provider: Option<String>,
        after: Option<SessionPlace>,
        size: usize,
    ) -> Result<Page<Arc<SessionRecord>>> {
        principal.require_company()?;
        let is_behind = after.is_some();
        let company_id = principal.company_id;
        let list = SessionList { company_id, active, provider, before: after, limit: size + 1 };
        Ok(Page::forward(self.loaders.list(reading, list).await?, size, is_behind))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_parses_to_the_place_that_wrote_it() {
        let place =
            SessionPlace { at: time::macros::datetime!(2030-01-31 12:00:00.5 UTC), session_id: "a/ü".to_owned() };
        assert_eq!(SessionPlace::parse("after", &place.cursor()).unwrap(), place);
        assert!(SessionPlace::parse("after", "?").unwrap_err().message().starts_with("after: "));
    }
}
