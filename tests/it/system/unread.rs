//! Clients that open large streams and do not read them: the server holds a page of each, not the state of each; and
//! crowds that open their streams at the same moment.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use switchboard::demo;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::support::{
    app::{TestApp, service, visitor},
    chat::{CREATE_RACE, race_input},
    client::Client,
    process::Process,
    socket::Socket,
};

const MIB: u64 = 1 << 20;

/// A number of the metrics.
async fn metric(client: &Client, name: &str) -> u64 {
    let metrics = client.text("/metrics").await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

async fn memory(client: &Client) -> u64 {
    metric(client, "process_resident_memory_bytes").await
}

/// Waits until the server has made this many reads for streams, and makes no more.
async fn reads_settled(client: &Client, at_least: u64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut before = 0;
    loop {
        let reads = metric(client, "switchboard_stream_read_seconds_count").await;
        if reads >= at_least && reads == before {
            return;
        }
        assert!(Instant::now() < deadline, "{reads} reads of {at_least}");
        before = reads;
        sleep(Duration::from_millis(300)).await;
    }
}

/// Unfinished chats of the demo company, each with so many messages of so many characters.
async fn fill(app: &TestApp, chats: usize, messages: usize, characters: usize) -> Vec<String> {
    let fill = format!(
        "with offered as (
             insert into chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, headline,
                 customer_name, message_count)
             select '{company}', gen_random_uuid(), gen_random_uuid(), '{website}', '{contract}', '{agent}', 'eve',
                 'STARTED', 'My order is late', 'Eve', {messages}
             from generate_series(1, {chats})
             returning id
         ),
         written as (
             insert into chat_message (company_id, chat_id, id, number, text, author, is_agent)
             select '{company}', offered.id, gen_random_uuid(), n, repeat('x', {characters}), 'Eve', false
             from offered, generate_series(1, {messages}) as n
         )
         select id::text from offered",
        company = demo::COMPANY_ID,
        website = demo::WEBSITE_ID,
        contract = demo::demo().contracts[0].id,
        agent = demo::demo().contracts[0].agent_id,
    );
    // The foreign key of a message refers to a chat of the same statement, which is checked at its end.
    sqlx::query_scalar(AssertSqlSafe(fill)).fetch_all(&mut app.sql().await).await.unwrap()
}

async fn subscribe(socket: &mut Socket, id: usize, document: &str, variables: Value) {
    let payload = json!({ "query": document, "variables": variables });
    socket.send(json!({ "type": "subscribe", "id": id.to_string(), "payload": payload })).await;
}

#[tokio::test]
async fn an_unread_inbox_holds_a_page_and_a_read_one_comes_whole() {
    const CHATS: usize = 10_000;
    const SOCKETS: usize = 8;
    let app = TestApp::new().await;
    fill(&app, CHATS, 0, 0).await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let client = &server.client;
    let inbox = "subscription { chatStatus { operation record { id headline customerName status version key } } }";
    let token = service();
    let mut sockets = join_all((0..SOCKETS).map(|_| client.socket(&token))).await;
    let before = memory(client).await;
    for socket in &mut sockets {
        subscribe(socket, 1, inbox, json!({})).await;
    }
    reads_settled(client, SOCKETS as u64).await;
    let grown = memory(client).await.saturating_sub(before) / MIB;
    println!("{SOCKETS} unread inboxes of {CHATS} chats: {grown} MiB");
    assert!(grown < 8 * SOCKETS as u64, "{grown} MiB");
    let mut received = 0;
    while sockets[0].next().await["payload"]["data"]["chatStatus"]["operation"] == "SNAPSHOT" {
        received += 1;
    }
    assert_eq!(received, CHATS);
}

#[tokio::test]
async fn unread_lists_of_messages_count_in_the_send_queue() {
    const LISTS: usize = 24;
    let app = TestApp::new().await;
    let chats = fill(&app, LISTS, 1_000, 6_800).await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let client = &server.client;
    let mut socket = client.socket(&service()).await;
    let before = memory(client).await;
    for (number, chat) in chats.iter().enumerate() {
        let list = "subscription($chat: UUID) { messages(condition: {chatId: $chat}) { text } }";
        subscribe(&mut socket, number, list, json!({ "chat": chat })).await;
    }
    reads_settled(client, 1).await;
    let grown = memory(client).await.saturating_sub(before) / MIB;
    println!("{LISTS} unread lists of 6.8 MB: {grown} MiB");
    // One list as rows, values and text at once; all of them would be 160 MB as rows alone.
    assert!(grown < 100, "{grown} MiB");
    for _ in 0..LISTS {
        let list = socket.next().await;
        assert_eq!(list["payload"]["data"]["messages"].as_array().map(Vec::len), Some(1_000), "{}", list["id"]);
    }
}

#[tokio::test]
async fn inboxes_that_open_together_wait_in_line() {
    const SOCKETS: usize = 4;
    const EACH: usize = 25;
    let app = TestApp::new().await;
    fill(&app, 50, 0, 0).await;
    // Few connections and little patience for one: whoever does not wait in line fails.
    let flags = ["--database-connections", "2", "--database-acquire-timeout", "300ms"];
    let node = app.node_with(&flags).await;
    let inbox = "subscription { chatStatus { operation record { id } } }";
    let opened = (0..SOCKETS).map(async |_| {
        let mut socket = node.socket(&service()).await;
        for number in 0..EACH {
            subscribe(&mut socket, number, inbox, json!({})).await;
        }
        let mut ready = 0;
        while ready < EACH {
            let message = socket.next().await;
            assert_eq!(message["type"], "next", "{message}");
            ready += usize::from(message["payload"]["data"]["chatStatus"]["operation"] == "READY");
        }
        ready
    });
    assert_eq!(join_all(opened).await, [EACH; SOCKETS]);
    // Requests had their turn meanwhile.
    assert!(node.run(&service(), "{ chats(first: 1) { nodes { id } } }", json!({})).await.get("errors").is_none());
    node.stop().await;
}

#[tokio::test]
async fn a_visitor_that_resumes_a_hundred_times_reads_its_own_events() {
    const STREAMS: usize = 100;
    const OTHERS: usize = 100_000;
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = visitor("eve");
    let inbox = "subscription($after: Cursor) { chatStatus(after: $after) { operation cursor record { id version } } }";
    let mut stream = node.subscribe(&eve, inbox, json!({})).await;
    let cursor = stream.until(|event| event["operation"] == "READY").await.pop().unwrap()["cursor"].take();
    let race = node.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await["race"].take();
    // The company's day goes on without it.
    let others = format!(
        "insert into event (company_id, subject_type, subject_id, version, type, payload, scopes)
         select '{}', 'chat', 'other ' || n, 1, 'ChatOffered', jsonb_build_object('visitor', 'other ' || n),
             array[n, n % 1000]
         from generate_series(1, {OTHERS}) as n",
        demo::COMPANY_ID
    );
    sqlx::raw_sql(AssertSqlSafe(others)).execute(&mut app.sql().await).await.unwrap();
    let mut socket = node.socket(&eve).await;
    let began = Instant::now();
    for number in 0..STREAMS {
        subscribe(&mut socket, number, inbox, json!({ "after": cursor })).await;
    }
    let (mut ready, mut inserts) = (0, 0);
    while ready < STREAMS {
        let mut message = socket.next().await;
        let event = message["payload"]["data"]["chatStatus"].take();
        match event["operation"].as_str() {
            Some("READY") => ready += 1,
            Some("INSERT") => inserts += 1,
            _ => panic!("{message} {event}"),
        }
    }
    println!("{STREAMS} resumes beside {OTHERS} events of others: {:?}", began.elapsed());
    assert_eq!(inserts, STREAMS * race["chats"].as_array().unwrap().len());
    // To read the others' events would take each stream a second of its own.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
