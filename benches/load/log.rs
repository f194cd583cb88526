//! Events through the log: writers append, one subscription receives every event, in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use switchboard::{
    demo,
    platform::event::{self, NewEvent, Subject},
};

use crate::{
    Arguments, Result,
    delivery::{record_of, subscribed},
    process::{Server, watched},
    report::{Table, aim, us},
    socket::contains,
    stage::Stage,
};

/// Silence after which what has not come will not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that append at once.
const WRITERS: u32 = 8;
/// Headline of the records that are appended: what other parts left behind may come due meanwhile.
const HEADLINE: &str = "appended by the load";

pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let columns = ["", "appended/s", "received/s", "last received after the last commit, ms", "server CPU us"];
    let mut table = Table::new("Events through the log, 8 writers, one subscriber of all", &columns);
    let mut best = 0.0_f64;
    for size in [1, 10, 50] {
        let server = stage.switchboard().await?;
        let measured = Box::pin(stream(arguments, stage, &server, size)).await?;
        server.stop().await?;
        best = best.max(measured.received);
        table.row([
            format!("{size} in a transaction"),
            format!("{:.0}", measured.appended),
            format!("{:.0}", measured.received),
            format!("{:.1}", measured.behind.as_secs_f64() * 1e3),
            us(measured.cpu),
        ]);
    }
    table.print();
    aim("events/s, committed, read and received", best, 10_000.0, true);
    Ok(())
}

struct Measured {
    appended: f64,
    received: f64,
    behind: Duration,
    cpu: Duration,
}

async fn stream(arguments: &Arguments, stage: &Stage, server: &Server, size: i32) -> Result<Measured> {
    let prefix = format!("log-{size}-");
    stage.offer(&prefix, WRITERS).await?;
    let chats = stage.offered(&prefix, WRITERS).await?;
    // A filter by race would hear of one chat; the company's own service hears of all.
    let mut socket = subscribed(server, &stage.token, json!({})).await?;
    let until = Instant::now() + arguments.turn();
    let appended = Arc::new(AtomicU64::new(0));
    let write = async {
        let mut writers = Vec::new();
        for chat in chats {
            let mut connection = stage.connect().await?;
            let mut record = record_of(&mut connection, chat).await?;
            record["headline"] = json!(HEADLINE);
            let appended = Arc::clone(&appended);
            writers.push(tokio::spawn(async move {
                let mut version = 1;
                while Instant::now() < until {
                    append(&mut connection, chat, &record, version, size).await?;
                    version += size;
                    appended.fetch_add(u64::try_from(size)?, Ordering::Relaxed);
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(connection.close().await?)
            }));
        }
        for writer in writers {
            writer.await??;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Instant::now())
    };
    let rung = Arc::clone(&appended);
    let mut notifier = stage.connect().await?;
    // As the notifier of a server that writes would.
    let ringing = tokio::spawn(async move {
        let mut told = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = rung.load(Ordering::Relaxed);
            if now != told {
                told = now;
                let notify = sqlx::query("select pg_notify('switchboard_event', 'load')").execute(&mut notifier);
                if notify.await.is_err() {
                    return;
                }
            }
        }
    });
    let total = Arc::clone(&appended);
    let began = Instant::now();
    let receive = tokio::spawn(async move {
        let (mut count, mut last) = (0_u64, Instant::now());
        loop {
            // All have come once the writers' time is up and nothing is missing.
            let over = Instant::now() > until + Duration::from_millis(500);
            if over && (count >= total.load(Ordering::Relaxed) || last.elapsed() > PATIENCE) {
                return Ok::<_, Box<dyn std::error::Error + Send + Sync>>((count, last));
            }
            let Some(message) = socket.next_within(Duration::from_millis(100)).await? else { continue };
            if contains(&message, "\"UPDATE\"") && contains(&message, HEADLINE) {
                (count, last) = (count + 1, Instant::now());
            }
        }
    });
    let work = async { (write.await, receive.await) };
    let ((written, received), _, cpu) = watched(server, work).await?;
    ringing.abort();
    let (written, (count, last)) = (written?, received??);
    let total = appended.load(Ordering::Relaxed);
    if count != total {
        return Err(format!("{total} events were appended but {count} received").into());
    }
    let (behind, counted) = (last.saturating_duration_since(written), f64::from(u32::try_from(count)?));
    Ok(Measured {
        appended: counted / written.duration_since(began).as_secs_f64(),
        received: counted / last.duration_since(began).as_secs_f64(),
        behind,
        cpu: cpu / u32::try_from(count)?.max(1),
    })
}

async fn append(
    connection: &mut PgConnection,
    chat: uuid::Uuid,
    record: &serde_json::Value,
    version: i32,
    size: i32,
) -> Result<()> {
    let events: Vec<NewEvent> = (version + 1..=version + size)
        .map(|version| NewEvent {
            company_id: demo::COMPANY_ID,
            subject: Subject::new("chat", chat),
            version,
            event_type: "ChatMissed",
            actor: None,
            payload: record.to_string(),
            previous: Some(format!("{{\"version\":{}}}", version - 1)),
        })
        .collect();
    let mut transaction = connection.begin().await?;
    event::append(&mut transaction, &events).await?;
    Ok(transaction.commit().await?)
}
