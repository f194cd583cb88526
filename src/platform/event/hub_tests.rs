use futures_util::FutureExt as _;
use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::platform::event::{Decoded, Incarnation, OnceLock};

const COMPANY: Uuid = Uuid::from_u128(1);

fn event(company_id: Uuid, id: &str, version: i32, colour: &str, before: Option<&str>) -> Event {
    Event {
        company_id,
        subject_type: "lamp".into(),
        subject_id: id.into(),
        version,
        kind: "LampChanged".into(),
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
    Position { incarnation: Incarnation { system: 1, timeline: 1 }, seen, pending: Arc::default() }
}

fn interest(scope: Scope) -> Interest {
    Interest { company_id: COMPANY, kind: "lamp", scope }
}

fn colour(colour: &str) -> Interest {
    interest(Scope::Field("colour", colour.to_owned()))
}

fn deliver(hub: &Hub, seen: u64, events: Vec<Event>) {
    hub.deliver(events, Read { before: at(seen - 1), after: at(seen) });
}

/// The mail that is there, deliveries as (id, version).
fn mail(mailbox: &Mailbox) -> Vec<Result<(String, i32), Mail>> {
    let mut found = Vec::new();
    while let Some(mail) = mailbox.next().now_or_never() {
        match mail {
            Mail::Delivery(delivery) => {
                found.extend(delivery.events.iter().map(|event| Ok((event.subject_id.clone(), event.version))));
            }
            other => found.push(Err(other)),
        }
    }
    found
}

fn told(subscription: &Subscription) -> Vec<(String, i32)> {
    mail(subscription.mailbox()).into_iter().map(|mail| mail.expect("a delivery")).collect()
}

#[test]
fn an_event_goes_once_to_each_who_asked_for_it() {
    let hub = Hub::new(16);
    let all = hub.subscribe(vec![interest(Scope::All)]);
    let one = hub.subscribe(vec![interest(Scope::Subject("a".into()))]);
    let red = hub.subscribe(vec![colour("red")]);
    let every_reason = hub.subscribe(vec![
        interest(Scope::All),
        interest(Scope::Subject("a".into())),
        colour("red"),
        colour("blue"),
        Interest { kind: "wire", ..interest(Scope::All) },
    ]);
    let stranger = hub.subscribe(vec![Interest { company_id: Uuid::from_u128(2), ..interest(Scope::All) }]);
    let other_kind = hub.subscribe(vec![Interest { kind: "wire", ..interest(Scope::All) }]);
    let tap = hub.tap("lamp");
    deliver(
        &hub,
        1,
        vec![
            event(COMPANY, "a", 1, "red", None),
            event(COMPANY, "a", 2, "blue", Some("red")), // leaves red: who watches red is told
            event(COMPANY, "a", 3, "blue", Some("blue")),
            event(COMPANY, "b", 1, "red", None),
        ],
    );
    let event = |id: &str, version| (id.to_owned(), version);
    let everything = [event("a", 1), event("a", 2), event("a", 3), event("b", 1)];
    assert_eq!(told(&all), everything);
    assert_eq!(told(&every_reason), everything);
    assert_eq!(told(&one), everything[..3]);
    assert_eq!(told(&red), [event("a", 1), event("a", 2), event("b", 1)]);
    assert_eq!(told(&stranger), []);
    assert_eq!(told(&other_kind), []);
    assert_eq!(mail(&tap).len(), 4);
    assert_eq!(hub.position(), Some(at(1)));
}

#[test]
fn subscriptions_of_the_same_share_one_delivery() {
    let hub = Hub::new(16);
    let [one, other] = [(); 2].map(|()| hub.subscribe(vec![interest(Scope::All)]));
    let narrow = hub.subscribe(vec![interest(Scope::Subject("a".into()))]);
    let last = hub.subscribe(vec![interest(Scope::All)]);
    deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None), event(COMPANY, "b", 1, "red", None)]);
    let [one, other, narrow, last] = [one, other, narrow, last].map(|subscription| subscription.mailbox().waiting());
    assert!(Arc::ptr_eq(&one[0], &other[0]));
    assert_eq!([&other, &narrow, &last].map(|delivered| delivered[0].events.len()), [2, 1, 2]);
}

#[test]
fn who_has_left_leaves_nothing_behind() {
    let hub = Hub::new(16);
    let scopes = [Scope::All, Scope::Subject("a".into()), Scope::Field("colour", "red".into())];
    let both = hub.subscribe(scopes.clone().map(interest).to_vec());
    for scope in scopes {
        let other = hub.subscribe(vec![interest(scope)]);
        drop(other);
        deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None)]);
        assert_eq!(told(&both).len(), 1, "who stays is still told");
    }
    drop(both);
    assert!(hub.routes().kinds.is_empty());
}

#[test]
fn a_full_mailbox_keeps_what_it_has_and_says_from_where_to_read_on() {
    let hub = Hub::new(2);
    let reader = hub.subscribe(vec![interest(Scope::All)]);
    let lamp = |version| event(COMPANY, "a", version, "red", None);
    deliver(&hub, 1, vec![lamp(1), lamp(2), lamp(3)]); // more than fits, into an empty one
    deliver(&hub, 2, vec![lamp(4)]);
    deliver(&hub, 3, vec![lamp(5)]);
    let found = mail(reader.mailbox());
    assert_eq!(found.len(), 4);
    assert!(found[..3].iter().all(Result::is_ok));
    assert!(matches!(&found[3], Err(Mail::Lagged(from)) if *from == at(1)), "all up to there was put in: {found:?}");
    deliver(&hub, 4, vec![lamp(6)]);
    assert_eq!(told(&reader), [("a".to_owned(), 6)], "and goes on after it was told");
}

#[test]
fn a_gap_in_the_log_replaces_whatever_waits() {
    let hub = Hub::new(2);
    let scopes = [Scope::All, Scope::Subject("a".into()), Scope::Field("colour", "red".into())];
    let readers = scopes.map(|scope| hub.subscribe(vec![interest(scope)]));
    deliver(&hub, 1, vec![event(COMPANY, "a", 1, "red", None)]);
    hub.resync_all();
    deliver(&hub, 2, vec![event(COMPANY, "a", 2, "red", None)]); // part of the state that is about to be read
    for reader in &readers {
        assert!(matches!(&mail(reader.mailbox())[..], [Err(Mail::Resync)]));
    }
    deliver(&hub, 3, vec![event(COMPANY, "a", 3, "red", None)]);
    for reader in &readers {
        assert_eq!(told(reader), [("a".to_owned(), 3)]);
    }
}
