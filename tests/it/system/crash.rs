//! Servers that are killed at any moment and servers that are stopped. All are processes of their own.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{
        CHAT_STATUS, CREATE_CHAT, CREATE_RACE, END_CHAT, RACE, START_CHAT, ada_and_ben, chat_input, chat_of,
        contract_of, id, race_input,
    },
    client::Client,
    invariants,
    locks::until_waiting,
    process::Process,
};

const WORKERS: usize = 6;
/// Each worker's races: so many, and more until the last kill.
const RACES: usize = 12;
const MOST_RACES: usize = 500;
/// A server is killed after this many more responses. Primes, so that no two kills fall on the same step.
const KILLS: [usize; 6] = [7, 23, 11, 37, 5, 53];

/// The two servers as their clients know them, the number of responses, and whether the last server was killed.
struct Site {
    servers: [watch::Sender<Client>; 2],
    answers: watch::Sender<usize>,
    is_over: AtomicBool,
}

impl Site {
    /// Runs what must succeed in the end, on one server and then another, again and again, as a client that lost the
    /// answer does.
    async fn insist(&self, mut place: usize, token: &str, document: &str, variables: Value) -> Value {
        loop {
            let mut server = self.servers[place % 2].subscribe();
            let client = server.borrow_and_update().clone();
            match client.try_run(token, document, variables.clone()).await {
                Ok(mut answer) if answer.code().is_empty() => {
                    self.answers.send_modify(|answers| *answers += 1);
                    let fields = answer.body["data"].as_object_mut().unwrap();
                    return fields.values_mut().next().unwrap().take();
                }
                Ok(answer) => assert_eq!(answer.code(), "UNAVAILABLE", "{answer:?}"),
                // Broken off or refused: it is gone. The other one may be there.
                Err(_) => {
                    place += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// One customer after another, each with a whole race, until the last server was killed; returns the winners that the
    /// servers reported.
    async fn work(&self, worker: usize) -> HashMap<Uuid, Vec<Uuid>> {
        let (eve, agents) = (visitor(&format!("visitor {worker}")), ada_and_ben());
        let mut told = HashMap::new();
        for number in 0..MOST_RACES {
            if number >= RACES && self.is_over.load(Ordering::SeqCst) {
                break;
            }
            let (key, place) = (Uuid::new_v4(), worker + number);
            let race = self.insist(place, &eve, CREATE_RACE, race_input(key)).await["race"].take();
            let chats = [chat_of(&race, 0), chat_of(&race, 1)];
            let answers =
                join_all([0, 1].map(|agent| {
                    self.insist(place + agent, &agents[agent], START_CHAT, json!({ "chat": chats[agent] }))
                }));
            let mut winners = Vec::new();
            for (answer, chat) in answers.await.iter().zip(chats) {
                match answer["outcome"].as_str().unwrap() {
                    "STARTED" | "ALREADY_STARTED" => winners.push(chat),
                    outcome => assert_eq!(outcome, "LOST_RACE"),
                }
            }
            if number % 2 == 0 {
                self.insist(place + 1, &eve, END_CHAT, json!({ "chat": winners[0] })).await;
            }
            told.insert(key, winners);
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_9_at_any_moment_loses_and_repeats_no_effect() {
    let app = TestApp::new().await;
    let url = app.database.url();
    let (first, second) = tokio::join!(Process::serve(&url, &[]), Process::serve(&url, &[]));
    let site = Arc::new(Site {
        servers: [watch::Sender::new(first.client.clone()), watch::Sender::new(second.client.clone())],
        answers: watch::Sender::new(0),
        is_over: AtomicBool::new(false),
    });
    let killing = {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let mut running = [Some(first), Some(second)];
            let mut answers = site.answers.subscribe();
            for (number, more) in KILLS.into_iter().enumerate() {
                let goal = *answers.borrow_and_update() + more;
                answers.wait_for(|answers| *answers >= goal).await.unwrap();
                running[number % 2].take().unwrap().kill().await;
                let again = Process::serve(&url, &[]).await;
                site.servers[number % 2].send_replace(again.client.clone());
                running[number % 2] = Some(again);
            }
            site.is_over.store(true, Ordering::SeqCst);
            running
        })
    };
    let workers = (0..WORKERS).map(|worker| {
        let site = Arc::clone(&site);
        tokio::spawn(async move { site.work(worker).await })
    });
    let told: Vec<_> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    let running = killing.await.unwrap();
    let mut connection = app.sql().await;
    invariants::check(&mut connection).await;
    assert!(told.len() >= WORKERS * RACES, "{} races", told.len());
    let stored: Vec<(Uuid, Uuid)> = sqlx::query_as("select key, winner_id from chat_race where state = 'WON'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let stored: HashMap<Uuid, Uuid> = stored.into_iter().collect();
    for (key, winners) in told {
        assert_eq!(winners, [stored[&key]], "what was answered is what is stored");
    }
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_of_a_killed_server_fire_on_the_next() {
    let app = TestApp::new().await;
    let eve = visitor("eve");
    let first = Process::serve(&app.database.url(), &[]).await;
    let key = Uuid::new_v4();
    first.client.data(&eve, CREATE_RACE, race_input(key)).await;
    let cursor = first.client.data(&eve, "{ logCursor }", json!({})).await;
    first.kill().await;
    app.advance(60).await;
    let second = Process::serve(&app.database.url(), &[]).await;
    let mut stream = second.client.subscribe(&eve, CHAT_STATUS, json!({ "key": key, "after": cursor })).await;
    for _ in 0..2 {
        let missed = stream.until(|event| event["operation"] == "UPDATE").await.pop().unwrap();
        assert_eq!((&missed["record"]["missed"], &missed["record"]["version"]), (&json!(true), &json!(2)));
    }
    invariants::check(&mut app.sql().await).await;
}

/// A request that is under way for as long as the test holds the lock of its race.
struct Held {
    holder: sqlx::PgConnection,
    request: tokio::task::JoinHandle<reqwest::Result<crate::support::client::Answer>>,
    chat: Uuid,
    key: Uuid,
}

async fn hold(app: &TestApp, client: &Client) -> Held {
    let (key, eve) = (Uuid::new_v4(), visitor("eve"));
    let created = client.data(&eve, CREATE_CHAT, chat_input(key, contract_of(0, 1))).await;
    let chat = id(&created["chat"]["id"]);
    let mut holder = app.sql().await;
    holder.execute("begin").await.unwrap();
    sqlx::query("select from chat_race where key = $1 for update").bind(key).execute(&mut holder).await.unwrap();
    let (client, [ada, _]) = (client.clone(), ada_and_ben());
    let request = tokio::spawn(async move { client.try_run(&ada, START_CHAT, json!({ "chat": chat })).await });
    let mut observer = app.sql().await;
    until_waiting(&mut observer, 1).await;
    Held { holder, request, chat, key }
}

/// Waits until nobody accepts at `address`: the listener closes at the same signal as the sockets, in either order.
async fn until_refused(address: std::net::SocketAddr) {
    let refused = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), refused).await.expect("the listener stays open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sigterm_drains_and_the_exit_code_is_zero() {
    let app = TestApp::new().await;
    let mut server = Process::serve(&app.database.url(), &["--drain-timeout", "1m"]).await;
    let mut socket = server.client.socket(&visitor("eve")).await;
    let Held { mut holder, request, chat, key } = hold(&app, &server.client).await;
    server.signal("TERM").await;
    assert_eq!(socket.closed().await.0, 1001);
    until_refused(server.client.address).await;
    holder.execute("commit").await.unwrap();
    let answer = request.await.unwrap().unwrap();
    assert_eq!((answer.status, &answer["data"]["startChat"]["outcome"]), (200, &json!("STARTED")));
    assert_eq!(server.ended().await.code(), Some(0));

    let next = Process::serve(&app.database.url(), &[]).await;
    let race = next.client.data(&visitor("eve"), RACE, json!({ "key": key })).await;
    assert_eq!(race["winner"]["id"], json!(chat));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_sigterm_stops_at_once() {
    let app = TestApp::new().await;
    let flags = ["--drain-timeout", "10m", "--lock-timeout", "10m", "--statement-timeout", "10m"];
    let mut server = Process::serve(&app.database.url(), &flags).await;
    let mut socket = server.client.socket(&visitor("eve")).await;
    let Held { mut holder, request, chat, .. } = hold(&app, &server.client).await;
    server.signal("TERM").await;
    assert_eq!(socket.closed().await.0, 1001);
    server.signal("TERM").await;
    // The lock is held on: what ends here was not waited for.
    let told = std::time::Instant::now();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(told.elapsed().as_secs() < 5, "{:?}", told.elapsed());
    assert!(request.await.unwrap().is_err(), "the request was broken off");
    holder.execute("commit").await.unwrap();
    holder.close().await.unwrap();
    // Whether it still had its effect or not, it is whole, and asking again succeeds.
    let next = Process::serve(&app.database.url(), &[]).await;
    let outcome = next.client.data(&ada_and_ben()[0], START_CHAT, json!({ "chat": chat })).await["outcome"].take();
    assert!(outcome == "STARTED" || outcome == "ALREADY_STARTED", "{outcome}");
    invariants::check(&mut app.sql().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_closed_log_pipe_serves_requests_and_stops_on_sigterm() {
    let app = TestApp::new().await;
    let mut server = Process::serve(&app.database.url(), &[]).await;
    server.stop_listening().await;
    let (mut sql, eve) = (app.sql().await, visitor("eve"));
    let asked = json!({ "key": Uuid::new_v4() });
    sql.execute("alter table chat_race rename to missing").await.unwrap();
    // A fault of the server's: it has something to log.
    assert_eq!(server.client.code(&eve, RACE, asked.clone()).await, "INTERNAL_SERVER_ERROR");
    sql.execute("alter table missing rename to chat_race").await.unwrap();
    assert_eq!(server.client.run(&eve, RACE, asked).await.body, json!({ "data": { "chatRace": null } }));
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code(), Some(0));
}
