//! Transactions with more events than a server keeps in memory.

use switchboard::platform::config::EventSettings;

use super::{Reader, World, received, resume::kept};
use crate::support::event_path::{EventPath, settings};

const THINGS: usize = 4_000;

#[tokio::test]
async fn a_transaction_larger_than_a_reads_memory_arrives_once_and_in_order() {
    let ids: Vec<String> = (0..THINGS).map(|number| format!("thing-{number:05}")).collect();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let small = EventSettings { read_memory: 65_536, subscription_queue: 16, ..settings() };
    let path = EventPath::start_with(&world.options, small).await;
    let mut all = Reader::ready(&path.sources, world.all()).await;
    let mut first = Reader::ready(&path.sources, world.only("thing-00000")).await;
    let mut last = Reader::ready(&path.sources, world.only("thing-03999")).await;
    let every: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "changed")).collect();
    world.change(&every).await;
    path.notifier.notify();
    let mut changes = Vec::new();
    for _ in 0..THINGS {
        changes.push(all.next().await);
    }
    let expected: Vec<_> = ids.iter().map(|id| (id.clone(), 2)).collect();
    assert_eq!(received(&changes), expected);
    for reader in [&mut first, &mut last] {
        let id = reader.state.keys().next().unwrap().clone();
        assert_eq!(received(&[reader.next().await]), [(id, 2)]);
    }
    // After any message of it, a resume leads to the same end.
    for place in [0, THINGS / 2, THINGS - 1] {
        let mut resumed = Reader::open(&path.sources, world.all(), Some(kept(&changes[place].cursor)));
        let rest = received(&resumed.until_ready().await);
        assert!(rest.ends_with(&expected[place + 1..]), "after {place}");
        assert_eq!(resumed.resyncs, 0);
    }
    world.change(&[("thing-00000", "after"), ("thing-03999", "after")]).await;
    path.notifier.notify();
    for (reader, count) in [(&mut all, 2), (&mut first, 1), (&mut last, 1)] {
        for _ in 0..count {
            assert_eq!(reader.next().await.record.unwrap().version, 3);
        }
        assert_eq!(reader.resyncs, 0);
    }
    assert_eq!(all.state, world.state().await);
}
