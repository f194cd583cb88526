//! Large snapshots come in pages, and are one state with the changes that follow.

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::PgConnection;
use switchboard::platform::{
    config::EventSettings,
    error::Result,
    event::{Event, Interest},
    subscription::{ChangeOperation, Feed, Listing, Loaded, Versioned},
};
use uuid::Uuid;

use super::{Reader, Thing, Things, World, execute, received, things};
use crate::support::event_path::{EventPath, settings};

/// More than two pages.
const THINGS: usize = 600;

/// The same stream, with a listing in place of a snapshot.
struct Listed(Things);

impl Feed for Listed {
    type Record = Thing;

    fn company_id(&self) -> Uuid {
        self.0.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        self.0.interests()
    }

    fn subject(&self) -> Option<switchboard::platform::event::Subject> {
        None
    }

    fn snapshot<'a>(&'a self, _: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Thing>>>> {
        async { panic!("a listed state is never read whole") }.boxed()
    }

    fn listing<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Option<Listing>>> {
        async {
            let things = things(connection, self.0.company_id).await?;
            let rows = things.into_iter().filter(|thing| self.0.wants(thing));
            let rows = rows.map(|thing| (thing.id.parse().unwrap(), thing.version)).collect();
            Ok(Some(Listing { subject_type: "thing", rows }))
        }
        .boxed()
    }

    fn load<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Loaded<Thing>>>> {
        async {
            let mut things = things(connection, self.0.company_id).await?;
            things.retain(|thing| ids.contains(&thing.id.parse().unwrap()));
            let loaded = things.into_iter().map(|thing| Loaded {
                id: thing.id.parse().unwrap(),
                version: thing.version,
                record: self.0.wants(&thing).then_some(thing),
            });
            Ok(loaded.collect())
        }
        .boxed()
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Thing)>> {
        self.0.project(event)
    }
}

/// Ids in order.
fn ids() -> Vec<String> {
    (1..=THINGS as u128).map(|number| Uuid::from_u128(number).to_string()).collect()
}

/// Changes things behind the client's back while it has read part of the first page; the rest must fit.
async fn pages_with_changes_between(settings: EventSettings) {
    let ids = ids();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut world = World::new(&names).await;
    let path = EventPath::start_with(&world.options, settings).await;
    let feed = world.with_value("new");
    let mut reader = Reader::open(&path.sources, Listed(feed.clone()), None);
    let mut messages = Vec::new();
    for _ in 0..10 {
        messages.push(reader.next().await);
    }
    // No connection is held while the client reads.
    let pool = &path.sources.pool;
    // Returned by a task of the pool's.
    while pool.num_idle() < pool.size() as usize {
        tokio::task::yield_now().await;
    }
    let (sent, changed, left, back) = (names[5], names[300], names[301], names[400]);
    for thing in [sent, changed] {
        world.change(&[(thing, "new")]).await;
        path.notifier.notify();
    }
    world.change(&[(left, "old"), (back, "old")]).await;
    world.change(&[(back, "new")]).await;
    let late = Uuid::from_u128(u128::MAX).to_string();
    world.create(&[&late]).await;
    path.notifier.notify();
    messages.extend(reader.until_ready().await);
    assert_eq!(reader.resyncs, 0);
    let in_snapshot = received(&messages);
    assert_eq!(in_snapshot.len(), THINGS - 1, "all but the one that left");
    for version in [(sent, 1), (changed, 2), (back, 3)] {
        assert!(in_snapshot.contains(&(version.0.to_owned(), version.1)), "{version:?}");
    }
    // The last of any page.
    world.change(&[(&late, "new")]).await;
    path.notifier.notify();
    let after = reader.until(&late, 2).await;
    let told = received(&after);
    assert!(told.contains(&(sent.to_owned(), 2)) && told.contains(&(late.clone(), 1)), "{told:?}");
    for part_of_snapshot in [changed, left, back] {
        assert!(told.iter().all(|(id, _)| id != part_of_snapshot), "{part_of_snapshot} is not told again: {told:?}");
    }
    let mut state = world.state().await;
    state.retain(|_, thing| feed.wants(thing));
    assert_eq!(reader.state, state);
}

#[tokio::test]
async fn a_snapshot_in_pages_is_one_state_with_the_changes_that_follow() {
    pages_with_changes_between(settings()).await;
}

#[tokio::test]
async fn a_queue_that_overflows_between_two_pages_loses_nothing() {
    pages_with_changes_between(EventSettings { subscription_queue: 1, ..settings() }).await;
}

#[tokio::test]
async fn a_client_that_leaves_between_two_pages_begins_again() {
    let ids = ids();
    let mut world = World::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = EventPath::start(&world.options).await;
    let mut reader = Reader::open(&path.sources, Listed(world.all()), None);
    let mut last = reader.next().await;
    for _ in 1..THINGS {
        last = reader.next().await;
    }
    let whole = reader.next().await;
    assert_eq!((whole.operation, &whole.cursor), (ChangeOperation::Ready, &last.cursor), "the last record is complete");
    let mut other = Reader::open(&path.sources, Listed(world.all()), None);
    let partial = other.next().await.cursor;
    world.change(&[(&ids[0], "meanwhile")]).await;
    let mut resumed = Reader::open(&path.sources, Listed(world.all()), Some(partial));
    assert_eq!(received(&resumed.until_ready().await).len(), THINGS);
    assert_eq!(resumed.resyncs, 1);
    let mut resumed = Reader::open(&path.sources, Listed(world.all()), Some(whole.cursor));
    assert_eq!(received(&resumed.until_ready().await), [(ids[0].clone(), 2)]);
}

#[tokio::test]
async fn streams_that_begin_together_wait_in_line() {
    let world = World::new(&["a", "b"]).await;
    // One connection, and a wait for it that is too short for a crowd.
    let path = EventPath::start_with(&world.options, EventSettings { stream_reads: 1, ..settings() }).await;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(std::time::Duration::from_secs(1))
        .connect_lazy_with(crate::support::event_path::server_options(&world.options));
    let sources = switchboard::platform::subscription::Sources { pool, ..path.sources.clone() };
    let feed = world.all();
    // Each read takes a tenth of a second, so that the last one waits longer than for a connection.
    let streams = (0..30).map(|_| {
        let (sources, feed) = (sources.clone(), Slow(feed.clone()));
        async move { received(&Reader::open(&sources, feed, None).until_ready().await).len() }
    });
    assert_eq!(futures_util::future::join_all(streams).await, vec![2; 30]);
}

/// The same stream, whose state takes a while to read.
struct Slow(Things);

impl Feed for Slow {
    type Record = Thing;

    fn company_id(&self) -> Uuid {
        self.0.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        self.0.interests()
    }

    fn subject(&self) -> Option<switchboard::platform::event::Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Thing>>>> {
        async {
            execute(connection, "select pg_sleep(0.1)").await;
            self.0.snapshot(connection).await
        }
        .boxed()
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Thing)>> {
        self.0.project(event)
    }
}
