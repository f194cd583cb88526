//! Events that this build cannot decode, and a log with a hole: the streams that they concern send their state again, all
//! others go on.

use switchboard::platform::{
    config::EventSettings,
    event::{Cursor, SubjectName, position_now},
};

use super::{Reader, World, execute, received, resume::assert_resyncs};
use crate::support::event_path::{EventPath, settings};

/// Changes a thing as a newer build would: with a record that this one does not know.
async fn change_unreadably(world: &mut World, id: &str) {
    let company_id = world.company_id;
    execute(
        &mut world.writer,
        &format!(
            "begin;
             update thing set value = 'strange', version = version + 1 where company_id = '{company_id}' and id = '{id}';
             insert into event (company_id, subject_type, subject_id, version, type, payload)
             select company_id, 'thing', id, version, 'ThingChanged', '{{\"shape\": \"strange\"}}'
             from thing where company_id = '{company_id}' and id = '{id}';
             commit"
        ),
    )
    .await;
}

#[tokio::test]
async fn an_event_that_cannot_be_decoded_resyncs_the_streams_that_it_concerns_and_no_other() {
    let mut world = World::new(&["a", "b"]).await;
    let path = EventPath::start(&world.options).await;
    let mut concerned =
        [Reader::ready(&path.sources, world.all()).await, Reader::ready(&path.sources, world.only("a")).await];
    let mut of_b = Reader::ready(&path.sources, world.only("b")).await;
    let (before, _) = position_now(&mut world.writer).await.unwrap();
    change_unreadably(&mut world, "a").await;
    path.notifier.notify();
    for reader in &mut concerned {
        assert!(reader.until_ready().await.iter().all(|message| message.resync));
        assert_eq!(reader.state["a"].value, "strange");
    }
    world.change(&[("a", "after"), ("b", "after")]).await;
    path.notifier.notify();
    for reader in &mut concerned {
        reader.until("a", 3).await;
        assert_eq!(reader.resyncs, 1);
    }
    assert_eq!(received(&of_b.until("b", 2).await), [("b".into(), 2)]);
    assert_eq!(of_b.resyncs, 0);

    // The same for those who were away.
    assert_resyncs(&path, world.all(), &Cursor::At(before.clone()), &mut world).await;
    assert_resyncs(&path, world.only("a"), &SubjectName::new("thing", "a").cursor(&before, 1), &mut world).await;
    let of_b = SubjectName::new("thing", "b").cursor(&before, 1);
    let mut resumed = Reader::open(&path.sources, world.only("b"), Some(of_b));
    assert_eq!(received(&resumed.until_ready().await), [("b".into(), 2)]);
    assert_eq!(resumed.resyncs, 0);
}

#[tokio::test]
async fn a_slow_stream_that_meets_such_an_event_in_the_log_resyncs() {
    let mut world = World::new(&["a", "b"]).await;
    let tight = EventSettings { subscription_queue: 1, ..settings() };
    let path = EventPath::start_with(&world.options, tight).await;
    let mut slow = Reader::ready(&path.sources, world.all()).await;
    let mut watching = Reader::ready(&path.sources, world.only("b")).await;
    for version in 2..=4 {
        world.change(&[("b", "one of many")]).await;
        path.notifier.notify();
        watching.until("b", version).await;
    }
    change_unreadably(&mut world, "a").await;
    let begun = slow.until("b", 2).await;
    assert_eq!(begun.len(), 1, "only this one is in memory");
    while slow.resyncs == 0 {
        slow.next().await;
    }
    slow.until_ready().await;
    assert_eq!(slow.state, world.state().await);
    world.change(&[("a", "after")]).await;
    path.notifier.notify();
    slow.until("a", 3).await;
    assert_eq!(slow.state, world.state().await);
}

#[tokio::test]
async fn a_resume_of_one_subject_needs_every_version_up_to_the_present_one() {
    for missing in [2, 3, 4] {
        let mut world = World::new(&["a"]).await;
        let path = EventPath::start(&world.options).await;
        let (before, _) = position_now(&mut world.writer).await.unwrap();
        for _ in 2..=4 {
            world.change(&[("a", "changed")]).await;
        }
        let cursor = SubjectName::new("thing", "a").cursor(&before, 1);
        let mut whole = Reader::open(&path.sources, world.only("a"), Some(cursor.clone()));
        assert_eq!(received(&whole.until_ready().await), [2, 3, 4].map(|version| ("a".to_owned(), version)));
        execute(&mut world.writer, &format!("delete from event where version = {missing}")).await;
        assert_resyncs(&path, world.only("a"), &cursor, &mut world).await;
    }
}
