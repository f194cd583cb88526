//! Reads for many resolvers at once: those that hang on a list of sessions or providers share a statement.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{record::UserRecord, sql};
use crate::platform::{
    batch::{Reading, Reads},
    error::Result,
    unit::UnitOfWork,
};

/// Most participants that a session shows.
const MOST_USERS: i64 = 1_000;
/// Sessions whose participants one statement reads.
const SESSIONS_AT_ONCE: usize = 20;
/// What a participant takes in memory besides its device info, about.
const USER_BYTES: usize = 400;

/// One coalescer for each kind of row. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loaders {
    users: Reads<Uuid, String, Vec<UserRecord>>,
    user_counts: Reads<Uuid, String, i32>,
    provider_counts: Reads<Uuid, String, (i32, i32)>,
}

impl Loaders {
    /// Loaders on this database.
    pub(super) fn new(work: &UnitOfWork) -> Self {
        let pool = || work.pool().clone();
        Self {
            users: Reads::lists(
                "session_users",
                pool(),
                work.readers().clone(),
                |_| SESSIONS_AT_ONCE,
                |users| users.iter().map(|user| USER_BYTES + user.device_info.to_string().len()).sum(),
                |connection, company_id, sessions| {
                    async move {
                        let mut found: HashMap<String, Vec<UserRecord>> = HashMap::new();
                        for (session, user) in
                            sql::users_of_sessions(connection, company_id, sessions, MOST_USERS).await?
                        {
                            found.entry(session).or_default().push(user);
                        }
                        Ok(found)
                    }
                    .boxed()
                },
            ),
            user_counts: Reads::records("session_user_count", pool(), |connection, company_id, sessions| {
                async move { Ok(sql::count_users(connection, company_id, sessions).await?.into_iter().collect()) }
                    .boxed()
            }),
            provider_counts: Reads::records("session_provider_counts", pool(), |connection, company_id, names| {
                async move { Ok(sql::count_providers(connection, company_id, names).await?.into_iter().collect()) }
                    .boxed()
            }),
        }
    }

    /// The participants of a session, at most 1,000.
    pub(super) async fn users(&self, reading: &Reading, company_id: Uuid, session: &str) -> Result<Vec<UserRecord>> {
        Ok(self.users.get_for(reading, company_id, session.to_owned()).await?.unwrap_or_default())
    }

    /// How many participants a session has.
    pub(super) async fn user_count(&self, company_id: Uuid, session: &str) -> Result<i32> {
        Ok(self.user_counts.get(company_id, session.to_owned()).await?.unwrap_or_default())
    }

    /// How many open sessions are on a provider, and how often it failed in the last hour.
    pub(super) async fn provider_counts(&self, company_id: Uuid, name: &str) -> Result<(i32, i32)> {
        Ok(self.provider_counts.get(company_id, name.to_owned()).await?.unwrap_or_default())
    }
}
