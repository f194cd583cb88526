//! A full queue: callers end calls that have slots, and a dialer hears of those that get them next.
//!
//! ```text
//! callers ── updateCallStatus ENDED ──► servers ── callDispatched ──► dialer ──► callers
//! ```
//! 500 users with two slots each, all of which are in use. So the next call of the user whose call was ended is dispatched
//! by that end: the time between the two is that from release to dispatch.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use uuid::Uuid;

use super::{Lines, company, end, fill};
use crate::{
    Arguments, Result,
    database::Database,
    http::Client,
    pgbench,
    process::Server,
    ratio::{Aim, Ratios, Spread},
    report::{Run, Table, median, ms, us},
    socket::Socket,
    stage::Stage,
};

const USERS: u32 = 500;
const SLOTS: u32 = 1_000;
/// Requests that are under way at once.
const CALLERS: usize = 256;
/// Few enough that hardly any call waits for others: what a release costs by itself.
const FEW_CALLERS: usize = 8;
/// More calls than a second's dispatches so far.
const CALLS_A_SECOND: u32 = 6_000;
/// Before each turn.
const WARM_UP: Duration = Duration::from_secs(1);
/// Several companies share the machine, and nothing else.
const COMPANIES: u32 = 8;
const DISPATCHED: &str = "subscription { callDispatched { operation record { id userId } } }";
const FEW: &str = "1 server, 8 callers";
const PGBENCH: &str = "pgbench, the same statements";
/// What Postgres alone can do for one company: batches as large as the server's, with no server, no wake-up, no reader.
const LIMIT: &str = "pgbench, 64 calls a transaction, one connection";
const BATCH: f64 = 64.0;
/// The company that the script of `pgbench` names.
const PEER: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_00a3);

/// A row of the table.
struct Row {
    name: &'static str,
    servers: usize,
    callers: usize,
    /// One company, or several.
    companies: Vec<Uuid>,
}

/// What a turn showed: the calls, and the times from release to dispatch.
#[derive(Clone)]
struct Turn {
    calls: Run,
    dispatch: Run,
}

pub(super) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let build = &stage.builds[0];
    let turns = arguments.rounds * (arguments.seconds + 1);
    let one = full(&build.database, USERS, 4 * turns * CALLS_A_SECOND).await?;
    let mut many = Vec::new();
    for _ in 0..COMPANIES {
        many.push(full(&build.database, USERS / COMPANIES, turns * CALLS_A_SECOND / COMPANIES).await?);
    }
    let rows = [
        Row { name: "1 server, 1 caller", servers: 1, callers: 1, companies: vec![one] },
        Row { name: FEW, servers: 1, callers: FEW_CALLERS, companies: vec![one] },
        Row { name: "1 server", servers: 1, callers: CALLERS, companies: vec![one] },
        Row { name: "2 servers", servers: 2, callers: CALLERS, companies: vec![one] },
        Row { name: "3 servers", servers: 3, callers: CALLERS, companies: vec![one] },
        Row { name: "1 server, 8 companies", servers: 1, callers: CALLERS, companies: many },
    ];
    prepare_peer(stage, arguments.rounds * arguments.seconds * CALLS_A_SECOND * 2).await?;
    let mut results: BTreeMap<&str, Vec<Turn>> = BTreeMap::new();
    let (mut peers, mut limits) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        eprintln!("load: dispatch: round {round} of {}", arguments.rounds);
        for row in &rows {
            results.entry(row.name).or_default().push(turn(arguments, stage, row).await?);
        }
        let script = include_str!("../../queue_dispatch.sql");
        peers.extend(pgbench::run(stage, script, CALLERS, arguments.seconds).await?);
        let script = include_str!("../../queue_dispatch_batch.sql");
        let limit = pgbench::run(stage, script, 1, arguments.seconds).await?;
        limits.extend(limit.map(|limit| Run { rate: limit.rate * BATCH, ..limit }));
    }
    print(&rows, &results, &peers, &limits);
    Ok(())
}

/// One turn of a row, with as many servers as it has: another one would read the log as well.
async fn turn(arguments: &Arguments, stage: &Stage, row: &Row) -> Result<Turn> {
    let mut servers = Vec::new();
    for _ in 0..row.servers {
        servers.push(stage.builds[0].serve().await?);
    }
    run(stage, &servers, row, WARM_UP).await?;
    let turn = run(stage, &servers, row, arguments.turn()).await?;
    for server in servers {
        server.stop().await?;
    }
    Ok(turn)
}

fn print(rows: &[Row], results: &BTreeMap<&str, Vec<Turn>>, peers: &[Run], limits: &[Run]) {
    let title = "Dispatch of a full queue, 500 users with two slots each, 256 callers";
    let columns = [
        "",
        "calls/s",
        "updateCallStatus, p50 / p99 ms",
        "release to dispatch, p50 / p99 ms",
        "CPU us a call, servers",
    ];
    let mut table = Table::new(title, &columns);
    for row in rows {
        let turns = results.get(row.name).map_or(&[][..], Vec::as_slice);
        let Some(Turn { calls, dispatch }) = median(turns, |turn| turn.calls.rate) else { continue };
        table.row([
            row.name.to_owned(),
            format!("{:.0}", calls.rate),
            format!("{} / {}", ms(calls.p50), ms(calls.p99)),
            format!("{} / {}", ms(dispatch.p50), ms(dispatch.p99)),
            calls.cpu.map_or("-".to_owned(), us),
        ]);
    }
    for (name, runs) in [(PGBENCH, peers), (LIMIT, limits)] {
        let Some(run) = median(runs, |run| run.rate) else { continue };
        let [rate, mean] = [format!("{:.0}", run.rate), format!("{} mean", ms(run.p50))];
        table.row([name.to_owned(), rate, mean, "-".to_owned(), "-".to_owned()]);
    }
    table.print();
    let rates = |name: &str| results.get(name).into_iter().flatten().map(|turn| turn.calls.rate);
    let mut ratios = Ratios::new(title, ["calls/s".to_owned()]);
    let peers = Spread::ratio(rates("1 server"), peers.iter().map(|run| run.rate));
    ratios.row("1 server, of pgbench's", &[peers], Some(Aim::AtLeast(0.5)));
    let limits = Spread::ratio(rates("1 server"), limits.iter().map(|run| run.rate));
    ratios.row("1 server, of what Postgres alone does in such batches", &[limits], None);
    for name in ["2 servers", "3 servers"] {
        let ratio = Spread::ratio(rates(name), rates("1 server"));
        ratios.row(&format!("{name}, of one"), &[ratio], Some(Aim::AtLeast(0.8)));
    }
    ratios.row("1 server, calls/s", &[Spread::of(rates("1 server").collect())], Some(Aim::AtLeast(3_000.0)));
    let many = Spread::of(rates("1 server, 8 companies").collect());
    ratios.row("1 server, 8 companies, calls/s", &[many], Some(Aim::AtLeast(5_000.0)));
    let times = |percentile: fn(&Run) -> Duration| {
        let turns = results.get(FEW).into_iter().flatten();
        Spread::of(turns.map(|turn| percentile(&turn.dispatch).as_secs_f64() * 1e3).collect())
    };
    ratios.row("1 server, 8 callers, release to dispatch, p50 ms", &[times(|run| run.p50)], Some(Aim::AtMost(5.0)));
    ratios.row("1 server, 8 callers, release to dispatch, p99 ms", &[times(|run| run.p99)], Some(Aim::AtMost(50.0)));
    ratios.print();
}

/// A company whose slots are all in use, with so many calls in line.
async fn full(database: &Database, users: u32, calls: u32) -> Result<Uuid> {
    let company = company(database, SLOTS).await?;
    fill(database, company, &Lines { users, direct: calls / users + 2, campaign: 0, limit: 2 }).await?;
    dispatch_all(database, company).await?;
    Ok(company)
}

/// Gives free slots to what waits, as an SQL caller.
async fn dispatch_all(database: &Database, company: Uuid) -> Result<()> {
    // In transactions of their own.
    let claim =
        format!("set switchboard.company_id = '{company}'; select count(*) from switchboard.claim_next_calls(500)");
    for _ in 0..=SLOTS / 500 {
        database.execute(&claim).await?;
    }
    Ok(())
}

async fn prepare_peer(stage: &Stage, calls: u32) -> Result<()> {
    let make = format!(
        "insert into switchboard.company (id, name) values ('{PEER}', 'Dispatch');
         insert into switchboard.call_slots (company_id, system_limit) values ('{PEER}', {SLOTS});"
    );
    stage.peers().execute(&make).await?;
    let lines = Lines { users: USERS, direct: calls / USERS + 2, campaign: 0, limit: 2 };
    fill(stage.peers(), PEER, &lines).await?;
    dispatch_all(stage.peers(), PEER).await
}

/// A call that has a slot.
struct Call {
    id: String,
    user: String,
    company: usize,
}

/// When calls of a user were ended whose slots no event has yet given to others.
type Releases = Arc<Mutex<HashMap<(usize, String), VecDeque<Instant>>>>;

/// The operation of an event, and its call.
async fn event(socket: &mut Socket, message: &[u8], company: usize) -> Result<Option<(String, Call)>> {
    let message: Value = serde_json::from_slice(message)?;
    if message["type"] == "ping" {
        socket.send("{\"type\":\"pong\"}").await?;
        return Ok(None);
    }
    let event = &message["payload"]["data"]["callDispatched"];
    let operation = event["operation"].as_str().ok_or_else(|| message.to_string())?.to_owned();
    let text = |name: &str| event["record"][name].as_str().unwrap_or_default().to_owned();
    Ok(Some((operation, Call { id: text("id"), user: text("userId"), company })))
}

/// Hears of calls that get slots, and hands them to the callers; the times from release to dispatch.
async fn dial(
    mut socket: Socket,
    company: usize,
    calls: UnboundedSender<Call>,
    releases: Releases,
    until: Instant,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while let Some(message) = socket.next_within(until.saturating_duration_since(Instant::now())).await? {
        let now = Instant::now();
        let Some((operation, call)) = event(&mut socket, &message, company).await? else { continue };
        if operation != "INSERT" {
            continue;
        }
        let ended_at = {
            let mut releases = releases.lock().map_err(|_| "a caller panicked")?;
            releases.get_mut(&(company, call.user.clone())).and_then(VecDeque::pop_front)
        };
        latencies.extend(ended_at.map(|ended_at| now - ended_at));
        let _ = calls.send(call);
    }
    Ok(latencies)
}

/// Ends calls that have slots, one after the other.
async fn call(
    mut client: Client,
    tokens: Arc<Vec<String>>,
    calls: Arc<tokio::sync::Mutex<UnboundedReceiver<Call>>>,
    releases: Releases,
    until: Instant,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let next = async { calls.lock().await.recv().await };
        let Ok(Some(call)) = tokio::time::timeout_at(until.into(), next).await else { break };
        let request = end(&tokens[call.company], &call.id);
        let began = Instant::now();
        let key = (call.company, call.user);
        releases.lock().map_err(|_| "a dialer panicked")?.entry(key).or_default().push_back(began);
        client.call(&request).await?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// Subscribes to the calls that get slots, and hands those that have one to the callers.
async fn subscribe(server: &Server, token: &str, company: usize, calls: &UnboundedSender<Call>) -> Result<Socket> {
    let mut socket = Socket::open(server.address, "/graphql").await?;
    let init = json!({ "type": "connection_init", "payload": { "authToken": token } });
    socket.send(&init.to_string()).await?;
    socket.until("connection_ack").await?;
    let payload = json!({ "query": DISPATCHED });
    socket.send(&json!({ "type": "subscribe", "id": "1", "payload": payload }).to_string()).await?;
    loop {
        let message = socket.next().await?;
        match event(&mut socket, &message, company).await? {
            Some((operation, _)) if operation == "READY" => return Ok(socket),
            Some((_, call)) => drop(calls.send(call)),
            None => {}
        }
    }
}

/// One turn of a row.
async fn run(stage: &Stage, servers: &[Server], row: &Row, limit: Duration) -> Result<Turn> {
    let tokens: Vec<String> = row.companies.iter().map(|company| stage.token_of(*company)).collect::<Result<_>>()?;
    let tokens = Arc::new(tokens);
    let (heard, calls) = mpsc::unbounded_channel();
    let (calls, releases) = (Arc::new(tokio::sync::Mutex::new(calls)), Releases::default());
    let mut sockets = Vec::new();
    for (company, token) in tokens.iter().enumerate() {
        sockets.push(subscribe(&servers[0], token, company, &heard).await?);
    }
    let mut clients = Vec::new();
    for number in 0..row.callers {
        clients.push(Client::connect(servers[number % row.servers].address).await?);
    }
    let used = servers.iter().map(Server::cpu).sum::<Result<Duration>>()?;
    let began = Instant::now();
    let until = began + limit;
    let dialers: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(company, socket)| tokio::spawn(dial(socket, company, heard.clone(), Arc::clone(&releases), until)))
        .collect();
    let callers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let (tokens, calls, releases) = (Arc::clone(&tokens), Arc::clone(&calls), Arc::clone(&releases));
            tokio::spawn(call(client, tokens, calls, releases, until))
        })
        .collect();
    let (mut ended, mut dispatched) = (Vec::new(), Vec::new());
    for caller in callers {
        ended.extend(caller.await??);
    }
    let took = began.elapsed();
    let cpu = servers.iter().map(Server::cpu).sum::<Result<Duration>>()?.saturating_sub(used);
    for dialer in dialers {
        dispatched.extend(dialer.await??);
    }
    if dispatched.is_empty() {
        return Err("no call was dispatched: the queue is empty".into());
    }
    Ok(Turn { calls: Run::new(ended, took, Some(cpu)), dispatch: Run::new(dispatched, took, None) })
}
