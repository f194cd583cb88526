//! Derived values: computed when something happened, not too often, once for all who watch.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use futures_util::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use sqlx::PgConnection;
use switchboard::platform::{
    error::Result,
    event::{Interest, hub::Scope},
    subscription::{
        Sources,
        derived::{Derive, Derived},
    },
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{World, things};
use crate::support::event_path::{EventPath, PATIENCE};

/// The sum of the versions of a company's things; it counts how often it was computed.
#[derive(Clone)]
struct Sum {
    company_id: Uuid,
    computed: Arc<AtomicUsize>,
}

impl Derive for Sum {
    type Value = i32;

    fn interests(&self) -> Vec<Interest> {
        vec![Interest { company_id: self.company_id, subject_type: "thing", scope: Scope::All }]
    }

    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<i32>> {
        async {
            self.computed.fetch_add(1, Ordering::SeqCst);
            Ok(things(connection, self.company_id).await?.iter().map(|thing| thing.version).sum())
        }
        .boxed()
    }
}

type Values = Pin<Box<dyn Stream<Item = Result<Arc<i32>>> + Send>>;

struct Watched {
    sums: Derived<Uuid, i32>,
    sum: Sum,
}

impl Watched {
    fn new(world: &World) -> Self {
        let sum = Sum { company_id: world.company_id, computed: Arc::default() };
        Self { sums: Derived::default(), sum }
    }

    fn watch(&self, sources: &Sources) -> Values {
        Box::pin(self.sums.watch(sources, self.sum.company_id, self.sum.clone()))
    }

    fn computed(&self) -> usize {
        self.sum.computed.load(Ordering::SeqCst)
    }
}

async fn next(values: &mut Values) -> i32 {
    *timeout(PATIENCE, values.next()).await.expect("a value").expect("the stream goes on").unwrap()
}

#[tokio::test]
async fn a_value_is_computed_once_for_all_who_watch_it() {
    let mut world = World::new(&["a", "b"]).await;
    let path = EventPath::start(&world.options).await;
    let watched = Watched::new(&world);
    let mut watchers: Vec<Values> = (0..50).map(|_| watched.watch(&path.sources)).collect();
    for (expected, computed) in [(2, 1), (3, 2), (4, 3)] {
        let values = futures_util::future::join_all(watchers.iter_mut().map(next)).await;
        assert_eq!(values, vec![expected; 50]);
        assert_eq!(watched.computed(), computed);
        world.change(&[("a", "again")]).await;
        path.notifier.notify();
    }
    drop(watchers);
    assert_eq!(format!("{:?}", watched.sums), "Derived { watched: 0 }", "what nobody watches is forgotten");
}

#[tokio::test]
async fn a_burst_is_computed_a_few_times_and_ends_with_the_last_state() {
    const CHANGES: usize = 300;
    let mut world = World::new(&["a"]).await;
    let path = EventPath::start(&world.options).await;
    let watched = Watched::new(&world);
    let mut values = watched.watch(&path.sources);
    let began = Instant::now();
    let last = i32::try_from(CHANGES).unwrap() + 1;
    let mut shown = vec![next(&mut values).await];
    let writing = async {
        for _ in 0..CHANGES {
            world.change(&[("a", "again")]).await;
            path.notifier.notify();
        }
    };
    let reading = async {
        while *shown.last().unwrap() != last {
            shown.push(next(&mut values).await);
        }
    };
    futures_util::join!(writing, reading);
    assert!(shown.is_sorted_by(|one, next| one <= next), "{shown:?}");
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!(watched.computed() <= 4 * (seconds + 1), "{} times in {seconds} s", watched.computed());
    // The last state may have been read before the last event came: then it is computed once more.
    while let Some(more) = values.next().now_or_never() {
        assert_eq!(*more.expect("the stream goes on").unwrap(), last);
    }
}

#[tokio::test]
async fn a_watcher_that_is_not_read_computes_nothing_and_gets_the_newest_value_later() {
    let mut world = World::new(&["a"]).await;
    let path = EventPath::start(&world.options).await;
    let watched = Watched::new(&world);
    let mut values = watched.watch(&path.sources);
    assert_eq!(next(&mut values).await, 1);
    let mut told = path.hub.watch(watched.sum.interests());
    for _ in 0..3 {
        world.change(&[("a", "again")]).await;
        path.notifier.notify();
        told.changed().await;
    }
    assert_eq!(watched.computed(), 1);
    assert_eq!(next(&mut values).await, 4);
    assert_eq!(watched.computed(), 2);
}
