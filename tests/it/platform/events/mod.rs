//! The event path on a real Postgres, from a writer's transaction to a subscriber, with faults in between.
//!
//! The subject of these tests is a `thing`: an id, a value, a version. [`World`] is a database with some of them,
//! [`Things`] a stream of them, [`Reader`] the client of one.

mod append;
mod boundary;
mod faults;
mod lag;
mod large;
mod newest;
mod order;
mod plans;
mod restored;
mod resume;
mod retention;
mod unreadable;

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
};

use futures_util::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use switchboard::platform::{
    error::{Error, Result},
    event::{self, Cursor, Event, Interest, NewEvent, Subject, hub::Scope},
    subscription::{Change, ChangeOperation, Feed, Sources, Versioned, subscribe},
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    cluster::TestDatabase,
    event_path::{PATIENCE, server_options},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Thing {
    id: String,
    value: String,
    version: i32,
}

/// Things of one company, in a database of the test's own.
struct World {
    database: Option<TestDatabase>,
    options: PgConnectOptions,
    company_id: Uuid,
    writer: PgConnection,
}

impl World {
    /// A new database with these things, at version 1.
    async fn new(ids: &[&str]) -> Self {
        let database = TestDatabase::create().await;
        let options = database.options();
        let mut world = Self::on(options, ids).await;
        world.database = Some(database);
        world
    }

    /// The same on a database that the caller owns.
    async fn on(options: PgConnectOptions, ids: &[&str]) -> Self {
        let mut writer = connect(&options).await;
        execute(
            &mut writer,
            "create table switchboard.thing (
                 company_id uuid, id text, value text not null, version integer not null, primary key (company_id, id))",
        )
        .await;
        let mut world = Self { database: None, options, company_id: Uuid::now_v7(), writer };
        world.create(ids).await;
        world
    }

    /// Another company with these things in the same database.
    async fn beside(other: &Self, ids: &[&str]) -> Self {
        let options = other.options.clone();
        let writer = connect(&options).await;
        let mut world = Self { database: None, options, company_id: Uuid::now_v7(), writer };
        world.create(ids).await;
        world
    }

    async fn connect(&self) -> PgConnection {
        connect(&self.options).await
    }

    /// Creates things in one transaction.
    async fn create(&mut self, ids: &[&str]) {
        if ids.is_empty() {
            return;
        }
        let mut transaction = self.writer.begin().await.unwrap();
        sqlx::query("insert into thing select $1, id, 'new', 1 from unnest($2::text[]) as id")
            .bind(self.company_id)
            .bind(ids)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let events: Vec<_> = ids
            .iter()
            .map(|id| {
                let thing = Thing { id: (*id).to_owned(), value: "new".to_owned(), version: 1 };
                new_event(self.company_id, &thing, None)
            })
            .collect();
        event::append(&mut transaction, &events).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Changes things in one transaction.
    async fn change(&mut self, changes: &[(&str, &str)]) {
        change(&mut self.writer, self.company_id, changes).await.unwrap();
    }

    /// What the log holds, as (id, version) in order.
    async fn log(&mut self) -> Vec<(String, i32)> {
        sqlx::query_as("select subject_id, version from event where company_id = $1 order by subject_id, version")
            .bind(self.company_id)
            .fetch_all(&mut self.writer)
            .await
            .unwrap()
    }

    /// The things as they are now.
    async fn state(&mut self) -> BTreeMap<String, Thing> {
        let things = things(&mut self.writer, self.company_id).await.unwrap();
        things.into_iter().map(|thing| (thing.id.clone(), thing)).collect()
    }

    fn all(&self) -> Things {
        Things { company_id: self.company_id, value: None, only: None }
    }

    fn with_value(&self, value: &str) -> Things {
        Things { value: Some(value.to_owned()), ..self.all() }
    }

    fn only(&self, id: &str) -> Things {
        Things { only: Some(id.to_owned()), ..self.all() }
    }
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(&server_options(options)).await.unwrap()
}

async fn execute(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}

/// Sets the database's clock, and stops it.
pub(crate) async fn set_clock(connection: &mut PgConnection, time: &str) {
    let function = format!(
        "create or replace function switchboard.now() returns timestamptz language sql volatile parallel safe
         return '{time}'::timestamptz"
    );
    execute(connection, &function).await;
}

async fn things(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<Thing>> {
    let rows: Vec<(String, String, i32)> =
        sqlx::query_as("select id, value, version from thing where company_id = $1 order by id")
            .bind(company_id)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(id, value, version)| Thing { id, value, version }).collect())
}

fn new_event(company_id: Uuid, thing: &Thing, before: Option<&Thing>) -> NewEvent {
    let subject = Subject::new("thing", &thing.id);
    NewEvent::new(company_id, subject, thing.version, "ThingChanged", None, thing, before).unwrap()
}

/// Changes things (each once) in one transaction.
async fn change(connection: &mut PgConnection, company_id: Uuid, changes: &[(&str, &str)]) -> Result<()> {
    let mut transaction = connection.begin().await?;
    write(&mut transaction, company_id, changes).await?;
    Ok(transaction.commit().await?)
}

/// Locks things, raises their versions and appends their events, in the transaction that the caller has begun.
async fn write(connection: &mut PgConnection, company_id: Uuid, changes: &[(&str, &str)]) -> Result<()> {
    let values: HashMap<&str, &str> = changes.iter().copied().collect();
    assert_eq!(values.len(), changes.len(), "a thing twice in one transaction");
    let ids: Vec<&str> = changes.iter().map(|(id, _)| *id).collect();
    let rows: Vec<(String, String, i32)> = sqlx::query_as(
        "select id, value, version from thing where company_id = $1 and id = any($2) order by id for no key update",
    )
    .bind(company_id)
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    assert_eq!(rows.len(), ids.len(), "an unknown thing");
    let events: Vec<_> = rows
        .into_iter()
        .map(|(id, value, version)| {
            let after = Thing { id: id.clone(), value: values[id.as_str()].to_owned(), version: version + 1 };
            new_event(company_id, &after, Some(&Thing { id, value, version }))
        })
        .collect();
    let new: Vec<&str> = changes.iter().map(|(_, value)| *value).collect();
    sqlx::query(
        "update thing set value = new.value, version = version + 1
         from unnest($2::text[], $3::text[]) as new (id, value)
         where thing.company_id = $1 and thing.id = new.id",
    )
    .bind(company_id)
    .bind(&ids)
    .bind(&new)
    .execute(&mut *connection)
    .await?;
    event::append(connection, &events).await
}

/// A stream of things: all, those with a value, or one.
#[derive(Clone)]
struct Things {
    company_id: Uuid,
    value: Option<String>,
    only: Option<String>,
}

impl Things {
    fn wants(&self, thing: &Thing) -> bool {
        self.value.as_ref().is_none_or(|value| *value == thing.value)
            && self.only.as_ref().is_none_or(|only| *only == thing.id)
    }
}

impl Feed for Things {
    type Record = Thing;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = match (&self.only, &self.value) {
            (Some(id), _) => Scope::Subject(id.clone()),
            (None, Some(value)) => Scope::Field("value", value.clone()),
            (None, None) => Scope::All,
        };
        vec![Interest { company_id: self.company_id, subject_type: "thing", scope }]
    }

    fn subject(&self) -> Option<Subject> {
        self.only.as_ref().map(|id| Subject::new("thing", id))
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Thing>>>> {
        async {
            let mut things = things(connection, self.company_id).await?;
            things.retain(|thing| self.wants(thing));
            if self.only.is_some() && things.is_empty() {
                return Err(Error::not_found("thing"));
            }
            Ok(things.into_iter().map(|record| Versioned { version: record.version, record }).collect())
        }
        .boxed()
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Thing)>> {
        let now = event.record::<Thing>()?;
        let was = event.before::<Thing>()?.is_some_and(|before| self.wants(&before));
        let operation = match (was, self.wants(&now)) {
            (false, false) => return Ok(None),
            (false, true) => ChangeOperation::Insert,
            (true, true) => ChangeOperation::Update,
            (true, false) => ChangeOperation::Delete,
        };
        Ok(Some((operation, now.as_ref().clone())))
    }
}

/// The client of one stream: its messages, and the state that follows from them.
struct Reader {
    stream: Pin<Box<dyn Stream<Item = Result<Change<Thing>>> + Send>>,
    state: BTreeMap<String, Thing>,
    /// Greatest version of each thing since the stream began, or began again.
    versions: HashMap<String, i32>,
    resyncing: bool,
    resyncs: usize,
}

impl Reader {
    fn open<F: Feed<Record = Thing>>(sources: &Sources, feed: F, after: Option<Cursor>) -> Self {
        let stream = Box::pin(subscribe(sources, feed, after));
        Self { stream, state: BTreeMap::new(), versions: HashMap::new(), resyncing: false, resyncs: 0 }
    }

    /// Opens and reads up to READY.
    async fn ready<F: Feed<Record = Thing>>(sources: &Sources, feed: F) -> Self {
        let mut reader = Self::open(sources, feed, None);
        reader.until_ready().await;
        reader
    }

    /// The next message. Keeps the state, and panics unless each thing's versions rise.
    async fn next(&mut self) -> Change<Thing> {
        let change = self.outcome().await.unwrap();
        let Some(thing) = change.record.clone() else {
            assert_eq!(change.operation, ChangeOperation::Ready);
            self.resyncing = false;
            return change;
        };
        if change.resync && !self.resyncing {
            self.resyncing = true;
            self.resyncs += 1;
            self.state.clear();
            self.versions.clear();
        }
        let newest = self.versions.insert(thing.id.clone(), thing.version);
        assert!(newest < Some(thing.version), "{thing:?} after version {newest:?}");
        if change.operation == ChangeOperation::Delete {
            self.state.remove(&thing.id);
        } else {
            self.state.insert(thing.id.clone(), thing);
        }
        change
    }

    /// The next message or error.
    async fn outcome(&mut self) -> Result<Change<Thing>> {
        timeout(PATIENCE, self.stream.next()).await.expect("something arrives").expect("the stream goes on")
    }

    async fn until_ready(&mut self) -> Vec<Change<Thing>> {
        let mut changes = Vec::new();
        loop {
            changes.push(self.next().await);
            if changes.last().is_some_and(|change| change.operation == ChangeOperation::Ready) {
                return changes;
            }
        }
    }

    /// Reads up to the message about `id` at `version`.
    async fn until(&mut self, id: &str, version: i32) -> Vec<Change<Thing>> {
        let mut changes = Vec::new();
        loop {
            changes.push(self.next().await);
            let last = changes.last().and_then(|change| change.record.as_ref());
            if last.is_some_and(|thing| thing.id == id && thing.version == version) {
                return changes;
            }
        }
    }
}

/// The (id, version) of each message with a record.
fn received(changes: &[Change<Thing>]) -> Vec<(String, i32)> {
    changes.iter().filter_map(|change| change.record.as_ref()).map(|thing| (thing.id.clone(), thing.version)).collect()
}
