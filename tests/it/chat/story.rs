//! A whole race on two servers: a customer creates it, every agent on shift is offered a chat, the first to start wins,
//! and everybody sees it.

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, service, visitor},
    chat::{
        CHAT_RACE, CHAT_STATUS, CREATE_CHAT, CREATE_CONTRACT, CREATE_RACE, END_CHAT, EVENTS, RACE, START_CHAT,
        ada_and_ben, chat_input, chat_of, contract_of, id, log_in, next, race_input, status_change,
    },
    client::Client,
    invariants,
};

/// The events of a subject, with their actors.
async fn trail(node: &Client, subject: Uuid, kind: &str) -> Vec<String> {
    let events = node.data(&service(), EVENTS, json!({ "id": subject, "kind": kind })).await;
    let line = |event: &Value| {
        let (actor, payload) = (event["actor"].as_str().unwrap(), &event["payload"]);
        let customer = payload["visitor"].as_str().or(payload["owner"].as_str());
        let actor = if Some(actor) == customer { "the customer" } else { actor };
        format!("{} {} by {actor}", event["version"], event["type"].as_str().unwrap())
    };
    events["nodes"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn the_first_agent_to_start_wins_and_everybody_sees_it_on_two_servers() {
    let app = TestApp::new().await;
    let (east, west) = tokio::join!(app.node(), app.node());
    let (visitor, [ada, ben], service) = (log_in(&east).await, ada_and_ben(), service());
    let (mut of_ada, mut of_ben, mut of_visitor, mut of_service) = tokio::join!(
        east.subscribe(&ada, CHAT_STATUS, json!({})),
        west.subscribe(&ben, CHAT_STATUS, json!({})),
        west.subscribe(&visitor, CHAT_STATUS, json!({})),
        east.subscribe(&service, CHAT_STATUS, json!({})),
    );
    for stream in [&mut of_ada, &mut of_ben, &mut of_visitor, &mut of_service] {
        assert_eq!(stream.ready().await, [Value::Null; 0]);
    }

    let key = Uuid::new_v4();
    let race = east.data(&visitor, CREATE_RACE, race_input(key)).await["race"].take();
    assert_eq!((&race["state"], &race["version"], &race["failures"]), (&json!("WAITING"), &json!(1), &json!([])));
    assert!(race["expiresAt"].is_string() && race["chats"].as_array().unwrap().len() == 2, "{race}");
    let [a, b] = [chat_of(&race, 0), chat_of(&race, 1)];
    let both = |of_a: (&'static str, &'static str, &'static str, i64),
                of_b: (&'static str, &'static str, &'static str, i64)| {
        let mut both = [(a, of_a.0, of_a.1, of_a.2, of_a.3), (b, of_b.0, of_b.1, of_b.2, of_b.3)];
        both.sort_unstable();
        both
    };
    assert_eq!(status_change(&of_ada.event().await), (a, "INSERT", "ACTIVE", "", 1));
    assert_eq!(status_change(&of_ben.event().await), (b, "INSERT", "ACTIVE", "", 1));
    let offered = both(("INSERT", "ACTIVE", "", 1), ("INSERT", "ACTIVE", "", 1));
    for stream in [&mut of_visitor, &mut of_service] {
        assert_eq!(next(stream, 2).await.iter().map(status_change).collect::<Vec<_>>(), offered);
    }
    let mut race_of_visitor = west.subscribe(&visitor, CHAT_RACE, json!({ "key": key })).await;
    let mut race_of_ben = east.subscribe(&ben, CHAT_RACE, json!({ "key": key })).await;
    for (stream, chats) in [(&mut race_of_visitor, 2), (&mut race_of_ben, 1)] {
        let state = stream.ready().await;
        assert_eq!((&state[0]["state"], &state[0]["version"]), (&json!("WAITING"), &json!(1)));
        assert_eq!(state[0]["chats"].as_array().unwrap().len(), chats);
    }

    // Ada starts her chat first.
    let won = west.data(&ada, START_CHAT, json!({ "chat": a })).await;
    assert_eq!(
        (&won["outcome"], &won["chat"]["status"], &won["chat"]["version"]),
        (&json!("STARTED"), &json!("STARTED"), &json!(2))
    );
    assert_eq!(
        won["chat"]["messages"]["nodes"],
        json!([{ "text": "My order is late", "author": "Eve", "isAgent": false }])
    );
    assert_eq!(
        won["race"],
        json!({ "state": "WON", "version": 2, "winner": { "id": a }, "chats": [{ "id": a }], "failures": [] })
    );
    // An agent that lost learns that the race is won; the company also by whom.
    let lost = east.data(&ben, START_CHAT, json!({ "chat": b })).await;
    assert_eq!((&lost["outcome"], &lost["chat"]["closeReason"]), (&json!("LOST_RACE"), &json!("RESCINDED")));
    assert_eq!(
        lost["race"],
        json!({ "state": "WON", "version": 2, "winner": null, "chats": [{ "id": b }], "failures": [] })
    );
    let lost = east.data(&service, START_CHAT, json!({ "chat": b })).await;
    assert_eq!((&lost["outcome"], &lost["race"]["winner"]["id"]), (&json!("LOST_RACE"), &json!(a)));
    let again = east.data(&ada, START_CHAT, json!({ "chat": a })).await;
    assert_eq!((&again["outcome"], &again["chat"]), (&json!("ALREADY_STARTED"), &won["chat"]));

    assert_eq!(status_change(&of_ada.event().await), (a, "UPDATE", "STARTED", "", 2));
    assert_eq!(status_change(&of_ben.event().await), (b, "UPDATE", "FINISHED", "RESCINDED", 2));
    let decided = both(("UPDATE", "STARTED", "", 2), ("UPDATE", "FINISHED", "RESCINDED", 2));
    for stream in [&mut of_visitor, &mut of_service] {
        assert_eq!(next(stream, 2).await.iter().map(status_change).collect::<Vec<_>>(), decided);
    }
    for (stream, winner) in [(&mut race_of_visitor, json!({ "id": a })), (&mut race_of_ben, Value::Null)] {
        let event = stream.event().await;
        assert_eq!((&event["operation"], &event["record"]["state"]), (&json!("UPDATE"), &json!("WON")));
        assert_eq!((&event["record"]["version"], &event["record"]["winner"]), (&json!(2), &winner));
    }

    // The customer leaves. A repeat changes nothing, and no agent can start a chat any more.
    for _ in 0..2 {
        let ended = east.data(&visitor, END_CHAT, json!({ "chat": a })).await;
        assert_eq!(ended["chat"], json!({ "id": a, "status": "FINISHED", "closeReason": "COMPLETED", "version": 3 }));
    }
    for (token, chat, outcome) in [(&ada, a, "CLOSED"), (&ben, b, "LOST_RACE")] {
        assert_eq!(west.data(token, START_CHAT, json!({ "chat": chat })).await["outcome"], outcome);
    }
    for stream in [&mut of_ada, &mut of_visitor, &mut of_service] {
        assert_eq!(status_change(&stream.event().await), (a, "UPDATE", "FINISHED", "COMPLETED", 3));
    }
    // Nothing came twice: the next that anybody hears is of another race.
    let other = west.data(&visitor, CREATE_RACE, race_input(Uuid::new_v4())).await["race"].take();
    for stream in [&mut of_ada, &mut of_ben, &mut of_visitor, &mut of_service] {
        assert_eq!(stream.event().await["record"]["key"], other["key"]);
    }

    // The audit trail names each actor.
    let of_race = trail(&west, key, "chat_race").await;
    assert_eq!(of_race, ["1 RaceOpened by the customer", "2 RaceWon by agent"]);
    let of_chat = trail(&west, a, "chat").await;
    assert_eq!(of_chat, ["1 ChatOffered by the customer", "2 ChatStarted by agent", "3 ChatCompleted by the customer"]);
    invariants::check(&mut app.sql().await).await;
}

#[tokio::test]
async fn chats_with_one_key_are_one_race_whichever_servers_they_reach() {
    let app = TestApp::new().await;
    let (east, west) = tokio::join!(app.node(), app.node());
    let (eve, mallory, service) = (visitor("eve"), visitor("mallory"), service());
    let contracts = [contract_of(0, 1), contract_of(1, 1), contract_of(0, 2), contract_of(1, 2)];
    let keys: Vec<Uuid> = (0..10).map(|_| Uuid::new_v4()).collect();
    // All at once, each chat created twice, on both servers.
    let asked = keys
        .iter()
        .flat_map(|key| contracts[..3].iter().flat_map(|contract| [&east, &west].map(|node| (node, *key, *contract))));
    let created =
        join_all(asked.map(|(node, key, contract)| node.data(&eve, CREATE_CHAT, chat_input(key, contract)))).await;
    for pair in created.chunks(2) {
        assert_eq!(pair[0]["chat"], pair[1]["chat"], "a repeat answers the chat that is there");
        assert_eq!((&pair[0]["chat"]["status"], &pair[0]["chat"]["version"]), (&json!("ACTIVE"), &json!(1)));
    }
    let key = keys[0];
    let race = west.data(&eve, RACE, json!({ "key": key })).await;
    assert_eq!((&race["state"], race["chats"].as_array().unwrap().len()), (&json!("WAITING"), 3));
    // Another visitor cannot have the key, nor does it see the race.
    assert_eq!(east.code(&mallory, CREATE_CHAT, chat_input(key, contracts[0])).await, "CONFLICT");
    assert_eq!(
        east.code(&mallory, CREATE_RACE, json!({ "input": { "customerName": "M", "headline": "?", "key": key } }))
            .await,
        "CONFLICT"
    );
    assert!(east.data(&mallory, RACE, json!({ "key": key })).await.is_null());

    // After the win: a repeat returns the chat as it is now; a new chat is finished from the start.
    let mut of_ben = west.subscribe(&ada_and_ben()[1], CHAT_STATUS, json!({ "key": key })).await;
    assert_eq!(of_ben.ready().await.len(), 1);
    let winner = &created[0]["chat"]["id"];
    assert_eq!(west.data(&service, START_CHAT, json!({ "chat": winner })).await["outcome"], "STARTED");
    assert_eq!(of_ben.event().await["record"]["closeReason"], "RESCINDED");
    let repeated = east.data(&eve, CREATE_CHAT, chat_input(key, contracts[0])).await;
    assert_eq!((&repeated["chat"]["id"], &repeated["chat"]["status"]), (winner, &json!("STARTED")));
    for node in [&east, &west] {
        let late = node.data(&eve, CREATE_CHAT, chat_input(key, contracts[3])).await;
        assert_eq!(
            (&late["chat"]["status"], &late["chat"]["closeReason"], &late["chat"]["version"]),
            (&json!("FINISHED"), &json!("RESCINDED"), &json!(1))
        );
        assert_eq!(
            node.data(&service, START_CHAT, json!({ "chat": late["chat"]["id"] })).await["outcome"],
            "LOST_RACE"
        );
    }
    assert_eq!(status_change(&of_ben.event().await).2, "FINISHED");
    // createChatRace with the key of a decided race adds nothing.
    let race = east.data(&eve, CREATE_RACE, race_input(key)).await["race"].take();
    assert_eq!((&race["state"], race["chats"].as_array().unwrap().len()), (&json!("WON"), 4));
    invariants::check(&mut app.sql().await).await;
}

#[tokio::test]
async fn offers_that_cannot_be_made_are_failures_and_a_race_with_nobody_on_shift_is_offline() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let service = service();
    let website = node
        .data(
            &service,
            "mutation { createWebsite(input: {website: {name: \"Shop\"}}) { publicKey website { id } } }",
            json!({}),
        )
        .await;
    let website = id(&website["website"]["id"]);
    let contract = |status: &str, session: i64| json!({ "contract": { "websiteId": website, "session": session, "status": status, "agentId": demo::AGENTS[0].1 } });
    let shift = node.data(&service, "{ currentShift }", json!({})).await.as_i64().unwrap();
    let off_shift = shift % 3 + 1;

    let key = Uuid::new_v4();
    let create_race = |extra: Value| {
        let mut input = json!({ "customerName": "Eve", "headline": "Hello?", "websiteId": website });
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "input": input })
    };
    let race = node.data(&service, CREATE_RACE, create_race(json!({ "key": key }))).await["race"].take();
    assert_eq!((&race["state"], &race["chats"], &race["expiresAt"]), (&json!("OFFLINE"), &json!([]), &Value::Null));
    // Two contracts that cannot be offered the chat, and one off shift that can, because it is named.
    let inactive = node.data(&service, CREATE_CONTRACT, contract("inactive", off_shift)).await["contract"]["id"].take();
    let active = node.data(&service, CREATE_CONTRACT, contract("active", off_shift)).await["contract"]["id"].take();
    let unknown = json!(Uuid::new_v4());
    let foreign = json!(contract_of(0, 1));
    let race = node
        .data(&service, CREATE_RACE, create_race(json!({ "contractIds": [inactive, unknown, foreign] })))
        .await["race"]
        .take();
    assert_eq!(race["state"], "FAILED");
    let failures: Vec<_> =
        race["failures"].as_array().unwrap().iter().map(|it| (&it["contractId"], &it["code"])).collect();
    assert_eq!(
        failures,
        [(&inactive, &json!("CONFLICT")), (&unknown, &json!("NOT_FOUND")), (&foreign, &json!("CONFLICT"))]
    );
    // The race that was OFFLINE takes offers as soon as there are some.
    let race = node
        .data(&service, CREATE_RACE, create_race(json!({ "key": key, "contractIds": [active, unknown] })))
        .await["race"]
        .take();
    assert_eq!(
        (&race["state"], &race["chats"][0]["contractId"], &race["failures"][0]["contractId"]),
        (&json!("WAITING"), &active, &unknown)
    );
    assert_eq!(node.code(&service, CREATE_RACE, create_race(json!({ "contractIds": [] }))).await, "BAD_USER_INPUT");
    assert_eq!(node.code(&service, CREATE_CHAT, chat_input(Uuid::new_v4(), id(&inactive))).await, "CONFLICT");
    assert_eq!(node.code(&service, CREATE_CHAT, chat_input(Uuid::new_v4(), id(&unknown))).await, "NOT_FOUND");
    invariants::check(&mut app.sql().await).await;
}

#[tokio::test]
async fn a_race_ends_when_its_last_offer_is_declined_or_taken_back() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (visitor, agents) = (log_in(&node).await, ada_and_ben());
    for (by_customer, reason, state) in [(false, "COMPLETED", "FAILED"), (true, "CANCELED", "CANCELED")] {
        let key = Uuid::new_v4();
        let race = node.data(&visitor, CREATE_RACE, race_input(key)).await["race"].take();
        for (place, state) in [(0, "WAITING"), (1, state)] {
            let token = if by_customer { &visitor } else { &agents[place] };
            let ended = node.data(token, END_CHAT, json!({ "chat": chat_of(&race, place) })).await;
            assert_eq!((&ended["chat"]["status"], &ended["chat"]["closeReason"]), (&json!("FINISHED"), &json!(reason)));
            assert_eq!(node.data(&visitor, RACE, json!({ "key": key })).await["state"], state);
            let answered = node.data(&agents[place], START_CHAT, json!({ "chat": chat_of(&race, place) })).await;
            assert_eq!(answered["outcome"], "CLOSED");
        }
    }
    invariants::check(&mut app.sql().await).await;
}
