//! Programs that change records in SQL, and append the events themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use switchboard::{
    call::CallRecord,
    concepts, demo,
    platform::{auth::Role, unit::Record as _},
    tenant::Tenants,
};
use uuid::Uuid;

use super::{contracts::UPDATE_CONTRACT, create_won_race, new_visitor};
use crate::support::{
    app::{Node, TestApp, service, settings},
    chat::{CREATE_CONTRACT, id},
};

/// A new contract of the demo company.
async fn create_contract(node: &Node) -> Uuid {
    let contract = json!({ "websiteId": demo::WEBSITE_ID, "session": 1, "agentId": demo::AGENTS[0].1 });
    let created = node.data(&service(), CREATE_CONTRACT, json!({ "contract": contract })).await;
    id(&created["contract"]["id"])
}

#[tokio::test]
async fn a_change_made_in_sql_reaches_a_subscriber() {
    let app = TestApp::new().await;
    // Only the wake-up of append_event can deliver it in time.
    let node = app.node_with(&["--event-poll", "60s"]).await;
    let contract = create_contract(&node).await;
    let document = "subscription { contractStatus { operation record { id name version } resync } }";
    let mut stream = node.subscribe(&service(), document, json!({})).await;
    stream.until(|event| event["operation"] == "READY").await;
    let company = demo::COMPANY_ID;
    let change = format!(
        "begin;
         update contract set name = 'Renamed in SQL', version = version + 1, updated_at = switchboard.now()
         where company_id = '{company}' and id = '{contract}';
         select append_event(company_id, 'contract', id::text, version, 'ContractUpdated',
             (select payload::jsonb from event
              where company_id = contract.company_id and subject_type = 'contract' and subject_id = contract.id::text
              order by version desc limit 1)
             || jsonb_build_object('name', name, 'version', version, 'updatedAt', updated_at),
             p_actor => 'sql')
         from contract where company_id = '{company}' and id = '{contract}';
         commit"
    );
    sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut app.sql().await).await.unwrap();
    let event = stream.event().await;
    let expected = json!({
        "operation": "UPDATE", "resync": false,
        "record": { "id": contract, "name": "Renamed in SQL", "version": 2 }
    });
    assert_eq!(event, expected);
}

/// Calls of the other concepts, each of which has events of a subject of its own; and their codes.
const OTHER_CONCEPTS: [(&str, &str); 7] = [
    (
        "mutation { coordinateChatCall(input: {callType: START_CHAT, requestId: \"1\", chatId: \"c\"}) { grant { callType } } }",
        "",
    ),
    (
        "mutation { coordinateChatCall(input: {callType: END_CHAT, requestId: \"2\", chatId: \"c\", waitMs: 1}) { grant { callType } } }",
        "WAIT_TIMEOUT",
    ),
    ("mutation { registerCall(input: {callControlId: \"c\", userId: \"u\", agentId: \"a\"}) { call { id } } }", ""),
    ("mutation { beginCallOperation(input: {callControlId: \"c\", kind: SPEECH, requestId: \"1\"}) { outcome } }", ""),
    (
        "mutation { createCampaign(input: {campaign: {userId: \"u\", agentId: \"a\", name: \"n\"}}) { campaign { id } } }",
        "",
    ),
    ("mutation { setCallConcurrency(input: {systemLimit: 9}) { concurrency { limit } } }", ""),
    ("mutation { appendCallMessage(input: {callControlId: \"c\", role: \"r\", text: \"t\"}) { message { id } } }", ""),
];

/// Has events written of every kind of subject but those of sessions.
async fn write_every_kind(app: &TestApp, node: &Node) {
    create_won_race(node, &new_visitor()).await;
    create_contract(node).await;
    let tenants = Tenants::new(app.database.work());
    tenants.create_api_key(demo::COMPANY_ID, Role::Service, "a key").await.unwrap();
    for (document, code) in OTHER_CONCEPTS {
        assert_eq!(node.run(&service(), document, json!({})).await.code(), code, "{document}");
    }
}

#[tokio::test]
async fn append_event_knows_every_kind_of_subject_and_the_names_in_its_records() {
    let app = TestApp::new().await;
    let node = app.node().await;
    write_every_kind(&app, &node).await;
    let mut connection = app.sql().await;
    let known: Vec<(String, Vec<String>)> =
        sqlx::query_as("select subject_type, names from event_subject").fetch_all(&mut connection).await.unwrap();
    let known: BTreeMap<_, BTreeSet<_>> =
        known.into_iter().map(|(kind, names)| (kind, names.into_iter().collect())).collect();
    let written: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select subject_type, array_agg(distinct name) from event, json_object_keys(payload) as name group by subject_type",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let written: BTreeMap<_, BTreeSet<_>> =
        written.into_iter().map(|(kind, names)| (kind, names.into_iter().collect())).collect();
    let mut here = known.clone();
    // Theirs are compared where sessions are tested.
    here.retain(|kind, _| !kind.starts_with("session"));
    assert_eq!(written, here);
    // A subject without events has only timers.
    let registered = concepts::all(&settings(&[])).into_iter().flat_map(|concept| concept.subjects);
    let registered = registered.filter(|subject| !subject.event_types.is_empty());
    let registered: BTreeSet<String> = registered.map(|subject| subject.name.to_owned()).collect();
    assert_eq!(registered, known.into_keys().collect());
}

/// Events of servers that have other keys than `append_event` would have given them.
const OTHER_KEYS: &str = "
    select event.subject_type || ' ' || event.type
    from event
    join event_subject as subject using (subject_type)
    where event.scopes is distinct from array(
        select distinct event_scope_key(event.company_id, event.subject_type, field, record ->> field) as key
        from unnest(subject.scope_fields) as field
        cross join (values (event.payload), (event.previous)) as change (record)
        where json_typeof(record -> field) = 'string'
        order by key
    )";

/// Fields that give keys, but no event has them: the comparison of keys shows nothing about these.
const UNSEEN_FIELDS: &str = "
    select subject_type || '.' || field
    from event_subject as subject
    cross join unnest(scope_fields) as field
    where subject_type not like 'session%' and not exists (
        select 1
        from event
        where event.subject_type = subject.subject_type and json_typeof(event.payload -> field) = 'string'
    )";

#[tokio::test]
async fn append_event_gives_every_kind_of_event_the_keys_that_servers_give_it() {
    let app = TestApp::new().await;
    let node = app.node().await;
    write_every_kind(&app, &node).await;
    // Another agent: the keys of before count too.
    let contract = create_contract(&node).await;
    let handed_over = json!({ "id": contract, "patch": { "agentId": demo::AGENTS[1].1 } });
    node.fields(&service(), UPDATE_CONTRACT, handed_over).await;
    let mut connection = app.sql().await;
    let other: Vec<String> = sqlx::query_scalar(OTHER_KEYS).fetch_all(&mut connection).await.unwrap();
    assert_eq!(other, [""; 0]);
    let unseen: Vec<String> = sqlx::query_scalar(UNSEEN_FIELDS).fetch_all(&mut connection).await.unwrap();
    assert_eq!(unseen, ["call.campaignId"]);
    // A call that is registered is of no campaign. If it were:
    let mut payload: Value = sqlx::query_scalar("select payload from event where subject_type = 'call' limit 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let campaign = Uuid::now_v7();
    payload["campaignId"] = json!(campaign);
    let call: CallRecord = serde_json::from_value(payload).unwrap();
    assert!(call.scopes().contains(&("campaignId", campaign.to_string())));
}
