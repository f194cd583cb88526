//! Idempotency keys on a real Postgres, around a verb that writes a row.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use switchboard::platform::{
    error::{Code, Error, Result},
    idempotency::{self, IdempotencyKey, Idempotent},
    unit::{Unit, UnitOfWork, Verb},
};
use uuid::Uuid;

use crate::support::cluster::TestDatabase;

/// Dials: writes a row and returns its id.
#[derive(Debug, Clone)]
struct Dial {
    number: String,
    fails: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Dialed {
    id: Uuid,
}

impl Verb for Dial {
    type Outcome = Dialed;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Dialed> {
        let id = Uuid::now_v7();
        sqlx::query("insert into public.dialed values ($1, $2)")
            .bind(id)
            .bind(&self.number)
            .execute(unit.connection())
            .await?;
        if self.fails {
            return Err(Error::conflict("busy"));
        }
        unit.mark_changed();
        Ok(Dialed { id })
    }
}

struct Bench {
    database: TestDatabase,
    connection: PgConnection,
    work: UnitOfWork,
    company_id: Uuid,
}

impl Bench {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
        sqlx::raw_sql("create table public.dialed (id uuid, number text)").execute(&mut connection).await.unwrap();
        let company_id: Uuid =
            sqlx::query_scalar("insert into company (id, name) values (gen_random_uuid(), 'Acme') returning id")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        let work = database.work();
        Self { database, connection, work, company_id }
    }

    fn call(&self, caller: &str, key: &str, number: &str) -> Idempotent<Dial> {
        let key = IdempotencyKey::new(self.company_id, caller, "dial", key, &number).unwrap();
        Idempotent { key, verb: Dial { number: number.to_owned(), fails: false } }
    }

    async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.connection).await.unwrap()
    }
}

#[tokio::test]
async fn a_repeat_gets_the_first_outcome_and_other_content_is_refused() {
    let mut bench = Bench::new().await;
    let first = bench.work.run(bench.call("ada", "k", "555")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(bench.work.run(bench.call("ada", "k", "555")).await.unwrap(), first);
    }
    let other = bench.work.run(bench.call("ada", "k", "556")).await.unwrap_err();
    assert_eq!(other.code(), Code::IdempotencyMismatch);
    assert_ne!(bench.work.run(bench.call("ben", "k", "555")).await.unwrap(), first, "another caller's key");
    assert_eq!(bench.count("select count(*) from public.dialed").await, 2);
    let too_long = IdempotencyKey::new(bench.company_id, "ada", "dial", &"k".repeat(201), &1);
    assert_eq!(too_long.unwrap_err().code(), Code::BadUserInput);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let mut bench = Bench::new().await;
    let mut call = bench.call("ada", "k", "555");
    call.verb.fails = true;
    assert_eq!(bench.work.run(call).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(bench.count("select count(*) from idempotency_key").await, 0);
    bench.work.run(bench.call("ada", "k", "555")).await.unwrap();
    assert_eq!(bench.count("select count(*) from public.dialed").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_on_two_servers_one_has_the_effect_and_all_get_its_outcome() {
    let mut bench = Bench::new().await;
    let servers = [Arc::new(bench.database.work()), Arc::new(bench.database.work())];
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let (server, call) = (Arc::clone(&servers[number % 2]), bench.call("ada", "k", "555"));
            tokio::spawn(async move { server.run(call).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    outcomes.dedup();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(bench.count("select count(*) from public.dialed").await, 1);
}

#[tokio::test]
async fn old_keys_are_deleted_in_steps_and_others_are_left() {
    let mut bench = Bench::new().await;
    let kept = bench.work.run(bench.call("ada", "kept", "555")).await.unwrap();
    sqlx::query(
        "insert into idempotency_key (company_id, caller, operation, key, content_hash, outcome, inserted_at)
         select $1, 'ada', 'dial', 'old ' || n, sha256('x'), '{}', switchboard.now() - interval '25 hours'
         from generate_series(1, 2500) as n",
    )
    .bind(bench.company_id)
    .execute(&mut bench.connection)
    .await
    .unwrap();
    // One that a call is just reading under its lock is left for the next round.
    let mut reader = PgConnection::connect_with(&bench.database.options()).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("select from idempotency_key where key = 'old 7' for update").execute(&mut *reading).await.unwrap();
    let day = Duration::from_hours(24);
    assert_eq!(idempotency::prune(&bench.work, day).await.unwrap(), 2_499);
    reading.rollback().await.unwrap();
    assert_eq!(idempotency::prune(&bench.work, day).await.unwrap(), 1);
    assert_eq!(bench.work.run(bench.call("ada", "kept", "555")).await.unwrap(), kept);
}
