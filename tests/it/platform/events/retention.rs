//! Partitions of the log are attached and dropped without blocking anyone, and the floor is committed before each drop.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgConnectOptions};
use switchboard::platform::{
    config::EventSettings,
    error::Result,
    event::retention::{self, Report},
};
use tokio::task::JoinHandle;

use super::{Reader, World, connect, execute, set_clock, write};
use crate::support::event_path::{EventPath, server_options, settings};

const RETENTION: Duration = Duration::from_hours(24);
/// Long after any day that the migrations have attached.
const LATER: &str = "2040-01-01 12:00Z";

async fn tick(options: &PgConnectOptions) -> Result<Report> {
    retention::tick(&server_options(options), RETENTION).await
}

/// Names of the log's partitions, and whether they are attached.
async fn days(connection: &mut PgConnection) -> Vec<(String, bool)> {
    sqlx::query_as(
        "select relname::text, relispartition from pg_class
         where relnamespace = 'switchboard'::regnamespace and relkind = 'r' and relname ~ '^event_[0-9]{8}$'
         order by relname",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

fn attached(names: &[&str]) -> Vec<(String, bool)> {
    names.iter().map(|name| ((*name).to_owned(), true)).collect()
}

async fn floor(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select floor::text::bigint from event_log").fetch_one(connection).await.unwrap()
}

async fn newest(connection: &mut PgConnection) -> i64 {
    let newest = "select xid::text::bigint from event order by xid desc limit 1";
    sqlx::query_scalar(newest).fetch_one(connection).await.unwrap()
}

/// A round, under way in the background.
fn spawn_tick(world: &World) -> JoinHandle<Result<Report>> {
    let options = world.options.clone();
    tokio::spawn(async move { tick(&options).await })
}

/// Returns the session of the round that waits for somebody's lock.
async fn waiting_session(connection: &mut PgConnection) -> i32 {
    loop {
        let waiting: Option<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and application_name = 'switchboard'
                 and pid <> pg_backend_pid()",
        )
        .fetch_optional(&mut *connection)
        .await
        .unwrap();
        match waiting {
            Some(session) => return session,
            None => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn days_are_attached_ahead_and_dropped_after_the_retention() {
    let mut world = World::new(&["a"]).await;
    let old = days(&mut world.writer).await;
    let last = newest(&mut world.writer).await;
    set_clock(&mut world.writer, LATER).await;
    let report = tick(&world.options).await.unwrap();
    assert_eq!(report, Report { added: 4, dropped: old.len() });
    let now = ["event_20400101", "event_20400102", "event_20400103", "event_20400104"];
    assert_eq!(days(&mut world.writer).await, attached(&now));
    assert_eq!(floor(&mut world.writer).await, last);
    assert_eq!(tick(&world.options).await.unwrap(), Report::default(), "all is done");

    world.change(&[("a", "first")]).await;
    // The last event of the first day may be of midnight, so it is kept until the next midnight but one.
    set_clock(&mut world.writer, "2040-01-02 23:59:59.9Z").await;
    assert_eq!(tick(&world.options).await.unwrap(), Report { added: 1, dropped: 0 });
    world.change(&[("a", "second")]).await;
    let log = world.log().await;
    assert_eq!(log, [("a".into(), 2), ("a".into(), 3)]);
    set_clock(&mut world.writer, "2040-01-03 00:00Z").await;
    assert_eq!(tick(&world.options).await.unwrap(), Report { added: 1, dropped: 1 });
    assert_eq!(world.log().await, [("a".into(), 3)]);
    let floor = floor(&mut world.writer).await;
    assert!(last < floor && floor < newest(&mut world.writer).await);
}

#[tokio::test]
async fn a_detach_that_waits_for_a_reader_blocks_no_writer() {
    let mut world = World::new(&["a"]).await;
    let old = days(&mut world.writer).await;
    let mut reader = world.connect().await;
    execute(&mut reader, "begin isolation level repeatable read; select * from event").await;
    set_clock(&mut world.writer, LATER).await;
    let round = spawn_tick(&world);
    let session = waiting_session(&mut world.writer).await;
    let days_now = days(&mut world.writer).await;
    assert_eq!(days_now.len(), old.len() + 4, "the new days do not wait");
    // While it waits for the reader, others come and go at once.
    execute(&mut world.writer, "set lock_timeout = '100ms'").await;
    world.change(&[("a", "meanwhile")]).await;
    assert_eq!(world.log().await, [("a".into(), 2)]);
    let seen: i64 =
        sqlx::query_scalar("select count(*) from event where version = 1").fetch_one(&mut reader).await.unwrap();
    assert_eq!(seen, 1, "and the reader goes on seeing what it saw");

    // Killed where it waits: the next round finds a half-detached day and finishes the work.
    sqlx::query("select pg_terminate_backend($1)").bind(session).execute(&mut world.writer).await.unwrap();
    round.await.unwrap().unwrap_err();
    execute(&mut reader, "commit").await;
    assert_eq!(tick(&world.options).await.unwrap(), Report { added: 0, dropped: old.len() });
    assert_eq!(days(&mut world.writer).await.len(), 4);
    world.change(&[("a", "after")]).await;
}

#[tokio::test]
async fn a_crash_between_detach_and_drop_is_finished_by_the_next_round() {
    let mut world = World::new(&["a"]).await;
    let old = days(&mut world.writer).await;
    let last = newest(&mut world.writer).await;
    set_clock(&mut world.writer, LATER).await;
    for (name, _) in &old[..2] {
        execute(&mut world.writer, &format!("alter table event detach partition {name} concurrently")).await;
    }
    assert_eq!(tick(&world.options).await.unwrap(), Report { added: 4, dropped: old.len() });
    assert_eq!(days(&mut world.writer).await.len(), 4);
    assert_eq!(floor(&mut world.writer).await, last);
}

#[tokio::test]
async fn concurrent_rounds_of_several_servers_do_the_work_once() {
    let mut world = World::new(&["a"]).await;
    let old = days(&mut world.writer).await.len();
    set_clock(&mut world.writer, LATER).await;
    let rounds: Vec<_> = (0..4).map(|_| spawn_tick(&world)).collect();
    let (mut added, mut dropped) = (0, 0);
    for round in rounds {
        let report = round.await.unwrap().unwrap();
        added += report.added;
        dropped += report.dropped;
    }
    assert_eq!((added, dropped), (4, old));
    assert_eq!(days(&mut world.writer).await.len(), 4);
}

#[tokio::test]
async fn an_event_that_is_committed_during_the_drop_of_its_day_is_below_the_floor() {
    let mut world = World::new(&["a", "late"]).await;
    let mut late = connect(&world.options).await;
    execute(&mut late, "begin").await;
    write(&mut late, world.company_id, &[("late", "late")]).await.unwrap();
    let xid: i64 = sqlx::query_scalar(AssertSqlSafe("select pg_current_xact_id()::text::bigint"))
        .fetch_one(&mut late)
        .await
        .unwrap();
    set_clock(&mut world.writer, LATER).await;
    let round = spawn_tick(&world);
    waiting_session(&mut world.writer).await;
    execute(&mut late, "commit").await;
    round.await.unwrap().unwrap();
    assert_eq!(world.log().await, [], "gone");
    assert!(floor(&mut world.writer).await >= xid, "and said to be");
}

#[tokio::test]
async fn subscribers_resync_when_a_day_is_dropped_before_it_was_read_to_its_end() {
    let mut world = World::new(&["a", "late"]).await;
    let mut late = connect(&world.options).await;
    execute(&mut late, "begin").await;
    write(&mut late, world.company_id, &[("late", "late")]).await.unwrap();
    // No writer notifies and the poll is slow, so this server does not read in time.
    let slow = EventSettings { event_poll: Duration::from_mins(1), ..settings() };
    let path = EventPath::start_with(&world.options, slow).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    world.change(&[("a", "read")]).await;
    path.notifier.notify();
    reader.until("a", 2).await;
    execute(&mut late, "commit").await;
    set_clock(&mut world.writer, LATER).await;
    tick(&world.options).await.unwrap();
    path.notifier.notify();
    let received = reader.until_ready().await;
    assert!(received.iter().all(|change| change.resync), "{received:?}");
    assert_eq!(reader.state, world.state().await);
    world.change(&[("a", "after")]).await;
    path.notifier.notify();
    reader.until("a", 3).await;
    assert_eq!(reader.resyncs, 1);
}
