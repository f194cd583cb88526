//! Requests and answers: a chat by its id, `createChat`, `startChat`, each beside its limits and its peer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use switchboard::demo;
use uuid::Uuid;

use crate::{
    Arguments, Result,
    http::{Requests, drive, get, post},
    pgbench,
    process::Server,
    report::{Run, Table, aim, median, ms, us},
    stage::{CHATS, Stage},
};

const CHAT: &str =
    "query($id: UUID!) { chat(id: $id) { id key status missed headline customerName version insertedAt } }";
const CREATE: &str = "mutation($chat: ChatInput!) { createChat(input: {chat: $chat}) \
     { chat { id key status missed headline customerName version insertedAt } } }";
const START: &str = "mutation($id: UUID!) { startChat(input: {chatId: $id}) \
     { outcome chat { id key status missed headline customerName version insertedAt } } }";
/// Of the peer, whose schema is its table's.
const PEER_CHAT: &str = "query($company: UUID!, $id: UUID!) { chatByCompanyIdAndRowId(companyId: $company, rowId: $id) \
     { rowId key status missed headline customerName version insertedAt } }";
const PEER_CREATE: &str = "mutation($chat: ChatInput!) { createChat(input: {chat: $chat}) \
     { chat { rowId key status missed headline customerName version insertedAt } } }";
/// Most chats that one turn of `startChat` starts.
const STARTS: u32 = 12_000;

/// Who takes a turn.
enum Turn<'a> {
    /// A server and what it is asked.
    Server(&'a Server, Requests),
    /// A script of pgbench.
    Pgbench(&'static str),
}

/// Contenders by name, and their turns by number of connections.
type Turns = BTreeMap<(usize, &'static str), Vec<Run>>;

/// What is running.
struct Servers {
    switchboard: Server,
    plain: Server,
    postgraphile: Option<Server>,
}

/// All parts that are requests and answers.
pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    if !["chat", "create", "start-chat"].iter().any(|part| arguments.wants(part)) {
        return Ok(());
    }
    let servers = Servers {
        switchboard: stage.switchboard().await?,
        plain: stage.plain().await?,
        postgraphile: stage.postgraphile().await?,
    };
    if arguments.wants("chat") {
        chats(arguments, stage, &servers).await?;
    }
    if arguments.wants("create") {
        creates(arguments, stage, &servers).await?;
    }
    if arguments.wants("start-chat") {
        starts(arguments, stage, &servers).await?;
    }
    let mut table = Table::new("Memory after these requests, MiB", &["", "RSS", "PSS"]);
    let mib = |kib: u64| (kib / 1_024).to_string();
    let named = [("switchboard", Some(&servers.switchboard)), ("plain handlers", Some(&servers.plain))];
    for (name, server) in named.into_iter().chain([("PostGraphile 5", servers.postgraphile.as_ref())]) {
        if let Some(server) = server {
            table.row([name.to_owned(), mib(server.rss()?), mib(server.pss()?)]);
        }
    }
    table.print();
    for server in [servers.switchboard, servers.plain].into_iter().chain(servers.postgraphile) {
        server.stop().await?;
    }
    Ok(())
}

/// Every contender, once to warm up and then once in each round.
async fn compete(
    arguments: &Arguments,
    stage: &Stage,
    title: &str,
    contenders: &[(&'static str, Turn<'_>)],
) -> Result<Turns> {
    let mut turns = Turns::new();
    for (name, turn) in contenders {
        eprintln!("load: {title}: warming up {name}");
        if let Turn::Server(server, requests) = turn {
            drive(server, 16, Duration::from_millis(700), requests).await?;
        }
    }
    for round in 1..=arguments.rounds {
        eprintln!("load: {title}: round {round} of {}", arguments.rounds);
        for &connections in &arguments.connections {
            for (name, turn) in contenders {
                let run = match turn {
                    Turn::Server(server, requests) => {
                        Some(drive(server, connections, arguments.turn(), requests).await?)
                    }
                    Turn::Pgbench(script) => pgbench::run(stage, script, connections, arguments.seconds).await?,
                };
                turns.entry((connections, *name)).or_default().extend(run);
            }
        }
    }
    print_turns(title, arguments, &turns, contenders.iter().map(|(name, _)| *name));
    Ok(turns)
}

fn print_turns<'a>(title: &str, arguments: &Arguments, turns: &Turns, names: impl Iterator<Item = &'a str>) {
    let mut columns = vec![String::new()];
    for connections in &arguments.connections {
        columns.extend([format!("{connections}: requests/s"), "p50 / p99 ms".to_owned(), "CPU us".to_owned()]);
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(title, &columns);
    for name in names {
        let mut cells = vec![name.to_owned()];
        for &connections in &arguments.connections {
            match turns.get(&(connections, name)).and_then(|runs| median(runs, |run| run.rate)) {
                Some(Run { rate, p50, p99, cpu }) => {
                    let latency = if cpu.is_some() { format!("{} / {}", ms(p50), ms(p99)) } else { ms(p50) + " mean" };
                    cells.extend([format!("{rate:.0}"), latency, cpu.map_or("-".to_owned(), us)]);
                }
                None => cells.extend(["-".to_owned(), "-".to_owned(), "-".to_owned()]),
            }
        }
        table.row(cells);
    }
    table.print();
}

/// The rate of one contender over another's, the worst over all numbers of connections; `None` unless both ran.
fn ratio(turns: &Turns, one: &str, other: &str) -> Option<f64> {
    let rate = |connections, name: &'static str| Some(median(turns.get(&(connections, name))?, |run| run.rate)?.rate);
    let named = |wanted: &str| turns.keys().find(|(_, name)| *name == wanted).map(|(_, name)| *name);
    let (one, other) = (named(one)?, named(other)?);
    let connections: std::collections::BTreeSet<usize> = turns.keys().map(|(connections, _)| *connections).collect();
    let ratios = connections.into_iter().filter_map(|count| Some(rate(count, one)? / rate(count, other)?));
    ratios.min_by(f64::total_cmp)
}

async fn chats(arguments: &Arguments, stage: &Stage, servers: &Servers) -> Result<()> {
    let ids = Arc::new(stage.offered("", CHATS).await?);
    let any = move || {
        let ids = Arc::clone(&ids);
        let next = AtomicUsize::new(0);
        // 7,919 is prime to the number of chats: each is asked for once before any is asked for again.
        move || ids[next.fetch_add(7_919, Ordering::Relaxed) % ids.len()]
    };
    let (own, token) = (any(), stage.token.clone());
    let asks: Requests = Arc::new(move || Some(graphql(&token, CHAT, &json!({ "id": own() }))));
    let own = any();
    let gets: Requests = Arc::new(move || Some(get(&format!("/chat/{}", own()))));
    let mut contenders = vec![
        ("switchboard", Turn::Server(&servers.switchboard, asks)),
        ("plain handler, one select", Turn::Server(&servers.plain, gets)),
        ("pgbench", Turn::Pgbench(pgbench::SELECT)),
    ];
    if let Some(server) = &servers.postgraphile {
        let own = any();
        let variables = move || json!({ "company": demo::COMPANY_ID, "id": own() });
        let asks: Requests = Arc::new(move || Some(graphql("", PEER_CHAT, &variables())));
        contenders.push(("PostGraphile 5", Turn::Server(server, asks)));
    }
    let turns = compete(arguments, stage, "A chat by its id", &contenders).await?;
    if let Some(ratio) = ratio(&turns, "switchboard", "PostGraphile 5") {
        aim("chat by id, times PostGraphile's", ratio, 4.0, true);
    }
    Ok(())
}

async fn creates(arguments: &Arguments, stage: &Stage, servers: &Servers) -> Result<()> {
    let contracts = demo::demo().contracts;
    let (token, contract_id) = (stage.token.clone(), contracts[0].id);
    let asks: Requests = Arc::new(move || {
        let chat = json!({
            "customerName": "Eve", "headline": "Hello?", "contractId": contract_id, "key": Uuid::new_v4(),
        });
        Some(graphql(&token, CREATE, &json!({ "chat": chat })))
    });
    let plain = |path: &'static str| -> Requests {
        Arc::new(move || {
            let chat = json!({ "customerName": "Eve", "headline": "Hello?", "key": Uuid::new_v4() });
            Some(post(path, "", &chat.to_string()))
        })
    };
    let mut contenders = vec![
        ("switchboard", Turn::Server(&servers.switchboard, asks)),
        ("plain handler, the race's statements", Turn::Server(&servers.plain, plain("/race"))),
        ("the same without the log", Turn::Server(&servers.plain, plain("/race-quiet"))),
        ("plain handler, one insert", Turn::Server(&servers.plain, plain("/insert"))),
        ("pgbench, one insert", Turn::Pgbench(pgbench::INSERT)),
    ];
    if let Some(server) = &servers.postgraphile {
        let asks: Requests = Arc::new(move || {
            let chat = json!({
                "companyId": demo::COMPANY_ID, "rowId": Uuid::now_v7(), "key": Uuid::new_v4(),
                "websiteId": demo::WEBSITE_ID, "contractId": contract_id, "visitor": "peer", "status": "ACTIVE",
                "customerName": "Eve", "headline": "Hello?",
            });
            Some(graphql("", PEER_CREATE, &json!({ "chat": chat })))
        });
        contenders.push(("PostGraphile 5, one insert", Turn::Server(server, asks)));
    }
    let turns = compete(arguments, stage, "createChat", &contenders).await?;
    for (what, other, wanted) in [
        ("createChat, of the plain handler with the race's statements", "plain handler, the race's statements", 0.8),
        ("createChat, times PostGraphile's insert", "PostGraphile 5, one insert", 2.5),
    ] {
        if let Some(ratio) = ratio(&turns, "switchboard", other) {
            aim(what, ratio, wanted, true);
        }
    }
    let (on, off) = ("plain handler, the race's statements", "the same without the log");
    if let Some(ratio) = ratio(&turns, on, off) {
        aim("events on, of events off", ratio, 0.8, true);
    }
    Ok(())
}

/// Bounded by count: a chat starts once, so each turn gets chats of its own.
async fn starts(arguments: &Arguments, stage: &Stage, servers: &Servers) -> Result<()> {
    let mut turns = Turns::new();
    let names = ["switchboard", "plain handler, the race's statements"];
    for round in 0..=arguments.rounds {
        // The first round warms up.
        eprintln!("load: startChat: round {round} of {}", arguments.rounds);
        for &connections in &arguments.connections {
            for (index, server) in [&servers.switchboard, &servers.plain].into_iter().enumerate() {
                let prefix = format!("start-{round}-{connections}-{index}-");
                let count = if round == 0 { 500 } else { STARTS };
                stage.offer(&prefix, count).await?;
                let ids = stage.offered(&prefix, count).await?;
                let (next, token) = (AtomicUsize::new(0), stage.token.clone());
                let requests: Requests = Arc::new(move || {
                    let id = ids.get(next.fetch_add(1, Ordering::Relaxed))?;
                    Some(match index {
                        0 => graphql(&token, START, &json!({ "id": id })),
                        _ => post(&format!("/start/{id}"), "", ""),
                    })
                });
                let run = drive(server, connections, arguments.turn(), &requests).await?;
                if round > 0 {
                    turns.entry((connections, names[index])).or_default().push(run);
                }
            }
        }
    }
    print_turns("startChat", arguments, &turns, names.into_iter());
    if let Some(ratio) = ratio(&turns, names[0], names[1]) {
        aim("startChat, of the plain handler with the race's statements", ratio, 0.8, true);
    }
    Ok(())
}

fn graphql(token: &str, document: &str, variables: &serde_json::Value) -> Vec<u8> {
    post("/graphql", token, &json!({ "query": document, "variables": variables }).to_string())
}
