//! Connections that die, fall silent or are refused, and a Postgres that crashes: nothing lost, nothing doubled.

use std::time::{Duration, Instant};

use switchboard::platform::{config::EventSettings, subscription::Sources};
use tokio::sync::watch;

use super::{Reader, World, change, connect, told};
use crate::support::{
    cluster::OwnCluster,
    event_path::{EventPath, SESSIONS, pool, settings},
    proxy::{Proxy, Road},
};

#[tokio::test]
async fn killed_connections_lose_and_double_nothing() {
    let mut world = World::new(&["a", "b", "end"]).await;
    let path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let (enough, mut told_enough) = watch::channel(false);
    let writing = {
        let (options, company_id, notifier) = (world.options.clone(), world.company_id, path.notifier.clone());
        tokio::spawn(async move {
            let mut connection = connect(&options).await;
            let mut written = 0;
            while !*told_enough.borrow_and_update() {
                change(&mut connection, company_id, &[("a", "changed"), ("b", "changed")]).await.unwrap();
                notifier.notify();
                written += 1;
            }
            written
        })
    };
    let mut killed = 0;
    let mut heard = Vec::new();
    while killed < 15 {
        let now: i64 = sqlx::query_scalar(
            "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and application_name = $1",
        )
        .bind(SESSIONS)
        .fetch_one(&mut world.writer)
        .await
        .unwrap();
        killed += now;
        for _ in 0..4 {
            heard.push(reader.next().await);
        }
    }
    enough.send_replace(true);
    let written: i32 = writing.await.unwrap();
    world.change(&[("end", "end")]).await;
    heard.extend(reader.until("end", 2).await);
    assert_eq!(reader.resyncs, 0);
    assert_eq!(heard.len(), usize::try_from(written).unwrap() * 2 + 1);
    assert_eq!(reader.state, world.state().await);
}

#[tokio::test]
async fn a_connection_on_which_nothing_arrives_is_found_and_replaced() {
    let mut world = World::new(&["thing"]).await;
    let proxy = Proxy::before(&world.options).await;
    // With a poll this slow, it is the listener's probe that finds out.
    let slow = EventSettings { event_poll: Duration::from_mins(1), ..settings() };
    let elsewhere = EventPath::start_with(&world.options, slow.clone()).await;
    let mut path = EventPath::start_with(&proxy.options(&world.options), slow).await;
    let sources = Sources { pool: pool(&world.options), ..path.sources.clone() };
    let mut reader = Reader::ready(&sources, world.all()).await;
    for version in 2..=3 {
        proxy.set(Road::Freeze);
        let frozen = Instant::now();
        path.until_live(false).await;
        assert!(frozen.elapsed() < Duration::from_secs(10), "{:?}", frozen.elapsed());
        world.change(&[("thing", "meanwhile")]).await;
        elsewhere.notifier.notify();
        proxy.set(Road::Pass);
        path.until_live(true).await;
        assert_eq!(told(&[reader.next().await]), [("thing".into(), version)]);
    }
    // The new listener hears others.
    for version in 4..=8 {
        world.change(&[("thing", "after")]).await;
        elsewhere.notifier.notify();
        assert_eq!(told(&[reader.next().await]), [("thing".into(), version)]);
    }
    assert_eq!(reader.resyncs, 0);
}

#[tokio::test]
async fn subscriptions_outlive_a_database_that_is_away_and_catch_up() {
    let mut world = World::new(&["a", "b"]).await;
    let proxy = Proxy::before(&world.options).await;
    let tight = EventSettings { subscription_queue: 1, ..settings() };
    let mut path = EventPath::start_with(&proxy.options(&world.options), tight).await;
    let mut waiting = Reader::ready(&path.sources, world.all()).await;
    // This one has fallen behind its mailbox, and is just about to read the log when the database goes.
    let mut lagging = Reader::ready(&path.sources, world.all()).await;
    for version in 2..=4 {
        world.change(&[("a", "before")]).await;
        path.notifier.notify();
        waiting.until("a", version).await;
    }

    proxy.set(Road::Cut);
    let behind = tokio::spawn(async move {
        lagging.until("b", 21).await;
        lagging
    });
    path.notifier.notify();
    path.until_live(false).await;
    for _ in 2..=21 {
        world.change(&[("b", "meanwhile")]).await;
    }
    proxy.set(Road::Pass);
    let caught_up = told(&waiting.until("b", 21).await);
    assert_eq!(caught_up, (2..=21).map(|version| ("b".to_owned(), version)).collect::<Vec<_>>());
    path.until_live(true).await;
    let lagging = behind.await.unwrap();
    let state = world.state().await;
    assert_eq!((&waiting.state, waiting.resyncs), (&state, 0));
    assert_eq!((&lagging.state, lagging.resyncs), (&state, 0));
}

#[tokio::test]
async fn a_crash_of_postgres_loses_and_doubles_nothing() {
    let mut own = OwnCluster::start().await;
    let mut world = World::on(own.options(), &["a", "b", "c", "open"]).await;
    let mut path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let mut heard = Vec::new();
    for _ in 0..2 {
        // In flight at the crash: one that never commits, whose number may be given out again, and two that commit
        // as often as they can.
        let mut open = connect(&world.options).await;
        super::execute(&mut open, "begin").await;
        super::write(&mut open, world.company_id, &[("open", "lost")]).await.unwrap();
        let mut writers = Vec::new();
        for id in ["a", "b"] {
            // Connected before the crash, whichever of them writes first.
            let mut connection = connect(&world.options).await;
            let (company_id, notifier) = (world.company_id, path.notifier.clone());
            writers.push(tokio::spawn(async move {
                while change(&mut connection, company_id, &[(id, "changed")]).await.is_ok() {
                    notifier.notify();
                }
            }));
        }
        for _ in 0..20 {
            heard.push(reader.next().await);
        }
        own.crash().await;
        path.until_live(false).await;
        for writer in writers {
            writer.await.unwrap();
        }
        own.start_again().await;
        world.writer = connect(&world.options).await;
        for _ in 0..3 {
            world.change(&[("c", "after"), ("open", "after")]).await;
        }
        path.until_live(true).await;
    }
    heard.extend(reader.until("open", 7).await);
    assert_eq!(reader.resyncs, 0);
    let mut heard = told(&heard);
    heard.sort();
    let log: Vec<_> = world.log().await.into_iter().filter(|(_, version)| *version > 1).collect();
    assert_eq!(heard, log);
    assert_eq!(reader.state, world.state().await);
}
