//! Rights: every root field of the schema, for every kind of caller, on a running server.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    time::Duration,
};

use async_graphql::parser::{
    parse_schema,
    types::{TypeKind, TypeSystemDefinition},
};
use serde_json::{Value, json};
use switchboard::{
    concepts, demo,
    platform::{
        auth::{Role, token::Claims},
        concept::Access,
    },
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    app::{Node, TestApp, agent, service, service_of, settings, token, visitor},
    chat::{CREATE_RACE, chat_of, contract_of, id, other_company, race_input},
};

/// The callers of the table, in the order of its columns. The race is of visitor `eve` and offered to Ada and Ben; the
/// chat is Ada's. Cleo is an agent without a contract.
const CALLERS: [&str; 10] =
    ["service", "admin", "ada", "ben", "cleo", "eve", "mallory", "participant", "foreign", "anonymous"];

const ANONYMOUS: &str = "UNAUTHENTICATED";

/// A root field, a document that uses it, and what each caller gets: `ok` data, `null`, `none` (an empty list, or a
/// stream that has nothing), or a code.
type Row = (&'static str, &'static str, [&'static str; 10]);

const F: &str = "FORBIDDEN";
const N: &str = "NOT_FOUND";
const A: &str = ANONYMOUS;
const C: &str = "CONFLICT";
const O: &str = "OPERATION_IN_PROGRESS";
/// An accepted subscription of changes only: it sends nothing until something changes.
const S: &str = "silent";
/// Longest wait for the first message of a subscription that has one: an error or the present state.
const SILENCE: Duration = Duration::from_millis(300);

#[rustfmt::skip]
static TABLE: [Row; 88] = [
    //                                                         service  admin   ada     ben     cleo    eve     mallory participant foreign anonymous
    ("viewer", "{ viewer { id role companyId } }",             ["ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   A]),
    ("currentShift", "{ currentShift }",                       ["ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   A]),
    ("logCursor", "{ logCursor }",                             ["ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   A]),
    ("website", "query($website: UUID!) { website(id: $website) { id contracts { id } } }",
                                                               ["ok",   "ok",   "ok",   "ok",   "null", "ok",   "ok",   "null", "null", A]),
    ("contract", "query($contract: UUID!) { contract(id: $contract) { id agent { id } } }",
                                                               ["ok",   "ok",   "ok",   "null", "null", "ok",   "ok",   "null", "null", A]),
    ("contracts", "query($contract: UUID!) { contracts(condition: {id: $contract}) { id } }",
                                                               ["ok",   "ok",   "ok",   "none", "none", "ok",   "ok",   "none", "none", A]),
    ("chat", "query($chat: UUID!) { chat(id: $chat) { id messages { nodes { text } } } }",
                                                               ["ok",   "ok",   "ok",   "null", "null", "ok",   "null", "null", "null", "ok"]),
    ("chats", "{ chats { nodes { id } } }",                    ["ok",   "ok",   "ok",   "ok",   "none", "ok",   "none", "none", "none", A]),
    ("messages", "query($chat: UUID!) { messages(condition: {chatId: $chat}) { id } }",
                                                               ["none", "none", "none", N,      N,      "none", N,      N,      N,      "none"]),
    ("chatRace", "query($key: UUID!) { chatRace(key: $key) { state } }",
                                                               ["ok",   "ok",   "ok",   "ok",   "null", "ok",   "null", "null", "null", A]),
    ("events", "query($chat: ID!) { events(subjectId: $chat) { nodes { type } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "none", A]),
    ("consumerLogin", "mutation($public: UUID!) { consumerLogin(input: {publicKey: $public}) { jwtToken } }",
                                                               ["ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok"]),
    ("createWebsite", "mutation { createWebsite(input: {website: {name: \"W\"}}) { publicKey } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("createContract", "mutation($website: UUID!) { createContract(input: {contract: {websiteId: $website, session: 1}}) { contract { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      N,      A]),
    ("updateContract", "mutation($contract: UUID!) { updateContract(input: {id: $contract, patch: {rate: 1.5}}) { contract { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      N,      A]),
    ("createChat", "mutation($key: UUID!, $contract: UUID!) { createChat(input: {chat: {key: $key, contractId: $contract, customerName: \"E\", headline: \"?\"}}) { chat { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      "ok",   "CONFLICT", F,  N,      A]),
    ("createChatRace", "mutation($key: UUID!, $website: UUID!) { createChatRace(input: {key: $key, websiteId: $website, customerName: \"E\", headline: \"?\"}) { race { key } } }",
                                                               ["ok",   "ok",   F,      F,      F,      "ok",   "CONFLICT", F,  N,      A]),
    ("startChat", "mutation($chat: UUID!) { startChat(input: {chatId: $chat}) { outcome } }",
                                                               ["ok",   "ok",   "ok",   N,      N,      F,      F,      F,      N,      A]),
    ("endChat", "mutation($chat: UUID!) { endChat(input: {chatId: $chat}) { chat { id } } }",
                                                               ["ok",   "ok",   "ok",   N,      N,      "ok",   N,      F,      N,      A]),
    ("cancelChatRace", "mutation($key: UUID!) { cancelChatRace(input: {key: $key}) { outcome } }",
                                                               ["ok",   "ok",   F,      F,      F,      "ok",   N,      F,      N,      A]),
    ("updateChat", "mutation($chat: UUID!) { updateChat(input: {id: $chat, patch: {missed: true}}) { chat { id } } }",
                                                               ["ok",   "ok",   "ok",   N,      N,      "ok",   N,      F,      N,      A]),
    ("updateChatMissed", "mutation($chat: UUID!) { updateChatMissed(input: {chatId: $chat}) { chat { id } } }",
                                                               ["ok",   "ok",   "ok",   N,      N,      "ok",   N,      F,      N,      A]),
    // The visitor is asked first of those that may, so that the others find its call in progress.
    ("coordinateChatCall", "mutation($chat: ID!) { coordinateChatCall(input: {callType: START_CHAT, requestId: \"r\", chatId: $chat, waitMs: 0}) { grant { requestId } } }",
                                                               [O,      O,      O,      N,      N,      "ok",   N,      F,      "ok",   A]),
    ("completeChatCall", "mutation($chat: ID!) { completeChatCall(input: {callType: START_CHAT, requestId: \"r\", chatId: $chat, fencingToken: \"1\"}) { completed } }",
                                                               ["ok",   "ok",   "ok",   "ok",   "ok",   "ok",   "ok",   F,      "ok",   A]),
    ("coordinationEvents", "subscription($chat: ID!) { coordinationEvents(chatId: $chat) { operation } }",
                                                               ["none", "none", "none", N,      N,      "none", N,      F,      "none", A]),
    ("call", "{ call(callControlId: \"c\") { id } }",        ["null", "null", F,      F,      F,      F,      F,      F,      "null", A]),
    ("calls", "{ calls { nodes { id } } }",                    ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("checkCallActive", "{ checkCallActive(callControlId: \"c\") { active } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("registerCall", "mutation { registerCall(input: {callControlId: \"c\", userId: \"u\", agentId: \"a\"}) { call { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("updateCallStatus", "mutation { updateCallStatus(input: {callControlId: \"d\", status: RINGING}) { outcome } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("hangUpCall", "mutation { hangUpCall(input: {callControlId: \"d\", reason: \"r\"}) { outcome } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    // Of a call that nobody knows.
    ("scheduleHangUp", "mutation { scheduleHangUp(input: {callControlId: \"e\", reason: \"r\"}) { hangUpAt } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("beginCallOperation", "mutation { beginCallOperation(input: {callControlId: \"e\", kind: SPEECH, requestId: \"r\"}) { outcome } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("completeCallOperation", "mutation($chat: UUID!) { completeCallOperation(input: {operationId: $chat, fencingToken: \"1\"}) { completed } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("appendCallMessage", "mutation { appendCallMessage(input: {callControlId: \"e\", role: \"r\", text: \"?\"}) { message { id } } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("finalizeCall", "mutation { finalizeCall(input: {callControlId: \"e\"}) { outcome } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("callStatus", "subscription { callStatus(userId: \"nobody\") { operation record { id } } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("callDispatched", "subscription { callDispatched { operation record { id } } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("callHangUps", "subscription { callHangUps { operation record { id } } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("callQueueItem", "query($chat: UUID!) { callQueueItem(id: $chat) { id } }",
                                                               ["null", "null", F,      F,      F,      F,      F,      F,      "null", A]),
    ("callQueueStatus", "{ callQueueStatus(userId: \"u\") { id } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("callConcurrency", "{ callConcurrency(userId: \"u\") { limit } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("campaign", "query($chat: UUID!) { campaign(id: $chat) { id } }",
                                                               ["null", "null", F,      F,      F,      F,      F,      F,      "null", A]),
    ("createCampaign", "mutation { createCampaign(input: {campaign: {userId: \"u\", agentId: \"a\", name: \"n\"}}) { campaign { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("updateCampaign", "mutation($chat: UUID!) { updateCampaign(input: {id: $chat, patch: {weight: 2}}) { campaign { id } } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("enqueueCampaignCalls", "mutation($chat: UUID!) { enqueueCampaignCalls(input: {campaignId: $chat, contacts: [{contactId: \"c\", phoneNumber: \"+14155552671\"}]}) { enqueued } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("campaigns", "{ campaigns(userId: \"nobody\") { nodes { id } } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("callQueueUsers", "{ callQueueUsers { pageInfo { hasNextPage } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("callQueueSamples", "{ callQueueSamples(userId: \"nobody\", minutes: 5) { at } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("callQueueItems", "{ callQueueItems(userId: \"nobody\") { nodes { id } } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      F,      "none", A]),
    ("cancelQueuedCalls", "mutation { cancelQueuedCalls(input: {userId: \"nobody\", expected: 0}) { canceled } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("callQueue", "subscription { callQueue(userId: \"nobody\") { operation items { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("callQueueItem", "subscription($chat: UUID!) { callQueueItem(id: $chat) { operation record { id } } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("campaignStatus", "subscription($chat: UUID!) { campaignStatus(id: $chat) { operation record { id } } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("initiateCall", "mutation { initiateCall(input: {userId: \"u\", agentId: \"a\", contactId: \"c\"}) { admission } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("cancelQueuedCall", "mutation($chat: UUID!) { cancelQueuedCall(input: {queueItemId: $chat}) { outcome } }",
                                                               [N,      N,      F,      F,      F,      F,      F,      F,      N,      A]),
    ("renewCalls", "mutation($chat: UUID!) { renewCalls(input: {callIds: [$chat]}) { ended } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("setCallConcurrency", "mutation { setCallConcurrency(input: {userId: \"u\", limit: 3}) { concurrency { limit } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    // The chat is offered, not started: a caller that may write or rate at all gets CONFLICT.
    ("createMessage", "mutation($chat: UUID!) { createMessage(input: {message: {chatId: $chat, author: \"E\", text: \"?\"}}) { message { id } } }",
                                                               [C,      C,      C,      N,      N,      C,      N,      F,      N,      A]),
    ("createRate", "mutation($chat: UUID!) { createRate(input: {rate: {chatId: $chat, rating: 5}}) { rate { id } } }",
                                                               [C,      C,      F,      F,      F,      C,      N,      F,      N,      A]),
    ("chatStatus", "subscription { chatStatus { operation record { id } } }",
                                                               ["ok",   "ok",   "ok",   "ok",   "none", "ok",   "none", "none", "none", A]),
    ("chatStatus", "subscription($chat: UUID!) { chatStatus(chatId: $chat) { operation record { id } } }",
                                                               ["ok",   "ok",   "ok",   N,      N,      "ok",   N,      N,      N,      A]),
    ("chatRace", "subscription($key: UUID!) { chatRace(key: $key) { operation record { state } } }",
                                                               ["ok",   "ok",   "ok",   "ok",   N,      "ok",   N,      N,      N,      A]),
    ("messageAdded", "subscription($chat: UUID!) { messageAdded(chatId: $chat) { operation record { id } } }",
                                                               ["none", "none", "none", N,      N,      "none", N,      N,      N,      "none"]),
    ("chat", "subscription($chat: UUID!) { chat(id: $chat) { id } }",
                                                               ["ok",   "ok",   "ok",   N,      N,      "ok",   N,      N,      N,      "ok"]),
    ("messages", "subscription($chat: UUID!) { messages(condition: {chatId: $chat}) { id } }",
                                                               ["none", "none", "none", N,      N,      "none", N,      N,      N,      "none"]),
    ("onMessageAdded", "subscription($chat: UUID!) { onMessageAdded(chatId: $chat) { record { id } } }",
                                                               [S,      S,      S,      N,      N,      S,      N,      N,      N,      S]),
    ("chatChanged", "subscription { chatChanged { operation record { id } } }",
                                                               [S,      S,      S,      S,      S,      S,      S,      S,      S,      F]),
    ("contractChanged", "subscription($company: UUID) { contractChanged(companyId: $company) { operation record { id } } }",
                                                               [S,      S,      S,      S,      S,      S,      S,      S,      N,      S]),
    ("contractStatus", "subscription { contractStatus { operation record { id } } }",
                                                               ["ok",   "ok",   "ok",   "ok",   "none", "ok",   "ok",   "none", "none", A]),
    ("selectSessionProvider", "mutation { selectSessionProvider(input: {sessionId: \"session\", userId: \"somebody\", provider: \"daily\", roomId: \"r\"}) { provider } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("updateUserSessionState", "mutation { updateUserSessionState(input: {sessionId: \"session\", userId: \"somebody\", connectionState: CONNECTED, currentProvider: \"daily\"}) { user { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("updateSessionHealth", "mutation { updateSessionHealth(input: {sessionId: \"session\", userId: \"somebody\", status: CONNECTED}) { lastPing } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("heartbeatPing", "mutation { heartbeatPing(input: {sessionId: \"session\", userId: \"somebody\"}) { pingTime } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("coordinateProviderRecovery", "mutation { coordinateProviderRecovery(input: {sessionId: \"session\", initiatedBy: \"somebody\", failedProvider: \"daily\"}) { outcome } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("sessionCoordination", "{ sessionCoordination(sessionId: \"session\") { epoch users { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("sessionHealth", "{ sessionHealth(sessionId: \"session\") { users { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("sessionHealthAlerts", "{ sessionHealthAlerts(sessionId: \"session\") { id } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      "none", "none", A]),
    ("staleConnections", "{ staleConnections(sessionId: \"session\") { staleUserIds } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("qualityRecovery", "{ qualityRecovery(sessionId: \"session\") { shouldRecover } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("sessions", "{ sessions { nodes { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("sessionProviders", "{ sessionProviders { id } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("setSessionProviders", "mutation { setSessionProviders(input: {providers: [{name: \"daily\", enabled: true}, {name: \"p2p\", enabled: true}]}) { providers { id } } }",
                                                               [F,      "ok",   F,      F,      F,      F,      F,      F,      F,      A]),
    ("sessionChanged", "subscription { sessionChanged(sessionId: \"session\") { operation record { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("sessionChanged", "subscription { sessionChanged { operation record { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
    ("healthAlerts", "subscription { healthAlerts(sessionId: \"session\") { operation record { id } } }",
                                                               ["none", "none", F,      F,      F,      F,      F,      "none", "none", A]),
    ("qualityRecovery", "subscription { qualityRecovery(sessionId: \"session\") { shouldRecover } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      "ok",   "ok",   A]),
    ("sessionProviderChanged", "subscription { sessionProviderChanged { operation record { id } } }",
                                                               ["ok",   "ok",   F,      F,      F,      F,      F,      F,      "ok",   A]),
];

/// What the registration of a root field allows a caller of the table, by its place there.
fn is_reached(access: Access, caller: &str) -> bool {
    let role = match caller {
        "service" | "foreign" => Some(Role::Service),
        "admin" => Some(Role::Admin),
        "ada" | "ben" | "cleo" => Some(Role::Agent),
        "eve" | "mallory" => Some(Role::Consumer),
        "participant" => Some(Role::Participant),
        _ => None,
    };
    match access {
        Access::Anyone => true,
        // Where widgets without a token are allowed is a setting, off in this test.
        Access::Credential | Access::CredentialOrWidget => role.is_some(),
        Access::Roles(roles) | Access::RolesOrWidget(roles) => role.is_some_and(|role| roles.contains(&role)),
    }
}

#[test]
fn the_table_agrees_with_what_the_concepts_register() {
    let registered: HashMap<&str, Access> =
        concepts::all(&settings(&[])).into_iter().flat_map(|concept| concept.fields).copied().collect();
    // A field may have several rows: what it gives may depend on its arguments.
    let mut said: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for (field, document, expected) in TABLE {
        for (caller, code) in CALLERS.into_iter().zip(expected) {
            said.entry((covered(field, document), caller)).or_default().push(code);
        }
    }
    let mut wrong = String::new();
    for ((field, caller), codes) in said {
        let access = registered[field.as_str()];
        // Whom the registration keeps out always gets one of these codes. Whom it lets in does not, with some arguments; a
        // record may still be refused.
        let mut kept_out = codes.iter().map(|&code| code == F || caller == "anonymous" && code == ANONYMOUS);
        if kept_out.all(|out| out) == is_reached(access, caller) {
            let _ = writeln!(wrong, "{field}: {access:?} does not agree with {codes:?} for {caller}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The root fields of the schema, as `Query.viewer`.
fn root_fields() -> BTreeSet<String> {
    let schema = parse_schema(include_str!("../../../schema.graphql")).unwrap();
    let mut fields = BTreeSet::new();
    for definition in schema.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = definition.node.name.node.to_string();
        if let (TypeKind::Object(object), true) =
            (definition.node.kind, ["Query", "Mutation", "Subscription"].contains(&&*name))
        {
            fields.extend(object.fields.iter().map(|field| format!("{name}.{}", field.node.name.node)));
        }
    }
    fields
}

fn covered(field: &str, document: &str) -> String {
    let kind = match document.split(['{', '(', ' ']).next() {
        Some("mutation") => "Mutation",
        Some("subscription") => "Subscription",
        _ => "Query",
    };
    format!("{kind}.{field}")
}

/// The callers' tokens.
fn tokens(foreign: Uuid) -> [String; 10] {
    let of = |role| Claims { role, ..Claims::service(demo::COMPANY_ID, "somebody") };
    CALLERS.map(|caller| match caller {
        "service" => service(),
        "admin" => token(&of(Role::Admin)),
        "ada" => agent(demo::AGENTS[0].1),
        "ben" => agent(demo::AGENTS[1].1),
        "cleo" => agent(Uuid::new_v4()),
        "eve" | "mallory" => visitor(caller),
        "participant" => token(&Claims { session_id: Some("session".to_owned()), ..of(Role::Participant) }),
        "foreign" => service_of(foreign),
        _ => String::new(),
    })
}

/// The result of a response, in the words of the table.
fn word(payload: &Value) -> String {
    if let Some(error) = payload["errors"].get(0) {
        assert!(payload["data"].as_object().is_none_or(|data| data.values().all(Value::is_null)), "{payload}");
        return error["extensions"]["code"].as_str().unwrap().to_owned();
    }
    let value = payload["data"].as_object().unwrap().values().next().unwrap();
    let empty = value.as_array().or(value["nodes"].as_array()).is_some_and(Vec::is_empty);
    match value {
        Value::Null => "null",
        _ if empty || value["operation"] == "READY" => "none",
        _ => "ok",
    }
    .to_owned()
}

async fn ask(node: &Node, token: &str, document: &str, variables: &Value, silent: bool) -> String {
    if document.starts_with("subscription") {
        let mut stream = node.subscribe(token, document, variables.clone()).await;
        if !silent {
            return word(&stream.payload().await);
        }
        return timeout(SILENCE, stream.payload()).await.map_or(S.to_owned(), |payload| word(&payload));
    }
    let answer = node.run(token, document, variables.clone()).await;
    let said = word(&answer.body);
    // The error of a nullable field leaves the status of the request at 200.
    assert_eq!(answer.status == 401, said == ANONYMOUS && answer["data"].is_null(), "{answer:?}");
    said
}

#[tokio::test]
async fn every_root_field_gives_each_kind_of_caller_only_what_its_rights_allow() {
    let listed: BTreeSet<String> = TABLE.iter().map(|(field, document, _)| covered(field, document)).collect();
    assert_eq!(root_fields(), listed, "every root field of schema.graphql needs a row, and no other");

    let app = TestApp::new().await;
    let node = app.node().await;
    let tokens = tokens(other_company(&app).await);
    let mut wrong = String::new();
    for (field, document, expected) in TABLE {
        // A race of its own for each row, so that rows do not disturb each other. Whoever may do nothing comes first.
        let key = Uuid::new_v4();
        let race = node.data(&tokens[5], CREATE_RACE, race_input(key)).await["race"].take();
        let contract = race["chats"]
            .as_array()
            .unwrap()
            .iter()
            .find(|chat| id(&chat["id"]) == chat_of(&race, 0))
            .unwrap()["contractId"]
            .clone();
        let variables = json!({
            "key": key, "chat": chat_of(&race, 0), "contract": contract, "website": demo::WEBSITE_ID, "public": demo::PUBLIC_KEY,
            "company": demo::COMPANY_ID,
        });
        let variables = declared(document, &variables);
        for at in (0..CALLERS.len()).rev() {
            let said = ask(&node, &tokens[at], document, &variables, expected[at] == S).await;
            if said != expected[at] {
                let _ =
                    writeln!(wrong, "{}: {} gets {said}, not {}", covered(field, document), CALLERS[at], expected[at]);
            }
        }
        let bad = node.run("no.such.token", document, variables.clone()).await;
        if !document.starts_with("subscription")
            && field != "consumerLogin"
            && (bad.status, bad.code()) != (401, ANONYMOUS)
        {
            let _ = writeln!(wrong, "{}: a bad bearer gets {bad:?}", covered(field, document));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Those of the variables that the document declares.
fn declared(document: &str, variables: &Value) -> Value {
    let all = variables.as_object().unwrap();
    all.iter()
        .filter(|(name, _)| document.contains(&format!("${name}:")))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[tokio::test]
async fn subscriptions_and_cursors_carry_no_data_of_other_callers() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let foreign = other_company(&app).await;
    let [service, .., eve, mallory, _, stranger, _] = tokens(foreign);
    let stream = "subscription($after: Cursor) { chatStatus(after: $after) { operation cursor record { id key } } }";
    let beginning = node.data(&stranger, "{ logCursor }", json!({})).await;
    let (mut of_mallory, mut of_stranger) =
        tokio::join!(node.subscribe(&mallory, stream, json!({})), node.subscribe(&stranger, stream, json!({})));
    of_mallory.ready().await;
    of_stranger.ready().await;
    let race = node.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await["race"].take();
    let cursor = {
        let mut of_service = node.subscribe(&service, stream, json!({ "after": beginning })).await;
        of_service.until(|event| event["operation"] == "READY").await.pop().unwrap()["cursor"].take()
    };
    // A company's cursor is a place in the log, and shows another what is its own: nothing.
    for token in [&stranger, &mallory] {
        for after in [&cursor, &beginning] {
            let mut resumed = node.subscribe(token, stream, json!({ "after": after })).await;
            assert_eq!(resumed.event().await["operation"], "READY");
        }
    }
    // A cursor of one subject resumes that subject's stream and no other.
    let one = "subscription($chat: UUID!, $after: Cursor) { chatStatus(chatId: $chat, after: $after) { operation cursor record { id } } }";
    let chats = [chat_of(&race, 0), chat_of(&race, 1)];
    let mut of_first = node.subscribe(&eve, one, json!({ "chat": chats[0] })).await;
    let of_first = of_first.event().await["cursor"].take();
    for (token, chat, code) in
        [(&eve, chats[1], "BAD_USER_INPUT"), (&mallory, chats[0], "NOT_FOUND"), (&stranger, chats[0], "NOT_FOUND")]
    {
        let mut refused = node.subscribe(token, one, json!({ "chat": chat, "after": of_first })).await;
        assert_eq!(refused.payload().await["errors"][0]["extensions"]["code"], code);
    }
    // Live streams: the first that Mallory hears is her own, and the stranger the same.
    let own = node.data(&mallory, CREATE_RACE, race_input(Uuid::new_v4())).await["race"].take();
    assert_eq!(of_mallory.event().await["record"]["key"], own["key"]);
    let website = node
        .data(&stranger, "mutation { createWebsite(input: {website: {}}) { website { id } } }", json!({}))
        .await["website"]["id"]
        .take();
    let contract = node
        .data(&stranger, "mutation($website: UUID!) { createContract(input: {contract: {websiteId: $website, session: 1}}) { contract { id } } }", json!({ "website": website }))
        .await["contract"]["id"]
        .take();
    let input = json!({ "customerName": "S", "headline": "?", "contractIds": [contract] });
    let own = node.data(&stranger, CREATE_RACE, json!({ "input": input })).await["race"].take();
    assert_eq!(of_stranger.event().await["record"]["key"], own["key"]);
    // Contracts of the demo company cannot be named in another company's race.
    let input = json!({ "input": { "customerName": "S", "headline": "?", "websiteId": website, "contractIds": [contract_of(0, 1)] } });
    let race = node.data(&stranger, CREATE_RACE, input).await["race"].take();
    assert_eq!((&race["state"], &race["failures"][0]["code"]), (&json!("FAILED"), &json!("NOT_FOUND")));
}
