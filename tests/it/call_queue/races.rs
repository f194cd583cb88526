//! Many clients on two servers race for a few slots; what happened is checked from the log.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{CANCEL, LIMIT, REPORT, initiate};
use crate::support::app::{Node, TestApp, service};

const USERS: usize = 4;
const CLIENTS: usize = 16;
const ROUNDS: usize = 12;

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn client(node: &Node, token: &str, number: usize) {
    let mut dice = Dice(number as u64 + 1);
    let mut known: Vec<Value> = Vec::new();
    for _ in 0..ROUNDS {
        let user = format!("user{}", dice.throw(USERS as u64));
        match dice.throw(8) {
            0..=3 => {
                let input = json!({ "userId": user, "agentId": "agent", "contactId": "c" });
                known.push(initiate(node, token, input).await);
            }
            4 | 5 => {
                let index = usize::try_from(dice.throw(known.len().max(1) as u64)).unwrap();
                let Some(one) = known.get(index) else { continue };
                let input = json!({ "callId": one["call"]["id"], "status": "ENDED", "endReason": "COMPLETED" });
                node.data(token, REPORT, json!({ "input": input })).await;
            }
            6 => {
                let index = usize::try_from(dice.throw(known.len().max(1) as u64)).unwrap();
                let Some(id) = known.get(index).and_then(|one| one["queueItem"]["id"].as_str()) else { continue };
                node.data(token, CANCEL, json!({ "id": id })).await;
            }
            _ => {
                let input = json!({ "userId": user, "limit": 1 + dice.throw(3), "systemLimit": 2 + dice.throw(5) });
                node.data(token, LIMIT, json!({ "input": input })).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_of_many_clients_admits_never_too_many_and_leaves_no_slot_idle() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token) = ([&one, &two], service());
    join_all((0..CLIENTS).map(|number| client(nodes[number % 2], &token, number))).await;
    let mut sql = app.sql().await;
    // Counters are what they count; no user that may be dispatched waits beside a free slot.
    let broken: i64 = sqlx::query(
        "select count(*) from switchboard.call_slots as slots
         where active <> (select count(*) from switchboard.active_calls where company_id = slots.company_id)
             or (active < coalesce(system_limit, 10) and exists (
                 select 1 from switchboard.call_queue_user where company_id = slots.company_id and may_dispatch))
             or users <> (select count(*) from switchboard.call_queue_user where company_id = slots.company_id and is_busy)",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap()
    .get(0);
    assert_eq!(broken, 0);
    let broken: i64 = sqlx::query(
        "select count(*) from switchboard.call_queue_user as owner
         join switchboard.call_queue_line as line on line.id = owner.direct_line
         where active_direct <> (select count(*) from switchboard.active_calls as slot
                 where slot.user_id = owner.user_id and slot.company_id = owner.company_id)
             or queued_direct <> (select count(*) from switchboard.call_queue as item
                 where item.user_id = owner.user_id and item.company_id = owner.company_id and status = 'QUEUED')
             or n <> queued_direct
             or may_dispatch <> (n > 0 and active_direct < coalesce(call_limit, 2))",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap()
    .get(0);
    assert_eq!(broken, 0);
    // From the log: each call is dispatched at most once, within its life, and in the order of arrival of its user.
    let events = sqlx::query(
        "select subject_id, version, type, payload ->> 'status' from switchboard.event
         where subject_type = 'call' order by subject_id, version",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    let mut lives: HashMap<String, Vec<(i32, String)>> = HashMap::new();
    for event in &events {
        lives.entry(event.get(0)).or_default().push((event.get(1), event.get(2)));
    }
    assert!(lives.len() > CLIENTS, "{} calls", lives.len());
    for (id, life) in &lives {
        let versions: Vec<i32> = life.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, (1..=i32::try_from(life.len()).unwrap()).collect::<Vec<_>>(), "{id}");
        assert!(life.iter().filter(|(_, kind)| kind == "CallDispatched").count() <= 1, "{id}: {life:?}");
    }
    let overtaken: i64 = sqlx::query(
        "select count(*) from switchboard.call_queue as first
         join switchboard.call_queue as second on second.line_id = first.line_id and second.number > first.number
         where second.status not in ('QUEUED', 'CANCELED') and first.left_at > second.left_at and first.status <> 'CANCELED'",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap()
    .get(0);
    assert_eq!(overtaken, 0, "a direct call was dispatched before one that came earlier");
}
