//! The chat part of the schema, executed without a server: payloads, pages, and what each role sees.

use std::{sync::Arc, time::Duration};

use async_graphql::{Request, Schema, Variables};
use serde_json::{Value, json};
use switchboard::{
    chat::graphql::{ChatMutation, ChatQuery, ChatSubscription},
    operation::{OperationSettings, Operations},
    platform::{
        auth::{Authenticator, Caller, Principal},
        clock::Clock,
        error::Error,
        event::Hub,
        unit::UnitOfWork,
    },
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::company::Company;
use crate::support::app;

type ChatSchema = Schema<ChatQuery, ChatMutation, ChatSubscription>;

async fn schema(company: &Company) -> ChatSchema {
    let pool = company.pools[0].clone();
    let secret = Some("a secret of the tests, over 32 bytes long".to_owned());
    let authenticator =
        Authenticator::new(&app::settings(&[]).auth, secret, pool.clone(), Clock::default(), None).await.unwrap();
    // Nobody holds a chat here, so that nobody waits.
    let settings = OperationSettings {
        operation_wait: Duration::ZERO,
        operation_lease: Duration::from_secs(30),
        operation_memory: Duration::from_mins(10),
    };
    let work = UnitOfWork::detached(pool.clone());
    let operations = Operations::new(&work, settings, Uuid::now_v7(), Hub::new(1), CancellationToken::new());
    Schema::build(ChatQuery::default(), ChatMutation::default(), ChatSubscription::default())
        .data(company.servers[0].clone())
        .data(pool)
        .data(operations)
        .data(authenticator)
        .finish()
}

/// The data, or the message of the first error with its code.
async fn run(schema: &ChatSchema, caller: Caller, document: &str, variables: Value) -> Result<Value, String> {
    let request = Request::new(document).variables(Variables::from_json(variables)).data(caller);
    let answer = schema.execute(request).await;
    match answer.errors.first() {
        None => Ok(answer.data.into_json().unwrap()),
        Some(error) => {
            let source = error.source.as_ref().and_then(|source| source.downcast_ref::<Error>());
            Err(format!("{} {}", source.map_or("-", |error| error.code().as_str()), error.message))
        }
    }
}

fn known(principal: &Principal) -> Caller {
    Caller::Known(Arc::new(principal.clone()))
}

#[tokio::test]
async fn a_race_from_login_to_the_last_message() {
    let company = Company::new().await;
    let schema = schema(&company).await;
    let service = known(&company.service);
    let website = run(
        &schema,
        service.clone(),
        "mutation { createWebsite(input: {website: {name: \" Shop \", allowedOrigins: [\"https://shop.example\"]}}) {
             publicKey website { id name } } }",
        json!({}),
    )
    .await
    .unwrap();
    let website = &website["createWebsite"];
    assert_eq!(website["website"]["name"], "Shop");
    let login = "mutation ($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    let token = run(&schema, Caller::Anonymous, login, json!({ "key": website["publicKey"] })).await.unwrap();
    assert_eq!(token["consumerLogin"]["jwtToken"].as_str().unwrap().split('.').count(), 3);
    let wrong_key = run(&schema, Caller::Refused("expired".to_owned()), login, json!({ "key": Uuid::now_v7() })).await;
    assert_eq!(wrong_key, Err("NOT_FOUND no such website".to_owned()));

    let website_id: Uuid = website["website"]["id"].as_str().unwrap().parse().unwrap();
    let visitor = known(&Principal { website_id: Some(website_id), ..company.visitor("ada") });
    let create = "mutation ($contract: ContractInput!) { createContract(input: {contract: $contract}) {
                      contract { id version status agent { id name } chatMissTime } } }";
    let mut contracts = Vec::new();
    for name in ["Ada", "Ben"] {
        let contract = json!({ "websiteId": website_id, "session": 1, "agentId": Uuid::now_v7(), "agentName": name,
                               "chatMissTime": 30 });
        let created = run(&schema, service.clone(), create, json!({ "contract": contract })).await.unwrap();
        assert_eq!(created["createContract"]["contract"]["agent"]["name"], name);
        contracts.push(created["createContract"]["contract"].clone());
    }
    let race = run(
        &schema,
        visitor.clone(),
        "mutation ($ids: [UUID!]) { createChatRace(input: {
             customerName: \"Grace\", headline: \" Late\\nagain \", ipAddress: \"192.0.2.7\", contractIds: $ids}) {
             race { id key state version expiresAt winner { id } failures { contractId code }
                    chats { id status missed missAt headline ipAddress contract { agent { id } } } } } }",
        json!({ "ids": [contracts[0]["id"], contracts[1]["id"], website_id] }),
    )
    .await
    .unwrap();
    let race = &race["createChatRace"]["race"];
    assert_eq!((&race["state"], &race["version"], &race["id"]), (&json!("WAITING"), &json!(1), &race["key"]));
    assert_eq!(race["failures"], json!([{ "contractId": website_id, "code": "NOT_FOUND" }]));
    let chat = &race["chats"][0];
    assert_eq!((&chat["headline"], &chat["ipAddress"]), (&json!("Late\nagain"), &json!("192.0.2.7")));
    assert!(race["expiresAt"].is_string() && chat["missAt"].is_string());
    let agents: Vec<Uuid> = race["chats"].as_array().unwrap().iter().map(agent_of).collect();

    let start = "mutation ($id: UUID!) { startChat(input: {chatId: $id}) { outcome
                     chat { status missAt messages { nodes { text author isAgent } pageInfo { hasNextPage } } }
                     race { state expiresAt winner { id } chats { id } failures { code } } } }";
    let agent = |number: usize| known(&company.agent(Some(agents[number])));
    let won = run(&schema, agent(0), start, json!({ "id": chat["id"] })).await.unwrap();
    let won = &won["startChat"];
    assert_eq!((&won["outcome"], &won["chat"]["status"]), (&json!("STARTED"), &json!("STARTED")));
    let opening = json!([{ "text": "Late\nagain", "author": "Grace", "isAgent": false }]);
    assert_eq!(won["chat"]["messages"]["nodes"], opening);
    assert_eq!(won["chat"]["missAt"], Value::Null, "it never will be");
    let lost = run(&schema, agent(1), start, json!({ "id": race["chats"][1]["id"] })).await.unwrap();
    let lost = &lost["startChat"];
    assert_eq!((&lost["outcome"], &lost["race"]["state"]), (&json!("LOST_RACE"), &json!("WON")));
    assert_eq!(lost["race"]["winner"], Value::Null, "by whom is not for an agent to know");
    assert_eq!(
        (&lost["race"]["chats"], &lost["race"]["failures"]),
        (&json!([{ "id": race["chats"][1]["id"] }]), &json!([]))
    );
    let seen = "query ($key: UUID!) { chatRace(key: $key) { winner { id } chats { id } expiresAt } }";
    let seen = run(&schema, service, seen, json!({ "key": race["key"] })).await.unwrap();
    assert_eq!((&seen["chatRace"]["winner"]["id"], &seen["chatRace"]["expiresAt"]), (&chat["id"], &Value::Null));
    let end = "mutation ($id: UUID!) { endChat(input: {chatId: $id}) { chat { status closeReason } } }";
    let ended = run(&schema, visitor.clone(), end, json!({ "id": chat["id"] })).await.unwrap();
    assert_eq!(ended["endChat"]["chat"], json!({ "status": "FINISHED", "closeReason": "COMPLETED" }));
    let widget =
        "query ($id: UUID!) { website(id: $id) { logoUrl color contracts(condition: {status: \"active\"}) { id } } }";
    let shown = run(&schema, visitor, widget, json!({ "id": website_id })).await.unwrap();
    assert_eq!(shown["website"]["contracts"].as_array().unwrap().len(), 2);
    company.check().await;
}

fn agent_of(chat: &Value) -> Uuid {
    chat["contract"]["agent"]["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn arguments_out_of_bounds_are_refused_with_their_names() {
    let company = Company::new().await;
    let schema = schema(&company).await;
    let contract = company.contract(1, None).await;
    let chat = |field: &str, value: Value| {
        let mut chat = json!({ "customerName": "Grace", "headline": "Late", "contractId": contract.id });
        chat[field] = value;
        ("mutation ($input: ChatInput!) { createChat(input: {chat: $input}) { chat { id } } }", chat)
    };
    let patch = |patch: Value| {
        let document =
            "mutation ($input: UpdateContractInput!) { updateContract(input: $input) { contract { name } } }";
        (document, json!({ "id": contract.id, "patch": patch }))
    };
    for ((document, input), problem) in [
        (chat("headline", json!("  ")), "chat.headline: "),
        (chat("headline", json!("x".repeat(2_001))), "chat.headline: "),
        (chat("customerName", json!("a\u{0}")), "chat.customerName: "),
        (patch(json!({ "session": 4 })), "patch.session: "),
        (patch(json!({ "session": null })), "patch.session: "),
        (patch(json!({ "status": "asleep" })), "patch.status: "),
        (patch(json!({ "rate": -1.0 })), "patch.rate: "),
    ] {
        let refused = run(&schema, known(&company.service), document, json!({ "input": input })).await.unwrap_err();
        assert!(refused.starts_with(&format!("BAD_USER_INPUT {problem}")), "{refused}");
    }
    let (document, input) = patch(json!({ "name": "Night", "rate": 2.5 }));
    run(&schema, known(&company.service), document, json!({ "input": input })).await.unwrap();
    let (document, input) = patch(json!({ "name": null }));
    run(&schema, known(&company.service), document, json!({ "input": input })).await.unwrap();
    let service = Arc::new(company.service.clone());
    let changed = company.servers[1].contract(&service, contract.id).await.unwrap().unwrap();
    assert_eq!((&changed.name, changed.rate, changed.version), (&None, Some(2.5), 3), "null clears, absent keeps");
    let (document, input) = patch(json!({ "rate": 2.5 }));
    let refused = run(&schema, known(&company.visitor("ada")), document, json!({ "input": input })).await.unwrap_err();
    assert!(refused.starts_with("FORBIDDEN"), "{refused}");
    company.check().await;
}

#[tokio::test]
async fn messages_come_in_pages_from_either_end() {
    let company = Company::new().await;
    let schema = schema(&company).await;
    let contract = company.contract(1, None).await;
    let chat = company.offer(&company.service, &contract, Uuid::now_v7()).await.unwrap();
    company.servers[0].start(&company.service, chat.id).await.unwrap();
    let insert = "insert into chat_message (company_id, chat_id, id, number, text, author, is_agent, inserted_at)
                  select company_id, id, gen_random_uuid(), n + 1, n::text, 'Ada', true, started_at - make_interval(secs => n)
                  from chat, generate_series(1, 5) as n";
    sqlx::raw_sql(insert).execute(&mut company.sql().await).await.unwrap();
    let document = "query ($id: UUID!, $first: Int, $after: String, $last: Int, $before: String) { chat(id: $id) {
        messages(first: $first, after: $after, last: $last, before: $before) {
            edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let page = async |mut window: Value| {
        window["id"] = json!(chat.id);
        let page = run(&schema, known(&company.service), document, window).await?;
        Ok::<Value, String>(page["chat"]["messages"].clone())
    };
    let all = page(json!({})).await.unwrap();
    let cursors: Vec<&Value> = all["edges"].as_array().unwrap().iter().map(|edge| &edge["cursor"]).collect();
    assert_eq!(cursors.len(), 6);
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let (mut after, mut before) = (Value::Null, Value::Null);
    for more in [true, true, false] {
        let next = page(json!({ "first": 2, "after": after })).await.unwrap();
        forward.extend(next["edges"].as_array().unwrap().clone());
        assert_eq!(next["pageInfo"]["hasNextPage"], more);
        after = next["pageInfo"]["endCursor"].clone();
        let next = page(json!({ "last": 2, "before": before })).await.unwrap();
        backward.splice(0..0, next["edges"].as_array().unwrap().clone());
        assert_eq!(next["pageInfo"]["hasPreviousPage"], more);
        before = next["pageInfo"]["startCursor"].clone();
    }
    assert_eq!((&json!(forward), &json!(backward)), (&all["edges"], &all["edges"]));
    for bad in
        [json!({ "first": 101 }), json!({ "last": -1 }), json!({ "after": "x" }), json!({ "first": 1, "last": 1 })]
    {
        assert!(page(bad.clone()).await.unwrap_err().starts_with("BAD_USER_INPUT"), "{bad}");
    }
}
