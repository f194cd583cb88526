use futures_util::FutureExt as _;
use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::platform::event::{CursorKey, Decoded, Incarnation, LogName, Mark, OnceLock};

const COMPANY: Uuid = Uuid::from_u128(1);

fn event(company_id: Uuid, id: &str, version: i32, colour: &str, before: Option<&str>) -> Event {
    Event {
        company_id,
        subject_type: "lamp".into(),
        subject_id: id.into(),
        version,
        event_type: "LampChanged".into(),
        actor: None,
        payload: json!({ "id": id, "colour": colour, "watts": 5 }).to_string(),
        previous: before.map(|colour| json!({ "colour": colour }).to_string()),
        occurred_at: OffsetDateTime::UNIX_EPOCH,
        xid: 1,
        record: Decoded::default(),
        before: Decoded::default(),
        fields: OnceLock::default(),
        render_cache: crate::platform::event::RenderCache::default(),
    }
}

fn at(seen: u64) -> Position {
    let name = LogName { system: 1, timeline: 1, database: 1, id: Uuid::nil() };
    Position::at(Incarnation::new(name, CursorKey::new([1; 32])), Mark { xid: seen, at: None })
}

fn interest(scope: Scope) -> Interest {
    Interest { company_id: COMPANY, subject_type: "lamp", scope }
}

fn colour(colour: &str) -> Interest {
    interest(Scope::Field("colour", colour.to_owned()))
}

fn deliver(hub: &Hub, seen: u64, events: Vec<Event>) {
    deliver_within(usize::MAX, hub, seen, events);
}

fn deliver_within(most_bytes: usize, hub: &Hub, seen: u64, events: Vec<Event>) {
    let before = at(seen - 1);
    let mut gathering = hub.gather(&before, most_bytes);
    for event in events {
        gathering.add(vec![event]);
    }
    gathering.finish(at(seen));
}

/// What waits in the queue; each event of a delivery as (id, version).
fn received(queue: &EventQueue) -> Vec<Result<(String, i32), Received>> {
    let mut found = Vec::new();
    while let Some(next) = queue.recv().now_or_never() {
        match next {
            Received::Delivery(delivery) => {
                found.extend(delivery.events.iter().map(|event| Ok((event.subject_id.clone(), event.version))));
            }
            other => found.push(Err(other)),
        }
    }
    found
}

fn events_of(subscription: &Subscription) -> Vec<(String, i32)> {
    received(subscription.queue()).into_iter().map(|next| next.expect("a delivery")).collect()
}

#[test]
fn each_event_enters_the_queue_of_each_interested_subscription_once() {
    let hub = Hub::new(16);
    let all = hub.subscribe(vec![interest(Scope::All)]);
    let one = hub.subscribe(vec![interest(Scope::Subject("a".into()))]);
    let red = hub.subscribe(vec![colour("red")]);
    let every_reason = hub.subscribe(vec![
        interest(Scope::All),
        interest(Scope::Subject("a".into())),
        colour("red"),
        colour("blue"),
        Interest { subject_type: "wire", ..interest(Scope::All) },
    ]);
    let stranger = hub.subscribe(vec![Interest { company_id: Uuid::from_u128(2), ..interest(Scope::All) }]);
    let other_type = hub.subscribe(vec![Interest { subject_type: "wire", ..interest(Scope::All) }]);
    let cache = hub.subscribe_all_companies("lamp");
    deliver(
        &hub,
        1,
        vec![
            event(COMPANY, "a", 1, "red", None),
            event(COMPANY, "a", 2, "blue", Some("red")), // leaves red: the subscription to red still gets it
            event(COMPANY, "a", 3, "blue", Some("blue")),
            event(COMPANY, "b", 1, "red", None),
        ],
    );
    let event = |id: &str, version| (id.to_owned(), version);
    let everything = [event("a", 1), event("a", 2), event("a", 3), event("b", 1)];
    assert_eq!(events_of(&all), everything);
    assert_eq!(events_of(&every_reason), everything);
    assert_eq!(events_of(&one), everything[..3]);
    assert_eq!(events_of(&red), [event("a", 1), event("a", 2), event("b", 1)]);
    assert_eq!(events_of(&stranger), []);
    assert_eq!(events_of(&other_type), []);
    assert_eq!(received(&cache).len(), 4);
    assert_eq!(hub.position(), Some(at(1)));
}

#[test]
fn subscriptions_with_the_same_events_share_one_delivery() {
    let hub = Hub::new(16);
    let [one, other] = [(); 2].map(|()| hub.subscribe(vec![interest(Scope::All)]));
    let narrow = hub.subscribe(vec![interest(Scope::Subject("a".into()))]);
    let last = hub.subscribe(vec![interest(Scope::All)]);
    deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None), event(COMPANY, "b", 1, "red", None)]);
    let [one, other, narrow, last] = [one, other, narrow, last].map(|subscription| subscription.queue().drain());
    assert!(Arc::ptr_eq(&one[0], &other[0]));
    assert_eq!([&other, &narrow, &last].map(|delivered| delivered[0].events.len()), [2, 1, 2]);
}

#[test]
fn a_dropped_subscription_leaves_no_route() {
    let hub = Hub::new(16);
    let scopes = [Scope::All, Scope::Subject("a".into()), Scope::Field("colour", "red".into())];
    let both = hub.subscribe(scopes.clone().map(interest).to_vec());
    for scope in scopes {
        let other = hub.subscribe(vec![interest(scope)]);
        drop(other);
        deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None)]);
        assert_eq!(events_of(&both).len(), 1, "the other subscription still gets it");
    }
    drop(both);
    assert!(hub.routes().by_type.is_empty());
}

#[test]
fn a_full_queue_keeps_its_events_and_returns_the_position_to_read_on_from() {
    let hub = Hub::new(2);
    let reader = hub.subscribe(vec![interest(Scope::All)]);
    let lamp = |version| event(COMPANY, "a", version, "red", None);
    deliver(&hub, 1, vec![lamp(1), lamp(2), lamp(3)]); // larger than the capacity, into an empty queue
    deliver(&hub, 2, vec![lamp(4)]);
    deliver(&hub, 3, vec![lamp(5)]);
    let found = received(reader.queue());
    assert_eq!(found.len(), 4);
    assert!(found[..3].iter().all(Result::is_ok));
    assert!(
        matches!(&found[3], Err(Received::Lagged(from)) if *from == at(1)),
        "every event up to that position was queued: {found:?}"
    );
    deliver(&hub, 4, vec![lamp(6)]);
    assert_eq!(events_of(&reader), [("a".to_owned(), 6)], "it accepts events again after Lagged was returned");
}

#[test]
fn a_resync_replaces_everything_in_the_queue() {
    let hub = Hub::new(2);
    let scopes = [Scope::All, Scope::Subject("a".into()), Scope::Field("colour", "red".into())];
    let readers = scopes.map(|scope| hub.subscribe(vec![interest(scope)]));
    deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None)]);
    hub.resync_all();
    deliver(&hub, 2, vec![event(COMPANY, "a", 2, "red", None)]); // part of the state that is about to be read
    for reader in &readers {
        assert!(matches!(&received(reader.queue())[..], [Err(Received::Resync)]));
    }
    deliver(&hub, 3, vec![event(COMPANY, "a", 3, "red", None)]);
    for reader in &readers {
        assert_eq!(events_of(reader), [("a".to_owned(), 3)]);
    }
}

#[test]
fn a_read_too_large_for_memory_sends_those_who_want_its_events_to_the_log() {
    let hub = Hub::new(16);
    let all = hub.subscribe(vec![interest(Scope::All)]);
    let late = hub.subscribe(vec![interest(Scope::Subject("z".into()))]);
    let nobody = hub.subscribe(vec![interest(Scope::Subject("other".into()))]);
    let cache = hub.subscribe_all_companies("lamp");
    deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None)]);
    let large = (1..=9).map(|version| event(COMPANY, "b", version, "red", None));
    let large = large.chain([event(COMPANY, "z", 1, "red", None)]);
    deliver_within(4_096, &hub, 2, large.collect());
    let [first, second] = &received(all.queue())[..] else { panic!("a delivery and one lag") };
    assert!(matches!((first, second), (Ok(_), Err(Received::Lagged(from))) if *from == at(1)));
    assert!(matches!(&received(late.queue())[..], [Err(Received::Lagged(from))] if *from == at(1)));
    assert!(received(nobody.queue()).is_empty());
    assert!(matches!(received(&cache)[..], [Ok(_), Err(Received::Lagged(_))]));
    assert_eq!(hub.position(), Some(at(2)));

    // What nobody wants takes no memory, however much it is.
    let unwanted = (1..=99).map(|version| event(COMPANY, "b", version, "red", None));
    let wanted = event(COMPANY, "z", 2, "red", None);
    drop((all, cache));
    hub.routes().all_companies.clear();
    deliver_within(4_096, &hub, 3, unwanted.chain([wanted]).collect());
    assert_eq!(events_of(&late), [("z".to_owned(), 2)]);
    deliver(&hub, 4, vec![event(COMPANY, "z", 3, "red", None)]);
    assert_eq!(events_of(&late), [("z".to_owned(), 3)]);
}

#[test]
fn a_wake_tells_the_watches_of_its_interest_and_sends_no_event() {
    let hub = Hub::new(10);
    let (told, other) = (hub.watch(vec![colour("red")]), hub.watch(vec![colour("blue")]));
    let subscription = hub.subscribe(vec![colour("red")]);
    hub.wake(&colour("red"));
    hub.wake(&interest(Scope::All));
    assert!(told.count().has_changed().expect("the hub has its sender"));
    assert!(!other.count().has_changed().expect("the hub has its sender"));
    assert_eq!(events_of(&subscription), []);
}
