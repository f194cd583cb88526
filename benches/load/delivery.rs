//! From a commit to the subscribers: how long until the first, half, 99 of 100 and the last of them have it, what a
//! message costs the server, and what a subscriber costs while nothing happens. Beside it the limit: a server that
//! sends text made once, woken in the same way by the same commit.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::demo;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Arguments, Result, plain,
    process::{Server, watched},
    report::{Table, aim, ms, percentile, us},
    socket::Socket,
    stage::Stage,
};

const SUBSCRIPTION: &str = "subscription($id: UUID) { chatStatus(chatId: $id) \
     { operation record { id key status missed headline customerName version insertedAt } cursor } }";
/// Messages of one measurement, about.
const MESSAGES: usize = 50_000;
/// Sockets that are opened at once.
const OPENING: usize = 64;

/// A change of chats and of nothing else: the version rises, an event says so, and the commit wakes the servers.
const CHANGE: &str = "
    with changed as (
        update chat set version = version + 1, updated_at = switchboard.now()
        where company_id = 'COMPANY' and id = any($1)
        returning id, version
    )
    insert into event (company_id, subject_type, subject_id, version, type, payload, previous)
    select 'COMPANY', 'chat', id::text, version, 'ChatMissed',
        (record.value || jsonb_build_object('version', version))::json,
        json_build_object('version', version - 1)
    from changed join jsonb_each($2::jsonb) as record on record.key = changed.id::text";

/// What was found out about one number of subscribers.
#[derive(Default)]
struct Found {
    latencies: Vec<Duration>,
    last: Vec<Duration>,
    cpu: Duration,
    idle_kib: f64,
}

pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let columns = ["subscribers", "server", "p50 ms", "p99 ms", "last ms", "CPU us a message", "PSS KiB, idle"];
    let mut table = Table::new("From commit to client", &columns);
    let mut aims = Vec::new();
    for &count in &arguments.subscribers {
        let (mut own, mut limit) = (Vec::new(), Vec::new());
        for round in 0..arguments.rounds {
            own.push(one_chat(stage, count, round, true).await?);
            limit.push(one_chat(stage, count, round, false).await?);
        }
        let (own, limit) = (Found::all(own), Found::all(limit));
        if count >= 1_000 {
            let ratio = |of: fn(&Found) -> Duration| of(&own).as_secs_f64() / of(&limit).as_secs_f64().max(1e-9);
            aims.push((format!("p50 at {count}, times the broadcast's"), ratio(|found| found.p(50)), 1.5));
            aims.push((format!("CPU a message at {count}, times the broadcast's"), ratio(|found| found.cpu), 2.0));
            aims.push((format!("KiB an idle subscriber at {count}"), own.idle_kib, 10.0));
        }
        table.row(own.row(format!("{count} of one chat"), "switchboard"));
        table.row(limit.row(String::new(), "broadcast, text made once"));
    }
    if let Some(&most) = arguments.subscribers.iter().max() {
        let many = Found::all(vec![many_chats(stage, most).await?]);
        table.row(many.row(format!("{most} of as many chats"), "switchboard"));
    }
    table.print();
    for (what, measured, wanted) in aims {
        aim(&what, measured, wanted, false);
    }
    Ok(())
}

impl Found {
    /// What several rounds found out together.
    fn all(rounds: Vec<Self>) -> Self {
        let count = u32::try_from(rounds.len()).unwrap_or(u32::MAX).max(1);
        let mut all = Self::default();
        for found in rounds {
            all.latencies.extend(found.latencies);
            all.last.extend(found.last);
            all.cpu += found.cpu / count;
            all.idle_kib += found.idle_kib / f64::from(count);
        }
        all.latencies.sort_unstable();
        all.last.sort_unstable();
        all
    }

    fn p(&self, percent: usize) -> Duration {
        percentile(&self.latencies, percent)
    }

    fn row(&self, subscribers: String, server: &str) -> [String; 7] {
        let last = percentile(&self.last, 50);
        let idle = format!("{:.1}", self.idle_kib);
        [subscribers, server.to_owned(), ms(self.p(50)), ms(self.p(99)), ms(last), us(self.cpu), idle]
    }
}

/// Opens a subscription and reads up to READY.
pub(crate) async fn subscribed(server: &Server, token: &str, variables: Value) -> Result<Socket> {
    let mut socket = Socket::open(server.address, "/graphql").await?;
    let init = json!({ "type": "connection_init", "payload": { "authToken": token } });
    socket.send(&init.to_string()).await?;
    socket.until("connection_ack").await?;
    let payload = json!({ "query": SUBSCRIPTION, "variables": variables });
    socket.send(&json!({ "type": "subscribe", "id": "1", "payload": payload }).to_string()).await?;
    socket.until("\"READY\"").await?;
    Ok(socket)
}

/// A chat's record as an event carries it.
pub(crate) async fn record_of(connection: &mut PgConnection, id: Uuid) -> Result<Value> {
    Ok(records_of(connection, &[id]).await?[id.to_string()].take())
}

/// The same of many, by id: the rows with the names that records have.
async fn records_of(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Value> {
    let rows: Vec<(Uuid, Value)> =
        sqlx::query_as("select id, to_jsonb(chat) from chat where company_id = $1 and id = any($2)")
            .bind(demo::COMPANY_ID)
            .bind(ids)
            .fetch_all(connection)
            .await?;
    let named = rows.into_iter().map(|(id, row)| {
        let Value::Object(row) = row else { return (id.to_string(), row) };
        let record = row.into_iter().map(|(name, value)| (camel(&name), value)).collect();
        (id.to_string(), Value::Object(record))
    });
    Ok(Value::Object(named.collect()))
}

/// `customer_name` as `customerName`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        camel = camel + &first.to_uppercase() + rest;
    }
    camel
}

/// `count` subscribers of one chat.
async fn one_chat(stage: &Stage, count: usize, round: u32, own: bool) -> Result<Found> {
    let prefix = format!("delivery-{count}-{round}-{own}-");
    stage.offer(&prefix, 1).await?;
    let chat = stage.offered(&prefix, 1).await?;
    let chats: Vec<Uuid> = (0..count).map(|_| chat[0]).collect();
    let server = if own { stage.switchboard().await? } else { stage.plain().await? };
    let channel = if own { "switchboard_event" } else { plain::CHANNEL };
    let rounds = (MESSAGES / count).clamp(10, 200);
    let found = deliver(stage, &server, &chats, &chat, channel, rounds).await;
    server.stop().await?;
    found
}

/// `count` subscribers of one chat each, all changed by one transaction.
async fn many_chats(stage: &Stage, count: usize) -> Result<Found> {
    let prefix = format!("delivery-many-{count}-");
    stage.offer(&prefix, u32::try_from(count)?).await?;
    let chats = stage.offered(&prefix, u32::try_from(count)?).await?;
    let server = stage.switchboard().await?;
    let found = deliver(stage, &server, &chats, &chats, "switchboard_event", 10).await;
    server.stop().await?;
    found
}

async fn deliver(
    stage: &Stage,
    server: &Server,
    subscribe_to: &[Uuid],
    change: &[Uuid],
    channel: &str,
    rounds: usize,
) -> Result<Found> {
    let count = subscribe_to.len();
    eprintln!("load: delivery: {count} subscribers, {rounds} rounds, woken by {channel}");
    let own = channel != plain::CHANNEL;
    // Some that come and go first: what the server sets up once, its connections to the database above all, is not the
    // subscribers'.
    drop(futures_util::future::try_join_all((0..OPENING).map(|_| open(server, stage, subscribe_to[0], own))).await?);
    let before = server.pss()?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut readers = Vec::new();
    for group in subscribe_to.chunks(OPENING) {
        let opening = group.iter().map(|id| open(server, stage, *id, own));
        for socket in futures_util::future::try_join_all(opening).await? {
            readers.push(tokio::spawn(read(socket, arrived.clone())));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle_kib = f64::from(u32::try_from(server.pss()?.saturating_sub(before))?) / f64::from(u32::try_from(count)?);
    let mut connection = stage.connect().await?;
    let records = records_of(&mut connection, change).await?;
    let statement = stage.fill_in(CHANGE);
    let mut found = Found { idle_kib, ..Found::default() };
    let work = async {
        // The first two rounds warm up; they cost as much as the others.
        for round in 0..rounds + 2 {
            let mut transaction = connection.begin().await?;
            let sql = sqlx::query(AssertSqlSafe(statement.as_str())).bind(change).bind(&records);
            sql.execute(&mut *transaction).await?;
            sqlx::query("select pg_notify($1, 'load')").bind(channel).execute(&mut *transaction).await?;
            let committed = Instant::now();
            transaction.commit().await?;
            let mut last = Duration::ZERO;
            for _ in 0..count {
                let wait = tokio::time::timeout(Duration::from_secs(20), arrivals.recv()).await;
                let at: Instant = wait?.ok_or("the readers are gone")?;
                last = last.max(at.saturating_duration_since(committed));
                if round >= 2 {
                    found.latencies.push(at.saturating_duration_since(committed));
                }
            }
            if round >= 2 {
                found.last.push(last);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (done, _, cpu) = watched(server, work).await?;
    done?;
    found.cpu = cpu / u32::try_from(count * (rounds + 2))?;
    for reader in readers {
        reader.abort();
    }
    Ok(found)
}

async fn open(server: &Server, stage: &Stage, chat: Uuid, own: bool) -> Result<Socket> {
    if own {
        subscribed(server, &stage.token, json!({ "id": chat })).await
    } else {
        Socket::open(server.address, "/broadcast").await
    }
}

/// Tells of every change until the socket or the measurement ends.
async fn read(mut socket: Socket, arrived: mpsc::UnboundedSender<Instant>) {
    while socket.until("\"UPDATE\"").await.is_ok() {
        if arrived.send(Instant::now()).is_err() {
            return;
        }
    }
}
