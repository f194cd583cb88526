//! One turn: a fresh server, its subscribers, and changes that reach each of them.
//!
//! The server is fresh because memory that an earlier crowd left would hide what a subscriber takes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Arguments, Result,
    database::{Database, fill_in},
    process::{Server, watched},
    socket::Socket,
    subscriber::{records_of, subscribe},
};

/// Messages of one turn: divided by the subscribers they give the number of changes, which has bounds of its own.
const MESSAGES: usize = 50_000;
/// Longest warm-up of a turn. Every turn has one, so it cannot take as long as that of a part; `--warm` may shorten it.
const LONGEST_WARM_UP: Duration = Duration::from_secs(1);
/// Sockets that are opened at once.
const OPENING: usize = 64;

/// Changes chats and nothing else: the version rises and an event carries it. The `pg_notify` that follows wakes the
/// servers.
const CHANGE: &str = "
    with changed as (
        update chat set version = version + 1, updated_at = switchboard.now()
        where company_id = 'COMPANY' and id = any($1)
        returning id, version
    )
    insert into event (company_id, subject_type, subject_id, version, type, payload, previous, scopes)
    select 'COMPANY', 'chat', id::text, version, 'ChatMissed',
        (record.value || jsonb_build_object('version', version))::json,
        json_build_object('version', version - 1),
        array(
            select event_scope_key('COMPANY', 'chat', field, record.value ->> field)
            from unnest(array['key', 'contractId', 'visitor', 'agentId', 'createdFrom']) as field
            where record.value ->> field is not null
        )
    from changed join jsonb_each($2::jsonb) as record on record.key = changed.id::text";

/// How one subscriber connects.
#[derive(Debug, Clone)]
pub(super) enum Subscriber {
    /// To a chat, with a token.
    Caller(String, Uuid),
    /// To the plain server's broadcast.
    Broadcast,
}

/// The results of one turn.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// From a commit to each subscriber, sorted.
    pub(super) latencies: Vec<Duration>,
    /// From a commit to the last subscriber.
    pub(super) last: Vec<Duration>,
    /// Server CPU time for one message to one subscriber.
    pub(super) cpu: Duration,
    /// Memory of the server for one subscriber that waits.
    pub(super) idle_kib: f64,
}

/// What a turn needs besides a server.
pub(super) struct Turn<'a> {
    pub(super) database: &'a Database,
    pub(super) subscribers: Vec<Subscriber>,
    /// Chats that change together. Each subscriber sees one of them.
    pub(super) changed: Vec<Uuid>,
    /// The channel that wakes the server.
    pub(super) channel: &'static str,
}

impl Turn<'_> {
    /// Measures this server and stops it.
    pub(super) async fn run(&self, arguments: &Arguments, server: Server) -> Result<Found> {
        let found = self.measure(arguments, &server).await;
        server.stop().await?;
        found
    }

    async fn measure(&self, arguments: &Arguments, server: &Server) -> Result<Found> {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let idle_kib = self.open_all(server, &arrived).await?;
        let mut connection = self.database.connect().await?;
        let records = records_of(&mut connection, &self.changed).await?;
        let mut changes = Changes { turn: self, connection, records, arrivals };
        changes.warm_up(arguments.warm_up().min(LONGEST_WARM_UP)).await?;
        let count = (MESSAGES / self.subscribers.len()).clamp(10, 200);
        let (found, _, cpu) = watched(server, changes.repeat(count)).await?;
        let mut found = found?;
        found.idle_kib = idle_kib;
        found.cpu = cpu / u32::try_from(found.latencies.len())?;
        found.latencies.sort_unstable();
        Ok(found)
    }

    /// Opens all subscriptions and returns the memory that each takes while it waits.
    async fn open_all(&self, server: &Server, arrived: &mpsc::UnboundedSender<Instant>) -> Result<f64> {
        // Some subscribers come and go first, so that what the server sets up once, above all its connections to the
        // database, does not count as the subscribers'.
        let first = self.subscribers.iter().cycle().take(OPENING).map(|subscriber| subscriber.open(server));
        drop(futures_util::future::try_join_all(first).await?);
        let before = server.pss()?;
        for group in self.subscribers.chunks(OPENING) {
            let opening = group.iter().map(|subscriber| subscriber.open(server));
            for socket in futures_util::future::try_join_all(opening).await? {
                tokio::spawn(read(socket, arrived.clone()));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let grown = u32::try_from(server.pss()?.saturating_sub(before))?;
        Ok(f64::from(grown) / f64::from(u32::try_from(self.subscribers.len())?))
    }
}

/// Commits the changes of a turn and waits for the subscribers.
struct Changes<'a> {
    turn: &'a Turn<'a>,
    connection: PgConnection,
    records: Value,
    arrivals: mpsc::UnboundedReceiver<Instant>,
}

impl Changes<'_> {
    async fn warm_up(&mut self, at_least: Duration) -> Result<()> {
        let began = Instant::now();
        let mut count = 0;
        while count < 2 || began.elapsed() < at_least {
            self.deliver().await?;
            count += 1;
        }
        Ok(())
    }

    async fn repeat(&mut self, count: usize) -> Result<Found> {
        let mut found = Found::default();
        for _ in 0..count {
            let latencies = self.deliver().await?;
            found.last.extend(latencies.iter().max());
            found.latencies.extend(latencies);
        }
        Ok(found)
    }

    /// Commits one change and returns each subscriber's latency.
    async fn deliver(&mut self) -> Result<Vec<Duration>> {
        let mut transaction = self.connection.begin().await?;
        let sql = sqlx::query(AssertSqlSafe(fill_in(CHANGE))).bind(&self.turn.changed).bind(&self.records);
        sql.execute(&mut *transaction).await?;
        sqlx::query("select pg_notify($1, 'load')").bind(self.turn.channel).execute(&mut *transaction).await?;
        let committed = Instant::now();
        transaction.commit().await?;
        let mut latencies = Vec::with_capacity(self.turn.subscribers.len());
        for _ in &self.turn.subscribers {
            let wait = tokio::time::timeout(Duration::from_secs(20), self.arrivals.recv()).await;
            let at = wait?.ok_or("the readers are gone")?;
            latencies.push(at.saturating_duration_since(committed));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(latencies)
    }
}

impl Subscriber {
    async fn open(&self, server: &Server) -> Result<Socket> {
        match self {
            Self::Caller(token, chat) => subscribe(server, token, json!({ "id": chat })).await,
            Self::Broadcast => Socket::open(server.address, "/broadcast").await,
        }
    }
}

/// Reports the arrival of every change until the server closes the socket or the turn is over.
async fn read(mut socket: Socket, arrived: mpsc::UnboundedSender<Instant>) {
    while socket.until("\"UPDATE\"").await.is_ok() {
        if arrived.send(Instant::now()).is_err() {
            return;
        }
    }
}
