//! Checks API keys against a small cache of their rows, so that a request costs no query.
//!
//! An entry is the row (hash, role, revoked or not), never the secret. A wrong secret is refused from the same entry
//! and cannot evict the right one. One query runs at a time for each key, and concurrent requests share its result.
//!
//! | result | cached for |
//! | --- | --- |
//! | valid | 60 s |
//! | absent or revoked | 1 s |
//! | the database is away | 1 s: requests that wait for a failing query fail with it, not one after the other |
//!
//! [`Keyring::forget`] invalidates every entry by counting up an epoch. The result of a query that began in an earlier
//! epoch is not used, so a row that was read just before a revocation and cached just after it does no harm.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use sqlx::PgPool;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Credential, Principal, Role, api_key::Bearer, refusal::Refusal, sql};
use crate::platform::{
    clock::Clock,
    db::pool::{LOOKUP_TIME, within},
    error::Result,
};

/// Most keys cached.
const CACHED: usize = 1_000;
/// Time for which a valid key is cached: the longest that a revocation can go unnoticed.
const CACHE_VALID: Duration = Duration::from_mins(1);
/// Time for which every other result is cached.
const CACHE_OTHER: Duration = Duration::from_secs(1);

type Name = (Uuid, Uuid);

#[derive(Clone)]
enum Verdict {
    Valid { secret_hash: [u8; 32], principal: Arc<Principal> },
    Revoked { secret_hash: [u8; 32] },
    Absent,
    Unavailable(Arc<str>),
}

#[derive(Clone)]
struct Entry {
    verdict: Verdict,
    at: OffsetDateTime,
    epoch: u64,
}

impl Entry {
    fn stale_at(&self) -> OffsetDateTime {
        self.at + if matches!(self.verdict, Verdict::Valid { .. }) { CACHE_VALID } else { CACHE_OTHER }
    }
}

/// The API keys that this server has seen lately.
pub(super) struct Keyring {
    pool: PgPool,
    clock: Clock,
    entries: Cache<Name, Entry>,
    epoch: watch::Sender<u64>,
}

impl Keyring {
    pub(super) fn new(pool: PgPool, clock: Clock) -> Self {
        Self { pool, clock, entries: Cache::new(CACHED), epoch: watch::Sender::new(0) }
    }

    /// The principal of this key.
    pub(super) async fn check(&self, text: &str) -> Result<Arc<Principal>, Refusal> {
        let bearer = Bearer::parse(text).ok_or(Refusal::ApiKey)?;
        let matches = |hash: &[u8; 32]| bool::from(bearer.hash().ct_eq(hash));
        match self.entry((bearer.company_id, bearer.id)).await.verdict {
            Verdict::Valid { secret_hash, principal } if matches(&secret_hash) => Ok(principal),
            Verdict::Revoked { secret_hash } if matches(&secret_hash) => Err(Refusal::Revoked),
            Verdict::Unavailable(why) => Err(Refusal::Unavailable(why.to_string())),
            Verdict::Valid { .. } | Verdict::Revoked { .. } | Verdict::Absent => Err(Refusal::ApiKey),
        }
    }

    /// Waits until the key was revoked. While the database is away the key counts as valid.
    pub(super) async fn expired(&self, company_id: Uuid, id: Uuid) {
        let mut epoch = self.epoch.subscribe();
        loop {
            // Marked as seen before the row is read, so that a revocation in between ends the wait below.
            epoch.borrow_and_update();
            let entry = self.entry((company_id, id)).await;
            if matches!(entry.verdict, Verdict::Revoked { .. } | Verdict::Absent) {
                return;
            }
            tokio::select! {
                _ = epoch.changed() => {}
                () = self.clock.sleep_until(entry.stale_at()) => {}
            }
        }
    }

    /// Makes every later check read the database again, and every [`Keyring::expired`] check again.
    ///
    /// It invalidates all keys and not one: revocations are rare, and reading a row again is cheap.
    pub(super) fn forget(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        let now = self.clock.now();
        entry.epoch == *self.epoch.borrow() && entry.at <= now && now < entry.stale_at()
    }

    async fn entry(&self, name: Name) -> Entry {
        if let Some(entry) = self.entries.get(&name).filter(|entry| self.is_fresh(entry)) {
            return entry;
        }
        let least = *self.epoch.borrow();
        loop {
            self.entries.remove_if(&name, |entry| !self.is_fresh(entry));
            let read = async { Ok::<_, std::convert::Infallible>(self.read(name).await) };
            let Ok(entry) = self.entries.get_or_insert_async(&name, read).await;
            // Another caller may have read it before the latest revocation.
            if entry.epoch >= least {
                return entry;
            }
        }
    }

    async fn read(&self, (company_id, id): Name) -> Entry {
        let epoch = *self.epoch.borrow();
        let began_at = self.clock.now();
        let found = async {
            let mut connection = self.pool.acquire().await?;
            sql::find_secret(&mut connection, company_id, id).await
        };
        let (verdict, at) = match within(LOOKUP_TIME, Box::pin(found)).await {
            Ok(row) => (verdict(company_id, id, row), began_at),
            // The end of the attempt, which may have taken longer than the entry's life.
            Err(error) => (Verdict::Unavailable(error.chain().into()), self.clock.now()),
        };
        Entry { verdict, at, epoch }
    }
}

fn verdict(company_id: Uuid, id: Uuid, row: Option<sql::SecretRow>) -> Verdict {
    let Some(row) = row else { return Verdict::Absent };
    let Ok(secret_hash) = row.secret_hash.try_into() else { return Verdict::Absent };
    if row.revoked_at.is_some() {
        return Verdict::Revoked { secret_hash };
    }
    let role = match row.role.as_str() {
        "service" => Role::Service,
        "admin" => Role::Admin,
        // The role of a later version is refused, since its rights are not known here.
        _ => return Verdict::Absent,
    };
    let principal = Principal {
        company_id,
        role,
        subject: id.to_string(),
        earlier: None,
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: None,
        credential: Credential::ApiKey(id),
    };
    Verdict::Valid { secret_hash, principal: Arc::new(principal) }
}
