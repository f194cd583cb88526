//! Connections that are killed, silent or refused, and a Postgres that crashes: no event is lost or repeated.

use std::time::{Duration, Instant};

use switchboard::platform::{config::EventSettings, subscription::Sources};
use tokio::sync::watch;

use super::{Reader, World, change, connect, received};
use crate::support::{
    cluster::OwnCluster,
    event_path::{EventPath, SESSIONS, pool, settings},
    proxy::{Proxy, Road},
};

#[tokio::test]
async fn killed_connections_lose_and_repeat_no_event() {
    let mut world = World::new(&["a", "b", "end"]).await;
    let path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let (enough, mut enough_seen) = watch::channel(false);
    let writing = {
        let (options, company_id, notifier) = (world.options.clone(), world.company_id, path.notifier.clone());
        tokio::spawn(async move {
            let mut connection = connect(&options).await;
            let mut written = 0;
            while !*enough_seen.borrow_and_update() {
                change(&mut connection, company_id, &[("a", "changed"), ("b", "changed")]).await.unwrap();
                notifier.notify();
                written += 1;
            }
            written
        })
    };
    let mut killed = 0;
    let mut changes = Vec::new();
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
            changes.push(reader.next().await);
        }
    }
    enough.send_replace(true);
    let written: i32 = writing.await.unwrap();
    world.change(&[("end", "end")]).await;
    changes.extend(reader.until("end", 2).await);
    assert_eq!(reader.resyncs, 0);
    assert_eq!(changes.len(), usize::try_from(written).unwrap() * 2 + 1);
    assert_eq!(reader.state, world.state().await);
}

#[tokio::test]
async fn a_half_open_connection_is_detected_and_replaced() {
    let mut world = World::new(&["thing"]).await;
    let proxy = Proxy::before(&world.options).await;
    // With a poll this slow, only the listener's probe can detect it.
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
        assert_eq!(received(&[reader.next().await]), [("thing".into(), version)]);
    }
    // The new listener receives wake-ups of other servers.
    for version in 4..=8 {
        world.change(&[("thing", "after")]).await;
        elsewhere.notifier.notify();
        assert_eq!(received(&[reader.next().await]), [("thing".into(), version)]);
    }
    assert_eq!(reader.resyncs, 0);
}

#[tokio::test]
async fn subscriptions_stay_open_during_an_outage_and_catch_up() {
    let mut world = World::new(&["a", "b"]).await;
    let proxy = Proxy::before(&world.options).await;
    let tight = EventSettings { subscription_queue: 1, ..settings() };
    let mut path = EventPath::start_with(&proxy.options(&world.options), tight).await;
    let mut waiting = Reader::ready(&path.sources, world.all()).await;
    // This one's queue has overflowed, and it is about to read the log when the database goes away.
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
    let caught_up = received(&waiting.until("b", 21).await);
    assert_eq!(caught_up, (2..=21).map(|version| ("b".to_owned(), version)).collect::<Vec<_>>());
    path.until_live(true).await;
    let lagging = behind.await.unwrap();
    let state = world.state().await;
    assert_eq!((&waiting.state, waiting.resyncs), (&state, 0));
    assert_eq!((&lagging.state, lagging.resyncs), (&state, 0));
}

#[tokio::test]
async fn a_crash_of_postgres_loses_and_repeats_no_event() {
    let mut own = OwnCluster::start().await;
    let mut world = World::on(own.options(), &["a", "b", "c", "open"]).await;
    let mut path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let mut changes = Vec::new();
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
            changes.push(reader.next().await);
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
    changes.extend(reader.until("open", 7).await);
    assert_eq!(reader.resyncs, 0);
    let mut received = received(&changes);
    received.sort();
    let log: Vec<_> = world.log().await.into_iter().filter(|(_, version)| *version > 1).collect();
    assert_eq!(received, log);
    assert_eq!(reader.state, world.state().await);
}
