//! Commits in any order, from any server: each event arrives once, and those of one subject in order.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{Connection, PgConnection};
use switchboard::platform::event::{
    Hub, Interest,
    hub::{Received, Scope, Subscription},
};
use tokio::time::timeout;

use super::{Reader, World, change, execute, received, write};
use crate::support::{
    cluster::TestDatabase,
    event_path::{EventPath, PATIENCE, settings},
};

/// A small generator of its own, so that a failure is repeated by its seed (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

/// Subscribes to every event about things of `world`'s company.
fn listen(hub: &Hub, world: &World) -> Subscription {
    hub.subscribe(vec![Interest { company_id: world.company_id, subject_type: "thing", scope: Scope::All }])
}

/// What arrives up to `last`, in the order of arrival.
async fn delivered_until(subscription: &Subscription, last: (&str, i32)) -> Vec<(String, i32)> {
    let mut delivered = Vec::new();
    loop {
        let received = timeout(PATIENCE, subscription.queue().recv()).await.expect("something arrives");
        let Received::Delivery(delivery) = received else { panic!("{received:?}") };
        delivered.extend(delivery.events.iter().map(|event| (event.subject_id.clone(), event.version)));
        if delivered.iter().any(|(id, version)| (id.as_str(), *version) == last) {
            return delivered;
        }
    }
}

/// `delivered` is exactly the log, the events of each subject in order.
fn assert_is_the_log(delivered: &[(String, i32)], log: &[(String, i32)]) {
    let mut sorted = delivered.to_vec();
    sorted.sort_by(|one, other| one.0.cmp(&other.0)); // stable: a subject's own order stays
    assert_eq!(sorted, log);
}

/// Transactions begin in one order, write several things each, and end (commit or roll back) in another.
async fn random_history(seed: u64) {
    const TRANSACTIONS: usize = 5;
    let mut random = Random(seed);
    let ids: Vec<String> = (0..12).map(|number| format!("thing-{number:02}")).collect();
    let mut world = World::new(&ids.iter().map(String::as_str).chain(["zz"]).collect::<Vec<_>>()).await;
    let path = EventPath::start_with(
        &world.options,
        switchboard::platform::config::EventSettings { subscription_queue: 65_536, ..settings() },
    )
    .await;
    let subscription = listen(&path.hub, &world);
    let created = world.log().await;

    let mut connections: Vec<(PgConnection, Option<BTreeSet<usize>>)> = Vec::new();
    for _ in 0..TRANSACTIONS {
        connections.push((world.connect().await, None));
    }
    let mut sentinels = 1;
    let mut delivered = Vec::new();
    for _ in 0..80 {
        let taken: BTreeSet<usize> =
            connections.iter().filter_map(|(_, held)| held.as_ref()).flatten().copied().collect();
        let (connection, held) = &mut connections[random.below(TRANSACTIONS)];
        match (random.below(8), held.is_some()) {
            (0..=4, false) => {
                execute(connection, "begin").await;
                // Some take their number well before they write.
                if random.below(2) == 0 {
                    execute(connection, "select pg_current_xact_id()").await;
                }
                *held = Some(BTreeSet::new());
            }
            (0..=2, true) => {
                let free: Vec<usize> = (0..ids.len()).filter(|id| !taken.contains(id)).collect();
                let count = random.below(3.min(free.len()) + 1);
                let chosen: BTreeSet<usize> = (0..count).map(|_| free[random.below(free.len())]).collect();
                let value = format!("value-{}", random.below(3));
                let changes: Vec<_> = chosen.iter().map(|id| (ids[*id].as_str(), value.as_str())).collect();
                write(connection, world.company_id, &changes).await.unwrap();
                held.as_mut().unwrap().extend(chosen);
            }
            (3..=4, true) => {
                execute(connection, "commit").await;
                *held = None;
            }
            (5, true) => {
                execute(connection, "rollback").await;
                *held = None;
            }
            (6, _) => path.notifier.notify(),
            (7, _) => {
                // A read that surely has happened by now.
                sentinels += 1;
                world.change(&[("zz", "read")]).await;
                path.notifier.notify();
                delivered.extend(delivered_until(&subscription, ("zz", sentinels)).await);
            }
            _ => {}
        }
    }
    for (connection, _) in &mut connections {
        execute(connection, "commit").await;
    }
    world.change(&[("zz", "end")]).await;
    path.notifier.notify();
    delivered.extend(delivered_until(&subscription, ("zz", sentinels + 1)).await);

    let written: Vec<_> = world.log().await.into_iter().filter(|event| !created.contains(event)).collect();
    assert_is_the_log(&delivered, &written);
}

#[tokio::test]
async fn each_event_is_delivered_once_and_in_order_whatever_the_order_of_commits() {
    let base = uuid::Uuid::now_v7().as_u64_pair().1;
    for seed in (0..6).map(|case| base.wrapping_add(case)) {
        println!("seed {seed}"); // shown when it fails
        random_history(seed).await;
    }
}

#[tokio::test]
async fn a_long_transaction_here_or_in_another_database_delays_no_other_event() {
    let mut world = World::new(&["late", "quick"]).await;
    let elsewhere = TestDatabase::create().await;
    let mut other = PgConnection::connect_with(&elsewhere.options()).await.unwrap();
    execute(&mut other, "begin; select pg_current_xact_id()").await;
    let mut long = world.connect().await;
    execute(&mut long, "begin").await;
    write(&mut long, world.company_id, &[("late", "late")]).await.unwrap();

    let path = EventPath::start(&world.options).await;
    let subscription = listen(&path.hub, &world);
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    for version in 2..=40 {
        world.change(&[("quick", "quick")]).await;
        path.notifier.notify();
        let delivered = delivered_until(&subscription, ("quick", version)).await;
        assert_eq!(delivered, [("quick".to_owned(), version)]);
    }
    execute(&mut long, "commit").await;
    path.notifier.notify();
    assert_eq!(delivered_until(&subscription, ("late", 2)).await, [("late".to_owned(), 2)]);
    world.change(&[("quick", "end")]).await;
    path.notifier.notify();
    assert_eq!(delivered_until(&subscription, ("quick", 41)).await, [("quick".to_owned(), 41)]);
    let received = received(&reader.until("quick", 41).await);
    let late = received.iter().filter(|(id, _)| id == "late").count();
    assert_eq!((received.len(), late), (41, 1));
    execute(&mut other, "rollback").await;
}

#[tokio::test]
async fn a_commit_on_one_server_wakes_the_subscribers_of_another() {
    let mut world = World::new(&["thing"]).await;
    // With a poll this slow, only the wake-up can do it.
    let slow = switchboard::platform::config::EventSettings { event_poll: Duration::from_mins(1), ..settings() };
    let here = EventPath::start_with(&world.options, slow.clone()).await;
    let there = EventPath::start_with(&world.options, slow).await;
    let mut near = Reader::ready(&here.sources, world.all()).await;
    let mut far = Reader::ready(&there.sources, world.all()).await;
    for version in 2..=20 {
        world.change(&[("thing", "changed")]).await;
        here.notifier.notify();
        assert_eq!(
            received(&[far.next().await, near.next().await]),
            [("thing".into(), version), ("thing".into(), version)]
        );
    }
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn the_poll_finds_events_of_a_writer_that_does_not_notify() {
    let mut world = World::new(&["thing"]).await;
    let path = EventPath::start(&world.options).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let mut sql_caller = world.connect().await;
    for version in 2..=5 {
        change(&mut sql_caller, world.company_id, &[("thing", "changed")]).await.unwrap();
        assert_eq!(received(&[reader.next().await]), [("thing".into(), version)]);
    }
    assert_eq!(reader.state, world.state().await);
}
