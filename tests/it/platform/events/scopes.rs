//! A stream that resumes finds the events of its scope, however many others were written.

use sqlx::Connection as _;
use switchboard::platform::event::{self, NewEvent, scope_key};

use super::{Reader, Thing, World, execute, new_event, received};
use crate::support::event_path::EventPath;

/// Changes a thing, with the keys of its values after and before.
async fn paint(world: &mut World, id: &str, colour: &str) {
    let company_id = world.company_id;
    let before = world.state().await.remove(id).unwrap();
    let after = Thing { id: id.to_owned(), value: colour.to_owned(), version: before.version + 1 };
    let keys = [&after, &before].map(|thing| scope_key(company_id, "thing", "value", &thing.value));
    let event = NewEvent { scopes: Some(keys.to_vec()), ..new_event(company_id, &after, Some(&before)) };
    let mut transaction = world.writer.begin().await.unwrap();
    sqlx::query("update thing set value = $3, version = version + 1 where company_id = $1 and id = $2")
        .bind(company_id)
        .bind(id)
        .bind(colour)
        .execute(&mut *transaction)
        .await
        .unwrap();
    event::append(&mut transaction, &[event]).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Writes many events of other scopes.
pub(super) async fn crowd(world: &mut World, count: i32) {
    let fill = format!(
        "insert into event (company_id, subject_type, subject_id, version, type, payload, scopes)
         select '{}', 'thing', 'crowd', n, 'Filled',
             json_build_object('id', 'crowd', 'value', 'grey', 'version', n), array[n]
         from generate_series(1, {count}) as n",
        world.company_id
    );
    execute(&mut world.writer, &fill).await;
}

#[tokio::test]
async fn a_resume_finds_what_entered_and_what_left_its_scope() {
    let mut world = World::new(&["a", "b", "c", "d"]).await;
    let path = EventPath::start(&world.options).await;
    for id in ["a", "b"] {
        paint(&mut world, id, "red").await;
    }
    let mut reader = Reader::open(&path.sources, world.with_value("red"), None);
    let cursor = reader.until_ready().await.pop().unwrap().cursor;
    paint(&mut world, "a", "blue").await;
    paint(&mut world, "c", "red").await;
    paint(&mut world, "d", "green").await;
    world.change(&[("b", "red")]).await; // by a writer that knows no keys
    let expected = [("a".to_owned(), 3), ("b".to_owned(), 3), ("c".to_owned(), 2)];
    for far in [false, true] {
        if far {
            // More than are read to look for a few.
            crowd(&mut world, 3_000).await;
        }
        let mut resumed = Reader::open(&path.sources, world.with_value("red"), Some(cursor.clone()));
        assert_eq!(received(&resumed.until_ready().await), expected, "far: {far}");
        let mut resumed = Reader::open(&path.sources, world.only("d"), Some(cursor.clone()));
        assert_eq!(received(&resumed.until_ready().await), [("d".to_owned(), 2)], "far: {far}");
        assert_eq!(resumed.resyncs, 0);
    }
    let whole = Reader::open(&path.sources, world.all(), Some(cursor)).until_ready().await;
    assert_eq!(received(&whole).len(), 3_004, "a stream of all reads all, in several pages");
}

#[tokio::test]
async fn the_database_computes_the_same_keys() {
    let mut world = World::new(&[]).await;
    for value in ["red", "", "a/b", "ρ\u{1d11e}"] {
        let by_database: i64 = sqlx::query_scalar("select switchboard.event_scope_key($1, 'thing', 'value', $2)")
            .bind(world.company_id)
            .bind(value)
            .fetch_one(&mut world.writer)
            .await
            .unwrap();
        assert_eq!(by_database, scope_key(world.company_id, "thing", "value", value), "{value}");
    }
}
