//! Streams that conflate: a fast client receives every change, a slow one the newest, and none keeps an outdated state.

use futures_util::{FutureExt as _, StreamExt as _};
use switchboard::platform::{
    config::EventSettings,
    subscription::{ChangeOperation, Newest},
};

use super::{Reader, Thing, Things, World, received};
use crate::support::event_path::{EventPath, settings};

/// Changes `a` to each of `values`, one read of the log each, and returns when this server has handed them out.
async fn hand_out(world: &mut World, path: &EventPath, values: &[&str]) {
    let mut watching = Reader::ready(&path.sources, world.only("a")).await;
    for value in values {
        world.change(&[("a", value)]).await;
        path.notifier.notify();
        watching.next().await;
    }
}

/// An event path whose queues hold four events.
async fn narrow(world: &World) -> EventPath {
    EventPath::start_with(&world.options, EventSettings { subscription_queue: 4, ..settings() }).await
}

/// True if the stream has no message although its queue may hold events.
fn is_quiet(reader: &mut Reader) -> bool {
    reader.stream.as_mut().next().now_or_never().is_none()
}

#[tokio::test]
async fn a_slow_client_receives_the_newest_state_and_a_fast_one_every_change() {
    let mut world = World::new(&["a"]).await;
    let path = narrow(&world).await;
    let mut fast = Reader::ready(&path.sources, Newest(world.only("a"))).await;
    let mut slow = Reader::ready(&path.sources, Newest(world.only("a"))).await;
    for version in 2..=4 {
        hand_out(&mut world, &path, &["some"]).await;
        assert_eq!(received(&[fast.next().await]), [("a".into(), version)]);
    }
    // The three changes waited in the queue.
    let only = slow.next().await;
    assert_eq!((only.operation, received(&[only])), (ChangeOperation::Update, vec![("a".into(), 4)]));
    assert!(is_quiet(&mut slow));
    for version in 5..=50 {
        hand_out(&mut world, &path, &["many"]).await;
        assert_eq!(received(&[fast.next().await]), [("a".into(), version)]);
    }
    // The queue held the first four changes; the state that is read includes the rest.
    let received_slow = slow.until("a", 50).await;
    assert_eq!(received(&received_slow), [("a".into(), 8), ("a".into(), 50)]);
    assert!(received_slow.iter().all(|message| !message.resync));
    assert_eq!(slow.next().await.operation, ChangeOperation::Ready);
    assert!(is_quiet(&mut slow));
    hand_out(&mut world, &path, &["after"]).await;
    for reader in [&mut fast, &mut slow] {
        assert_eq!(received(&[reader.next().await]), [("a".into(), 51)]);
        assert_eq!(reader.state, world.state().await);
    }
}

#[tokio::test]
async fn a_slow_client_receives_delete_when_the_record_leaves_its_view() {
    let mut world = World::new(&["a"]).await;
    let path = narrow(&world).await;
    let mine = Things { value: Some("mine".to_owned()), ..world.only("a") };
    hand_out(&mut world, &path, &["mine"]).await;
    let mut reader = Reader::ready(&path.sources, Newest(mine)).await;
    let next = async |reader: &mut Reader| {
        let change = reader.outcome().await.unwrap();
        (change.operation, change.record.map(|thing: Thing| thing.version))
    };
    // The changes after the loss do not concern this client, so the loss is the newest that does.
    hand_out(&mut world, &path, &["mine", "another's", "a third's"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Delete, Some(4)));
    assert!(is_quiet(&mut reader));
    // Back and lost again in between: the client's view is unchanged.
    hand_out(&mut world, &path, &["mine", "another's"]).await;
    assert!(is_quiet(&mut reader));
    hand_out(&mut world, &path, &["mine", "mine"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Insert, Some(9)));
    // The same where the queue overflows and the state is read instead.
    hand_out(&mut world, &path, &["mine", "mine", "mine", "mine", "mine", "another's"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Update, Some(13)));
    assert_eq!(next(&mut reader).await, (ChangeOperation::Delete, None));
    hand_out(&mut world, &path, &["a third's", "mine", "mine", "mine", "another's", "a third's"]).await;
    hand_out(&mut world, &path, &["mine"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Insert, Some(19)));
    assert_eq!(next(&mut reader).await, (ChangeOperation::Snapshot, Some(22)));
    assert_eq!(next(&mut reader).await, (ChangeOperation::Ready, None));
    hand_out(&mut world, &path, &["another's"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Delete, Some(23)));
    assert!(is_quiet(&mut reader));
    // Still lost: no message, whatever was dropped from the queue.
    hand_out(&mut world, &path, &["another's"; 6]).await;
    tokio::select! {
        biased;
        received = next(&mut reader) => panic!("a repeated {received:?}"),
        () = hand_out(&mut world, &path, &["another's"; 3]) => {}
    }
    hand_out(&mut world, &path, &["mine"]).await;
    assert_eq!(next(&mut reader).await.1, Some(33));
}
