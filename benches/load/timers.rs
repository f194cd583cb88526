//! Timers: 4,000 that come due at one moment, fired by one server and by three on the same database.
//!
//! A turn makes 4,000 races with an offer each and sets a timer of each, due 2 s later, when every server sleeps towards
//! that moment. It is over when no such timer is left; then every effect is counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    Arguments, Result,
    database::{Database, fill_in},
    process::Server,
    ratio::{Ratios, Spread},
    report::{Table, median, us},
    stage::{Build, Stage},
};

/// Timers that come due at once.
const TIMERS: u32 = 4_000;
/// Servers that fire them.
const SERVERS: [usize; 2] = [1, 3];
/// How often the table of timers is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A turn that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is measured: its name, the subject and purpose of the timers, and the count of the effects on a prefix's rows.
const KINDS: [(&str, &str, &str, &str); 2] = [
    (
        "miss: an offer is flagged",
        "chat",
        "miss",
        "select count(*) from chat where company_id = 'COMPANY' and missed and id in (select md5($1 || n)::uuid from generate_series(1, $2) as n)",
    ),
    (
        "expire: a race and its offer end",
        "chat_race",
        "expire",
        "select count(*) from chat_race where company_id = 'COMPANY' and state = 'EXPIRED' and key in (select md5($1 || n)::uuid from generate_series(1, $2) as n)",
    ),
];
/// Sets the timers of a prefix's rows, and gives in how many seconds they are due.
const SET: &str = "
    insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
    select 'COMPANY', $3, md5($1 || n)::uuid::text, $4, $5, gen_random_uuid() from generate_series(1, $2) as n";
const LEFT: &str = "select exists (select from timer where subject_type = $1 and purpose = $2 and due_at = $3)";

/// One turn.
#[derive(Debug, Clone)]
struct Measured {
    /// Timers a second, from the moment at which they were due until none was left.
    rate: f64,
    /// CPU of all servers for one timer.
    cpu: Duration,
}

/// The turns by kind, number of servers and build.
type Turns = BTreeMap<(usize, usize, &'static str), Vec<Measured>>;

/// Measures the part `timers`.
pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut turns = Turns::new();
    for round in 0..=arguments.rounds {
        eprintln!("load: timers: round {round} of {}", arguments.rounds);
        for (kind, &servers) in (0..KINDS.len()).flat_map(|kind| SERVERS.iter().map(move |servers| (kind, servers))) {
            for build in &stage.builds {
                let measured = turn(build, kind, servers, &format!("timers {round} {kind} {servers} ")).await?;
                // The first round warms the caches and is not counted.
                if round > 0 {
                    turns.entry((kind, servers, build.name)).or_default().push(measured);
                }
            }
        }
    }
    let names: Vec<&str> = stage.builds.iter().map(|build| build.name).collect();
    print(&turns, &names);
    Ok(())
}

async fn turn(build: &Build, kind: usize, count: usize, prefix: &str) -> Result<Measured> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(build.serve().await?);
    }
    let measured = fired(&build.database, kind, prefix, &servers).await;
    for server in servers {
        server.stop().await?;
    }
    measured
}

async fn fired(database: &Database, kind: usize, prefix: &str, servers: &[Server]) -> Result<Measured> {
    let (_, subject_type, purpose, effects) = KINDS[kind];
    database.offer(prefix, TIMERS).await?;
    let mut sql = database.connect().await?;
    let due_at: time::OffsetDateTime =
        sqlx::query_scalar("select switchboard.now() + interval '2 seconds'").fetch_one(&mut sql).await?;
    let set = sqlx::query(AssertSqlSafe(fill_in(SET))).bind(prefix).bind(i32::try_from(TIMERS)?);
    set.bind(subject_type).bind(purpose).bind(due_at).execute(&mut sql).await?;
    sqlx::query("select pg_notify('switchboard_timer', '')").execute(&mut sql).await?;
    let rest: f64 = sqlx::query_scalar("select extract(epoch from $1 - switchboard.now())::float8")
        .bind(due_at)
        .fetch_one(&mut sql)
        .await?;
    tokio::time::sleep(Duration::try_from_secs_f64(rest).map_err(|_| "setting the timers took too long")?).await;
    let (before, began) = (cpu(servers)?, Instant::now());
    let gone = async {
        while is_left(&mut sql, subject_type, purpose, due_at).await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, sqlx::Error>(())
    };
    tokio::time::timeout(PATIENCE, gone).await.map_err(|_| "timers were not fired")??;
    let (took, used) = (began.elapsed(), cpu(servers)?.saturating_sub(before));
    let had: i64 = sqlx::query_scalar(AssertSqlSafe(fill_in(effects)))
        .bind(prefix)
        .bind(i32::try_from(TIMERS)?)
        .fetch_one(&mut sql)
        .await?;
    if had != i64::from(TIMERS) {
        return Err(format!("{purpose}: {had} effects of {TIMERS} timers").into());
    }
    Ok(Measured { rate: f64::from(TIMERS) / took.as_secs_f64(), cpu: used / TIMERS })
}

async fn is_left(
    sql: &mut PgConnection,
    subject_type: &str,
    purpose: &str,
    due_at: time::OffsetDateTime,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(LEFT).bind(subject_type).bind(purpose).bind(due_at).fetch_one(sql).await
}

fn cpu(servers: &[Server]) -> Result<Duration> {
    servers.iter().map(Server::cpu).sum()
}

fn print(turns: &Turns, builds: &[&'static str]) {
    let rounds = |key: (usize, usize, &'static str)| turns.get(&key).map_or(&[][..], Vec::as_slice);
    let mut table = Table::new("4,000 timers due at once", &["", "", "servers", "timers/s", "servers' CPU us a timer"]);
    for (kind, (title, ..)) in KINDS.iter().enumerate() {
        for (&build, &servers) in builds.iter().flat_map(|build| SERVERS.iter().map(move |servers| (build, servers))) {
            let Some(middle) = median(rounds((kind, servers, build)), |measured| measured.rate) else { continue };
            let rate = format!("{:.0}", middle.rate);
            table.row([(*title).to_owned(), build.to_owned(), servers.to_string(), rate, us(middle.cpu)]);
        }
    }
    table.print();
    let mut ratios = Ratios::new("Timers", KINDS.map(|(title, ..)| title.to_owned()));
    let rates = |kind, servers, build| rounds((kind, servers, build)).iter().map(|measured| measured.rate);
    let kinds = || 0..KINDS.len();
    let more: Vec<_> = kinds()
        .map(|kind| Spread::ratio(rates(kind, SERVERS[1], builds[0]), rates(kind, SERVERS[0], builds[0])))
        .collect();
    ratios.row("three servers / one: timers/s", &more, None);
    if let Some(baseline) = builds.get(1) {
        let better: Vec<_> = kinds()
            .map(|kind| Spread::ratio(rates(kind, SERVERS[0], builds[0]), rates(kind, SERVERS[0], baseline)))
            .collect();
        ratios.row("new / old: timers/s of one server", &better, None);
    }
    ratios.print();
}
