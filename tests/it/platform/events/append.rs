//! `append_event`: events that are appended in SQL.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::platform::{config::EventSettings, event::scope_key, subscription::ChangeOperation};
use uuid::Uuid;

use super::{Reader, World, execute, received, scopes::crowd};
use crate::support::event_path::{EventPath, settings};

/// A world whose things SQL callers may append events of.
async fn world(ids: &[&str]) -> World {
    let mut world = World::new(ids).await;
    let register =
        "insert into event_subject values ('thing', 'thing', 'id', 'text', 'version', '{id,value,version}', '{value}')";
    execute(&mut world.writer, register).await;
    world
}

/// Settings with which only a wake-up delivers an event in time.
fn without_poll() -> EventSettings {
    EventSettings { event_poll: Duration::from_mins(1), ..settings() }
}

/// Changes a thing as a program would that knows only SQL.
async fn change(connection: &mut PgConnection, company_id: Uuid, id: &str, value: &str) {
    let statements = format!(
        "begin;
         update thing set value = '{value}', version = version + 1 where company_id = '{company_id}' and id = '{id}';
         select append_event('{company_id}', 'thing', id, version, 'ThingChanged', to_jsonb(thing), p_actor => 'sql')
         from thing where company_id = '{company_id}' and id = '{id}';
         commit"
    );
    execute(connection, &statements).await;
}

#[tokio::test]
async fn an_event_appended_in_sql_reaches_subscribers_without_a_poll() {
    let mut world = world(&["a"]).await;
    let path = EventPath::start_with(&world.options, without_poll()).await;
    let mut all = Reader::ready(&path.sources, world.all()).await;
    let mut open = Reader::ready(&path.sources, world.with_value("open")).await;
    let began = Instant::now();
    for value in ["open", "open", "closed"] {
        change(&mut world.writer, world.company_id, "a", value).await;
        all.next().await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // The earlier values are there, by which a filtered stream knows what entered and what left it.
    for (operation, version) in
        [(ChangeOperation::Insert, 2), (ChangeOperation::Update, 3), (ChangeOperation::Delete, 4)]
    {
        let change = open.next().await;
        assert_eq!((change.operation, change.record.unwrap().version), (operation, version));
    }
    let previous: Vec<Option<String>> = sqlx::query_scalar("select previous::text from event order by version")
        .fetch_all(&mut world.writer)
        .await
        .unwrap();
    assert_eq!(previous[3].as_deref(), Some(r#"{"value": "open", "version": 3}"#));
}

#[tokio::test]
async fn events_of_many_sql_callers_at_once_arrive_without_a_poll() {
    const CALLERS: usize = 8;
    const CHANGES: usize = 25;
    let ids: Vec<String> = (0..CALLERS).map(|caller| format!("thing-{caller}")).collect();
    let world = world(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = EventPath::start_with(&world.options, without_poll()).await;
    let mut reader = Reader::ready(&path.sources, world.all()).await;
    let callers = ids.iter().map(|id| async {
        let mut connection = world.connect().await;
        for number in 0..CHANGES {
            change(&mut connection, world.company_id, id, &number.to_string()).await;
        }
    });
    join_all(callers).await;
    let written = Instant::now();
    let mut changes = Vec::new();
    for _ in 0..CALLERS * CHANGES {
        changes.push(reader.next().await);
    }
    assert!(written.elapsed() < Duration::from_secs(20), "{:?}", written.elapsed());
    assert_eq!(received(&changes).len(), CALLERS * CHANGES);
    assert_eq!(reader.resyncs, 0);
}

#[tokio::test]
async fn a_narrowed_stream_that_resumes_finds_what_sql_callers_appended() {
    let mut world = world(&["a", "b", "c"]).await;
    let path = EventPath::start(&world.options).await;
    change(&mut world.writer, world.company_id, "a", "red").await;
    let mut reader = Reader::open(&path.sources, world.with_value("red"), None);
    let cursor = reader.until_ready().await.pop().unwrap().cursor;
    for (id, value) in [("a", "blue"), ("b", "green"), ("c", "red")] {
        change(&mut world.writer, world.company_id, id, value).await;
    }
    let keys: Vec<Vec<i64>> = sqlx::query_scalar("select scopes from event where version > 1 order by xid")
        .fetch_all(&mut world.writer)
        .await
        .unwrap();
    let expected = [["new", "red"], ["red", "blue"], ["new", "green"], ["new", "red"]].map(|values| {
        let mut keys = values.map(|value| scope_key(world.company_id, "thing", "value", value));
        keys.sort_unstable();
        keys.to_vec()
    });
    assert_eq!(keys, expected, "of the value after the change and before it, as the server computes them");
    for far in [false, true] {
        if far {
            // More than are read to look for a few: then the keys alone find them.
            crowd(&mut world, 3_000).await;
        }
        let mut resumed = Reader::open(&path.sources, world.with_value("red"), Some(cursor.clone()));
        let found = received(&resumed.until_ready().await);
        assert_eq!(found, [("a".to_owned(), 3), ("c".to_owned(), 2)], "far: {far}");
        assert_eq!(resumed.resyncs, 0);
    }
}

/// The SQLSTATE that `statement` fails with.
async fn refused(connection: &mut PgConnection, statement: &str) -> String {
    let error = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.unwrap_err();
    error.as_database_error().unwrap().code().unwrap().into_owned()
}

#[tokio::test]
async fn an_append_that_would_break_the_log_is_refused() {
    let mut world = world(&["a"]).await;
    let company_id = world.company_id;
    let record = |version: i32| format!(r#"{{"id": "a", "value": "x", "version": {version}}}"#);
    let append = |kind: &str, id: &str, version: i32, payload: &str| {
        format!("select append_event('{company_id}', '{kind}', '{id}', {version}, 'ThingChanged', '{payload}')")
    };
    let connection = &mut world.writer;
    for (statement, code) in [
        (append("thing", "a", 1, &record(1)), "22023"), // appended before
        (append("thing", "a", 2, &record(2)), "22023"), // the row has version 1
        (append("thing", "nobody", 1, &record(1)), "22023"),
        (append("thing", "a", 1, r#"{"id": "a"}"#), "22023"), // servers could not decode it
        (append("nothing", "a", 1, &record(1)), "22023"),
    ] {
        assert_eq!(refused(connection, &statement).await, code, "{statement}");
    }
    // A version without an event between the newest one and this one.
    execute(connection, "update thing set version = 3").await;
    assert_eq!(refused(connection, &append("thing", "a", 3, &record(3))).await, "22023");
    execute(connection, "update thing set version = 2").await;
    // A caller that does not hold the subject's lock, while another one does.
    let mut other = PgConnection::connect_with(&world.options).await.unwrap();
    execute(&mut other, "begin; select from thing for no key update").await;
    assert_eq!(refused(connection, &append("thing", "a", 2, &record(2))).await, "55P03");
    execute(&mut other, "rollback; begin isolation level repeatable read").await;
    assert_eq!(refused(&mut other, &append("thing", "a", 2, &record(2))).await, "25000");
    execute(&mut other, "rollback; set synchronous_commit = off; begin").await;
    execute(&mut other, &append("thing", "a", 2, &record(2))).await;
    let forced: String = sqlx::query_scalar("show synchronous_commit").fetch_one(&mut other).await.unwrap();
    assert_eq!(forced, "on", "a visible event must be a flushed event");
    execute(&mut other, "commit").await;
    // The log no longer knows what the record was before.
    execute(connection, "truncate event; update thing set version = 3").await;
    assert_eq!(refused(connection, &append("thing", "a", 3, &record(3))).await, "22023");
    let with_before = append("thing", "a", 3, &record(3)).replace(')', &format!(", '{}')", record(2)));
    execute(connection, &with_before).await;
}

#[tokio::test]
async fn only_roles_with_the_right_to_it_may_append() {
    let mut world = world(&["a"]).await;
    let role = format!("stranger_{}", Uuid::now_v7().simple());
    execute(&mut world.writer, &format!("create role {role}; grant usage on schema switchboard to {role}")).await;
    execute(&mut world.writer, &format!("set role {role}")).await;
    let append = "select append_event(gen_random_uuid(), 'thing', 'a', 1, 'ThingChanged', '{}')";
    assert_eq!(refused(&mut world.writer, append).await, "42501");
    execute(&mut world.writer, &format!("reset role; drop owned by {role}; drop role {role}")).await;
}
