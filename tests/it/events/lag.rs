//! Bursts larger than every buffer: read from the log instead, in order; or one honest resync.

use futures_util::{FutureExt as _, StreamExt as _};
use switchboard::{config::EventSettings, graphql::subscribe::ChangeOperation};

use super::{Reader, World, change, connect, execute, order::Random};
use crate::support::{
    event_path::{EventPath, settings},
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
        path.bell.ring();
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
    path.bell.ring();
    let rest = reader.until("zz", 2).await;
    assert_eq!(read + rest.len(), first + second + 1);
    assert_eq!(reader.resyncs, 0);
    assert_eq!(reader.state, world.state().await);
}

#[tokio::test]
async fn a_gap_too_long_to_replay_is_one_resync_to_the_present_state() {
    let ids = ids();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let small = EventSettings { subscription_queue: 4, replay_limit: 500, ..settings() };
    let path = EventPath::start_with(&world.options, small).await;
    let mut watching = Reader::ready(&path.sources, world.all()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    burst(&world, &path, &ids[..100], 3).await;
    world.change(&[("zz", "end")]).await;
    path.bell.ring();
    watching.until("zz", 2).await; // all of the burst has been handed out by now, or is skipped
    while reader.resyncs == 0 {
        reader.next().await;
    }
    let resync = reader.until_ready().await;
    assert!(resync.iter().all(|change| change.resync), "SNAPSHOT and READY say so");
    assert_eq!(resync.len(), ids.len(), "all but the first record, and READY");
    assert_eq!(reader.state, world.state().await);
    world.change(&[("zz", "after")]).await;
    path.bell.ring();
    let after = reader.next().await;
    assert_eq!((after.operation, after.resync), (ChangeOperation::Update, false), "changes go on");
    assert_eq!(reader.resyncs, 1);
    assert!(reader.stream.as_mut().next().now_or_never().is_none());
}

#[tokio::test]
async fn a_server_that_was_away_for_too_much_to_hold_is_one_resync() {
    let mut world = World::new(&["a", "b"]).await;
    let proxy = Proxy::before(&world.options).await;
    let mut path = EventPath::start_with(&proxy.options(&world.options), settings()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    for (number, away) in [(1, false), (2, true)] {
        proxy.set(Road::Cut);
        path.bell.ring();
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
        path.bell.ring();
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
