//! Requests and responses: a chat by its id, `createChat` and `startChat`, each beside its limits and its peer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use crate::{
    Arguments, Result,
    contest::{Contender, Work, compete},
    database::CHATS,
    http::{Requests, get, post},
    pgbench,
    process::Server,
    ratio::Aim,
    report::Table,
    stage::{Build, SWITCHBOARD, Stage},
};

const CHAT: &str =
    "query($id: UUID!) { chat(id: $id) { id key status missed headline customerName version insertedAt } }";
const CREATE: &str = "mutation($chat: ChatInput!) { createChat(input: {chat: $chat}) \
     { chat { id key status missed headline customerName version insertedAt } } }";
const START: &str = "mutation($id: UUID!) { startChat(input: {chatId: $id}) \
     { outcome chat { id key status missed headline customerName version insertedAt } } }";
/// `PostGraphile` derives its schema from the table `bench.chat`, so its names differ.
const PEER_CHAT: &str = "query($company: UUID!, $id: UUID!) { chatByCompanyIdAndRowId(companyId: $company, rowId: $id) \
     { rowId key status missed headline customerName version insertedAt } }";
const PEER_CREATE: &str = "mutation($chat: ChatInput!) { createChat(input: {chat: $chat}) \
     { chat { rowId key status missed headline customerName version insertedAt } } }";

const PLAIN_SELECT: &str = "plain handler, one select";
const PLAIN_RACE: &str = "plain handler, the race's statements";
const PLAIN_QUIET: &str = "the same without the log";
const PEER_SELECT: &str = "PostGraphile 5";
const PEER_INSERT: &str = "PostGraphile 5, one insert";

/// The servers that run during these parts.
struct Servers<'a> {
    builds: Vec<(&'a Build, Server)>,
    plain: Server,
    postgraphile: Option<Server>,
}

/// Measures the parts that are requests and responses.
pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    if !["chat", "create", "start-chat"].iter().any(|part| arguments.wants(part)) {
        return Ok(());
    }
    let servers = Servers::start(stage).await?;
    if arguments.wants("chat") {
        chats(arguments, stage, &servers).await?;
    }
    if arguments.wants("create") {
        creates(arguments, stage, &servers).await?;
    }
    if arguments.wants("start-chat") {
        starts(arguments, stage, &servers).await?;
    }
    servers.print_memory()?;
    servers.stop().await
}

impl<'a> Servers<'a> {
    async fn start(stage: &'a Stage) -> Result<Self> {
        let mut builds = Vec::new();
        for build in &stage.builds {
            builds.push((build, build.serve().await?));
        }
        Ok(Self { builds, plain: stage.plain().await?, postgraphile: stage.postgraphile().await? })
    }

    /// The same requests for each build.
    fn builds(&'a self, requests: impl Fn() -> Requests) -> impl Iterator<Item = Contender<'a>> {
        self.builds
            .iter()
            .map(move |(build, server)| Contender { name: build.name, work: Work::Requests(server, requests()) })
    }

    fn plain(&'a self, name: &'static str, requests: Requests) -> Contender<'a> {
        Contender { name, work: Work::Requests(&self.plain, requests) }
    }

    fn postgraphile(&'a self, name: &'static str, requests: Requests) -> Option<Contender<'a>> {
        let server = self.postgraphile.as_ref()?;
        Some(Contender { name, work: Work::Requests(server, requests) })
    }

    fn print_memory(&self) -> Result<()> {
        let mut table = Table::new("Memory after these requests, MiB", &["", "RSS", "PSS"]);
        let mib = |kib: u64| (kib / 1_024).to_string();
        let builds = self.builds.iter().map(|(build, server)| (build.name, server));
        let others = [("plain handlers", Some(&self.plain)), (PEER_SELECT, self.postgraphile.as_ref())];
        let others = others.into_iter().filter_map(|(name, server)| Some((name, server?)));
        for (name, server) in builds.chain(others) {
            table.row([name.to_owned(), mib(server.rss()?), mib(server.pss()?)]);
        }
        table.print();
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        let builds = self.builds.into_iter().map(|(_, server)| server);
        for server in builds.chain([self.plain]).chain(self.postgraphile) {
            server.stop().await?;
        }
        Ok(())
    }
}

async fn chats(arguments: &Arguments, stage: &Stage, servers: &Servers<'_>) -> Result<()> {
    let ids: Arc<[Uuid]> = stage.peers().offered("", CHATS).await?.into();
    // A step that shares no factor with the number of chats visits all of them, in no order that a cache would like.
    let next_id = || {
        let (ids, next) = (Arc::clone(&ids), AtomicUsize::new(0));
        move || ids[next.fetch_add(7_919, Ordering::Relaxed) % ids.len()]
    };
    let mut contenders: Vec<Contender<'_>> = servers
        .builds(|| {
            let (id, token) = (next_id(), stage.token.clone());
            Arc::new(move || Some(graphql(&token, CHAT, &json!({ "id": id() }))))
        })
        .collect();
    let id = next_id();
    contenders.push(servers.plain(PLAIN_SELECT, Arc::new(move || Some(get(&format!("/chat/{}", id()))))));
    contenders.push(Contender { name: "pgbench", work: Work::Pgbench(pgbench::SELECT) });
    let id = next_id();
    let variables = move || json!({ "company": demo::COMPANY_ID, "id": id() });
    contenders.extend(servers.postgraphile(PEER_SELECT, Arc::new(move || Some(graphql("", PEER_CHAT, &variables())))));
    let results = compete(arguments, stage, "A chat by its id", &contenders).await?;
    let mut ratios = results.ratios();
    let aim = Some(Aim::AtLeast(4.0));
    results.compare_rates(&mut ratios, "switchboard / PostGraphile's select", (SWITCHBOARD, PEER_SELECT), aim);
    results.compare_builds(&mut ratios);
    ratios.print();
    Ok(())
}

async fn creates(arguments: &Arguments, stage: &Stage, servers: &Servers<'_>) -> Result<()> {
    let contract_id = demo::demo().contracts[0].id;
    let mut contenders: Vec<Contender<'_>> = servers
        .builds(|| {
            let token = stage.token.clone();
            Arc::new(move || {
                let chat = json!({
                    "customerName": "Eve", "headline": "Hello?", "contractId": contract_id, "key": Uuid::new_v4(),
                });
                Some(graphql(&token, CREATE, &json!({ "chat": chat })))
            })
        })
        .collect();
    let plain = |name, path: &'static str| {
        let requests: Requests = Arc::new(move || {
            let chat = json!({ "customerName": "Eve", "headline": "Hello?", "key": Uuid::new_v4() });
            Some(post(path, "", &chat.to_string()))
        });
        servers.plain(name, requests)
    };
    contenders.push(plain(PLAIN_RACE, "/race"));
    contenders.push(plain(PLAIN_QUIET, "/race-quiet"));
    contenders.push(plain("plain handler, one insert", "/insert"));
    contenders.push(Contender { name: "pgbench, one insert", work: Work::Pgbench(pgbench::INSERT) });
    let insert: Requests = Arc::new(move || {
        let chat = json!({
            "companyId": demo::COMPANY_ID, "rowId": Uuid::now_v7(), "key": Uuid::new_v4(),
            "websiteId": demo::WEBSITE_ID, "contractId": contract_id, "visitor": "peer", "status": "ACTIVE",
            "customerName": "Eve", "headline": "Hello?",
        });
        Some(graphql("", PEER_CREATE, &json!({ "chat": chat })))
    });
    contenders.extend(servers.postgraphile(PEER_INSERT, insert));
    let results = compete(arguments, stage, "createChat", &contenders).await?;
    let mut ratios = results.ratios();
    for (title, pair, aim) in [
        ("switchboard / plain handler with the race's statements", (SWITCHBOARD, PLAIN_RACE), 0.8),
        ("switchboard / PostGraphile's insert", (SWITCHBOARD, PEER_INSERT), 2.5),
        ("plain handler: events on / off", (PLAIN_RACE, PLAIN_QUIET), 0.8),
    ] {
        results.compare_rates(&mut ratios, title, pair, Some(Aim::AtLeast(aim)));
    }
    results.compare_builds(&mut ratios);
    ratios.print();
    Ok(())
}

/// A chat starts once, so every turn gets chats of its own.
async fn starts(arguments: &Arguments, stage: &Stage, servers: &Servers<'_>) -> Result<()> {
    let once = |request: fn(&str, &Uuid) -> Vec<u8>| {
        let token = stage.token.clone();
        Box::new(move |chats: Vec<Uuid>| -> Requests {
            let (next, token) = (AtomicUsize::new(0), token.clone());
            Arc::new(move || Some(request(&token, chats.get(next.fetch_add(1, Ordering::Relaxed))?)))
        })
    };
    let start = |token: &str, id: &Uuid| graphql(token, START, &json!({ "id": id }));
    let mut contenders = Vec::new();
    for (build, server) in &servers.builds {
        contenders.push(Contender { name: build.name, work: Work::Offers(server, &build.database, once(start)) });
    }
    let start = |_: &str, id: &Uuid| post(&format!("/start/{id}"), "", "");
    let work = Work::Offers(&servers.plain, stage.peers(), once(start));
    contenders.push(Contender { name: PLAIN_RACE, work });
    let results = compete(arguments, stage, "startChat", &contenders).await?;
    let mut ratios = results.ratios();
    let title = "switchboard / plain handler with the race's statements";
    results.compare_rates(&mut ratios, title, (SWITCHBOARD, PLAIN_RACE), Some(Aim::AtLeast(0.8)));
    results.compare_builds(&mut ratios);
    ratios.print();
    Ok(())
}

fn graphql(token: &str, document: &str, variables: &Value) -> Vec<u8> {
    post("/graphql", token, &json!({ "query": document, "variables": variables }).to_string())
}
