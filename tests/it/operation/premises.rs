//! Calls that decide without locks: what comes between their read and their write, batches of calls on one line and on
//! many, and what an uncontended pair costs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::{task::JoinHandle, time::sleep};
use uuid::Uuid;

use super::{complete, coordinate, grant, input, server};
use crate::support::{
    app::{Node, TestApp, visitor},
    chat::{CREATE_RACE, ada_and_ben, chat_of, race_input},
    client::{Answer, Client},
    locks,
    proxy::Proxy,
};

const START: &str = "mutation($chat: UUID!) { startChat(input: {chatId: $chat}) { outcome } }";

/// Calls can read lines and write none until the transaction ends.
async fn hold_writes(blocker: &mut PgConnection) -> Transaction<'_, Postgres> {
    let mut held = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table switchboard.operation_line in exclusive mode").execute(&mut *held).await.unwrap();
    held
}

/// Coordinates in the background.
fn arriving(client: &Client, token: &str, input: Value) -> JoinHandle<Answer> {
    let (client, token) = (client.clone(), token.to_owned());
    tokio::spawn(async move { coordinate(&client, &token, input).await })
}

fn completing(client: &Client, token: &str, held: &Value) -> JoinHandle<bool> {
    let (client, token, held) = (client.clone(), token.to_owned(), held.clone());
    tokio::spawn(async move { complete(&client, &token, &held).await })
}

fn granted(answer: &Answer) -> Option<&str> {
    answer["data"]["coordinateChatCall"]["grant"]["fencingToken"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_servers_that_read_a_free_line_one_is_granted_it() {
    let app = TestApp::new().await;
    let nodes = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let chats = ["new", "known"];
    let known = grant(&nodes.0, &backend, input("START_CHAT", "before", "known")).await;
    assert!(complete(&nodes.0, &backend, &known).await);
    for chat in chats {
        let (mut blocker, mut sql) = (app.sql().await, app.sql().await);
        let held = hold_writes(&mut blocker).await;
        let calls: Vec<_> = [&nodes.0, &nodes.1]
            .iter()
            .enumerate()
            .map(|(number, node)| arriving(node, &backend, input("START_CHAT", &number.to_string(), chat)))
            .collect();
        // Both have read that the line is free.
        locks::until_waiting(&mut sql, 2).await;
        held.rollback().await.unwrap();
        let answers: Vec<Answer> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        let refused: Vec<&str> = answers.iter().map(Answer::code).filter(|code| !code.is_empty()).collect();
        assert_eq!(refused, ["OPERATION_IN_PROGRESS"], "{chat}: {answers:?}");
        assert_eq!(answers.iter().filter_map(granted).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_completion_that_was_decided_before_its_lease_ended_releases_nobody_elses_line() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let mut short = input("START_CHAT", "short", "chat-1");
    short["leaseMs"] = json!(400);
    let ending = grant(&one, &backend, short).await;
    let (mut blocker, mut sql) = (app.sql().await, app.sql().await);
    let held = hold_writes(&mut blocker).await;
    let completion = completing(&one, &backend, &ending);
    locks::until_waiting(&mut sql, 1).await;
    sleep(Duration::from_millis(500)).await;
    // The other server reads that the lease has ended, and takes the line from its holder.
    let next = arriving(&two, &backend, input("START_CHAT", "next", "chat-1"));
    locks::until_waiting(&mut sql, 2).await;
    held.rollback().await.unwrap();
    let (completed, next) = (completion.await.unwrap(), next.await.unwrap());
    assert!(granted(&next) > ending["fencingToken"].as_str(), "{next:?}");
    let (by_its_caller, holder): (bool, String) = sqlx::query_as(
        "select request.completed_by is not null, held.request_id
         from operation_request as request join operation_line as held using (company_id, chat_id)
         where request.request_id = 'short'",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert_eq!(by_its_caller, completed, "one of the two writes released the line");
    assert_eq!(holder, "next");
    assert_eq!(coordinate(&one, &backend, input("START_CHAT", "late", "chat-1")).await.code(), "OPERATION_IN_PROGRESS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_waiter_that_arrives_beside_a_release_is_granted_the_line_or_finds_it_free() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    for release_first in [true, false] {
        let chat = format!("chat-{release_first}");
        let ending = grant(&one, &backend, input("START_CHAT", "ending", &chat)).await;
        let (mut blocker, mut sql) = (app.sql().await, app.sql().await);
        let held = hold_writes(&mut blocker).await;
        let arrive = || arriving(&two, &backend, input("END_CHAT", "arriving", &chat));
        let (release, arrival) = if release_first {
            let release = completing(&one, &backend, &ending);
            locks::until_waiting(&mut sql, 1).await;
            (release, arrive())
        } else {
            let arrival = arrive();
            locks::until_waiting(&mut sql, 1).await;
            (completing(&one, &backend, &ending), arrival)
        };
        locks::until_waiting(&mut sql, 2).await;
        held.rollback().await.unwrap();
        assert!(release.await.unwrap());
        let arrival = arrival.await.unwrap();
        assert!(granted(&arrival) > ending["fencingToken"].as_str(), "{arrival:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_that_was_decided_beside_a_grant_comes_before_it_or_waits_for_it() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (backend, [ada, _]) = (server("backend"), ada_and_ben());
    let chat = {
        let race = one.data(&visitor("eve"), CREATE_RACE, race_input(Uuid::now_v7())).await["race"].take();
        chat_of(&race, 0).to_string()
    };
    // The race is marked already: only its revision tells of the next grant.
    let first = grant(&one, &backend, input("END_CHAT", "first", &chat)).await;
    assert!(complete(&one, &backend, &first).await);
    let (mut blocker, mut sql) = (app.sql().await, app.sql().await);
    let mut held = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table switchboard.chat_race in exclusive mode").execute(&mut *held).await.unwrap();
    let second = arriving(&one, &backend, input("END_CHAT", "second", &chat));
    locks::until_waiting(&mut sql, 1).await;
    let start = {
        let (two, chat) = (Client::clone(&two), chat.clone());
        tokio::spawn(async move { two.data(&ada, START, json!({ "chat": chat })).await })
    };
    locks::until_waiting(&mut sql, 2).await;
    held.rollback().await.unwrap();
    let second = second.await.unwrap();
    let held = second["data"]["coordinateChatCall"]["grant"].clone();
    assert!(!held.is_null(), "{second:?}");
    // Its write was the first, or it waits as long as somebody else holds the line.
    let waits = "select exists (select 1 from operation_request where call_type = 'START_CHAT' and place is not null)";
    while !start.is_finished() && !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut sql).await.unwrap() {
        sleep(Duration::from_millis(10)).await;
    }
    if !start.is_finished() {
        let status: String = sqlx::query_scalar("select status from chat where id::text = $1")
            .bind(&chat)
            .fetch_one(&mut sql)
            .await
            .unwrap();
        assert_eq!(status, "ACTIVE", "nothing starts inside somebody else's grant");
    }
    assert!(complete(&one, &backend, &held).await);
    assert_eq!(start.await.unwrap()["outcome"], "STARTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_of_one_batch_on_one_line_and_on_many_have_their_own_outcomes() {
    const OTHERS: usize = 30;
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let first = grant(&node, &backend, input("START_CHAT", "first", "hot")).await;
    let before: i64 = commits_with_lines(&app).await;
    let (mut blocker, mut sql) = (app.sql().await, app.sql().await);
    let held = hold_writes(&mut blocker).await;
    // The first batch is stuck; the others gather behind it, in the order in which they come.
    let stuck = arriving(&node, &backend, input("START_CHAT", "stuck", "stuck"));
    locks::until_waiting(&mut sql, 1).await;
    let turn = |request: String, call_type: &'static str| {
        let (client, token) = (Client::clone(&node), backend.clone());
        tokio::spawn(async move {
            let answer = coordinate(&client, &token, input(call_type, &request, "hot")).await;
            let held = answer["data"]["coordinateChatCall"]["grant"].clone();
            assert_eq!(!held.is_null() && complete(&client, &token, &held).await, answer.code().is_empty());
            answer
        })
    };
    let waiting: Vec<_> = (0..4).map(|number| turn(format!("waiter {number}"), "END_CHAT")).collect();
    let same = turn("same".to_owned(), "START_CHAT");
    let others: Vec<_> = (0..OTHERS)
        .map(|number| arriving(&node, &backend, input("START_CHAT", "other", &format!("other-{number}"))))
        .collect();
    sleep(Duration::from_millis(300)).await;
    let release = completing(&node, &backend, &first);
    sleep(Duration::from_millis(100)).await;
    held.rollback().await.unwrap();
    assert!(granted(&stuck.await.unwrap()).is_some());
    for other in others {
        assert!(granted(&other.await.unwrap()).is_some(), "a line of its own");
    }
    assert!(release.await.unwrap());
    let mut tokens = Vec::new();
    for waiter in waiting {
        let answer = waiter.await.unwrap();
        // On a slow machine it comes only when another call of its type holds the line.
        assert!(granted(&answer).is_some() || answer.code() == "OPERATION_IN_PROGRESS", "{answer:?}");
        tokens.extend(granted(&answer).map(str::to_owned));
    }
    let turns = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert!(turns > 0 && tokens.len() == turns, "each in its turn: {tokens:?}");
    let same = same.await.unwrap();
    assert!(granted(&same).is_some() || same.code() == "OPERATION_IN_PROGRESS", "{same:?}");
    let commits = commits_with_lines(&app).await - before;
    println!("{commits} writes for {} calls", OTHERS + 11);
    let holds: Vec<(i64, i64)> = sqlx::query_as(
        "select count(*), count(*) filter (where type like '%_Start') from event where subject_id = 'hot'
         group by payload ->> 'requestId'",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert!(holds.iter().all(|hold| *hold == (2, 1)), "each wait has a beginning and an end: {holds:?}");
}

/// How many transactions have written the lines that there are.
async fn commits_with_lines(app: &TestApp) -> i64 {
    let mut sql = app.sql().await;
    sqlx::query_scalar("select count(distinct xmin::text) from operation_line").fetch_one(&mut sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_uncontended_pair_costs_four_statements_and_no_transaction_around_them() {
    const PAIRS: u64 = 50;
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.database.options()).await;
    let node = Node::start(proxy.options(&app.database.options()), &[]).await;
    let backend = server("backend");
    let (before, began) = (proxy.statements(), Instant::now());
    for number in 0..PAIRS {
        let held = grant(&node, &backend, input("START_CHAT", "only", &format!("chat-{number}"))).await;
        assert!(complete(&node, &backend, &held).await);
    }
    let (statements, took) = (proxy.statements() - before, began.elapsed());
    println!("{statements} statements for {PAIRS} pairs in {took:?}");
    // Beside them the server stamps itself alive, looks for timers and polls the log, some times a second.
    let beside = 50 + 10 * took.as_secs();
    assert!((4 * PAIRS..=4 * PAIRS + beside).contains(&statements), "{statements} statements for {PAIRS} pairs");
}
