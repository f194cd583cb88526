//! Leases: rights that end by themselves, so that a crash leaks none, and whose late holders do no harm.
//!
//! Whoever wants to be the only one for a while (a dialer of a call, a caller of an operation) is granted a lease: an
//! owner, an expiry and a fencing token. It shows the token with each change that the right is for.
//!
//! ```text
//!            grant                      release, or the expiry passes
//! free ───────────────► held by owner ────────────────────────────────► free
//!                        │    ▲ renew (same token): a later expiry
//!                        └────┘ grant by the same owner: the same token
//! ```
//!
//! # Guarantees
//! - At most one owner at a time. The lease's row is locked in a statement of its own; the time and the row are read by
//!   the next one, so a grant that waited for the lock is not born expired and sees what was decided meanwhile.
//! - A token grows with each grant: the greater of the last one plus 1 and the microseconds of the database's clock. So it
//!   grows also after the row was deleted, and after a restore of an older database.
//! - A token that is not the newest, or whose lease has expired, changes nothing: [`renew`], [`release`] and [`holds`] say
//!   so, and the caller does nothing. [`holds`] locks the row until the transaction ends, so what is written in the same
//!   transaction is written by the owner.
//! - An owner is a request, by its id, and not a kind of request. A repeat of the request finds its own lease.
//! - All times are the database's.
//!
//! # Lock order
//! The row belongs to its subject: lock the subject first, then the lease.
//!
//! # Failure modes
//! - A holder is paused past its expiry, another is granted the lease, and the first wakes up: its token is stale, and what
//!   it tries to write is refused. What it does elsewhere (a call that it dials) cannot be refused here; so leases are
//!   long compared with the pauses of a process.
//! - The expiry passes without anybody looking: nothing happens by itself. A concept that must act then sets a timer for
//!   [`Lease::expires_at`] in the same transaction.

mod sql;

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::platform::{error::Result, event::Subject};

/// Names a lease.
#[derive(Debug, Clone)]
pub struct LeaseKey {
    /// The subject's company.
    pub company_id: Uuid,
    /// What the right is about.
    pub subject: Subject,
    /// Which right, among those of the subject.
    pub name: &'static str,
}

/// A lease as its owner has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// To be shown with each change; grows with each grant.
    pub token: i64,
    /// From this moment of the database's clock on somebody else may have it.
    pub expires_at: OffsetDateTime,
}

/// What became of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// The caller has it now.
    New(Lease),
    /// The caller has had it before and still has it.
    Again(Lease),
    /// Somebody else has it, until then at the earliest.
    Held {
        /// The request that has it.
        owner: String,
        /// When it may end.
        until: OffsetDateTime,
    },
}

/// A lease's row, read under its lock, and the time after the lock was granted.
#[derive(Debug, Clone)]
struct Seen {
    now: OffsetDateTime,
    owner: Option<String>,
    token: i64,
    expires_at: OffsetDateTime,
}

impl Seen {
    /// The owner, if it still has the lease.
    fn live_owner(&self) -> Option<&str> {
        self.owner.as_deref().filter(|_| self.now < self.expires_at)
    }

    fn lease(&self) -> Lease {
        Lease { token: self.token, expires_at: self.expires_at }
    }

    /// True if `token` is the present owner's.
    fn is_current(&self, token: i64) -> bool {
        self.live_owner().is_some() && self.token == token
    }

    fn decide(&self, owner: &str, length: Duration) -> Granted {
        match self.live_owner() {
            Some(live) if live == owner => Granted::Again(self.lease()),
            Some(live) => Granted::Held { owner: live.to_owned(), until: self.expires_at },
            None => {
                let token = next_token(self.token, self.now);
                Granted::New(Lease { token, expires_at: self.now + length })
            }
        }
    }
}

/// The fencing token after `last`: greater than it, and at least the microseconds of `now`, so that tokens grow also where
/// the row that held the last one was deleted. Not a transaction's id, which is not in the order of the locks.
pub(crate) fn next_token(last: i64, now: OffsetDateTime) -> i64 {
    let microseconds = i64::try_from(now.unix_timestamp_nanos() / 1_000).unwrap_or_default();
    microseconds.max(last + 1)
}

/// Grants the lease to `owner` (a request's id) for `length`, unless somebody else has it. Locks the lease.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn grant(connection: &mut PgConnection, key: &LeaseKey, owner: &str, length: Duration) -> Result<Granted> {
    sql::insert_free(connection, key).await?;
    let Some(seen) = sql::lock(connection, key).await? else {
        // Deleted between the two statements.
        return Err(crate::platform::error::Error::unavailable("a lease's row is gone"));
    };
    let granted = seen.decide(owner, length);
    if let Granted::New(lease) = granted {
        sql::write(connection, key, Some(owner), lease).await?;
    }
    Ok(granted)
}

/// Prolongs the lease to `length` from now, and returns the new expiry; `None` if `token` is stale. Locks the lease.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn renew(
    connection: &mut PgConnection,
    key: &LeaseKey,
    token: i64,
    length: Duration,
) -> Result<Option<OffsetDateTime>> {
    let Some(seen) = sql::lock(connection, key).await?.filter(|seen| seen.is_current(token)) else { return Ok(None) };
    // Never shorter than before: a shorter renewal may be the late repeat of an earlier one.
    let expires_at = seen.expires_at.max(seen.now + length);
    sql::write(connection, key, seen.owner.as_deref(), Lease { token, expires_at }).await?;
    Ok(Some(expires_at))
}

/// Gives the lease back. False if `token` is stale: then nothing was changed. Locks the lease.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn release(connection: &mut PgConnection, key: &LeaseKey, token: i64) -> Result<bool> {
    let Some(seen) = sql::lock(connection, key).await?.filter(|seen| seen.is_current(token)) else { return Ok(false) };
    sql::write(connection, key, None, Lease { token, expires_at: seen.now }).await?;
    Ok(true)
}

/// True if `token` is the present owner's. Locks the lease until the transaction ends, so that it stays true.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn holds(connection: &mut PgConnection, key: &LeaseKey, token: i64) -> Result<bool> {
    Ok(sql::lock(connection, key).await?.is_some_and(|seen| seen.is_current(token)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(microseconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::microseconds(microseconds)
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let owner = prop_oneof![Just(None), Just(Some("one".to_owned())), Just(Some("two".to_owned()))];
        (0..2_000_i64, owner, 0..3_000_i64, 0..2_000_i64).prop_map(|(now, owner, token, expires_at)| Seen {
            now: at(now),
            owner,
            token,
            expires_at: at(expires_at),
        })
    }

    proptest! {
        #[test]
        fn a_new_grant_has_a_greater_token_and_is_not_born_expired(seen in seen(), length in 1..1_000_i64) {
            let granted = seen.decide("one", Duration::microseconds(length));
            match granted {
                Granted::New(lease) => {
                    prop_assert!(seen.live_owner().is_none());
                    prop_assert!(lease.token > seen.token);
                    prop_assert!(lease.token >= i64::try_from(seen.now.unix_timestamp_nanos() / 1_000).unwrap_or_default());
                    prop_assert!(lease.expires_at > seen.now);
                }
                Granted::Again(lease) => {
                    prop_assert_eq!(seen.live_owner(), Some("one"));
                    prop_assert!(seen.is_current(lease.token));
                }
                Granted::Held { owner, until } => {
                    prop_assert_eq!(owner, "two");
                    prop_assert!(until > seen.now);
                }
            }
        }

        #[test]
        fn only_the_newest_token_of_a_lease_that_has_not_expired_is_current(seen in seen(), token in 0..3_000_i64) {
            let is_live = seen.owner.is_some() && seen.now < seen.expires_at;
            prop_assert_eq!(seen.is_current(token), is_live && token == seen.token);
        }
    }
}
