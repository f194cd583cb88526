//! Coordination of opposite calls: pairs of `coordinateChatCall` and `completeChatCall` that meet nobody, beside the same
//! statements by `pgbench`; hand-overs of one line to 2, 10 and 100 callers that wait; and how soon after a release the
//! call that waited for it is granted the line, on the same server and on another one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Arguments, Result,
    http::{Client, post},
    pgbench,
    process::{Server, watched},
    ratio::{Aim, Ratios, Spread},
    report::{Run, Table, median, ms, us},
    stage::{Build, Stage},
};

/// Lines that pairs take in turn.
const LINES: usize = 10_000;
/// Calls that wait for one line.
const WAITERS: [usize; 3] = [2, 10, 100];
/// The connections of the warm-up.
const WARM_UP_CONNECTIONS: usize = 16;
const COORDINATE: &str = "mutation($input: CoordinateChatCallInput!) { coordinateChatCall(input: $input) \
     { grant { requestId fencingToken leaseExpiresAt heldForMs } } }";
const COMPLETE: &str = "mutation($input: CompleteChatCallInput!) { completeChatCall(input: $input) { completed } }";
/// The statements that the server sends for a batch of one.
const READ: &str = include_str!("../../src/operation/sql/read_lines.sql");
const WRITE: &str = include_str!("../../src/operation/sql/write_lines.sql");
const PGBENCH: &str = "pgbench, the same statements";

/// Measures both parts for each build.
pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut servers = Vec::new();
    for build in &stage.builds {
        servers.push((build, build.serve().await?));
    }
    pairs(arguments, stage, &servers).await?;
    hand_overs(arguments, stage, &servers).await?;
    grants(arguments, stage, &servers).await?;
    for (_, server) in servers {
        server.stop().await?;
    }
    Ok(())
}

/// One caller of one line after the other.
#[derive(Debug, Clone)]
struct Caller {
    token: Arc<str>,
    next: Arc<AtomicUsize>,
}

/// What a caller may hold.
struct Grant {
    call_type: &'static str,
    chat: String,
    request: String,
    token: String,
}

impl Caller {
    fn new(stage: &Stage) -> Self {
        Self { token: stage.token.as_str().into(), next: Arc::default() }
    }

    fn request(&self, document: &str, input: &Value) -> Vec<u8> {
        let body = json!({ "query": document, "variables": { "input": input } });
        post("/graphql", &self.token, &body.to_string())
    }

    async fn coordinate(&self, client: &mut Client, call_type: &'static str, chat: &str) -> Result<Grant> {
        let request = Uuid::new_v4().to_string();
        let input = json!({ "callType": call_type, "requestId": request, "chatId": chat });
        let body: Value = serde_json::from_slice(client.call(&self.request(COORDINATE, &input)).await?)?;
        let token = body["data"]["coordinateChatCall"]["grant"]["fencingToken"].as_str().ok_or("no grant")?;
        Ok(Grant { call_type, chat: chat.to_owned(), request, token: token.to_owned() })
    }

    async fn complete(&self, client: &mut Client, grant: &Grant) -> Result<()> {
        let Grant { call_type, chat, request, token } = grant;
        let input = json!({ "callType": call_type, "requestId": request, "chatId": chat, "fencingToken": token });
        let body: Value = serde_json::from_slice(client.call(&self.request(COMPLETE, &input)).await?)?;
        if body["data"]["completeChatCall"]["completed"] == true { Ok(()) } else { Err("nothing was held".into()) }
    }

    /// Takes and gives back one line after the other until `until`; how long each pair took.
    async fn pairs(&self, mut client: Client, until: Instant) -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let chat = format!("load-{}", self.next.fetch_add(1, Ordering::Relaxed) % LINES);
            let began = Instant::now();
            let grant = self.coordinate(&mut client, "START_CHAT", &chat).await?;
            self.complete(&mut client, &grant).await?;
            latencies.push(began.elapsed());
        }
        Ok(latencies)
    }
}

async fn run_pairs(caller: &Caller, server: &Server, connections: usize, limit: Duration) -> Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(server.address).await?);
    }
    let work = async {
        let until = Instant::now() + limit;
        let tasks: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let caller = caller.clone();
                tokio::spawn(async move { caller.pairs(client, until).await })
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(latencies)
    };
    let (latencies, took, cpu) = watched(server, work).await?;
    Ok(Run::new(latencies?, took, Some(cpu)))
}

/// Pairs that meet nobody.
async fn pairs(arguments: &Arguments, stage: &Stage, servers: &[(&Build, Server)]) -> Result<()> {
    let title = "coordinateChatCall and completeChatCall, uncontended";
    let (caller, script) = (Caller::new(stage), pair());
    stage.peers().execute(LINES_OF_PGBENCH).await?;
    for (build, server) in servers {
        eprintln!("load: {title}: {} s of warm-up for {}", arguments.warm, build.name);
        run_pairs(&caller, server, WARM_UP_CONNECTIONS, arguments.warm_up()).await?;
    }
    let mut runs: BTreeMap<(usize, &'static str), Vec<Run>> = BTreeMap::new();
    for round in 1..=arguments.rounds {
        eprintln!("load: {title}: round {round} of {}", arguments.rounds);
        for &connections in &arguments.connections {
            for (build, server) in servers {
                let run = run_pairs(&caller, server, connections, arguments.turn()).await?;
                runs.entry((connections, build.name)).or_default().push(run);
            }
            let run = pgbench::run(stage, &script, connections, arguments.seconds).await?;
            runs.entry((connections, PGBENCH)).or_default().extend(run);
        }
    }
    let of = |connections, name| runs.get(&(connections, name)).map_or(&[][..], Vec::as_slice);
    let mut columns = vec![String::new()];
    for connections in &arguments.connections {
        columns.extend([format!("{connections}: pairs/s"), "p50 / p99 ms".to_owned(), "CPU us a pair".to_owned()]);
    }
    let mut table = Table::new(title, &columns.iter().map(String::as_str).collect::<Vec<_>>());
    let mut ratios = Ratios::new(title, arguments.connections.iter().map(ToString::to_string));
    for name in servers.iter().map(|(build, _)| build.name).chain([PGBENCH]) {
        let cells = arguments.connections.iter().flat_map(|&connections| {
            median(of(connections, name), |run| run.rate).map_or(["-"; 3].map(str::to_owned), |run| {
                [
                    format!("{:.0}", run.rate),
                    format!("{} / {}", ms(run.p50), ms(run.p99)),
                    run.cpu.map_or("-".to_owned(), us),
                ]
            })
        });
        table.row([name.to_owned()].into_iter().chain(cells));
        if name != PGBENCH {
            let ratio = |&connections: &usize| {
                let rate = |run: &Run| run.rate;
                Spread::ratio(of(connections, name).iter().map(rate), of(connections, PGBENCH).iter().map(rate))
            };
            let values: Vec<Option<Spread>> = arguments.connections.iter().map(ratio).collect();
            ratios.row(&format!("{name} / pgbench: pairs/s"), &values, Some(Aim::AtLeast(0.5)));
        }
    }
    table.print();
    ratios.print();
    Ok(())
}

/// The lines that `pgbench` takes, as those of the servers are there after a while. Their revision stays.
const LINES_OF_PGBENCH: &str = "insert into switchboard.operation_line (company_id, chat_id, used_at)
    select 'COMPANY', 'bench-' || number, '2100-01-01' from generate_series(1, 10000) as number on conflict do nothing";
/// One of them.
const LINE: &str = "array['bench-' || (:number)::text]";
const REQUEST: &str = "array[(:request)::text]";
const NOTHING: &str = "'{}'";

/// A statement of the server with these values for `$1`, `$2` and so on, as `pgbench` reads it.
fn with_values(statement: &str, values: &[&str]) -> String {
    let code: Vec<&str> = statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let numbered = values.iter().enumerate().rev();
    numbered.fold(code.join("\n"), |sql, (index, value)| sql.replace(&format!("${}", index + 1), value)) + ";\n"
}

/// The script of a pair: the server reads a line and writes it twice, first with a holder, then with a finished request.
fn pair() -> String {
    let read = with_values(READ, &["'COMPANY'::uuid", LINE, "array[null]", "array['load']", REQUEST]);
    let write = |holder: [&str; 6], finished: [&str; 15]| {
        let (zero, not) = ("array[0]", "array[false]");
        let line = [LINE, zero, zero, zero, zero, zero, "array[1]", zero, not, not];
        let after = ["array[null]", zero, "array['2100-01-01'::timestamptz]"];
        let mut values = vec!["'COMPANY'::uuid"];
        values.extend(line.into_iter().chain(holder).chain(after));
        // No race, and no request that is forgotten; no timers and events.
        values.extend([NOTHING; 7].into_iter().chain(finished).chain([NOTHING; 19]));
        with_values(WRITE, &values)
    };
    let start = "array['START_CHAT']";
    let soon = "array[clock_timestamp() + interval '30 s']";
    let holder = [start, "array['load']", REQUEST, "array[gen_random_uuid()]", "array[clock_timestamp()]", soon];
    let mut finished = ["array[null]"; 15];
    finished[..4].copy_from_slice(&[LINE, "array['load']", REQUEST, start]);
    finished[13..].copy_from_slice(&["array[gen_random_uuid()]", "array[clock_timestamp() + interval '10 min']"]);
    let (grant, completion) = (write(holder, [NOTHING; 15]), write(["array[null]"; 6], finished));
    let numbers = "\\set number random(1, 10000)\n\\set request random(1, 1000000000)\n";
    format!("{numbers}{read}{grant}{read}{completion}")
}

/// Until so many calls wait for the line.
async fn until_waiting(database: &mut PgConnection, chat: &str, count: usize) -> Result<()> {
    let waiting = "select coalesce(max(waiting), 0) from operation_line where chat_id = $1";
    while sqlx::query_scalar::<_, i32>(waiting).bind(chat).fetch_one(&mut *database).await? < i32::try_from(count)? {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Lets `waiters` calls wait for one line, gives it to the first, and lets each pass it on at once: the time of one
/// hand-over. The line and the connections are ready before the clock starts.
async fn hand_over(caller: &Caller, server: &Server, database: &mut PgConnection, waiters: usize) -> Result<Duration> {
    let chat = format!("contended-{}", Uuid::new_v4());
    let mut holder = Client::connect(server.address).await?;
    let held = caller.coordinate(&mut holder, "START_CHAT", &chat).await?;
    let mut tasks = Vec::new();
    for _ in 0..waiters {
        let mut client = Client::connect(server.address).await?;
        let (caller, chat) = (caller.clone(), chat.clone());
        tasks.push(tokio::spawn(async move {
            let grant = caller.coordinate(&mut client, "END_CHAT", &chat).await?;
            caller.complete(&mut client, &grant).await
        }));
    }
    until_waiting(database, &chat, waiters).await?;
    let began = Instant::now();
    caller.complete(&mut holder, &held).await?;
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed() / u32::try_from(waiters)?)
}

/// Lets a call wait for a line, and releases the line: the time from the answer to the release to the answer to the call.
async fn grant(
    caller: &Caller,
    releasing: &mut Client,
    mut waiting: Client,
    database: &mut PgConnection,
) -> Result<(Duration, Client)> {
    let chat = format!("released-{}", Uuid::new_v4());
    let held = caller.coordinate(releasing, "START_CHAT", &chat).await?;
    let waiter = {
        let (caller, chat) = (caller.clone(), chat.clone());
        tokio::spawn(async move {
            let grant = caller.coordinate(&mut waiting, "END_CHAT", &chat).await?;
            let granted = Instant::now();
            caller.complete(&mut waiting, &grant).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((granted, waiting))
        })
    };
    until_waiting(database, &chat, 1).await?;
    caller.complete(releasing, &held).await?;
    let released = Instant::now();
    let (granted, waiting) = waiter.await??;
    Ok((granted.saturating_duration_since(released), waiting))
}

/// How soon a waiting call is granted a line that is released through its own server, and through another one.
async fn grants(arguments: &Arguments, stage: &Stage, servers: &[(&Build, Server)]) -> Result<()> {
    let title = "From the answer to a release to the answer to the call that waited for it";
    let caller = Caller::new(stage);
    let columns = ["", "one server: p50 / p99 ms (aim 5)", "two servers: p50 / p99 ms (aim 15)"];
    let mut table = Table::new(title, &columns);
    for (build, server) in servers {
        eprintln!("load: {title}: {}", build.name);
        let another = build.serve().await?;
        let mut database = build.database.connect().await?;
        let mut row = vec![build.name.to_owned()];
        for waiting_at in [server, &another] {
            let mut releasing = Client::connect(server.address).await?;
            let mut waiting = Client::connect(waiting_at.address).await?;
            let (began, mut times) = (Instant::now(), Vec::new());
            while times.len() < 20 || began.elapsed() < arguments.turn() * arguments.rounds {
                let time;
                (time, waiting) = grant(&caller, &mut releasing, waiting, &mut database).await?;
                times.push(time);
            }
            let run = Run::new(times, began.elapsed(), None);
            row.push(format!("{} / {}", ms(run.p50), ms(run.p99)));
        }
        table.row(row);
        another.stop().await?;
    }
    table.print();
    Ok(())
}

async fn hand_overs(arguments: &Arguments, stage: &Stage, servers: &[(&Build, Server)]) -> Result<()> {
    let title = "Hand-overs of one line by the number of callers that wait";
    let caller = Caller::new(stage);
    // Milliseconds of one hand-over, by build and number of waiters.
    let mut took: BTreeMap<(&'static str, usize), Vec<f64>> = BTreeMap::new();
    for round in 1..=arguments.rounds {
        eprintln!("load: {title}: round {round} of {}", arguments.rounds);
        for (build, server) in servers {
            let mut database = build.database.connect().await?;
            for waiters in WAITERS {
                let until = Instant::now() + arguments.turn();
                let mut times = Vec::new();
                while times.is_empty() || Instant::now() < until {
                    times.push(hand_over(&caller, server, &mut database, waiters).await?.as_secs_f64() * 1e3);
                }
                let median = Spread::of(times).map(|spread| spread.median);
                took.entry((build.name, waiters)).or_default().extend(median);
            }
        }
    }
    let columns = WAITERS.map(|waiters| format!("{waiters} wait: hand-overs/s"));
    let columns: Vec<&str> = [""].into_iter().chain(columns.iter().map(String::as_str)).collect();
    let mut table = Table::new(title, &columns);
    let mut ratios = Ratios::new(title, WAITERS.map(|waiters| waiters.to_string()));
    for (build, _) in servers {
        let of = |waiters: usize| took.get(&(build.name, waiters)).cloned().unwrap_or_default();
        let rate = |waiters| Spread::of(of(waiters).iter().map(|ms| 1e3 / ms).collect());
        let cells = WAITERS.map(|waiters| rate(waiters).map_or("-".to_owned(), |rate| format!("{:.0}", rate.median)));
        table.row([build.name.to_owned()].into_iter().chain(cells));
        let values: Vec<Option<Spread>> = WAITERS.map(|waiters| Spread::ratio(of(waiters), of(WAITERS[0]))).into();
        let name = format!("{}: time of a hand-over / with {} waiters", build.name, WAITERS[0]);
        ratios.row(&name, &values, Some(Aim::AtMost(1.5)));
    }
    table.print();
    ratios.print();
    Ok(())
}
