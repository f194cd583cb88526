//! Judges API keys from a small cache of their rows, so that a request costs no query.
//!
//! What is cached is the row (hash, role, revoked or not), never the secret: a wrong secret is refused from the same
//! entry and cannot push the right one out. One query at a time for each key; who comes meanwhile shares its answer.
//!
//! | answer | believed for |
//! | --- | --- |
//! | valid | 60 s |
//! | absent or revoked | 1 s |
//! | the database is away | 1 s: callers that wait behind a failing query fail with it, not one after the other |
//!
//! [`Keyring::forget`] ends all belief at once. It counts up an epoch, and an answer from a query that began in an earlier
//! epoch is not believed: so a row that was read just before the revocation and cached just after it does no harm.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use sqlx::PgPool;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Credential, Principal, Role, api_key::Bearer, refusal::Refusal, sql};
use crate::platform::{clock::Clock, error::Result};

/// Most keys cached.
const CACHED: usize = 1_000;
/// How long a valid key is believed to be still valid.
const BELIEVE_VALID: Duration = Duration::from_mins(1);
/// How long any other answer is believed.
const BELIEVE_OTHER: Duration = Duration::from_secs(1);

type Name = (Uuid, Uuid);

#[derive(Clone)]
enum Verdict {
    Valid { secret_hash: [u8; 32], principal: Arc<Principal> },
    Revoked { secret_hash: [u8; 32] },
    Absent,
    Unavailable(Arc<str>),
}

#[derive(Clone)]
struct Answer {
    verdict: Verdict,
    at: OffsetDateTime,
    epoch: u64,
}

impl Answer {
    fn stale_at(&self) -> OffsetDateTime {
        self.at + if matches!(self.verdict, Verdict::Valid { .. }) { BELIEVE_VALID } else { BELIEVE_OTHER }
    }
}

/// The API keys that this server has seen lately.
pub(super) struct Keyring {
    pool: PgPool,
    clock: Clock,
    answers: Cache<Name, Answer>,
    epoch: watch::Sender<u64>,
}

impl Keyring {
    pub(super) fn new(pool: PgPool, clock: Clock) -> Self {
        Self { pool, clock, answers: Cache::new(CACHED), epoch: watch::Sender::new(0) }
    }

    /// The principal that this key proves.
    pub(super) async fn check(&self, text: &str) -> Result<Arc<Principal>, Refusal> {
        let bearer = Bearer::parse(text).ok_or(Refusal::ApiKey)?;
        let matches = |hash: &[u8; 32]| bool::from(bearer.hash().ct_eq(hash));
        match self.answer((bearer.company_id, bearer.id)).await.verdict {
            Verdict::Valid { secret_hash, principal } if matches(&secret_hash) => Ok(principal),
            Verdict::Revoked { secret_hash } if matches(&secret_hash) => Err(Refusal::Revoked),
            Verdict::Unavailable(why) => Err(Refusal::Unavailable(why.to_string())),
            Verdict::Valid { .. } | Verdict::Revoked { .. } | Verdict::Absent => Err(Refusal::ApiKey),
        }
    }

    /// Returns when the key is no longer valid. While the database is away nothing is known, so nothing lapses.
    pub(super) async fn expired(&self, company_id: Uuid, id: Uuid) {
        let mut epoch = self.epoch.subscribe();
        loop {
            // Seen before the look, so that a revocation in between wakes the wait below.
            epoch.borrow_and_update();
            let answer = self.answer((company_id, id)).await;
            if matches!(answer.verdict, Verdict::Revoked { .. } | Verdict::Absent) {
                return;
            }
            tokio::select! {
                _ = epoch.changed() => {}
                () = self.clock.sleep_until(answer.stale_at()) => {}
            }
        }
    }

    /// Makes every check from now on read the database again, and every [`Keyring::expired`] look again.
    ///
    /// All keys and not only one: revocations are rare, and reading a row again is cheap.
    pub(super) fn forget(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    fn is_fresh(&self, answer: &Answer) -> bool {
        let now = self.clock.now();
        answer.epoch == *self.epoch.borrow() && answer.at <= now && now < answer.stale_at()
    }

    async fn answer(&self, name: Name) -> Answer {
        if let Some(answer) = self.answers.get(&name).filter(|answer| self.is_fresh(answer)) {
            return answer;
        }
        let least = *self.epoch.borrow();
        loop {
            self.answers.remove_if(&name, |answer| !self.is_fresh(answer));
            let read = async { Ok::<_, std::convert::Infallible>(self.read(name).await) };
            let Ok(answer) = self.answers.get_or_insert_async(&name, read).await;
            // Read by another caller that began before the latest revocation: not believed.
            if answer.epoch >= least {
                return answer;
            }
        }
    }

    async fn read(&self, (company_id, id): Name) -> Answer {
        let epoch = *self.epoch.borrow();
        let began_at = self.clock.now();
        let found = async {
            let mut connection = self.pool.acquire().await?;
            sql::find_secret(&mut connection, company_id, id).await
        };
        let (verdict, at) = match found.await {
            Ok(row) => (verdict(company_id, id, row), began_at),
            // The end of the attempt: it may have taken longer than the answer is believed.
            Err(error) => (Verdict::Unavailable(error.chain().into()), self.clock.now()),
        };
        Answer { verdict, at, epoch }
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
        // A later version's role means nothing here: what is not understood is not let in.
        _ => return Verdict::Absent,
    };
    let principal = Principal {
        company_id,
        role,
        subject: id.to_string(),
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: None,
        credential: Credential::ApiKey(id),
    };
    Verdict::Valid { secret_hash, principal: Arc::new(principal) }
}
