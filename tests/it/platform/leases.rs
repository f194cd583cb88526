//! Leases with fencing tokens on a real Postgres.

use sqlx::{Connection as _, PgConnection};
use switchboard::platform::{
    event::Subject,
    lease::{self, Granted, Lease, LeaseKey},
};
use time::Duration;
use uuid::Uuid;

use super::events::set_clock;
use crate::support::{cluster::TestDatabase, locks::until_waiting};

struct Bench {
    database: TestDatabase,
    connection: PgConnection,
    key: LeaseKey,
}

impl Bench {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
        let company_id: Uuid =
            sqlx::query_scalar("insert into company (id, name) values (gen_random_uuid(), 'Acme') returning id")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        let key = LeaseKey { company_id, subject: Subject::new("call", "1"), name: "dial" };
        Self { database, connection, key }
    }

    async fn other(&self) -> PgConnection {
        PgConnection::connect_with(&self.database.options()).await.unwrap()
    }

    /// Asks for the lease in a transaction of its own.
    async fn grant(&mut self, owner: &str, length: Duration) -> Granted {
        let mut transaction = self.connection.begin().await.unwrap();
        let granted = lease::grant(&mut transaction, &self.key, owner, length).await.unwrap();
        transaction.commit().await.unwrap();
        granted
    }
}

fn new(granted: &Granted) -> Lease {
    let Granted::New(lease) = granted else { panic!("{granted:?}") };
    *lease
}

const MINUTE: Duration = Duration::minutes(1);

#[tokio::test]
async fn one_owner_at_a_time_and_a_repeat_of_its_request_finds_its_own_lease() {
    let mut bench = Bench::new().await;
    let first = new(&bench.grant("request 1", MINUTE).await);
    assert_eq!(bench.grant("request 1", MINUTE).await, Granted::Again(first));
    let held = Granted::Held { owner: "request 1".to_owned(), until: first.expires_at };
    assert_eq!(bench.grant("request 2", MINUTE).await, held);
    let later = lease::renew(&mut bench.connection, &bench.key, first.token, 2 * MINUTE).await.unwrap().unwrap();
    assert!(later > first.expires_at);
    let shorter = lease::renew(&mut bench.connection, &bench.key, first.token, Duration::SECOND).await.unwrap();
    assert_eq!(shorter, Some(later), "a late repeat of a shorter renewal takes nothing away");
    assert!(lease::release(&mut bench.connection, &bench.key, first.token).await.unwrap());
    assert!(!lease::release(&mut bench.connection, &bench.key, first.token).await.unwrap(), "once");
    let second = new(&bench.grant("request 2", MINUTE).await);
    assert!(second.token > first.token);
}

#[tokio::test]
async fn a_stale_token_changes_nothing() {
    let mut bench = Bench::new().await;
    set_clock(&mut bench.connection, "2040-01-01 12:00Z").await;
    let late = new(&bench.grant("sleeper", MINUTE).await);
    set_clock(&mut bench.connection, "2040-01-01 12:01Z").await;
    let key = bench.key.clone();
    // Expired, and nobody else has it yet.
    assert_eq!(lease::renew(&mut bench.connection, &key, late.token, MINUTE).await.unwrap(), None);
    let next = new(&bench.grant("next", MINUTE).await);
    assert!(next.token > late.token);
    assert!(!lease::holds(&mut bench.connection, &key, late.token).await.unwrap());
    assert_eq!(lease::renew(&mut bench.connection, &key, late.token, MINUTE).await.unwrap(), None);
    assert!(!lease::release(&mut bench.connection, &key, late.token).await.unwrap());
    assert!(lease::holds(&mut bench.connection, &key, next.token).await.unwrap(), "the owner has lost nothing");
}

#[tokio::test]
async fn tokens_grow_when_the_clock_stands_still_and_when_the_row_is_gone() {
    let mut bench = Bench::new().await;
    set_clock(&mut bench.connection, "2040-01-01 12:00Z").await;
    let mut last = 0;
    for number in 0..3 {
        let lease = new(&bench.grant(&format!("request {number}"), MINUTE).await);
        assert!(lease.token > last);
        last = lease.token;
        assert!(lease::release(&mut bench.connection, &bench.key, lease.token).await.unwrap());
    }
    sqlx::query("delete from lease").execute(&mut bench.connection).await.unwrap();
    set_clock(&mut bench.connection, "2040-01-01 12:00:00.000100Z").await;
    assert!(new(&bench.grant("after", MINUTE).await).token > last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_waited_for_the_lock_is_not_born_expired_and_of_many_one_wins() {
    let mut bench = Bench::new().await;
    let first = new(&bench.grant("first", MINUTE).await);
    let mut holder = bench.other().await;
    let mut held = holder.begin().await.unwrap();
    assert!(lease::release(&mut held, &bench.key, first.token).await.unwrap());
    let length = Duration::milliseconds(300);
    let mut asking = Vec::new();
    for number in 0..10 {
        let (mut connection, key) = (bench.other().await, bench.key.clone());
        asking.push(tokio::spawn(async move {
            let mut transaction = connection.begin().await.unwrap();
            let granted = lease::grant(&mut transaction, &key, &format!("request {number}"), length).await.unwrap();
            let now: time::OffsetDateTime =
                sqlx::query_scalar("select switchboard.now()").fetch_one(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
            (granted, now)
        }));
    }
    until_waiting(&mut bench.connection, 10).await;
    // Longer than the lease, by the database's clock.
    sqlx::query("select pg_sleep(0.5)").execute(&mut *held).await.unwrap();
    held.commit().await.unwrap();
    let (mut won, mut tokens) = (0, Vec::new());
    for asked in asking {
        let (granted, now) = asked.await.unwrap();
        if let Granted::New(lease) = granted {
            assert!(lease.expires_at > now, "born expired");
            tokens.push(lease.token);
            won += 1;
        }
    }
    assert!(won >= 1);
    let greatest = tokens.iter().max().unwrap();
    assert!(tokens.iter().all(|token| *token > first.token) && greatest > &first.token);
    tokens.dedup();
    assert_eq!(tokens.len(), won, "each grant has a token of its own");
}
