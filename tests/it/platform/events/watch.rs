//! Waiting for an event of a subject or for a deadline, without a connection.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard::platform::event::{
    Interest,
    hub::{Hub, Scope, Watch},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::World;
use crate::support::{
    event_path::{EventPath, PATIENCE, settings},
    proxy::{Proxy, Road},
};

fn watch(hub: &Hub, company_id: Uuid, id: &str) -> Watch {
    hub.watch(vec![Interest { company_id, subject_type: "thing", scope: Scope::Subject(id.to_owned()) }])
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

#[tokio::test]
async fn a_watch_is_told_of_its_own_subject_only() {
    let mut world = World::new(&["a", "b"]).await;
    let path = EventPath::start(&world.options).await;
    let [mut of_a, mut of_b] = ["a", "b"].map(|id| watch(&path.hub, world.company_id, id));
    assert!(!of_a.changed_before(Instant::now() + Duration::from_millis(20)).await, "the deadline passes");
    world.change(&[("b", "new")]).await;
    path.notifier.notify();
    assert!(of_b.changed_before(soon()).await);
    assert!(of_a.changed().now_or_never().is_none());
    world.change(&[("a", "new"), ("b", "new")]).await;
    path.notifier.notify();
    assert!(of_a.changed_before(soon()).await && of_b.changed_before(soon()).await);
    assert!(of_a.changed().now_or_never().is_none(), "once");
    let pool = &path.sources.pool;
    assert_eq!(pool.size(), 0, "nobody who waits needs a connection");
}

#[tokio::test]
async fn a_watch_is_told_when_the_log_is_read_anew() {
    let mut world = World::new(&["a"]).await;
    let proxy = Proxy::before(&world.options).await;
    let mut path = EventPath::start_with(&proxy.options(&world.options), settings()).await;
    let mut of_a = watch(&path.hub, world.company_id, "a");
    proxy.set(Road::Cut);
    path.notifier.notify();
    path.until_live(false).await;
    // More than the reader reads: it starts over without delivering anything.
    let fill = "insert into event (company_id, subject_type, subject_id, version, type, payload)
         select '00000000-0000-0000-0000-000000000001', 'thing', 'z', n, 'Filled', '{}' from generate_series(1, 100001) as n";
    super::execute(&mut world.writer, fill).await;
    world.change(&[("a", "meanwhile")]).await;
    proxy.set(Road::Pass);
    assert!(of_a.changed_before(soon()).await);
}

#[tokio::test]
async fn a_wake_up_takes_as_long_as_a_read_of_the_log() {
    const ROUNDS: usize = 100;
    let mut world = World::new(&["a"]).await;
    let path = EventPath::start(&world.options).await;
    let mut of_a = watch(&path.hub, world.company_id, "a");
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        world.change(&[("a", "again")]).await;
        let committed = Instant::now();
        path.notifier.notify();
        assert!(of_a.changed_before(soon()).await);
        waits.push(committed.elapsed());
    }
    waits.sort_unstable();
    println!("from the commit to whoever waits: median {:?}, p99 {:?}", waits[ROUNDS / 2], waits[ROUNDS * 99 / 100]);
    // Of a poll it would be half of its interval.
    assert!(waits[ROUNDS / 2] < settings().event_poll / 4, "{:?}", waits[ROUNDS / 2]);
}
