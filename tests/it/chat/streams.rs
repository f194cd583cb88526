//! What streams show: each reader only what is its own, also where a message is made once for many, and nothing of a record
//! that it may not see any more.

use std::{collections::HashMap, fmt::Write as _, fs, path::Path, sync::Arc};

use async_graphql::parser::{
    parse_schema,
    types::{BaseType, Type, TypeKind, TypeSystemDefinition},
};
use serde_json::{Value, json};
use switchboard::{
    chat::{
        ChatFeed, ChatFilter, ChatRecord,
        contract::{ContractFeed, ContractRecord},
        rights::Viewer,
    },
    demo,
    platform::{
        auth::{Credential, Principal, Role, token::Claims},
        event::hub::Scope,
        subscription::Feed,
        unit::Record,
    },
};
use uuid::Uuid;

use super::{HEADLINE, agent_of, create_chat, create_race, new_visitor, start, texts, write};
use crate::support::{
    app::{Node, TestApp, agent, service, token},
    client::Client,
    process::Process,
};

const RACE: &str = "subscription($key: UUID!) { chatRace(key: $key) {
    operation record { state version winner { id } chats { id status } failures { code } } } }";
const RENAMED: &str = "subscription($key: UUID!) { race: chatRace(key: $key) { operation record { state } cursor } }";

/// The ids of the record's chats.
fn chats(event: &Value) -> Vec<&Value> {
    event["record"]["chats"].as_array().unwrap().iter().map(|chat| &chat["id"]).collect()
}

#[tokio::test]
async fn a_shared_rendering_shows_each_reader_only_what_it_may_see() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let visitor = new_visitor();
    let race = create_race(&node, &visitor).await;
    let key = json!({ "key": race["key"] });
    let (first, second) = (&race["chats"][0], &race["chats"][1]);
    let readers =
        [service(), service(), service(), visitor.clone(), agent_of(first), agent_of(first), agent_of(second)];
    let mut streams = Vec::new();
    for reader in &readers {
        let mut stream = node.subscribe(reader, RACE, key.clone()).await;
        stream.ready().await;
        streams.push(stream);
    }
    let mut renamed = node.subscribe(&service(), RENAMED, key.clone()).await;
    renamed.ready().await;
    assert_eq!(start(&node, &agent_of(first), first).await, "STARTED");

    let mut told = Vec::new();
    for stream in &mut streams {
        told.push(stream.event().await);
    }
    for event in &told {
        assert_eq!((&event["operation"], &event["record"]["state"]), (&json!("UPDATE"), &json!("WON")));
    }
    for whole in &told[..4] {
        assert_eq!(chats(whole).len(), race["chats"].as_array().unwrap().len());
        assert_eq!(whole["record"]["winner"]["id"], first["id"]);
    }
    for winner in &told[4..6] {
        assert_eq!(chats(winner), [&first["id"]]);
        assert_eq!(winner["record"]["winner"]["id"], first["id"]);
    }
    assert_eq!(chats(&told[6]), [&second["id"]], "an agent sees its own chat only");
    assert_eq!(told[6]["record"]["winner"], Value::Null);
    let payload = renamed.payload().await;
    assert_eq!(payload["data"]["race"]["record"], json!({ "state": "WON" }), "another document, another message");
    assert!(payload["data"]["race"]["cursor"].is_string());
    node.stop().await;
}

const UPDATE_CONTRACT: &str = "mutation($id: UUID!, $patch: ContractPatch!) {
    updateContract(input: {id: $id, patch: $patch}) { contract { version } } }";

/// Gives the demo company's first contract to another agent; returns that agent's token.
async fn hand_over(node: &Node) -> String {
    let [_, (_, ben)] = demo::AGENTS;
    let patch = json!({ "id": demo::demo().contracts[0].id, "patch": { "agentId": ben, "rate": 99 } });
    node.fields(&service(), UPDATE_CONTRACT, patch).await;
    agent(ben)
}

/// Everything that hangs on a chat.
const WHOLE_CHAT: &str = "subscription($after: Cursor) { chatStatus(after: $after) { operation cursor record {
    id status version headline contract { id agent { id name } }
    messages(first: 10) { nodes { text } edges { cursor node { text } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } ...Named } } }
    fragment Named on Chat { name: customerName kind: __typename list: messages { __typename ... on MessageConnection { nodes { id } } } }";

#[track_caller]
fn assert_nothing_hangs_on(chat: &Value) {
    assert_eq!(chat["contract"], Value::Null, "{chat}");
    let page = json!({ "hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null });
    assert_eq!(chat["messages"], json!({ "nodes": [], "edges": [], "pageInfo": page }));
    assert_eq!(chat["list"], json!({ "__typename": "MessageConnection", "nodes": [] }));
    assert_eq!((&chat["name"], &chat["kind"]), (&json!("Eve"), &json!("Chat")), "its own fields are there");
}

#[tokio::test]
async fn an_agent_that_lost_a_chat_reads_nothing_that_was_written_since() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let chat = create_chat(&node, &eve, &demo::demo().contracts[0].id.to_string(), None).await;
    let ada = agent_of(&chat);
    let mut live = node.subscribe(&ada, WHOLE_CHAT, json!({})).await;
    let cursor = live.until(|event| event["operation"] == "READY").await.pop().unwrap()["cursor"].take();
    assert_eq!(start(&node, &ada, &chat).await, "STARTED");
    let started = live.event().await;
    assert_eq!(started["record"]["messages"]["nodes"], json!([{ "text": HEADLINE }]));
    assert_eq!(started["record"]["contract"]["agent"]["name"], "Ada");
    let ben = hand_over(&node).await;
    write(&node, &ben, &chat, "a secret of Ben's").await;
    let gone = live.event().await;
    assert_eq!((&gone["operation"], &gone["record"]["version"]), (&json!("DELETE"), &json!(3)));
    assert_nothing_hangs_on(&gone["record"]);

    let mut resumed = node.subscribe(&ada, WHOLE_CHAT, json!({ "after": cursor })).await;
    let events = resumed.until(|event| event["operation"] == "READY").await;
    let operations: Vec<&Value> = events.iter().map(|event| &event["operation"]).collect();
    assert_eq!(operations, ["UPDATE", "DELETE", "READY"]);
    for event in &events[..2] {
        assert_eq!(event["record"]["status"], "STARTED");
        assert_nothing_hangs_on(&event["record"]);
    }
    let mut inbox = node.subscribe(&ben, WHOLE_CHAT, json!({})).await;
    let record = inbox.ready().await.pop().unwrap();
    assert_eq!(record["messages"]["nodes"].as_array().unwrap().len(), 2, "whoever has it reads all");
    assert_eq!(texts(&node, &ben, &chat).await.len(), 2);
}

#[tokio::test]
async fn an_agent_that_lost_a_contract_is_not_shown_its_next_agent_and_rate() {
    const CONTRACTS: &str = "subscription($after: Cursor) { contractStatus(after: $after) { operation cursor
        record { id version rate agentId agent { id name } } } }";
    let app = TestApp::new().await;
    let node = app.node().await;
    let contract = demo::demo().contracts[0].clone();
    let ada = agent(contract.agent_id);
    let patch = json!({ "id": contract.id, "patch": { "rate": 12 } });
    node.fields(&service(), UPDATE_CONTRACT, patch).await;
    let mut live = node.subscribe(&ada, CONTRACTS, json!({})).await;
    let cursor = live.until(|event| event["operation"] == "READY").await.pop().unwrap()["cursor"].take();
    hand_over(&node).await;
    let mut resumed = node.subscribe(&ada, CONTRACTS, json!({ "after": cursor })).await;
    for stream in [&mut live, &mut resumed] {
        let event = stream.event().await;
        assert_eq!(event["operation"], "DELETE");
        let expected =
            json!({ "id": contract.id, "version": 3, "rate": 12.0, "agentId": contract.agent_id, "agent": null });
        assert_eq!(event["record"], expected);
    }
}

/// How many messages of streams the server has executed.
async fn executions(client: &Client) -> u64 {
    let metrics = client.text("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("switchboard_stream_executions_total "));
    line.expect("a count").parse().unwrap()
}

#[tokio::test]
async fn callers_with_equal_rights_share_an_execution_and_others_never_do() {
    const EACH: usize = 20;
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &["--dev", "false"]).await;
    let node = app.node().await;
    let (client, eve) = (&server.client, new_visitor());
    let race = create_race(&node, &eve).await;
    let chats = [&race["chats"][0], &race["chats"][1]];
    // Agents of one contract under names of their own, and servers of the company.
    let named =
        |role, agent_id, name: String| token(&Claims { role, agent_id, ..Claims::service(demo::COMPANY_ID, &name) });
    let agent_id = |chat: &Value| chat["contract"]["agent"]["id"].as_str().unwrap().parse::<Uuid>().unwrap();
    let mut readers = vec![(None, eve.clone())];
    for number in 0..EACH {
        readers.push((None, named(Role::Service, None, format!("server {number}"))));
        for chat in chats {
            readers.push((Some(chat), named(Role::Agent, Some(agent_id(chat)), format!("user {number}"))));
        }
    }
    let mut streams = Vec::new();
    for (own, token) in &readers {
        let mut stream = client.subscribe(token, RACE, json!({ "key": race["key"] })).await;
        stream.ready().await;
        streams.push((own, stream));
    }
    let before = executions(client).await;
    assert_eq!(start(&node, &agent_of(chats[0]), chats[0]).await, "STARTED");
    for (own, stream) in &mut streams {
        let event = stream.event().await;
        assert_eq!(event["record"]["state"], "WON");
        let expected = own.map_or(chats.map(|chat| &chat["id"]).to_vec(), |own| vec![&own["id"]]);
        assert_eq!(self::chats(&event), expected);
        let sees_winner = own.is_none_or(|own| own["id"] == chats[0]["id"]);
        assert_eq!(event["record"]["winner"].is_object(), sees_winner);
    }
    let executed = executions(client).await - before;
    // The visitor, the servers, and the users of each agent. Two workers may execute the same at the same moment.
    assert!((4..=8).contains(&executed), "{executed} executions for {} readers", readers.len());
}

/// The fields by which the interests of a feed narrow it.
fn narrowing(feed: &impl Feed) -> Vec<&'static str> {
    let fields = feed.interests().into_iter().filter_map(|interest| match interest.scope {
        Scope::Field(field, _) => Some(field),
        _ => None,
    });
    fields.collect()
}

/// The scopes of a record: each is the text of its field in the JSON, by which the hub routes new events.
fn scopes(record: &impl Record) -> Vec<&'static str> {
    let json = serde_json::to_value(record).unwrap();
    let scopes = record.scopes();
    for (field, value) in &scopes {
        assert_eq!(json[*field].as_str(), Some(value.as_str()), "{field} of {json}");
    }
    scopes.into_iter().map(|(field, _)| field).collect()
}

#[tokio::test]
async fn a_record_has_every_scope_that_a_stream_may_have() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let race = create_race(&node, &new_visitor()).await;
    let mut sql = app.sql().await;
    let chat_event = "select payload from event where subject_type = 'chat' and subject_id = $1";
    let payload: Value = sqlx::query_scalar(chat_event)
        .bind(race["chats"][0]["id"].as_str().unwrap())
        .fetch_one(&mut sql)
        .await
        .unwrap();
    let of_chats = scopes(&serde_json::from_value::<ChatRecord>(payload).unwrap());
    let update = json!({ "id": demo::demo().contracts[0].id, "patch": { "name": "Day" } });
    node.fields(&service(), UPDATE_CONTRACT, update).await;
    let contract_event = "select payload from event where subject_type = 'contract' order by xid desc limit 1";
    let payload: Value = sqlx::query_scalar(contract_event).fetch_one(&mut sql).await.unwrap();
    let of_contracts = scopes(&serde_json::from_value::<ContractRecord>(payload).unwrap());

    let some = Some(Uuid::from_u128(1));
    let known = |role| {
        Viewer::Known(Arc::new(Principal {
            company_id: demo::COMPANY_ID,
            role,
            subject: "eve".to_owned(),
            earlier: None,
            website_id: some,
            agent_id: some,
            session_id: None,
            expires_at: None,
            credential: Credential::Token,
        }))
    };
    let mut viewers: Vec<Viewer> =
        [Role::Consumer, Role::Agent, Role::Participant, Role::Service, Role::Admin].map(known).to_vec();
    viewers.push(Viewer::PinnedTo { company_id: demo::COMPANY_ID, key: Uuid::nil() });
    viewers.push(Viewer::HoldsChatId { company_id: demo::COMPANY_ID, chat_id: Uuid::nil() });
    viewers.push(Viewer::Public { company_id: demo::COMPANY_ID });
    let mut narrowed = 0;
    for viewer in viewers {
        for filter in [
            ChatFilter::default(),
            ChatFilter { key: some, ..ChatFilter::default() },
            ChatFilter { contract_id: some, ..ChatFilter::default() },
        ] {
            for field in narrowing(&ChatFeed { viewer: viewer.clone(), filter }) {
                assert!(of_chats.contains(&field), "{field}: a resume would miss events");
                narrowed += 1;
            }
        }
        for website_id in [None, some] {
            for field in narrowing(&ContractFeed { viewer: viewer.clone(), company_id: None, website_id }) {
                assert!(of_contracts.contains(&field), "{field}: a resume would miss events");
                narrowed += 1;
            }
        }
    }
    assert!(narrowed > 10, "only {narrowed}");
}

/// A type of the schema, by whether an empty value of it exists.
fn can_be_empty(types: &HashMap<String, TypeKind>, of_type: &Type) -> bool {
    match &of_type.base {
        _ if of_type.nullable => true,
        BaseType::List(_) => true,
        BaseType::Named(name) => match types.get(name.as_str()) {
            Some(TypeKind::Object(object)) => {
                object.fields.iter().all(|field| can_be_empty(types, &field.node.ty.node))
            }
            _ => ["Boolean", "Int", "Float"].contains(&name.as_str()),
        },
    }
}

#[test]
fn what_hangs_on_the_records_of_streams_can_be_withheld() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql")).unwrap();
    let definitions = parse_schema(&text).unwrap().definitions.into_iter();
    let types: HashMap<String, TypeKind> = definitions
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => {
                Some((definition.node.name.node.to_string(), definition.node.kind))
            }
            _ => None,
        })
        .collect();
    let (mut checked, mut wrong) = (0, String::new());
    for (event, kind) in &types {
        // Made of the line's state, for the company's own servers: nothing of it is withheld from them.
        if event == "CallQueueItemEvent" {
            continue;
        }
        let Some(record) = event.strip_suffix("Event").and_then(|record| types.get(record)) else { continue };
        let (TypeKind::Object(_), TypeKind::Object(record)) = (kind, record) else { continue };
        for field in &record.fields {
            let of_type = &field.node.ty.node;
            let BaseType::Named(name) = &of_type.base else { continue };
            let is_object = matches!(types.get(name.as_str()), Some(TypeKind::Object(_)));
            if is_object {
                checked += 1;
                if !can_be_empty(&types, of_type) {
                    writeln!(wrong, "{event}.record.{}: {of_type} has no empty value", field.node.name.node).unwrap();
                }
            }
        }
    }
    assert!(checked >= 3, "only {checked} fields found");
    assert_eq!(wrong, "", "make the field nullable");
}
