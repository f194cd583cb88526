//! Reads for many resolvers at once: those that hang on a list of sessions or providers share a statement, and those that
//! call a function for one session take the reader's share of the connections.

use std::{collections::HashMap, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    call,
    health::{Overview, Recommended, Stale, UserHealth},
    list::SessionPlace,
    record::{AlertRecord, ProviderRecord, QualityRecord, SessionRecord, UserRecord},
    sql,
};
use crate::platform::{
    batch::{Reading, Reads},
    error::{Error, Result},
    unit::UnitOfWork,
};

/// Most participants that a session shows.
const MOST_USERS: i64 = 1_000;
/// Sessions whose participants one statement reads.
const SESSIONS_AT_ONCE: usize = 20;
/// What a participant takes in memory besides its device info, about.
const USER_BYTES: usize = 400;

/// A page of a company's sessions: which, from where, how many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionList {
    pub(super) company_id: Uuid,
    /// Open or ended; both when absent.
    pub(super) active: Option<bool>,
    /// On this provider.
    pub(super) provider: Option<String>,
    /// Older than this one.
    pub(super) before: Option<SessionPlace>,
    pub(super) limit: usize,
}

/// What a function says of one session of a company, or why it refuses.
type Said<T> = Reads<Uuid, String, Result<T>>;

/// One coalescer for each kind of row. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loaders {
    sessions: Reads<Uuid, String, Arc<SessionRecord>>,
    session_lists: Reads<SessionList, (), Vec<Arc<SessionRecord>>>,
    users: Reads<Uuid, String, Vec<UserRecord>>,
    user_counts: Reads<Uuid, String, i32>,
    /// By session and user.
    one_user: Reads<Uuid, (String, String), UserRecord>,
    overviews: Said<Overview>,
    stale: Said<Stale>,
    qualities: Said<Recommended>,
    alerts: Reads<Uuid, String, Vec<AlertRecord>>,
    providers: Reads<Uuid, (), Vec<ProviderRecord>>,
    provider_counts: Reads<Uuid, String, (i32, i32)>,
}

fn user_bytes(user: &UserRecord) -> usize {
    USER_BYTES + user.device_info.to_string().len()
}

/// Reads that call a function for one session. What it refuses is the outcome of that session alone.
fn said<T>(
    kind: &'static str,
    work: &UnitOfWork,
    bytes: fn(&Result<T>) -> usize,
    ask: impl for<'a> Fn(&'a mut PgConnection, Uuid, &'a str) -> BoxFuture<'a, Result<Value>> + Send + Sync + 'static,
) -> Said<T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    let (pool, readers) = (work.pool().clone(), work.readers().clone());
    Reads::each(kind, pool, readers, bytes, move |connection, company_id, session: &String| {
        let answer = ask(connection, company_id, session);
        async move { Ok(Some(call::decoded(answer.await?))) }.boxed()
    })
}

impl Loaders {
    /// Loaders on this database.
    pub(super) fn new(work: &UnitOfWork) -> Self {
        let pool = || work.pool().clone();
        let readers = || work.readers().clone();
        Self {
            sessions: Reads::records("session", pool(), |connection, company_id, sessions| {
                async move {
                    let found = sql::find_sessions(connection, company_id, sessions).await?;
                    Ok(found.into_iter().map(|session| (session.session_id.clone(), Arc::new(session))).collect())
                }
                .boxed()
            }),
            session_lists: Reads::each(
                "sessions",
                pool(),
                readers(),
                |list| list.len() * size_of::<SessionRecord>(),
                |connection, list, ()| {
                    async move {
                        let found = sql::list_sessions(connection, &list).await?;
                        Ok(Some(found.into_iter().map(Arc::new).collect()))
                    }
                    .boxed()
                },
            ),
            users: Reads::lists(
                "session_users",
                pool(),
                readers(),
                |_| SESSIONS_AT_ONCE,
                |users| users.iter().map(user_bytes).sum(),
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
            one_user: Reads::each(
                "session_user",
                pool(),
                readers(),
                user_bytes,
                |connection, company_id, named: &(String, String)| {
                    sql::find_user(connection, company_id, &named.0, &named.1).boxed()
                },
            ),
            overviews: said(
                "session_health",
                work,
                |overview| overview.as_ref().map_or(0, |overview| overview.users.len() * size_of::<UserHealth>()),
                |connection, company_id, session| sql::health_overview(connection, company_id, session).boxed(),
            ),
            stale: said(
                "session_stale",
                work,
                |stale| stale.as_ref().map_or(0, |stale| stale.stale_user_ids.iter().map(String::len).sum()),
                |connection, company_id, session| sql::stale_connections(connection, company_id, session).boxed(),
            ),
            qualities: said(
                "session_quality",
                work,
                |_| size_of::<Recommended>(),
                |connection, company_id, session| sql::quality_recovery(connection, company_id, session).boxed(),
            ),
            alerts: Reads::each(
                "session_alerts",
                pool(),
                readers(),
                |alerts| alerts.iter().flat_map(|alert| &alert.user_ids).map(String::len).sum(),
                |connection, company_id, session: &String| {
                    async move { Ok(Some(sql::list_alerts(connection, company_id, Some(session)).await?)) }.boxed()
                },
            ),
            providers: Reads::each(
                "session_providers",
                pool(),
                readers(),
                |providers| providers.len() * size_of::<ProviderRecord>(),
                |connection, company_id, ()| {
                    async move {
                        sql::ensure_providers(connection, company_id).await?;
                        Ok(Some(sql::list_providers(connection, company_id).await?))
                    }
                    .boxed()
                },
            ),
            provider_counts: Reads::records("session_provider_counts", pool(), |connection, company_id, names| {
                async move { Ok(sql::count_providers(connection, company_id, names).await?.into_iter().collect()) }
                    .boxed()
            }),
        }
    }

    /// The session that clients named so; `None` if nobody has joined it.
    pub(super) async fn session(&self, company_id: Uuid, session: &str) -> Result<Option<Arc<SessionRecord>>> {
        self.sessions.get(company_id, session.to_owned()).await
    }

    /// A page of sessions, newest first.
    pub(super) async fn list(&self, reading: &Reading, list: SessionList) -> Result<Vec<Arc<SessionRecord>>> {
        Ok(self.session_lists.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// The participants of a session, at most 1,000.
    pub(super) async fn users(&self, reading: &Reading, company_id: Uuid, session: &str) -> Result<Vec<UserRecord>> {
        Ok(self.users.get_for(reading, company_id, session.to_owned()).await?.unwrap_or_default())
    }

    /// How many participants a session has.
    pub(super) async fn user_count(&self, company_id: Uuid, session: &str) -> Result<i32> {
        Ok(self.user_counts.get(company_id, session.to_owned()).await?.unwrap_or_default())
    }

    /// One participant of a session.
    pub(super) async fn user(
        &self,
        reading: &Reading,
        company_id: Uuid,
        session: &str,
        user: &str,
    ) -> Result<Option<UserRecord>> {
        self.one_user.get_for(reading, company_id, (session.to_owned(), user.to_owned())).await
    }

    /// The health of a session's participants.
    pub(super) async fn overview(&self, reading: &Reading, company_id: Uuid, session: &str) -> Result<Overview> {
        answer(self.overviews.get_for(reading, company_id, session.to_owned()).await?)
    }

    /// Who of a session is silent.
    pub(super) async fn stale(&self, reading: &Reading, company_id: Uuid, session: &str) -> Result<Stale> {
        answer(self.stale.get_for(reading, company_id, session.to_owned()).await?)
    }

    /// Whether the quality of a session is a reason to leave its provider.
    pub(super) async fn quality(&self, reading: &Reading, company_id: Uuid, session: &str) -> Result<QualityRecord> {
        answer(self.qualities.get_for(reading, company_id, session.to_owned()).await?).map(QualityRecord::from)
    }

    /// The alerts of a session that hold now.
    pub(super) async fn alerts(&self, reading: &Reading, company_id: Uuid, session: &str) -> Result<Vec<AlertRecord>> {
        Ok(self.alerts.get_for(reading, company_id, session.to_owned()).await?.unwrap_or_default())
    }

    /// A company's providers, best first.
    pub(super) async fn providers(&self, reading: &Reading, company_id: Uuid) -> Result<Vec<ProviderRecord>> {
        Ok(self.providers.get_for(reading, company_id, ()).await?.unwrap_or_default())
    }

    /// How many open sessions are on a provider, and how often it failed in the last hour.
    pub(super) async fn provider_counts(&self, company_id: Uuid, name: &str) -> Result<(i32, i32)> {
        Ok(self.provider_counts.get(company_id, name.to_owned()).await?.unwrap_or_default())
    }
}

/// What a function said, which it does of every session.
fn answer<T>(said: Option<Result<T>>) -> Result<T> {
    said.unwrap_or_else(|| Err(Error::internal("a function said nothing of a session")))
}
