//! What one caller may cost: the size of its answers, the statements that they take, its share of the connections. Nobody
//! else waits for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::{demo, platform::auth::token::Claims};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    chat::{create_race, create_won_race, new_visitor},
    support::{
        app::{TestApp, service, token},
        client::Client,
        locks::{until_waiting, waiting},
        process::Process,
    },
};

/// Fails a test that waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A part of a document so many times.
fn many(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(" ")
}

/// Gives a chat so many messages of so many bytes.
async fn fill(app: &TestApp, chat: &Value, count: usize, bytes: usize) {
    let id = chat["id"].as_str().unwrap();
    let statement = format!(
        "insert into chat_message (company_id, chat_id, id, number, text, author, is_agent, inserted_at)
         select company_id, id, gen_random_uuid(), n + (select max(number) from chat_message where chat_id = chat.id), repeat('x', {bytes}), 'Ada', true, started_at + make_interval(secs => n)
         from chat, generate_series(1, {count}) as n where id = '{id}'"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut app.sql().await).await.unwrap();
}

#[tokio::test]
async fn answers_that_would_be_larger_than_the_limit_are_refused_before_they_are_built() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--response-limit", "1048576"]).await;
    let (_, chat) = create_won_race(&node, &new_visitor()).await;
    fill(&app, &chat, 50, 10_000).await;
    let variables = json!({ "id": chat["id"] });
    // Half a megabyte, whoever knows the chat's id.
    let list = |alias: &str, fields: &str| format!("{alias}: messages(condition: {{chatId: $id}}) {{ {fields} }} ");
    let once = format!("query($id: UUID!) {{ {} }}", list("a", "text author"));
    let answer = node.run("", &once, variables.clone()).await;
    assert_eq!((answer.status, answer["data"]["a"].as_array().unwrap().len()), (200, 51));
    let texts = many(3, |number| format!("t{number}: text "));
    let deep = "query($id: UUID!) { chat(id: $id) { messages(last: 51) { nodes { a: text b: text c: text } edges { node { d: text } } } } }";
    for (what, document) in [
        (
            "aliases of a list",
            format!("query($id: UUID!) {{ {}{}{} }}", list("a", "text"), list("b", "text"), list("c", "text")),
        ),
        ("aliases of a text", format!("query($id: UUID!) {{ {} }}", list("a", &texts))),
        ("nested lists", deep.to_owned()),
    ] {
        let refused = node.run("", &document, variables.clone()).await;
        assert_eq!((refused.status, refused.code()), (413, "PAYLOAD_TOO_LARGE"), "{what}: {refused:?}");
        assert_eq!(refused["data"], Value::Null, "{what}");
    }
    // The answers of a batch count together, and what is answered before stays.
    let request = json!({ "query": once, "variables": variables });
    let batch = node.post("", json!([request, request, request]).to_string()).await.unwrap();
    assert!(batch.body.is_array(), "{batch:?}");
    let codes: Vec<&str> =
        (0..3).map(|at| batch.body[at]["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()).collect();
    assert_eq!(codes, ["", "", "PAYLOAD_TOO_LARGE"]);
    // Rows that are read for a small answer count too.
    fill(&app, &chat, 100, 10_000).await;
    let ids = format!("query($id: UUID!) {{ {} }}", list("a", "id"));
    assert_eq!(node.run("", &ids, variables).await.code(), "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn the_costs_of_a_batch_are_added_and_lists_without_pages_cost_their_own_bound() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let id = Uuid::new_v4();
    let list =
        |alias: usize| format!("a{alias}: messages(condition: {{chatId: \"{id}\"}}) {{ id text author isAgent }} ");
    let aliases = many(20, list);
    let answer = node.run("", &format!("{{ {aliases} }}"), json!({})).await;
    assert_eq!((answer.status, answer.code()), (400, "QUERY_TOO_COMPLEX"), "{answer:?}");
    // Two of them are nothing unusual. Ten in a batch are as many as twenty in a document.
    let request = json!({ "query": format!("{{ {} {} }}", list(0), list(1)) });
    assert_eq!(node.run("", request["query"].as_str().unwrap(), json!({})).await.code(), "NOT_FOUND");
    let batch = |count: usize| Value::Array(vec![request.clone(); count]).to_string();
    let few = node.post("", batch(2)).await.unwrap();
    assert_eq!(few.body[1]["errors"][0]["extensions"]["code"], "NOT_FOUND", "{few:?}");
    let refused = node.post("", batch(10)).await.unwrap();
    assert_eq!((refused.status, refused.code()), (400, "QUERY_TOO_COMPLEX"), "none of them runs");
    let nested = many(99, |alias| format!("a{alias}: messages(first: 0) {{ __typename }} "));
    let nested = format!("{{ chats(first: 100) {{ nodes {{ {nested} }} }} }}");
    assert_eq!(node.run(&service(), &nested, json!({})).await.code(), "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn the_documents_of_deployed_widgets_stay_well_under_the_limits() {
    let app = TestApp::new().await;
    // Half of what is allowed.
    let node = app.node_with(&["--document-cost", "25000"]).await;
    let eve = new_visitor();
    let (_, chat) = create_won_race(&node, &eve).await;
    let variables = json!({ "chat": chat["id"], "website": demo::WEBSITE_ID });
    for document in [
        "query($website: UUID!) { website(id: $website) { logoUrl color contracts(condition: {status: \"active\"}) {
            id name color rate status session chatMissTime chatMissFee agentId agent { id name } } } }",
        "query($chat: UUID!) { messages(condition: {chatId: $chat}, orderBy: INSERTED_AT_ASC) {
            id text author isAgent insertedAt updatedAt chatId } }",
        "query($chat: UUID!) { chat(id: $chat) { id key status missed headline ipAddress customerName
            contract { id name agent { id name } } messages(last: 100) { nodes { id text author isAgent insertedAt } } } }",
        "{ chats(first: 100) { nodes { id key status missed headline customerName insertedAt contract { id agent { name } }
            messages(last: 1) { nodes { text author insertedAt } } } pageInfo { hasNextPage endCursor } } }",
    ] {
        let declared = document.contains("$chat").then_some("chat").or(document.contains("$website").then_some("website"));
        let mut given = json!({});
        if let Some(name) = declared {
            given[name] = variables[name].clone();
        }
        node.fields(&eve, document, given).await;
    }
}

/// The number of statements that the server has run to read this kind of row.
async fn statements(client: &Client, kind: &str) -> u32 {
    let metrics = reqwest::get(client.url("/metrics")).await.unwrap().text().await.unwrap();
    let name = format!("switchboard_batch_size_count{{kind=\"{kind}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_list_below_many_parents_is_one_statement_for_each_set_of_arguments() {
    let app = TestApp::new().await;
    // A process of its own, whose metrics nobody else changes.
    let server = Process::serve(&app.database.url(), &[]).await;
    let eve = new_visitor();
    for _ in 0..5 {
        let race = "mutation { createChatRace(input: {customerName: \"Eve\", headline: \"?\"}) { race { key } } }";
        server.client.fields(&eve, race, json!({})).await;
    }
    let aliases = many(30, |alias| format!("a{alias}: messages(first: {}) {{ nodes {{ id }} }} ", alias % 3));
    let document = format!("{{ chats(first: 10) {{ nodes {{ {aliases} }} }} }}");
    let before = statements(&server.client, "messages").await;
    // A worker begins with whatever has been asked for by then, and comes back for the rest. So the first statements are
    // held up until everything has been asked for: without that, their number would follow from how busy the machine is.
    let mut blocker = app.sql().await;
    let mut transaction = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table chat_message in access exclusive mode").execute(&mut *transaction).await.unwrap();
    let answered = server.client.fields(&eve, &document, json!({}));
    let asked = async {
        until_waiting(&mut app.sql().await, 1).await;
        // Resolvers ask within milliseconds. After a second another worker would begin.
        tokio::time::sleep(Duration::from_millis(400)).await;
        transaction.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(answered, asked);
    assert_eq!(answer["chats"]["nodes"].as_array().unwrap().len(), 10);
    let run = statements(&server.client, "messages").await - before;
    // 300 lists of three kinds: the first of each kind, and all others.
    assert!((3..=6).contains(&run), "{run} statements");
    let same = many(10, |alias| format!("a{alias}: contracts {{ id }} b{alias}: chats {{ nodes {{ id }} }} "));
    let before = [statements(&server.client, "contracts").await, statements(&server.client, "chats").await];
    server.client.fields(&eve, &format!("{{ {same} }}"), json!({})).await;
    for (kind, before) in ["contracts", "chats"].into_iter().zip(before) {
        let run = statements(&server.client, kind).await - before;
        assert!((1..=4).contains(&run), "{run} statements read {kind}");
    }
}

#[tokio::test]
async fn a_cause_that_fails_many_fields_is_logged_once() {
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let eve = new_visitor();
    for _ in 0..5 {
        let race = "mutation { createChatRace(input: {customerName: \"Eve\", headline: \"?\"}) { race { key } } }";
        server.client.fields(&eve, race, json!({})).await;
    }
    sqlx::raw_sql("alter table chat_message rename to gone").execute(&mut app.sql().await).await.unwrap();
    let aliases = many(20, |alias| format!("a{alias}: messages(first: {alias}) {{ nodes {{ id }} }} "));
    let answer = server.client.run(&eve, &format!("{{ chats {{ nodes {{ {aliases} }} }} }}"), json!({})).await;
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 200, "each field says so");
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"));
    let logged: Vec<String> = server.said().into_iter().filter(|line| line.contains("chat_message")).collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("199 more fields"), "{}", logged[0]);
}

#[tokio::test]
async fn one_callers_lists_wait_for_its_share_of_the_connections_and_nobody_waits_for_them() {
    let app = TestApp::new().await;
    let node = Arc::new(
        app.node_with(&["--database-connections", "8", "--lock-timeout", "60s", "--statement-timeout", "60s"]).await,
    );
    let eve = new_visitor();
    create_race(&node, &eve).await;
    // Whoever reads messages waits as long as this transaction runs.
    let mut blocker = app.sql().await;
    let mut transaction = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table chat_message in access exclusive mode").execute(&mut *transaction).await.unwrap();
    let chat = node.fields(&eve, "{ chats { nodes { id } } }", json!({})).await["chats"]["nodes"][0]["id"].take();
    // Twenty lists with different arguments: each is a statement, on two connections.
    let lists = many(20, |size| format!("a{size}: messages(first: {size}) {{ nodes {{ id }} }} "));
    let document = format!("query($id: UUID!) {{ chat(id: $id) {{ {lists} }} }}");
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let (node, eve, document, id) = (Arc::clone(&node), eve.clone(), document.clone(), chat.clone());
            tokio::spawn(async move { node.run(&eve, &document, json!({ "id": id })).await })
        })
        .collect();
    let mut observer = app.sql().await;
    until_waiting(&mut observer, 2).await;
    // Others read meanwhile.
    for _ in 0..5 {
        let other = new_visitor();
        let reads = node.fields(&other, "{ currentShift chats { nodes { id } } contracts { id } }", json!({}));
        timeout(PATIENCE, reads).await.unwrap();
    }
    assert_eq!(waiting(&mut observer).await, 2, "its share, however much it asks for");
    transaction.rollback().await.unwrap();
    for answer in greedy {
        let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
        assert!(answer.get("errors").is_none(), "it waited, and was not refused: {answer:?}");
    }
}

/// How many statements of requests wait for a lock: not those with which servers watch sessions.
async fn reads_waiting(observer: &mut PgConnection) -> i64 {
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()
            and query !~ 'session_(sweep_presence|fold_providers|judge_health|publish_health|clean_up|use_settings)'";
    sqlx::query_scalar(waiting).fetch_one(observer).await.unwrap()
}

/// The median of some times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn one_callers_lists_of_sessions_calls_and_lines_take_its_share_and_leave_others_their_pace() {
    let app = TestApp::new().await;
    let node = Arc::new(
        app.node_with(&["--database-connections", "8", "--lock-timeout", "60s", "--statement-timeout", "60s"]).await,
    );
    let [greedy, other] = ["greedy", "other"].map(|name| token(&Claims::service(demo::COMPANY_ID, name)));
    let pace = async |what: &str| {
        let mut times = Vec::new();
        for _ in 0..21 {
            let began = Instant::now();
            let reads = node.fields(&other, "{ chats { nodes { id } } contracts { id } currentShift }", json!({}));
            timeout(PATIENCE, reads).await.unwrap_or_else(|_| panic!("others wait: {what}"));
            times.push(began.elapsed());
        }
        median(times)
    };
    let alone = pace("nobody asks").await;
    // Whoever reads one of these waits as long as this transaction runs.
    let mut blocker = app.sql().await;
    let mut transaction = blocker.begin().await.unwrap();
    let lock = "lock table session_coordination, session_alert, call, call_queue, call_queue_user, campaign in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *transaction).await.unwrap();
    let lists = many(2, |size| {
        let size = size + 1;
        format!(
            "s{size}: sessions(first: {size}) {{ nodes {{ id }} }} a{size}: sessionHealthAlerts(sessionId: \"s{size}\") {{ id }}
             c{size}: calls(first: {size}) {{ nodes {{ id }} }} q{size}: callQueueItems(userId: \"u\", first: {size}) {{ nodes {{ id }} }}
             u{size}: callQueueUsers(first: {size}) {{ nodes {{ userId }} }} t{size}: callQueueStatus(userId: \"u{size}\") {{ averageWaitSeconds }}
             m{size}: campaigns(first: {size}) {{ nodes {{ id }} }}"
        )
    });
    let document = format!("{{ {lists} }}");
    let floods: Vec<_> = (0..5)
        .map(|_| {
            let (node, greedy, document) = (Arc::clone(&node), greedy.clone(), document.clone());
            tokio::spawn(async move { node.run(&greedy, &document, json!({})).await })
        })
        .collect();
    let mut observer = app.sql().await;
    let both = async {
        while reads_waiting(&mut observer).await < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, both).await.unwrap();
    let beside = pace("one caller floods").await;
    assert_eq!(reads_waiting(&mut observer).await, 2, "its share of all kinds together, however much it asks for");
    transaction.rollback().await.unwrap();
    for flood in floods {
        let answer = timeout(PATIENCE, flood).await.unwrap().unwrap();
        assert!(answer.get("errors").is_none(), "it waited, and was not refused: {answer:?}");
    }
    assert!(beside < 20 * alone + Duration::from_millis(100), "{beside:?} instead of {alone:?}");
}
