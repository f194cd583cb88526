//! Sessions: heartbeats of 100,000 participants, choice and recovery beside them, and the single SQL calls.
//!
//! Each heartbeat is a POST of its own, as a server sends it that hears its participants over another protocol, and in
//! another turn a message on a socket with others under way, as pages and servers with a socket send it. The load shares
//! the machine with the servers, so the CPU of server and Postgres counts more than the rates.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    Arguments, Result,
    contest::{Contender, Work, compete},
    database::{Database, fill_in},
    http::{Client, Requests, drive, post},
    pipelined::Operations,
    process::{Server, watched},
    report::{Run, Table, ms, percentile},
    stage::{Build, Stage},
};

const SESSIONS: u32 = 10_000;
const USERS: u32 = 10;
/// How often each participant is heard.
const BEAT: Duration = Duration::from_secs(15);
/// Connections that carry heartbeats while something else is measured.
const BEATING: usize = 64;
/// Connections that choose and recover meanwhile.
const CHOOSING: usize = 8;
/// How many choices or recoveries come a second beside heartbeats that come at their pace.
const CHOICES: f64 = 100.0;
/// Calls of each SQL function.
const CALLS: usize = 2_000;
const TICK: Duration = Duration::from_millis(10);

const PING: &str = "mutation($input: HeartbeatPingInput!) { heartbeatPing(input: $input) { pingTime } }";
const SELECT: &str = "mutation($input: SelectSessionProviderInput!) { selectSessionProvider(input: $input) \
     { provider roomId epoch isNewSelection } }";
const RECOVER: &str = "mutation($input: CoordinateProviderRecoveryInput!) { coordinateProviderRecovery(input: $input) \
     { outcome newProvider epoch affectedUsers } }";

/// Sessions on `daily` with connected participants. They were heard an hour ahead, so that nobody falls silent while
/// something else is measured.
const FILL: &str = "
    insert into session_provider (company_id, name, rank, is_default)
    values ('COMPANY', 'daily', 1, true), ('COMPANY', 'p2p', 2, true) on conflict do nothing;
    insert into session_coordination (company_id, session_id, active_provider, epoch, room_id, selected_by, selected_at,
        last_provider_change, version)
    select 'COMPANY', 's' || n, 'daily', 1, 'r', 'u1', now(), now(), 1 from generate_series(0, 9999) as n;
    insert into session_participant (company_id, session_id, user_id, connection_state, current_provider, joined_epoch,
        was_connected, last_seen, inserted_at)
    select company_id, session_id, 'u' || u, 'CONNECTED', 'daily', 1, true, now(), now()
    from session_coordination, generate_series(0, 9) as u;
    insert into session_health (company_id, session_id, user_id, last_ping, status)
    select company_id, session_id, user_id, now() + interval '1 hour', 'CONNECTED' from session_participant;
    analyze session_coordination; analyze session_participant; analyze session_health;
";

/// Measures the part `sessions`.
pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let build = &stage.builds[0];
    build.database.execute(FILL).await?;
    let server = build.serve().await?;
    let beats = beats(&stage.token);
    let contenders = [
        Contender { name: "over HTTP", work: Work::Requests(&server, Arc::clone(&beats)) },
        Contender { name: "over sockets, 4 under way on each", work: Work::Sockets(&server, &stage.token, pings()) },
    ];
    compete(arguments, stage, "heartbeatPing, 100,000 participants in 10,000 sessions", &contenders).await?;
    steady(arguments, build, &server, &beats).await?;
    beside(arguments, stage, &server, &beats).await?;
    server.stop().await?;
    calls(&build.database).await
}

fn request(token: &str, document: &str, input: &Value) -> Vec<u8> {
    post("/graphql", token, &payload(document, input))
}

fn payload(document: &str, input: &Value) -> String {
    json!({ "query": document, "variables": { "input": input } }).to_string()
}

/// Requests by their number.
fn numbered(make: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Requests {
    let next = AtomicU32::new(0);
    Arc::new(move || Some(make(next.fetch_add(1, Ordering::Relaxed))))
}

/// Heartbeats of one participant after the other, neighbours far apart.
fn beats(token: &str) -> Requests {
    let token = token.to_owned();
    numbered(move |number| request(&token, PING, &participant(number)))
}

/// The same heartbeats as payloads of operations.
fn pings() -> Operations {
    let next = AtomicU32::new(0);
    Arc::new(move || payload(PING, &participant(next.fetch_add(1, Ordering::Relaxed))))
}

fn participant(number: u32) -> Value {
    let participant = number.wrapping_mul(7_919) % (SESSIONS * USERS);
    let (session, user) = (participant / USERS, participant % USERS);
    json!({ "sessionId": format!("s{session}"), "userId": format!("u{user}") })
}

/// CPU time of the Postgres that the database is in: of the postmaster, of its children, and of those that have ended.
struct PostgresCpu {
    postmaster: u32,
}

impl PostgresCpu {
    async fn of(database: &Database) -> Result<Self> {
        let backend: i32 =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut database.connect().await?).await?;
        let fields = Self::fields(u32::try_from(backend)?).ok_or("the backend has ended")?;
        Ok(Self { postmaster: u32::try_from(fields[1])? })
    }

    /// The fields of /proc/PID/stat from the state on: parent (1), utime (11), stime (12), cutime (13), cstime (14).
    fn fields(pid: u32) -> Option<Vec<u64>> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        Some(rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
    }

    fn now(&self) -> Result<Duration> {
        let own = Self::fields(self.postmaster).ok_or("Postgres has ended")?;
        let mut ticks: u64 = own[11..15].iter().sum();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(fields) = Self::fields(pid).filter(|fields| fields[1] == u64::from(self.postmaster)) {
                ticks += fields[11] + fields[12];
            }
        }
        Ok(TICK * u32::try_from(ticks)?)
    }
}

/// Size of the presence table in KiB, its dead rows, and the share of changes that moved no index entry.
async fn table(database: &Database) -> Result<(i64, i64, Option<f64>)> {
    let state = "select pg_total_relation_size('session_health') / 1024, n_dead_tup,
            (n_tup_hot_upd / nullif(n_tup_upd, 0)::double precision)
        from pg_stat_all_tables where relid = 'session_health'::regclass";
    Ok(sqlx::query_as(state).fetch_one(&mut database.connect().await?).await?)
}

/// Heartbeats a second, if each participant is heard as often as it should be.
fn pace() -> f64 {
    f64::from(SESSIONS * USERS) / BEAT.as_secs_f64()
}

/// 100,000 participants, each every 15 s.
async fn steady(arguments: &Arguments, build: &Build, server: &Server, beats: &Requests) -> Result<()> {
    let rate = pace();
    let limit = Duration::from_secs(arguments.steady.into());
    eprintln!("load: sessions: {rate:.0} heartbeats/s for {} s", arguments.steady);
    let postgres = PostgresCpu::of(&build.database).await?;
    let before = table(&build.database).await?;
    let (began, started) = (postgres.now()?, Instant::now());
    let (latencies, took, cpu) = watched(server, paced(server, BEATING, rate, limit, beats)).await?;
    let postgres = postgres.now()?.saturating_sub(began);
    let latencies = latencies?;
    let sent = latencies.len();
    let run = Run::new(latencies, took, Some(cpu));
    let after = table(&build.database).await?;
    let share = |cpu: Duration| format!("{:.2}", cpu.as_secs_f64() / started.elapsed().as_secs_f64());
    let mut table = Table::new(
        "100,000 participants, each heard every 15 s",
        &[
            "heartbeats",
            "a second",
            "p50 / p99 ms",
            "cores: server",
            "Postgres",
            "presence table, MiB",
            "dead rows",
            "in place",
        ],
    );
    let mib = |kib: i64| kib / 1_024;
    table.row([
        sent.to_string(),
        format!("{:.0}", run.rate),
        format!("{} / {}", ms(run.p50), ms(run.p99)),
        share(cpu),
        share(postgres),
        format!("{} to {}", mib(before.0), mib(after.0)),
        format!("{} to {}", before.1, after.1),
        after.2.map_or("-".to_owned(), |hot| format!("{:.1} %", hot * 100.0)),
    ]);
    table.print();
    Ok(())
}

/// Sends so many requests a second, each at its time.
async fn paced(
    server: &Server,
    connections: usize,
    rate: f64,
    limit: Duration,
    requests: &Requests,
) -> Result<Vec<Duration>> {
    let (start, next) = (Instant::now(), Arc::new(AtomicU32::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (mut client, requests, next) =
            (Client::connect(server.address).await?, Arc::clone(requests), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let due = start + Duration::from_secs_f64(f64::from(next.fetch_add(1, Ordering::Relaxed)) / rate);
                // Behind its time, it does not make up for what it has not sent.
                if due.max(Instant::now()) > start + limit {
                    return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(latencies);
                }
                tokio::time::sleep_until(due.into()).await;
                let Some(request) = requests() else { continue };
                let sent = Instant::now();
                client.call(&request).await?;
                latencies.push(sent.elapsed());
            }
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(latencies)
}

/// Choice and recovery, while heartbeats come at their pace, and while they come as fast as they are answered.
async fn beside(arguments: &Arguments, stage: &Stage, server: &Server, beats: &Requests) -> Result<()> {
    let token = || stage.token.clone();
    let (joiner, chooser, reporter) = (token(), token(), token());
    let contenders: [(&str, Requests); 3] = [
        (
            "selectSessionProvider, chosen before",
            numbered(move |number| {
                let session = format!("s{}", number % SESSIONS);
                request(
                    &joiner,
                    SELECT,
                    &json!({ "sessionId": session, "userId": "u3", "provider": "daily", "roomId": "r" }),
                )
            }),
        ),
        (
            "selectSessionProvider, new",
            numbered(move |number| {
                let session = format!("new-{number}");
                request(
                    &chooser,
                    SELECT,
                    &json!({ "sessionId": session, "userId": "u3", "provider": "daily", "roomId": "r" }),
                )
            }),
        ),
        (
            "coordinateProviderRecovery, switched",
            numbered(move |number| {
                let (session, round) = (format!("s{}", number % SESSIONS), number / SESSIONS);
                let failed = if round % 2 == 0 { "daily" } else { "p2p" };
                request(
                    &reporter,
                    RECOVER,
                    &json!({ "sessionId": session, "failedProvider": failed, "initiatedBy": "u3",
                    "epoch": round + 1 }),
                )
            }),
        ),
    ];
    let mut table = Table::new(
        "Choice and recovery beside heartbeats of 64 connections",
        &["", "heartbeats/s", "requests/s", "p50 / p99 ms"],
    );
    let limit = arguments.turn();
    for (name, requests) in contenders {
        eprintln!("load: sessions: {name}");
        let started = Instant::now();
        let (own, beating) = tokio::join!(
            paced(server, CHOOSING, CHOICES, limit, &requests),
            paced(server, BEATING, pace(), limit, beats)
        );
        let (own, beating) = (Run::new(own?, started.elapsed(), None), Run::new(beating?, started.elapsed(), None));
        let (own_most, beating_most) =
            tokio::join!(drive(server, CHOOSING, limit, &requests), drive(server, BEATING, limit, beats));
        for (pace, own, beating) in [("at their pace", own, beating), ("as fast as answered", own_most?, beating_most?)]
        {
            table.row([
                format!("{name}; both {pace}"),
                format!("{:.0}", beating.rate),
                format!("{:.0}", own.rate),
                format!("{} / {}", ms(own.p50), ms(own.p99)),
            ]);
        }
    }
    table.print();
    Ok(())
}

/// The median of single calls by one SQL client, beside a function that does nothing.
async fn calls(database: &Database) -> Result<()> {
    let mut connection = database.connect().await?;
    let prepare = fill_in(
        "set switchboard.company_id = 'COMPANY';
         create function pg_temp.nothing(p_session_id text, p_user_id text) returns jsonb language plpgsql as
         'begin return null; end'",
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await?;
    let mut table = Table::new("SQL calls of one client, ms", &["", "median", "99 of 100"]);
    for (name, call) in [
        ("a function that does nothing", "pg_temp.nothing($1, 'u1')"),
        ("heartbeat_ping", "heartbeat_ping($1, 'u1')"),
        (
            "heartbeat_pings, 200 participants",
            "(select count(*) from heartbeat_pings(array(select 's' || n from generate_series(1, 200) as n), \
             array_fill('u1'::text, array[200])) where $1 <> '')",
        ),
        ("update_session_health, a sample", "update_session_health($1, 'u1', 'connected', '{\"latency\": 40}')"),
        ("select_session_provider, chosen before", "select_session_provider($1, 'u1', 'daily', 'r')"),
        ("select_session_provider, new", "select_session_provider('new ' || $1, 'u1', 'daily', 'r')"),
        (
            "update_user_session_state, changed",
            "update_user_session_state('new ' || $1, 'u1', 'Ann', 'connected', 'daily')",
        ),
        ("coordinate_provider_recovery, switched", "coordinate_provider_recovery('new ' || $1, 'daily', 'u1', 1)"),
        ("get_session_coordination_info", "get_session_coordination_info($1)"),
    ] {
        let latencies = repeat(&mut connection, call).await?;
        table.row([name.to_owned(), ms(percentile(&latencies, 50)), ms(percentile(&latencies, 99))]);
    }
    table.print();
    Ok(())
}

async fn repeat(connection: &mut PgConnection, call: &str) -> Result<Vec<Duration>> {
    let statement = format!("select {call}");
    let mut latencies = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let session = format!("s{number}");
        let began = Instant::now();
        sqlx::query(AssertSqlSafe(statement.clone())).bind(session).execute(&mut *connection).await?;
        latencies.push(began.elapsed());
    }
    latencies.sort_unstable();
    Ok(latencies)
}
