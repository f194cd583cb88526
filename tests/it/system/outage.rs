//! The database goes away and comes back: requests get UNAVAILABLE meanwhile, and subscriptions lose no event.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Connection as _;
use switchboard::{
    demo,
    platform::{error::RETRY_AFTER_MS, unit::UnitOfWork},
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::{
    app::{Node, service, visitor},
    chat::{CHAT_RACE, CHAT_STATUS, CREATE_RACE, START_CHAT, ada_and_ben, chat_of, race_input, status_change},
    client::{Answer, Client},
    cluster::OwnCluster,
    invariants,
};

/// Waits until `/ready` has this status.
async fn until_ready_is(node: &Client, status: u16) {
    let waiting = async {
        while node.status("/ready").await != status {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("/ready does not become {status}"));
}

/// A cluster of its own with the demo company, since it is to be crashed.
async fn seeded() -> OwnCluster {
    let cluster = OwnCluster::start().await;
    let pool = sqlx::PgPool::connect_with(cluster.options()).await.unwrap();
    let work = UnitOfWork::detached(pool);
    demo::seed(&work).await.unwrap();
    work.close().await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_died_fail_no_request() {
    let mut cluster = seeded().await;
    let node = Node::start(cluster.options(), &[]).await;
    let eve = visitor("eve");
    let opened = |answers: Vec<Answer>| {
        let codes: Vec<String> = answers.iter().map(|answer| answer.code().to_owned()).collect();
        assert_eq!(codes, [""; 12], "{answers:?}");
    };
    // Concurrent requests, so that the pool opens several connections.
    let many = || join_all((0..12).map(|_| node.run(&eve, CREATE_RACE, race_input(Uuid::new_v4()))));
    opened(many().await);
    let since = Instant::now();

    cluster.crash().await;
    cluster.start_again().await;
    // The pool does not check connections that were used within the last second.
    sleep(Duration::from_millis(1_100).saturating_sub(since.elapsed())).await;
    opened(many().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_get_unavailable_during_an_outage_and_subscriptions_catch_up_after_it() {
    let mut cluster = seeded().await;
    let node = Node::start(cluster.options(), &["--database-acquire-timeout", "100ms"]).await;
    let (eve, [ada, _]) = (visitor("eve"), ada_and_ben());
    let [before, after] = [Uuid::new_v4(), Uuid::new_v4()];
    let race = node.data(&eve, CREATE_RACE, race_input(before)).await["race"].take();
    let mut of_ada = node.subscribe(&ada, CHAT_STATUS, json!({})).await;
    assert_eq!(of_ada.ready().await.len(), 1);
    let mut of_eve = node.subscribe(&eve, CHAT_RACE, json!({ "key": before })).await;
    of_eve.ready().await;
    assert_eq!((node.status("/live").await, node.status("/ready").await), (200, 200));

    cluster.crash().await;
    until_ready_is(&node, 503).await;
    // Several times, so that every connection of the pool is found dead.
    for _ in 0..20 {
        let answer = node.run(&ada, START_CHAT, json!({ "chat": chat_of(&race, 0) })).await;
        assert_eq!((answer.status, answer.code()), (503, "UNAVAILABLE"), "{answer:?}");
        assert_eq!(answer["errors"][0]["extensions"]["retryAfterMs"], RETRY_AFTER_MS);
        assert_eq!(node.status("/live").await, 200);
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(!message.contains("connect"), "internal text in the message: {message}");
    }
    let mut refused = node.subscribe(&eve, CHAT_STATUS, json!({})).await;
    assert_eq!(refused.payload().await["errors"][0]["extensions"]["code"], "UNAVAILABLE");

    // Changes happen on another server before this one has reconnected.
    cluster.start_again().await;
    let other = Node::start(cluster.options(), &[]).await;
    assert_eq!(other.data(&ada, START_CHAT, json!({ "chat": chat_of(&race, 0) })).await["outcome"], "STARTED");
    let new = other.data(&eve, CREATE_RACE, race_input(after)).await["race"].take();
    // The subscriptions are still open and receive every change, in order.
    assert_eq!(status_change(&of_ada.event().await), (chat_of(&race, 0), "UPDATE", "STARTED", "", 2));
    assert_eq!(status_change(&of_ada.event().await), (chat_of(&new, 0), "INSERT", "ACTIVE", "", 1));
    let won = of_eve.event().await;
    assert_eq!(
        (&won["operation"], &won["record"]["state"], &won["resync"]),
        (&json!("UPDATE"), &json!("WON"), &json!(false))
    );
    until_ready_is(&node, 200).await;
    let started = node.data(&service(), START_CHAT, json!({ "chat": chat_of(&new, 0) })).await;
    assert_eq!(started["outcome"], "STARTED");
    assert_eq!(status_change(&of_ada.event().await), (chat_of(&new, 0), "UPDATE", "STARTED", "", 2));
    let mut connection = sqlx::PgConnection::connect_with(&cluster.options()).await.unwrap();
    invariants::check(&mut connection).await;
}
