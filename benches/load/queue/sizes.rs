//! What one call costs in lines of different lengths: one caller, one request after the other.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Lines, company, end, fill, initiation, request};
use crate::{
    Arguments, Result,
    http::Client,
    process::Server,
    ratio::{Aim, Ratios, Spread},
    report::{Table, percentile},
    stage::Stage,
};

const ITEM: &str = "query($id: UUID!) { callQueueItem(id: $id) { id status position positionInType \
     estimatedWaitSeconds } }";
const OPERATIONS: [&str; 3] = ["initiateCall", "callQueueItem", "updateCallStatus with a dispatch"];
/// Requests of each kind in a turn of a second.
const REQUESTS: u32 = 60;

/// A company with one user: half of its items are direct calls, half are a campaign's.
struct Queue {
    items: u32,
    company: Uuid,
    token: String,
}

pub(super) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let build = &stage.builds[0];
    let mut queues = Vec::new();
    for &items in &arguments.queue {
        eprintln!("load: queue: filling a line of {items}");
        let company = company(&build.database, 10).await?;
        let lines = Lines { users: 1, direct: items.div_ceil(2), campaign: items / 2, limit: 1 };
        fill(&build.database, company, &lines).await?;
        queues.push(Queue { items, company, token: stage.token_of(company)? });
    }
    build.database.execute("checkpoint").await?;
    let server = build.serve().await?;
    let mut sql = build.database.connect().await?;
    let mut medians: BTreeMap<(u32, &str), Vec<f64>> = BTreeMap::new();
    for queue in &queues {
        // The first call takes the slot, and the queue is full.
        turn(&server, &mut sql, queue, REQUESTS).await?;
    }
    for round in 1..=arguments.rounds {
        eprintln!("load: queue: sizes, round {round} of {}", arguments.rounds);
        for queue in &queues {
            let times = turn(&server, &mut sql, queue, REQUESTS * arguments.seconds).await?;
            for (operation, mut times) in OPERATIONS.into_iter().zip(times) {
                times.sort_unstable();
                let median = percentile(&times, 50).as_secs_f64() * 1e3;
                medians.entry((queue.items, operation)).or_default().push(median);
            }
        }
    }
    server.stop().await?;
    print(&queues, &medians);
    Ok(())
}

fn print(queues: &[Queue], medians: &BTreeMap<(u32, &str), Vec<f64>>) {
    let title = "One caller in lines of different lengths, median ms";
    let columns: Vec<&str> = [""].into_iter().chain(OPERATIONS).collect();
    let mut table = Table::new(title, &columns);
    let of = |items: u32, operation: &'static str| medians.get(&(items, operation)).cloned().unwrap_or_default();
    for queue in queues {
        let cells = OPERATIONS.map(|operation| {
            Spread::of(of(queue.items, operation)).map_or("-".to_owned(), |spread| spread.to_string())
        });
        table.row([format!("{} items", queue.items)].into_iter().chain(cells));
    }
    table.print();
    let mut ratios = Ratios::new(title, OPERATIONS.map(str::to_owned));
    if let [first, .., last] = queues {
        let values = OPERATIONS.map(|operation| Spread::ratio(of(last.items, operation), of(first.items, operation)));
        let name = format!("{} items, of {}", last.items, first.items);
        ratios.row(&name, &values, Some(Aim::AtMost(1.5)));
    }
    ratios.print();
}

/// So many requests of each kind; their times.
async fn turn(server: &Server, sql: &mut PgConnection, queue: &Queue, count: u32) -> Result<[Vec<Duration>; 3]> {
    let mut client = Client::connect(server.address).await?;
    let mut times = [const { Vec::new() }; 3];
    let waiting: Vec<Uuid> = sqlx::query_scalar(
        "select item.id
         from call_queue_line as line
         cross join lateral (select line.head + floor(random() * line.n)::bigint as number from generate_series(1, $2)) as any_of
         join call_queue as item
             on item.company_id = $1 and item.line_id = line.id and item.number = any_of.number and item.status = 'QUEUED'
         where line.company_id = $1",
    )
    .bind(queue.company)
    .bind(i32::try_from(count)?)
    .fetch_all(&mut *sql)
    .await?;
    let items = waiting.iter().cycle();
    for (_, item) in (0..count).zip(items) {
        let requests = [
            initiation(&queue.token, "u0"),
            request(&queue.token, ITEM, &json!({ "id": item })),
            end(&queue.token, &active(sql, queue.company).await?.to_string()),
        ];
        for (request, times) in requests.iter().zip(&mut times) {
            let began = Instant::now();
            client.call(request).await?;
            times.push(began.elapsed());
        }
    }
    Ok(times)
}

/// The call that has the slot. At the very first there is none: the first call that is made gets the queue going.
async fn active(sql: &mut PgConnection, company: Uuid) -> Result<Uuid> {
    let found = "select call_id from active_calls where company_id = $1";
    if let Some(call) = sqlx::query_scalar(found).bind(company).fetch_optional(&mut *sql).await? {
        return Ok(call);
    }
    sqlx::query("select set_config('switchboard.company_id', $1, false)")
        .bind(company.to_string())
        .execute(&mut *sql)
        .await?;
    sqlx::query("select count(*) from claim_next_calls(1)").execute(&mut *sql).await?;
    Ok(sqlx::query_scalar(found).bind(company).fetch_one(sql).await?)
}
