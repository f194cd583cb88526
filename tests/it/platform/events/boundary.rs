//! The boundary between a snapshot and the changes after it, and that of a filter.

use futures_util::future::join_all;
use switchboard::platform::subscription::ChangeOperation;
use tokio::sync::watch;

use super::{Reader, World, change, connect, order::Random, received};
use crate::support::event_path::EventPath;

#[tokio::test]
async fn a_stream_opened_at_any_moment_leads_to_the_same_state() {
    const WRITERS: usize = 3;
    const TRANSACTIONS: usize = 100;
    let ids: Vec<String> = (0..8).map(|number| format!("thing-{number}")).collect();
    let mut world = World::new(&ids.iter().map(String::as_str).chain(["zz"]).collect::<Vec<_>>()).await;
    let path = EventPath::start(&world.options).await;
    let progress = watch::Sender::new(0);
    let writers = (0..WRITERS).map(|writer| {
        let (options, company_id, notifier) = (world.options.clone(), world.company_id, path.notifier.clone());
        let (ids, progress) = (ids.clone(), progress.clone());
        tokio::spawn(async move {
            let mut random = Random(writer as u64);
            let mut connection = connect(&options).await;
            for _ in 0..TRANSACTIONS {
                let first = random.below(ids.len() - 3);
                let value = format!("value-{}", random.below(2));
                let changes: Vec<_> = ids[first..=first + random.below(3)].iter().map(|id| (&**id, &*value)).collect();
                change(&mut connection, company_id, &changes).await.unwrap();
                notifier.notify();
                progress.send_modify(|done| *done += 1);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let readers = (0..50).map(|number| {
        let mut progress = progress.subscribe();
        let sources = path.sources.clone();
        let filtered = number % 2 == 1;
        let feed = if filtered { world.with_value("value-1") } else { world.all() };
        tokio::spawn(async move {
            let moment = number * WRITERS * TRANSACTIONS / 50;
            progress.wait_for(|done| *done >= moment).await.unwrap();
            let mut reader = Reader::open(&sources, feed, None);
            loop {
                let last = reader.next().await.record;
                if last.is_some_and(|thing| thing.id == "zz" && thing.value == "value-1") {
                    return (filtered, reader);
                }
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for writer in writers {
        writer.await.unwrap();
    }
    world.change(&[("zz", "value-1")]).await;
    path.notifier.notify();
    let state = world.state().await;
    let mut with_value = state.clone();
    with_value.retain(|_, thing| thing.value == "value-1");
    for reader in join_all(readers).await {
        let (filtered, reader) = reader.unwrap();
        assert_eq!(&reader.state, if filtered { &with_value } else { &state });
        assert_eq!(reader.resyncs, 0);
    }
}

#[tokio::test]
async fn leaving_a_filter_is_delete_and_entering_it_is_insert() {
    let mut world = World::new(&["a", "b"]).await;
    let path = EventPath::start(&world.options).await;
    world.change(&[("a", "open")]).await;
    let mut reader = Reader::open(&path.sources, world.with_value("open"), None);
    let opening = reader.until_ready().await;
    assert_eq!(received(&opening), [("a".into(), 2)]);
    assert_eq!(opening[0].operation, ChangeOperation::Snapshot);
    for changes in [
        &[("b", "closed")][..], // never seen
        &[("a", "open")],       // still in
        &[("a", "closed")],     // out
        &[("a", "other")],      // still out
        &[("a", "open"), ("b", "open")],
    ] {
        world.change(changes).await;
    }
    world.create(&["c"]).await;
    world.change(&[("c", "open")]).await;
    path.notifier.notify();
    let mut received = Vec::new();
    for _ in 0..5 {
        let change = reader.next().await;
        let thing = change.record.unwrap();
        received.push((change.operation, thing.id, thing.value, thing.version));
    }
    let expected = [
        (ChangeOperation::Update, "a", "open", 3),
        (ChangeOperation::Delete, "a", "closed", 4),
        (ChangeOperation::Insert, "a", "open", 6),
        (ChangeOperation::Insert, "b", "open", 3),
        (ChangeOperation::Insert, "c", "open", 2),
    ];
    let expected =
        expected.map(|(operation, id, value, version)| (operation, id.to_owned(), value.to_owned(), version));
    // Order is promised within a thing.
    received.sort_by(|one, other| (&one.1, one.3).cmp(&(&other.1, other.3)));
    assert_eq!(received, expected);
}
