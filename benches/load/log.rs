//! Events through the log: writers append, one subscription receives every event, in order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use switchboard::{
    demo,
    platform::event::{self, NewEvent, Subject},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    Arguments, Result,
    process::{Server, watched},
    ratio::{Aim, Figure, Ratios, Spread},
    report::{Table, median, us},
    socket::{Socket, contains},
    stage::{BASELINE, Build, SWITCHBOARD, Stage},
    subscriber::{record_of, subscribe},
};

/// Events in one transaction.
const SIZES: [i32; 3] = [1, 10, 50];
/// Silence after which the run counts what is missing as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that append at once.
const WRITERS: u32 = 8;
/// How often the servers are notified of new events, as a server that writes would do it.
const NOTIFY_EVERY: Duration = Duration::from_millis(2);
/// Headline of the appended records. It tells them from events that other parts left to come due.
const HEADLINE: &str = "appended by the load";
const TITLE: &str = "Events through the log, 8 writers, one subscriber of all";

/// The results of one turn.
#[derive(Debug, Clone)]
struct Measured {
    /// Events a second until the last commit.
    appended: f64,
    /// Events a second until the last message.
    received: f64,
    /// From the last commit to the last message.
    behind: Duration,
    /// Server CPU time for one event.
    cpu: Duration,
}

/// The turns by size and build, in the order of the rounds.
type Turns = BTreeMap<(i32, &'static str), Vec<Measured>>;

pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut turns = Turns::new();
    for round in 1..=arguments.rounds {
        eprintln!("load: log: round {round} of {}", arguments.rounds);
        for size in SIZES {
            for build in &stage.builds {
                let server = build.serve().await?;
                let measured = Box::pin(stream(arguments, stage, (build, &server), (round, size))).await?;
                server.stop().await?;
                turns.entry((size, build.name)).or_default().push(measured);
            }
        }
    }
    print_table(&turns);
    print_ratios(&turns);
    Ok(())
}

fn print_table(turns: &Turns) {
    let columns = ["", "", "appended/s", "received/s", "last received after the last commit, ms", "server CPU us"];
    let mut table = Table::new(TITLE, &columns);
    for (size, name) in SIZES.into_iter().flat_map(|size| [(size, SWITCHBOARD), (size, BASELINE)]) {
        let rounds = turns.get(&(size, name)).map_or(&[][..], Vec::as_slice);
        let Some(measured) = median(rounds, |measured| measured.received) else { continue };
        table.row([
            format!("{size} in a transaction"),
            name.to_owned(),
            format!("{:.0}", measured.appended),
            format!("{:.0}", measured.received),
            format!("{:.1}", measured.behind.as_secs_f64() * 1e3),
            us(measured.cpu),
        ]);
    }
    table.print();
}

fn print_ratios(turns: &Turns) {
    let mut ratios = Ratios::new("Events through the log", SIZES.map(|size| format!("{size} in a transaction")));
    let rounds = |size, name| turns.get(&(size, name)).map_or(&[][..], Vec::as_slice).iter();
    let received = SIZES.map(|size| Spread::of(rounds(size, SWITCHBOARD).map(|measured| measured.received).collect()));
    let best = received.iter().copied().max_by(|one, other| {
        let median = |value: &Option<Spread>| value.map_or(0.0, |value| value.median);
        median(one).total_cmp(&median(other))
    });
    let verdict = Aim::AtLeast(10_000.0).verdict(best.as_slice());
    ratios.row_with_verdict("events/s, committed, read and received; the best size", &received, verdict);
    let compared: [(&str, Figure<Measured>); 3] = [
        ("appended/s", |measured| measured.appended),
        ("received/s", |measured| measured.received),
        ("CPU an event", |measured| measured.cpu.as_secs_f64()),
    ];
    for (title, value) in compared {
        let values =
            SIZES.map(|size| Spread::ratio(rounds(size, SWITCHBOARD).map(value), rounds(size, BASELINE).map(value)));
        ratios.row(&format!("new / old: {title}"), &values, None);
    }
    ratios.print();
}

async fn stream(
    arguments: &Arguments,
    stage: &Stage,
    (build, server): (&Build, &Server),
    (round, size): (u32, i32),
) -> Result<Measured> {
    let chats = build.database.offer(&format!("log-{}-{size}-{round}-", build.name), WRITERS).await?;
    // The company's own server receives the events of all its chats.
    let socket = subscribe(server, &stage.token, json!({})).await?;
    let appended = Arc::new(AtomicU64::new(0));
    let notifying = notify(build.database.connect().await?, Arc::clone(&appended));
    let (began, until) = (Instant::now(), Instant::now() + arguments.turn());
    let mut writers = Vec::new();
    for chat in chats {
        let mut connection = build.database.connect().await?;
        let mut record = record_of(&mut connection, chat).await?;
        record["headline"] = json!(HEADLINE);
        let writer = Writer { connection, chat, record, size, appended: Arc::clone(&appended) };
        writers.push(tokio::spawn(writer.write(until)));
    }
    let receiving = tokio::spawn(receive(socket, Arc::clone(&appended), until));
    let work = async {
        for writer in writers {
            writer.await??;
        }
        let written = Instant::now();
        let (count, last) = receiving.await??;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((written, count, last))
    };
    let (done, _, cpu) = watched(server, work).await?;
    notifying.abort();
    let (written, count, last) = done?;
    let total = appended.load(Ordering::Relaxed);
    if count != total {
        return Err(format!("{total} events were appended but {count} received").into());
    }
    let counted = f64::from(u32::try_from(count)?);
    Ok(Measured {
        appended: counted / written.duration_since(began).as_secs_f64(),
        received: counted / last.duration_since(began).as_secs_f64(),
        behind: last.saturating_duration_since(written),
        cpu: cpu / u32::try_from(count)?.max(1),
    })
}

/// Notifies the servers while the count grows.
fn notify(mut connection: PgConnection, appended: Arc<AtomicU64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut notified = 0;
        loop {
            tokio::time::sleep(NOTIFY_EVERY).await;
            let now = appended.load(Ordering::Relaxed);
            if now != notified {
                notified = now;
                let notify = sqlx::query("select pg_notify('switchboard_event', 'load')").execute(&mut connection);
                if notify.await.is_err() {
                    return;
                }
            }
        }
    })
}

/// Counts the messages until all events have arrived; returns the count and the time of the last one.
async fn receive(mut socket: Socket, appended: Arc<AtomicU64>, until: Instant) -> Result<(u64, Instant)> {
    let (mut count, mut last) = (0_u64, Instant::now());
    loop {
        // The writers have stopped half a second after their time, so the count of appended events is final.
        let over = Instant::now() > until + Duration::from_millis(500);
        if over && (count >= appended.load(Ordering::Relaxed) || last.elapsed() > PATIENCE) {
            return Ok((count, last));
        }
        let Some(message) = socket.next_within(Duration::from_millis(100)).await? else { continue };
        if contains(&message, "\"UPDATE\"") && contains(&message, HEADLINE) {
            (count, last) = (count + 1, Instant::now());
        }
    }
}

/// Appends events about one chat.
struct Writer {
    connection: PgConnection,
    chat: Uuid,
    record: Value,
    size: i32,
    appended: Arc<AtomicU64>,
}

impl Writer {
    async fn write(mut self, until: Instant) -> Result<()> {
        let mut version = 1;
        while Instant::now() < until {
            self.append(version).await?;
            version += self.size;
            self.appended.fetch_add(u64::try_from(self.size)?, Ordering::Relaxed);
        }
        Ok(self.connection.close().await?)
    }

    /// The keys of the fields that streams of chats are narrowed by, as the server writes them.
    fn scopes(&self) -> Vec<i64> {
        let key = |field: &str| {
            let value = self.record[field].as_str().unwrap_or_default();
            event::scope_key(demo::COMPANY_ID, "chat", field, value)
        };
        ["key", "contractId", "visitor", "agentId"].map(key).to_vec()
    }

    /// One transaction with the events that follow `version`.
    async fn append(&mut self, version: i32) -> Result<()> {
        let events: Vec<NewEvent> = (version + 1..=version + self.size)
            .map(|version| NewEvent {
                company_id: demo::COMPANY_ID,
                subject: Subject::new("chat", self.chat),
                version,
                event_type: "ChatMissed",
                actor: None,
                payload: self.record.to_string(),
                previous: Some(format!("{{\"version\":{}}}", version - 1)),
                scopes: Some(self.scopes()),
            })
            .collect();
        let mut transaction = self.connection.begin().await?;
        event::append(&mut transaction, &events).await?;
        Ok(transaction.commit().await?)
    }
}
