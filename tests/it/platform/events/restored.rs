//! Databases that are not the ones in which positions and cursors were made: restored from a dump, put back from a copy of
//! the files, copied within the cluster. None of them is a silent gap.

use std::time::Duration;

use sqlx::Connection as _;
use switchboard::platform::{
    config::EventSettings,
    error::Code,
    event::{Cursor, Mark, Position, SubjectName, position_now},
};

use super::{
    Reader, World, connect, execute, received,
    resume::{assert_resyncs, kept},
};
use crate::support::{
    cluster::{OwnCluster, TestDatabase},
    event_path::{EventPath, SESSIONS, settings},
};

/// As a restore leaves the log of a cluster that had counted far more transactions than this one.
const DUMPED: [&str; 2] = [
    "update event set xid = (4000000000000 + xid::text::bigint)::text::xid8",
    "truncate event; update event_log set floor = '4000000000000', floor_at = '2030-01-01'",
];

#[tokio::test]
async fn a_log_from_a_dump_of_an_older_cluster_begins_anew() {
    for dumped in DUMPED {
        let mut world = World::new(&["a", "b"]).await;
        execute(&mut world.writer, dumped).await;
        let (one, other) = tokio::join!(EventPath::start(&world.options), EventPath::start(&world.options));
        let (floor, events): (i64, i64) =
            sqlx::query_as("select floor::text::bigint, (select count(*) from event) from event_log")
                .fetch_one(&mut world.writer)
                .await
                .unwrap();
        assert_eq!((floor, events), (0, 0), "{dumped}");
        let mut readers =
            [Reader::ready(&one.sources, world.all()).await, Reader::ready(&other.sources, world.only("a")).await];
        world.change(&[("a", "after")]).await;
        for reader in &mut readers {
            let change = reader.next().await;
            assert_eq!(received(std::slice::from_ref(&change)), [("a".into(), 2)], "{dumped}");
            let feed = if change.cursor.version().is_some() { world.only("a") } else { world.all() };
            let mut resumed = Reader::open(&one.sources, feed, Some(kept(&change.cursor)));
            assert!(resumed.until_ready().await.iter().all(|message| !message.resync), "{dumped}");
        }
    }
}

#[tokio::test]
async fn a_running_server_notices_at_its_next_connection_that_the_database_was_restored_from_a_dump() {
    let mut world = World::new(&["a", "b"]).await;
    let slow = EventSettings { event_poll: Duration::from_mins(1), ..settings() };
    let mut path = EventPath::start_with(&world.options, slow).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let old = world.connect().await;
    let (before, _) = position_now(&mut { old }).await.unwrap();
    execute(&mut world.writer, DUMPED[0]).await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = $1",
    )
    .bind(SESSIONS)
    .execute(&mut world.writer)
    .await
    .unwrap();
    path.notifier.notify();
    assert!(reader.until_ready().await.iter().all(|message| message.resync));
    path.until_live(true).await;
    world.change(&[("a", "after")]).await;
    path.notifier.notify();
    assert_eq!(received(&[reader.next().await]), [("a".into(), 2)]);
    assert_eq!(reader.resyncs, 1);
    assert_resyncs(&path, world.all(), &Cursor::At(before), &mut world).await;
}

#[tokio::test]
async fn after_a_copy_of_the_files_is_put_back_no_cursor_of_the_lost_future_skips_anything() {
    let mut own = OwnCluster::start().await;
    let mut world = World::on(own.options(), &["a", "b"]).await;
    let saved = own.save().await;
    world.writer = connect(&world.options).await;
    let mut path = EventPath::start(&world.options).await;
    let mut all = Reader::ready(&path.sources, world.all()).await;
    let mut of_a = Reader::ready(&path.sources, world.only("a")).await;
    let mut lost = Vec::new();
    for _ in 0..5 {
        world.change(&[("a", "lost"), ("b", "lost")]).await;
        path.notifier.notify();
        lost.push((of_a.next().await.cursor, all.until("b", all.versions["b"] + 1).await.pop().unwrap().cursor));
    }

    own.put_back(saved).await;
    world.writer = connect(&world.options).await;
    // So many that the transactions of the lost future are numbers of the new one, too.
    for _ in 0..12 {
        world.change(&[("a", "new")]).await;
        world.change(&[("b", "new")]).await;
    }
    path.notifier.notify();
    path.until_live(true).await;
    for reader in [&mut all, &mut of_a] {
        assert!(reader.until_ready().await.iter().all(|message| message.resync), "an open stream resyncs");
    }
    for (of_a, at) in &lost {
        assert_resyncs(&path, world.only("a"), of_a, &mut world).await;
        assert_resyncs(&path, world.all(), at, &mut world).await;
    }
}

#[tokio::test]
async fn a_cursor_whose_event_is_gone_or_another_is_a_resync() {
    let mut world = World::new(&["a"]).await;
    let path = EventPath::start(&world.options).await;
    world.change(&[("a", "two")]).await;
    let (end, _) = position_now(&mut world.writer).await.unwrap();
    let of_a = SubjectName::new("thing", "a");
    let unknown = Mark { xid: end.mark.xid, at: end.mark.at.map(|at| at + time::Duration::microseconds(1)) };
    let other = Position { mark: unknown, ..end.clone() };
    assert_resyncs(&path, world.all(), &Cursor::At(other.clone()), &mut world).await;
    assert_resyncs(&path, world.only("a"), &of_a.cursor(&other, 2), &mut world).await;
    for cursor in [Cursor::At(end.clone()), of_a.cursor(&end, 2)] {
        let feed = if cursor.version().is_some() { world.only("a") } else { world.all() };
        let mut resumed = Reader::open(&path.sources, feed, Some(kept(&cursor)));
        assert_eq!(resumed.until_ready().await.len(), 1, "nothing but READY");
    }
    execute(&mut world.writer, "delete from event where version = 2").await;
    world.change(&[("a", "three")]).await;
    assert_resyncs(&path, world.all(), &Cursor::At(end), &mut world).await;
}

#[tokio::test]
async fn a_copy_of_the_database_in_the_same_cluster_takes_no_cursor_of_the_original() {
    let database = TestDatabase::create().await;
    let mut world = World::on(database.options(), &["a"]).await;
    let (end, _) = position_now(&mut world.writer).await.unwrap();
    let cursors = [Cursor::At(end.clone()), SubjectName::new("thing", "a").cursor(&end, 1)].map(|cursor| kept(&cursor));
    let World { options, company_id, writer, .. } = world;
    writer.close().await.unwrap();
    let name = options.get_database().unwrap().to_owned();
    let mut admin = connect(&options.clone().database("postgres")).await;
    execute(&mut admin, &format!("create database {name}_copy template {name} strategy file_copy")).await;
    let options = options.database(&format!("{name}_copy"));
    let mut copy = World { database: None, writer: connect(&options).await, options, company_id };
    let path = EventPath::start(&copy.options).await;
    let [at, of_a] = cursors;
    assert_resyncs(&path, copy.all(), &at, &mut copy).await;
    assert_resyncs(&path, copy.only("a"), &of_a, &mut copy).await;
    drop((path, copy));
    execute(&mut admin, &format!("drop database {name}_copy with (force)")).await;
}

#[tokio::test]
async fn a_new_key_is_a_resync_and_so_is_a_cursor_of_an_older_server() {
    let mut world = World::new(&["a"]).await;
    let path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    world.change(&[("a", "two")]).await;
    path.notifier.notify();
    let cursor = kept(&reader.next().await.cursor);
    let old: Cursor = "eyJwIjpbeyJzeXN0ZW0iOjcsInRpbWVsaW5lIjoxfSw1LFtdXX0".parse().unwrap();
    assert_resyncs(&path, world.all(), &old, &mut world).await;
    assert_resyncs(&path, world.only("a"), &old, &mut world).await;
    let mut resumed = Reader::open(&path.sources, world.all(), Some(cursor.clone()));
    assert_eq!(resumed.until_ready().await.len(), 1, "with the key that sealed it: nothing but READY");
    execute(&mut world.writer, "update event_log set cursor_key = default").await;
    assert_resyncs(&path, world.all(), &cursor, &mut world).await;
    assert_eq!("no cursor at all".parse::<Cursor>().unwrap_err().code(), Code::BadUserInput);
}
