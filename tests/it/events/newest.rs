//! A stream that conflates: every change to who keeps up, the newest to who does not, and never a state that is over.

use futures_util::{FutureExt as _, StreamExt as _};
use switchboard::platform::{
    config::EventSettings,
    subscription::{ChangeOperation, Newest},
};

use super::{Reader, Thing, Things, World, told};
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

/// A path whose mailboxes hold four events.
async fn narrow(world: &World) -> EventPath {
    EventPath::start_with(&world.options, EventSettings { subscription_queue: 4, ..settings() }).await
}

/// True if nothing that is in the mailbox is told.
fn is_quiet(reader: &mut Reader) -> bool {
    reader.stream.as_mut().next().now_or_never().is_none()
}

#[tokio::test]
async fn a_slow_reader_is_told_the_newest_and_a_fast_one_everything() {
    let mut world = World::new(&["a"]).await;
    let path = narrow(&world).await;
    let mut fast = Reader::ready(&path.sources, Newest(world.only("a"))).await;
    let mut slow = Reader::ready(&path.sources, Newest(world.only("a"))).await;
    for version in 2..=4 {
        hand_out(&mut world, &path, &["some"]).await;
        assert_eq!(told(&[fast.next().await]), [("a".into(), version)]);
    }
    // They waited in the mailbox.
    let only = slow.next().await;
    assert_eq!((only.operation, told(&[only])), (ChangeOperation::Update, vec![("a".into(), 4)]));
    assert!(is_quiet(&mut slow));
    for version in 5..=50 {
        hand_out(&mut world, &path, &["many"]).await;
        assert_eq!(told(&[fast.next().await]), [("a".into(), version)]);
    }
    // The mailbox held the first of them; the rest is part of the state.
    let told_slow = slow.until("a", 50).await;
    assert_eq!(told(&told_slow), [("a".into(), 8), ("a".into(), 50)]);
    assert!(told_slow.iter().all(|message| !message.resync));
    assert_eq!(slow.next().await.operation, ChangeOperation::Ready);
    assert!(is_quiet(&mut slow));
    hand_out(&mut world, &path, &["after"]).await;
    for reader in [&mut fast, &mut slow] {
        assert_eq!(told(&[reader.next().await]), [("a".into(), 51)]);
        assert_eq!(reader.state, world.state().await);
    }
}

#[tokio::test]
async fn who_may_not_see_it_any_more_is_told_so_however_slow() {
    let mut world = World::new(&["a"]).await;
    let path = narrow(&world).await;
    let mine = Things { value: Some("mine".to_owned()), ..world.only("a") };
    hand_out(&mut world, &path, &["mine"]).await;
    let mut reader = Reader::ready(&path.sources, Newest(mine)).await;
    let next = async |reader: &mut Reader| {
        let change = reader.outcome().await.unwrap();
        (change.operation, change.record.map(|thing: Thing| thing.version))
    };
    // What follows the loss is not for this reader: the loss is the newest that is.
    hand_out(&mut world, &path, &["mine", "another's", "a third's"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Delete, Some(4)));
    assert!(is_quiet(&mut reader));
    // Back again and lost meanwhile: it is as the reader knows.
    hand_out(&mut world, &path, &["mine", "another's"]).await;
    assert!(is_quiet(&mut reader));
    hand_out(&mut world, &path, &["mine", "mine"]).await;
    assert_eq!(next(&mut reader).await, (ChangeOperation::Insert, Some(9)));
    // The same where the mailbox overflows, and the state is read instead.
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
    // Lost as before: nothing new to tell, whatever was dropped.
    hand_out(&mut world, &path, &["another's"; 6]).await;
    tokio::select! {
        biased;
        told = next(&mut reader) => panic!("{told:?} was told before"),
        () = hand_out(&mut world, &path, &["another's"; 3]) => {}
    }
    hand_out(&mut world, &path, &["mine"]).await;
    assert_eq!(next(&mut reader).await.1, Some(33));
}
