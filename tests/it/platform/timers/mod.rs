//! Durable timers on a real Postgres: never early, never lost, effect exactly once.

mod crowds;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use switchboard::platform::{
    error::{Code, Error, Result},
    event::{LogNotifier, Subject},
    timer::{
        self, Handler, NewTimer, Timer, TimerWaker, Tried,
        scheduler::{Report, Scheduler},
    },
    unit::{Unit, UnitOfWork},
};
use time::OffsetDateTime;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::events::set_clock;
use crate::support::{
    cluster::TestDatabase,
    event_path::{PATIENCE, pool, server_options},
    proxy::{Proxy, Road},
};

const LONG: Duration = Duration::from_mins(1);

/// Counts in the row of the subject how often its timer fired.
#[derive(Default)]
struct Ring {
    failing: AtomicBool,
    /// So many runs still collide with another transaction.
    collisions: AtomicUsize,
    fired: AtomicUsize,
    /// Before the effect: signals that it is reached, then waits for a permit.
    gate: Option<(Semaphore, Semaphore)>,
}

struct RingHandler(Arc<Ring>);

impl Handler for RingHandler {
    const SUBJECT_TYPE: &'static str = "bell";
    const PURPOSE: &'static str = "ring";
    type Locked = ();

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<()>> {
        let ids: Vec<&str> = timers.iter().map(|timer| timer.subject_id.as_str()).collect();
        let locked: Vec<String> = sqlx::query_scalar(
            "select id from bell where company_id = $1 and id = any($2) order by id for no key update skip locked",
        )
        .bind(timers[0].company_id)
        .bind(&ids)
        .fetch_all(unit.connection())
        .await?;
        Ok(Tried { locked: (), is_held: timers.iter().map(|timer| locked.contains(&timer.subject_id)).collect() })
    }

    async fn fire(&self, unit: &mut Unit<'_>, (): (), due: &[Timer]) -> Result<()> {
        let ring = &self.0;
        let collides = ring.collisions.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if collides.is_ok() {
            sqlx::raw_sql("do $$ begin raise exception 'collided' using errcode = 'serialization_failure'; end $$")
                .execute(unit.connection())
                .await?;
        }
        for timer in due {
            ring.fired.fetch_add(1, Ordering::SeqCst);
            if ring.failing.load(Ordering::SeqCst) && timer.subject_id.starts_with("bad") {
                return Err(Error::internal("it does not ring"));
            }
            if let Some((arrived, permits)) = &ring.gate {
                arrived.add_permits(1);
                permits.acquire().await.unwrap().forget();
            }
        }
        let ids: Vec<&str> = due.iter().map(|timer| timer.subject_id.as_str()).collect();
        sqlx::query("update bell set rung = rung + 1 where company_id = $1 and id = any($2)")
            .bind(due[0].company_id)
            .bind(&ids)
            .execute(unit.connection())
            .await?;
        Ok(())
    }
}

/// Clears a bell's timer, as a transaction that holds the bell's lock would.
async fn clear(connection: &mut PgConnection, company_id: Uuid, id: &str) {
    sqlx::query("delete from timer where company_id = $1 and subject_type = 'bell' and subject_id = $2")
        .bind(company_id)
        .bind(id)
        .execute(connection)
        .await
        .unwrap();
}

/// A database with bells, and one server's scheduler.
struct Tower {
    _database: TestDatabase,
    options: PgConnectOptions,
    connection: PgConnection,
    pool: PgPool,
    company_id: Uuid,
    ring: Arc<Ring>,
}

impl Tower {
    async fn new(bells: &[&str]) -> Self {
        Self::with(Ring::default(), bells).await
    }

    async fn with(ring: Ring, bells: &[&str]) -> Self {
        let database = TestDatabase::create().await;
        let options = database.options();
        let mut connection = PgConnection::connect_with(&server_options(&options)).await.unwrap();
        let company_id = Uuid::now_v7();
        execute(
            &mut connection,
            "create table switchboard.bell (company_id uuid, id text, rung integer, primary key (company_id, id))",
        )
        .await;
        sqlx::query("insert into bell select $1, id, 0 from unnest($2::text[]) as id")
            .bind(company_id)
            .bind(bells)
            .execute(&mut connection)
            .await
            .unwrap();
        let pool = pool(&options);
        Self { _database: database, options, connection, pool, company_id, ring: Arc::new(ring) }
    }

    /// A scheduler of one more server.
    fn scheduler(&self, alarm: &TimerWaker) -> Scheduler {
        let work = UnitOfWork::new(self.pool.clone().into(), LogNotifier::default(), alarm.clone());
        Scheduler::new(work, alarm.clone(), vec![timer::handler(RingHandler(Arc::clone(&self.ring)))])
    }

    async fn tick(&self) -> Report {
        self.scheduler(&TimerWaker::default()).tick().await.unwrap()
    }

    async fn now(&mut self) -> OffsetDateTime {
        sqlx::query_scalar("select switchboard.now()").fetch_one(&mut self.connection).await.unwrap()
    }

    fn timer(&self, id: &str, due_at: OffsetDateTime) -> NewTimer {
        NewTimer { company_id: self.company_id, subject: Subject::new("bell", id), purpose: "ring", due_at }
    }

    async fn set(&mut self, id: &str, due_at: OffsetDateTime) {
        let timer = self.timer(id, due_at);
        timer::set(&mut self.connection, &[timer]).await.unwrap();
    }

    /// Sets timers that are due.
    async fn set_due(&mut self, ids: &[&str]) {
        let due_at = self.now().await;
        let timers: Vec<_> = ids.iter().map(|id| self.timer(id, due_at)).collect();
        timer::set(&mut self.connection, &timers).await.unwrap();
    }

    async fn rung(&mut self, id: &str) -> i32 {
        sqlx::query_scalar("select rung from bell where id = $1")
            .bind(id)
            .fetch_one(&mut self.connection)
            .await
            .unwrap()
    }

    async fn timers(&mut self) -> i64 {
        sqlx::query_scalar("select count(*) from timer").fetch_one(&mut self.connection).await.unwrap()
    }

    /// Looks until the bell has rung.
    async fn until_rung(&mut self, id: &str, times: i32) {
        let rung = async {
            while self.rung(id).await < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, rung).await.expect("it rings");
    }
}

async fn execute(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}

fn report(fired: usize, failed: usize, needless: usize) -> Report {
    Report { fired, failed, needless, skipped: 0 }
}

fn skipped(skipped: usize) -> Report {
    Report { skipped, ..Report::default() }
}

#[tokio::test]
async fn a_timer_fires_when_it_is_due_and_never_early_and_once() {
    let mut tower = Tower::new(&["a"]).await;
    set_clock(&mut tower.connection, "2040-01-01 12:00Z").await;
    let due_at = tower.now().await + time::Duration::seconds(10);
    tower.set("a", due_at).await;
    for early in ["12:00", "12:00:09.999999"] {
        set_clock(&mut tower.connection, &format!("2040-01-01 {early}Z")).await;
        assert_eq!(tower.tick().await, report(0, 0, 0));
    }
    // Nobody looks when it comes due: every server is down. A new one finds it.
    set_clock(&mut tower.connection, "2040-01-02 12:00:00Z").await;
    assert_eq!(tower.tick().await, report(1, 0, 0));
    assert_eq!((tower.rung("a").await, tower.timers().await), (1, 0));
    assert_eq!(tower.tick().await, report(0, 0, 0));
}

#[tokio::test]
async fn setting_a_timer_again_replaces_it_and_clearing_deletes_it() {
    let mut tower = Tower::new(&["again", "cleared"]).await;
    set_clock(&mut tower.connection, "2040-01-01 12:00Z").await;
    tower.set_due(&["again", "cleared"]).await;
    let later = tower.now().await + time::Duration::hours(1);
    tower.set("again", later).await;
    clear(&mut tower.connection, tower.company_id, "cleared").await;
    assert_eq!(tower.timers().await, 1);
    assert_eq!(tower.tick().await, report(0, 0, 0));
    set_clock(&mut tower.connection, "2040-01-01 13:00Z").await;
    assert_eq!(tower.tick().await, report(1, 0, 0));
    assert_eq!((tower.rung("again").await, tower.rung("cleared").await), (1, 0));
}

#[tokio::test]
async fn two_schedulers_fire_each_timer_once() {
    let bells: Vec<String> = (0..100).map(|number| format!("bell-{number}")).collect();
    let bells: Vec<&str> = bells.iter().map(String::as_str).collect();
    let mut tower = Tower::new(&bells).await;
    for round in 1..=3 {
        tower.set_due(&bells).await;
        let (one, other) = tokio::join!(tower.tick(), tower.tick());
        assert_eq!(one.fired + other.fired, bells.len());
        assert_eq!(one.failed + other.failed, 0);
        let wrong: i64 = sqlx::query_scalar("select count(*) from bell where rung <> $1")
            .bind(round)
            .fetch_one(&mut tower.connection)
            .await
            .unwrap();
        assert_eq!(wrong, 0);
    }
}

#[tokio::test]
async fn a_failing_timer_is_retried_with_back_off_and_delays_no_other() {
    let mut tower = Tower::new(&["bad", "good"]).await;
    tower.ring.failing.store(true, Ordering::SeqCst);
    set_clock(&mut tower.connection, "2040-01-01 12:00Z").await;
    tower.set_due(&["bad", "good"]).await;
    assert_eq!(tower.tick().await, report(1, 1, 0));
    assert_eq!((tower.rung("bad").await, tower.rung("good").await), (0, 1));
    let mut pauses = Vec::new();
    for _ in 0..11 {
        assert_eq!(tower.tick().await, report(0, 0, 0), "not at once");
        let now = tower.now().await;
        let due: OffsetDateTime =
            sqlx::query_scalar("select due_at from timer").fetch_one(&mut tower.connection).await.unwrap();
        pauses.push((due - now).whole_seconds());
        set_clock(&mut tower.connection, &due.to_string().replace(" +00:00:00", "Z")).await;
        assert_eq!(tower.tick().await, report(0, 1, 0));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    tower.ring.failing.store(false, Ordering::SeqCst);
    set_clock(&mut tower.connection, "2040-01-02 12:00Z").await;
    assert_eq!(tower.tick().await, report(1, 0, 0));
    assert_eq!((tower.rung("bad").await, tower.timers().await), (1, 0));
}

#[tokio::test]
async fn a_timer_fires_on_the_next_scheduler_when_one_is_killed_before_its_commit() {
    let gate = Some((Semaphore::new(0), Semaphore::new(0)));
    let mut tower = Tower::with(Ring { gate, ..Ring::default() }, &["a"]).await;
    tower.set_due(&["a"]).await;
    let (arrived, permits) = tower.ring.gate.as_ref().unwrap();
    {
        let mut killed = std::pin::pin!(tower.tick());
        tokio::select! {
            _ = &mut killed => panic!("it has no permit"),
            permit = arrived.acquire() => permit.unwrap().forget(),
        }
    }
    permits.add_permits(1);
    assert_eq!(tower.tick().await, report(1, 0, 0));
    assert_eq!(tower.ring.fired.load(Ordering::SeqCst), 2, "it began twice");
    assert_eq!((tower.rung("a").await, tower.timers().await), (1, 0), "and happened once");
}

#[tokio::test]
async fn an_alarm_wakes_an_idle_scheduler_for_an_earlier_timer() {
    let mut tower = Tower::new(&["a", "b", "c"]).await;
    let (alarm, stop) = (TimerWaker::default(), CancellationToken::new());
    let running = tokio::spawn(tower.scheduler(&alarm).run(LONG, stop.clone()));
    // With a poll this slow only the alarm can do it; the second is set while it sleeps until the first.
    let later = tower.now().await + time::Duration::hours(1);
    tower.set("a", later).await;
    alarm.wake_for(later);
    for (number, id) in ["b", "c"].into_iter().enumerate() {
        let due_at = tower.now().await + time::Duration::milliseconds(20 + 100 * i64::try_from(number).unwrap());
        tower.set(id, due_at).await;
        alarm.wake_for(due_at);
        tower.until_rung(id, 1).await;
        assert!(tower.now().await >= due_at);
    }
    assert_eq!(tower.rung("a").await, 0);
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn more_due_timers_than_fit_in_one_page_all_fire() {
    let bells: Vec<String> = (0..450).map(|number| format!("bell-{number}")).collect();
    let bells: Vec<&str> = bells.iter().map(String::as_str).collect();
    let mut tower = Tower::new(&bells).await;
    tower.set_due(&bells).await;
    let (alarm, stop) = (TimerWaker::default(), CancellationToken::new());
    let running = tokio::spawn(tower.scheduler(&alarm).run(LONG, stop.clone()));
    let all = async {
        while tower.timers().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all).await.expect("all fire");
    let rung: i64 = sqlx::query_scalar("select sum(rung) from bell").fetch_one(&mut tower.connection).await.unwrap();
    assert_eq!(rung, 450);
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn timers_outlive_a_database_that_is_away() {
    let bells: Vec<String> = (0..20).map(|number| format!("bell-{number}")).collect();
    let bells: Vec<&str> = bells.iter().map(String::as_str).collect();
    let mut tower = Tower::new(&bells).await;
    let proxy = Proxy::before(&tower.options).await;
    tower.pool = pool(&proxy.options(&tower.options));
    let (alarm, stop) = (TimerWaker::default(), CancellationToken::new());
    assert_eq!(tower.tick().await, report(0, 0, 0));
    proxy.set(Road::Cut);
    tower.set_due(&bells).await;
    let away = tower.scheduler(&alarm).tick().await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    let running = tokio::spawn(tower.scheduler(&alarm).run(Duration::from_millis(20), stop.clone()));
    proxy.set(Road::Pass);
    for id in &bells {
        tower.until_rung(id, 1).await;
    }
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    let wrong: i64 =
        sqlx::query_scalar("select count(*) from bell where rung <> 1").fetch_one(&mut tower.connection).await.unwrap();
    assert_eq!((wrong, tower.timers().await), (0, 0));
}
