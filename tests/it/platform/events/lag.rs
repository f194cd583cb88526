//! Bursts larger than every buffer are read from the log, page by page, in order.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use switchboard::platform::{
    config::EventSettings,
    event::retention,
    subscription::{Change, ChangeOperation, Sources},
};

use super::{Reader, Thing, World, change, connect, execute, order::Random, received, resume::kept, set_clock, write};
use crate::support::{
    cluster::OwnCluster,
    event_path::{EventPath, server_options, settings},
    proxy::{Proxy, Road},
};

const EVENTS: usize = 5_000;

/// Writes about half of the burst, in transactions of mixed sizes.
async fn burst(world: &World, path: &EventPath, ids: &[String], seed: u64) -> usize {
    let mut connection = connect(&world.options).await;
    let mut random = Random(seed);
    let mut written = 0;
    while written < EVENTS / 2 {
        let size = [1, 1, 2, 7, 60][random.below(5)];
        let first = random.below(ids.len() - size);
        let changes: Vec<_> = ids[first..first + size].iter().map(|id| (id.as_str(), "burst")).collect();
        change(&mut connection, world.company_id, &changes).await.unwrap();
        path.notifier.notify();
        written += size;
    }
    written
}

fn ids() -> Vec<String> {
    (0..100).map(|number| format!("thing-{number:03}")).chain(["zz".to_owned()]).collect()
}

#[tokio::test]
async fn a_burst_larger_than_any_buffer_arrives_whole_and_in_order() {
    let ids = ids();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let small = EventSettings { subscription_queue: 4, ..settings() };
    let path = EventPath::start_with(&world.options, small).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let things = &ids[..100];
    let first = burst(&world, &path, things, 1).await;
    let mut read = 0;
    let second = {
        let mut writing = std::pin::pin!(burst(&world, &path, things, 2));
        loop {
            // Slow: one message for each step of the writer.
            tokio::select! {
                biased;
                second = &mut writing => break second,
                change = reader.next() => {
                    assert_ne!(change.operation, ChangeOperation::Snapshot);
                    read += 1;
                }
            }
        }
    };
    world.change(&[("zz", "end")]).await;
    path.notifier.notify();
    let rest = reader.until("zz", 2).await;
    assert_eq!(read + rest.len(), first + second + 1);
    assert_eq!(reader.resyncs, 0);
    assert_eq!(reader.state, world.state().await);
}

/// Writes a burst and then `zz`, and returns when this server has delivered all of it. A stream that was not read
/// meanwhile has an overflowed queue.
async fn overwhelm(world: &mut World, path: &EventPath, ids: &[String], seed: u64) {
    let mut watching = Reader::ready(&path.sources, world.only("zz")).await;
    burst(world, path, &ids[..100], seed).await;
    world.change(&[("zz", "end")]).await;
    path.notifier.notify();
    watching.next().await;
}

/// A small queue, and small pages.
fn small() -> EventSettings {
    EventSettings { subscription_queue: 4, replay_limit: 100, ..settings() }
}

/// Reads until a catch-up is well under way, which is where its cursor stands still.
async fn into_the_catch_up(reader: &mut Reader) -> Vec<Change<Thing>> {
    let mut messages = Vec::new();
    for _ in 0..450 {
        messages.push(reader.next().await);
    }
    assert!(messages[300..].iter().all(|message| message.cursor == messages[300].cursor));
    messages
}

/// The events in the log about things that existed when the stream began.
async fn changes_in_log(world: &mut World) -> Vec<(String, i32)> {
    let mut log = world.log().await;
    log.retain(|(_, version)| *version > 1);
    log
}

#[tokio::test]
async fn a_gap_beyond_every_limit_is_read_page_by_page() {
    let ids = ids();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.create(&["late"]).await;
    let path = EventPath::start_with(&world.options, small()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let mut late = world.connect().await;
    execute(&mut late, "begin").await;
    write(&mut late, world.company_id, &[("late", "late")]).await.unwrap();
    let smallest = Sources { replay_limit: 10, ..path.sources.clone() };
    let mut of_one = Reader::ready(&smallest, world.only("thing-050")).await;
    overwhelm(&mut world, &path, &ids, 3).await;
    let mut messages = into_the_catch_up(&mut reader).await;
    // Below the end of the catch-up's range, but not contained in it, because it was in progress.
    execute(&mut late, "commit").await;
    overwhelm(&mut world, &path, &ids, 4).await; // the queue overflows again meanwhile
    messages.extend(reader.until("zz", 3).await);
    let mut received_all = received(&messages);
    received_all.sort();
    assert_eq!(received_all, changes_in_log(&mut world).await, "each once");
    assert!(messages.iter().all(|message| message.operation == ChangeOperation::Update));
    assert_eq!(reader.state, world.state().await);
    world.change(&[("thing-050", "after")]).await;
    path.notifier.notify();
    let after = reader.next().await;
    assert_eq!(received(&[after]).len(), 1, "changes go on");
    assert!(reader.stream.as_mut().next().now_or_never().is_none());

    let newest = world.state().await["thing-050"].version;
    assert!(newest > 20, "several pages");
    let received_of_one = received(&of_one.until("thing-050", newest).await);
    assert_eq!(received_of_one, (2..=newest).map(|version| ("thing-050".to_owned(), version)).collect::<Vec<_>>());
    assert_eq!((reader.resyncs, of_one.resyncs), (0, 0));
}

#[tokio::test]
async fn a_log_dropped_between_two_pages_is_one_resync() {
    // Of its own: transactions of other tests, pending while this one's are dropped, would force another resync.
    let own = OwnCluster::start().await;
    let ids = ids();
    let mut world = World::on(own.options(), &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = EventPath::start_with(&world.options, small()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    overwhelm(&mut world, &path, &ids, 5).await;
    into_the_catch_up(&mut reader).await;
    set_clock(&mut world.writer, "2040-01-01 12:00Z").await;
    retention::tick(&server_options(&world.options), Duration::from_hours(24)).await.unwrap();
    assert_eq!(world.log().await, []);
    let mut read_before = 0;
    while reader.resyncs == 0 {
        reader.next().await;
        read_before += 1;
    }
    assert!(read_before <= small().replay_limit, "only what was in memory: {read_before}");
    let resync = reader.until_ready().await;
    assert!(resync.iter().all(|change| change.resync), "SNAPSHOT and READY say so");
    assert_eq!(resync.len(), ids.len(), "all but the first record, and READY");
    assert_eq!(reader.state, world.state().await);
    world.change(&[("zz", "after")]).await;
    path.notifier.notify();
    let after = reader.next().await;
    assert_eq!((after.operation, after.resync), (ChangeOperation::Update, false), "changes go on");
    assert_eq!(reader.resyncs, 1);
    assert!(reader.stream.as_mut().next().now_or_never().is_none());
}

#[tokio::test]
async fn a_client_dropped_between_two_pages_resumes_without_a_loss() {
    let ids = ids();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = EventPath::start_with(&world.options, small()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    overwhelm(&mut world, &path, &ids, 6).await;
    let before = into_the_catch_up(&mut reader).await;
    let Reader { mut state, .. } = reader;
    let cursor = &before.last().unwrap().cursor;
    world.change(&[("thing-000", "while away"), ("thing-099", "while away")]).await;
    path.notifier.notify();

    // What a resume replays is still limited, whatever the cursor.
    let mut limited = Reader::open(&path.sources, world.all(), Some(kept(cursor)));
    assert!(limited.until_ready().await.iter().all(|message| message.resync));
    assert_eq!(limited.state, world.state().await);

    let unlimited = Sources { replay_limit: 10_000, ..path.sources.clone() };
    let mut resumed = Reader::open(&unlimited, world.all(), Some(kept(cursor)));
    let opening = resumed.until_ready().await;
    assert_eq!(resumed.resyncs, 0);
    let of_catch_up: HashSet<_> = before
        .iter()
        .filter(|message| message.cursor == *cursor)
        .filter_map(|message| message.record.clone())
        .collect();
    let (known, rest) = (received(&before), received(&opening));
    for repeat in opening.iter().filter_map(|message| message.record.as_ref()) {
        let is_known = known.contains(&(repeat.id.clone(), repeat.version));
        assert!(!is_known || of_catch_up.contains(repeat), "{repeat:?} is no repeat of this catch-up");
    }
    let whole: BTreeSet<_> = known.into_iter().chain(rest).collect();
    assert_eq!(Vec::from_iter(whole), changes_in_log(&mut world).await);
    state.extend(resumed.state);
    assert_eq!(state, world.state().await);
}

#[tokio::test]
async fn the_last_change_of_a_catch_up_carries_the_end_whatever_other_events_follow() {
    let ids = ids();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = EventPath::start_with(&world.options, small()).await;
    world.change(&[("thing-000", "mine")]).await;
    let mut reader = Reader::ready(&path.sources, world.with_value("mine")).await;
    let mut watching = Reader::ready(&path.sources, world.only("thing-000")).await;
    for version in 3..13 {
        // One read each, so that the queue overflows; then pages of other things.
        world.change(&[("thing-000", "mine")]).await;
        path.notifier.notify();
        watching.until("thing-000", version).await;
    }
    overwhelm(&mut world, &path, &ids[1..].iter().cloned().chain(["zz".to_owned()]).collect::<Vec<_>>(), 7).await;
    let messages = reader.until("thing-000", 12).await;
    assert_eq!(messages.len(), 10);
    let mut resumed = Reader::open(&path.sources, world.with_value("mine"), Some(kept(&messages[9].cursor)));
    let opening = resumed.until_ready().await;
    assert_eq!((opening.len(), opening[0].resync), (1, false), "nothing is missing");
}

#[tokio::test]
async fn a_backlog_too_large_for_memory_is_one_resync() {
    let mut world = World::new(&["a", "b"]).await;
    let proxy = Proxy::before(&world.options).await;
    let mut path = EventPath::start_with(&proxy.options(&world.options), settings()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    for (number, away) in [(1, false), (2, true)] {
        proxy.set(Road::Cut);
        path.notifier.notify();
        path.until_live(false).await;
        // All that is read is another company's, and only the second time more than a reader takes into memory.
        let events = if away { 100_001 } else { 5_000 };
        let fill = format!(
            "insert into event (company_id, subject_type, subject_id, version, type, payload)
             select '00000000-0000-0000-0000-000000000001', 'thing', '{number}', n, 'Filled', '{{}}'
             from generate_series(1, {events}) as n"
        );
        execute(&mut world.writer, &fill).await;
        world.change(&[("a", "meanwhile")]).await;
        proxy.set(Road::Pass);
        path.until_live(true).await;
        world.change(&[("b", "after")]).await;
        path.notifier.notify();
        while reader.state.get("b").is_none_or(|thing| thing.version <= number) {
            reader.next().await;
        }
        assert_eq!(reader.resyncs, usize::from(away));
        assert_eq!(reader.state, world.state().await);
        if away {
            // The resync may have come before or after the last change: then its rest is still to be read.
            while reader.resyncing {
                reader.next().await;
            }
        }
    }
}
