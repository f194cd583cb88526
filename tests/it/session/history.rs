//! Histories: what many callers over two servers and SQL were answered and told, checked against each other.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CHANGED, PING, caller, dice::Dice, participant, ping, recover, select, state};
use crate::support::{
    app::{Node, TestApp},
    client::Client,
};

/// One user that does this and that; the (epoch, provider) of each answer, in order.
async fn live(client: &Client, user: &str, seed: u64) -> Vec<(i64, String)> {
    let mut dice = Dice(seed);
    let mut known = (1, "daily".to_owned());
    let mut answers = Vec::new();
    for _ in 0..25 {
        let answer = match dice.roll(4) {
            0 => {
                let answer = select(client, "s", user, "p2p").await;
                (answer["epoch"].clone(), answer["provider"].clone())
            }
            1 => {
                let answer = state(client, "s", user, "CONNECTED", &known.1).await["session"].take();
                (answer["epoch"].clone(), answer["activeProvider"].clone())
            }
            2 => {
                let epoch = (dice.roll(3) > 0).then(|| i32::try_from(known.0).unwrap());
                let answer = recover(client, "s", user, &known.1, epoch, "FAILURE").await;
                (answer["epoch"].clone(), answer["newProvider"].clone())
            }
            _ => {
                client.run(&participant("s", user), PING, ping("s", user)).await;
                continue;
            }
        };
        known = (answer.0.as_i64().unwrap(), answer.1.as_str().unwrap().to_owned());
        answers.push(known.clone());
    }
    answers
}

#[tokio::test]
async fn nobody_sees_two_providers_in_one_epoch() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    select(&nodes[0], "s", "u0", "daily").await;
    let mut stream = nodes[1].subscribe(&participant("s", "u0"), CHANGED, json!({ "id": "s" })).await;
    let mut told: Vec<(i64, i64, String)> = Vec::new();
    for record in stream.ready().await {
        told.push(heard(&record));
    }
    let users: Vec<String> = (0..16).map(|n| format!("u{n}")).collect();
    let lives = users.iter().zip(0..).map(|(user, seed)| {
        let node: &Node = &nodes[usize::from(seed % 2 == 0)];
        live(node, user, seed)
    });
    let answers = join_all(lives).await;

    // One provider an epoch, in all answers together; the epochs that one user sees only grow.
    let mut providers: BTreeMap<i64, String> = BTreeMap::new();
    for answers in &answers {
        assert!(answers.is_sorted_by_key(|(epoch, _)| *epoch), "{answers:?}");
        for (epoch, provider) in answers {
            assert_eq!(providers.entry(*epoch).or_insert_with(|| provider.clone()), provider, "epoch {epoch}");
        }
    }
    // The stream was sent every epoch, and nothing that was not committed.
    let mut sql = caller(&app).await;
    let (epoch, version): (i32, i32) =
        sqlx::query_as("select epoch, version from session_coordination where session_id = 's'")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    while told.last().is_none_or(|last| last.0 < i64::from(version)) {
        told.push(heard(&stream.event().await["record"]));
    }
    assert!(epoch > 2, "something happened: {epoch}");
    assert!(told.windows(2).all(|pair| pair[1].0 > pair[0].0 && pair[1].1 - pair[0].1 <= 1), "no epoch is missing");
    let epochs: BTreeMap<i64, String> = told.into_iter().map(|(_, epoch, provider)| (epoch, provider)).collect();
    assert_eq!(epochs.len(), usize::try_from(epoch).unwrap(), "every epoch was told");
    for (epoch, provider) in &providers {
        assert_eq!(epochs.get(epoch), Some(provider));
    }
    for node in nodes {
        node.stop().await;
    }
}

fn heard(record: &Value) -> (i64, i64, String) {
    (
        record["version"].as_i64().unwrap(),
        record["epoch"].as_i64().unwrap(),
        record["activeProvider"].as_str().unwrap().to_owned(),
    )
}
