//! Cursors: a resume after any message of a stream completes it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use switchboard::platform::{
    error::Code,
    event::{Cursor, CursorKey, Incarnation, LogName, Mark, Position, SubjectName, position_now, retention},
    subscription::{Change, ChangeOperation},
};
use uuid::Uuid;

use super::{Reader, Thing, Things, World, execute, received, set_clock, write};
use crate::support::{
    cluster::OwnCluster,
    event_path::{EventPath, server_options, settings},
};

/// A cursor as a client keeps it, written as text and parsed again.
pub(super) fn kept(cursor: &Cursor) -> Cursor {
    cursor.to_string().parse().unwrap()
}

/// A stream's messages: its snapshot, single changes, reads of several events.
async fn record(world: &mut World, path: &EventPath, feed: &Things) -> Vec<Change<Thing>> {
    let mut reader = Reader::open(&path.sources, feed.clone(), None);
    let mut messages = reader.until_ready().await;
    for version in (2..=8).step_by(2) {
        world.change(&[("a", "together"), ("b", "together"), ("c", "together")]).await;
        path.notifier.notify();
        world.change(&[("a", "alone")]).await;
        path.notifier.notify();
        messages.extend(reader.until("a", version + 1).await);
    }
    // Whatever of the last read comes after that.
    world.change(&[("a", "end")]).await;
    path.notifier.notify();
    messages.extend(reader.until("a", 10).await);
    messages
}

/// Resumes after each of `messages` and reads up to `a` at `last`: nothing is missing, and what is repeated comes
/// before READY and is what it was.
async fn resume_after_each(path: &EventPath, feed: &Things, messages: &[Change<Thing>], last: i32) {
    for place in 0..messages.len() {
        let before = &messages[..=place];
        let mut reader = Reader::open(&path.sources, feed.clone(), Some(kept(&messages[place].cursor)));
        let opening = reader.until_ready().await;
        let restarted = opening[0].operation == ChangeOperation::Snapshot;
        let inside_snapshot = before.len() < 3 && before.iter().all(|message| message.record.is_some());
        assert_eq!(restarted, inside_snapshot && feed.only.is_none(), "after message {place}");
        assert!(opening.iter().all(|message| message.resync == restarted), "after message {place}");
        if restarted {
            continue; // the state again, from which all follows
        }
        let known: HashSet<_> = received(before).into_iter().collect();
        let known_records: Vec<_> = before.iter().filter_map(|message| message.record.as_ref()).collect();
        for repeat in opening.iter().filter_map(|message| message.record.as_ref()) {
            let shown = known_records.iter().filter(|thing| thing.id == repeat.id);
            let newest = shown.clone().map(|thing| thing.version).max();
            if newest >= Some(repeat.version) {
                assert!(shown.clone().any(|thing| *thing == repeat), "{repeat:?} was not received before as it is now");
            }
        }
        let mut rest = received(&opening);
        let last_is_received = |received: &[(String, i32)]| received.contains(&("a".to_owned(), last));
        if !last_is_received(&rest) && !last_is_received(&received(before)) {
            rest.extend(received(&reader.until("a", last).await));
        }
        let mut union: Vec<_> = known.into_iter().chain(rest).collect();
        union.sort();
        union.dedup();
        let mut whole = received(messages);
        whole.sort();
        whole.dedup();
        assert_eq!(union, whole, "after message {place}");
    }
}

#[tokio::test]
async fn every_cursor_resumes_after_its_message() {
    let home = World::new(&[]).await;
    let path = EventPath::start(&home.options).await;
    for only in [None, Some("a".to_owned())] {
        let mut world = World::beside(&home, &["a", "b", "c"]).await;
        let feed = Things { only, ..world.all() };
        let messages = record(&mut world, &path, &feed).await;
        resume_after_each(&path, &feed, &messages, 10).await;

        // After a quiet stretch, with the same last cursor and with one of the log's end: nothing, then what is new.
        let end = Cursor::At(path.hub.position().unwrap());
        for cursor in [&messages.last().unwrap().cursor, &end] {
            let mut reader = Reader::open(&path.sources, feed.clone(), Some(kept(cursor)));
            assert_eq!(received(&reader.until_ready().await), []);
        }
        world.change(&[("a", "after"), ("b", "after")]).await;
        path.notifier.notify();
        for cursor in [&messages.last().unwrap().cursor, &end] {
            let mut reader = Reader::open(&path.sources, feed.clone(), Some(kept(cursor)));
            let new = reader.until("a", 11).await;
            assert!(new.iter().all(|message| !message.resync));
        }
    }
}

#[tokio::test]
async fn a_cursor_inside_a_read_does_not_reach_behind_the_snapshot() {
    let mut world = World::new(&["a", "b", "c"]).await;
    // A server whose reader lags: no writer notifies it, and the poll is slow.
    let slow = switchboard::platform::config::EventSettings { event_poll: Duration::from_mins(1), ..settings() };
    let path = EventPath::start_with(&world.options, slow).await;
    world.change(&[("a", "before"), ("b", "before")]).await;
    world.change(&[("a", "shown"), ("b", "shown")]).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    world.change(&[("a", "new"), ("b", "new")]).await;
    path.notifier.notify(); // one read of all three transactions
    let first = reader.next().await;
    assert_eq!(received(std::slice::from_ref(&first)), [("a".into(), 4)]);
    // What the snapshot had already passed does not come back.
    let mut resumed = Reader::open(&path.sources, world.all(), Some(kept(&first.cursor)));
    assert_eq!(received(&resumed.until_ready().await), [("a".into(), 4), ("b".into(), 4)]);
}

#[tokio::test]
async fn a_cursor_of_another_stream_is_refused() {
    let world = World::new(&["a", "b"]).await;
    let path = EventPath::start(&world.options).await;
    let mut of_a = Reader::open(&path.sources, world.only("a"), None);
    let cursor = kept(&of_a.next().await.cursor);
    for feed in [world.only("b"), world.all(), world.with_value("new")] {
        let refused = Reader::open(&path.sources, feed, Some(cursor.clone())).outcome().await.unwrap_err();
        assert_eq!(refused.code(), Code::BadUserInput, "{refused}");
    }
    let unknown = Reader::open(&path.sources, world.only("c"), None).outcome().await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    // A place in the log fits any stream.
    let end = Cursor::At(path.hub.position().unwrap());
    let mut reader = Reader::open(&path.sources, world.only("b"), Some(kept(&end)));
    assert_eq!(received(&reader.until_ready().await), []);
}

/// The key of the log's cursors.
async fn key(world: &mut World) -> CursorKey {
    let key: Vec<u8> =
        sqlx::query_scalar("select cursor_key from event_log").fetch_one(&mut world.writer).await.unwrap();
    CursorKey::new(key.try_into().unwrap())
}

/// Resuming `feed` after `cursor` gives the present state, all of it marked.
pub(super) async fn assert_resyncs(path: &EventPath, feed: Things, cursor: &Cursor, world: &mut World) {
    let mut reader = Reader::open(&path.sources, feed.clone(), Some(kept(cursor)));
    let opening = reader.until_ready().await;
    assert!(opening.iter().all(|message| message.resync), "{opening:?}");
    let mut state = world.state().await;
    state.retain(|_, thing| feed.wants(thing));
    assert_eq!(reader.state, state);
}

#[tokio::test]
async fn a_cursor_from_before_the_kept_log_or_of_another_history_is_a_resync() {
    // Of its own: transactions of other tests, pending while this one's are dropped, would rightly force a resync.
    let own = OwnCluster::start().await;
    let mut world = World::on(own.options(), &["a", "b"]).await;
    let path = EventPath::start(&world.options).await;
    let mut all = Reader::ready(&path.sources, world.all()).await;
    let mut of_a = Reader::ready(&path.sources, world.only("a")).await;
    world.change(&[("a", "kept by nobody")]).await;
    path.notifier.notify();
    let (old, old_of_a) = (all.next().await.cursor, of_a.next().await.cursor);
    world.change(&[("a", "dropped")]).await;
    path.notifier.notify();
    let (newer, newer_of_a) = (all.next().await.cursor, of_a.next().await.cursor);

    // Another cluster, another timeline, and a future that this history does not have.
    let Cursor::At(position) = &newer else { panic!("{newer:?}") };
    let (name, named) = (*position.incarnation.name(), SubjectName::new("thing", "a"));
    for name in [
        LogName { system: name.system + 1, ..name },
        LogName { timeline: name.timeline + 1, ..name },
        LogName { database: name.database + 1, ..name },
        LogName { id: Uuid::nil(), ..name },
    ] {
        let foreign = Position { incarnation: Incarnation::new(name, key(&mut world).await), ..position.clone() };
        assert_resyncs(&path, world.only("a"), &named.cursor(&foreign, 3), &mut world).await;
        assert_resyncs(&path, world.all(), &Cursor::At(foreign), &mut world).await;
    }
    let future = Mark { xid: position.mark.xid + 1_000_000, at: position.mark.at };
    let future = Position { seen: future.xid, mark: future, ..position.clone() };
    assert_resyncs(&path, world.only("a"), &named.cursor(&future, 3), &mut world).await;
    assert_resyncs(&path, world.all(), &Cursor::At(future), &mut world).await;
    assert_resyncs(&path, world.only("a"), &named.cursor(position, 9), &mut world).await;

    set_clock(&mut world.writer, "2040-01-01 12:00Z").await;
    retention::tick(&server_options(&world.options), Duration::from_hours(24)).await.unwrap();
    assert_eq!(world.log().await, []);
    // The log reaches back exactly to the newest cursors, not to the older ones.
    for (cursor, feed) in [(&old, world.all()), (&old_of_a, world.only("a"))] {
        assert_resyncs(&path, feed, cursor, &mut world).await;
    }
    for (cursor, feed) in [(&newer, world.all()), (&newer_of_a, world.only("a"))] {
        let mut reader = Reader::open(&path.sources, feed, Some(kept(cursor)));
        let opening = reader.until_ready().await;
        assert_eq!((opening.len(), opening[0].resync), (1, false));
    }
    // Open streams are not affected.
    world.change(&[("a", "after")]).await;
    path.notifier.notify();
    for reader in [&mut all, &mut of_a] {
        assert_eq!(received(&[reader.next().await]), [("a".into(), 4)]);
        assert_eq!(reader.resyncs, 0);
    }
}

#[tokio::test]
async fn a_cursor_taken_beside_a_hundred_open_transactions_loses_none_of_them() {
    const OPEN: usize = 100;
    let ids: Vec<String> = (0..OPEN).map(|number| format!("open-{number:03}")).collect();
    // Of its own: with so many transactions under way, cursors of other tests would be shortened too.
    let own = OwnCluster::start().await;
    let mut world = World::on(own.options(), &ids.iter().map(String::as_str).chain(["zz"]).collect::<Vec<_>>()).await;
    let path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let mut open = Vec::new();
    for id in &ids {
        let mut connection = world.connect().await;
        execute(&mut connection, "begin").await;
        write(&mut connection, world.company_id, &[(id, "late")]).await.unwrap();
        open.push(connection);
    }
    world.change(&[("zz", "meanwhile")]).await;
    path.notifier.notify();
    let cursor = reader.next().await.cursor;
    let Cursor::At(position) = &cursor else { panic!("{cursor:?}") };
    assert!(position.pending.len() >= OPEN, "{}", position.pending.len());
    let (end, floor) = position_now(&mut world.writer).await.unwrap();
    let short = kept(&cursor).resumable(&mut world.writer, &end, floor).await.unwrap();
    let Cursor::At(short) = short else { panic!("{short:?}") };
    assert_eq!(short.pending, Arc::from([]), "too many for a cursor");
    for connection in &mut open {
        execute(connection, "commit").await;
    }
    path.notifier.notify();
    let mut resumed = Reader::open(&path.sources, world.all(), Some(kept(&cursor)));
    let opening = received(&resumed.until_ready().await);
    let expected: Vec<_> = ids.iter().chain([&"zz".to_owned()]).map(|id| (id.clone(), 2)).collect();
    assert_eq!(opening, expected);
    // An open stream receives each once.
    let mut live = Vec::new();
    for _ in 0..OPEN {
        live.extend(received(&[reader.next().await]));
    }
    live.sort();
    assert_eq!(live, expected[..OPEN]);
}
