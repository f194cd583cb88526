//! Two opposing calls on two servers, stopped at each statement in turn.
//!
//! A third connection holds a table in EXCLUSIVE mode: the first call runs until it wants to lock or write there,
//! keeping what it has locked so far; the second runs until it meets the first, or the table. Then the table is given
//! back. Whatever the order, the invariants hold.

use async_graphql::MaybeUndefined;
use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection as _};
use switchboard::chat::{
    NewChat,
    contract::ContractPatch,
    rules::{ChatStatus, CloseReason, RaceState, StartOutcome},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::company::{Company, request};

/// Every table that a call locks or writes, in the order in which they do.
const TABLES: [&str; 7] = ["contract", "agent", "chat_race", "chat", "chat_message", "timer", "event"];

/// Runs `first` until it cannot go on because of `table`, then `second` likewise, then lets both go on.
async fn interleave<A: Send + 'static, B: Send + 'static>(
    company: &Company,
    table: &str,
    first: BoxFuture<'static, A>,
    second: BoxFuture<'static, B>,
) -> (A, B) {
    let mut blocker = company.sql().await;
    let mut held = blocker.begin().await.unwrap();
    let lock = format!("lock table switchboard.{table} in exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *held).await.unwrap();
    let first = tokio::spawn(first);
    until_stuck(company, || usize::from(first.is_finished()), 1).await;
    let second = tokio::spawn(second);
    until_stuck(company, || finished(&first) + finished(&second), 2).await;
    held.rollback().await.unwrap();
    (first.await.unwrap(), second.await.unwrap())
}

fn finished<T>(task: &JoinHandle<T>) -> usize {
    usize::from(task.is_finished())
}

/// Returns when each of `calls` has finished or waits for a lock.
async fn until_stuck(company: &Company, finished: impl Fn() -> usize, calls: usize) {
    loop {
        let before = finished();
        let waiting = company
            .count(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await;
        if before + usize::try_from(waiting).unwrap() >= calls {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_meets_a_start_is_withdrawn_or_created_finished() {
    let company = Company::new().await;
    let contracts = company.contracts(2).await;
    let visitor = company.visitor("ada");
    for table in TABLES {
        for offer_first in [true, false] {
            let key = Uuid::now_v7();
            let chat = company.offer(&visitor, &contracts[0], key).await.unwrap();
            let [server, other] = company.servers.clone();
            let (who, contract_id) = (visitor.clone(), contracts[1].id);
            let offer = Box::pin(async move {
                server.create_chat(&who, NewChat { contract_id, key: Some(key), request: request() }).await.unwrap()
            });
            let agent = company.agent(contracts[0].agent_id);
            let answer = Box::pin(async move { other.start(&agent, chat.id).await.unwrap().outcome });
            let outcome = if offer_first {
                interleave(&company, table, offer, answer).await.1
            } else {
                interleave(&company, table, answer, offer).await.0
            };
            assert_eq!(outcome, StartOutcome::Started);
            let race = company.see(key).await;
            assert_eq!(race.record.state, RaceState::Won, "{table}");
            let late = race.chat_of(contract_id).unwrap();
            assert_eq!(
                (late.status, late.close_reason),
                (ChatStatus::Finished, Some(CloseReason::Rescinded)),
                "{table}"
            );
            company.check().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_meets_a_start_leaves_one_decision() {
    let company = Company::new().await;
    let contracts = company.contracts(1).await;
    let visitor = company.visitor("ada");
    for table in TABLES {
        for cancel_first in [true, false] {
            let chat = company.offer(&visitor, &contracts[0], Uuid::now_v7()).await.unwrap();
            let [server, other] = company.servers.clone();
            let (who, agent, id) = (visitor.clone(), company.agent(contracts[0].agent_id), chat.id);
            let cancel = Box::pin(async move { server.end(&who, id).await.unwrap().close_reason });
            let answer = Box::pin(async move { other.start(&agent, id).await.unwrap().outcome });
            let (reason, outcome) = if cancel_first {
                interleave(&company, table, cancel, answer).await
            } else {
                let (outcome, reason) = interleave(&company, table, answer, cancel).await;
                (reason, outcome)
            };
            // Either the customer left and the answer came too late, or the chat was held and then ended.
            let expected = match outcome {
                StartOutcome::Started => CloseReason::Completed,
                _ => CloseReason::Canceled,
            };
            assert_eq!(reason, Some(expected), "{table}");
            company.check().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_meets_a_change_of_agent_goes_to_the_new_one() {
    let company = Company::new().await;
    let contract = company.contract(1, None).await;
    let visitor = company.visitor("ada");
    for table in TABLES {
        for offer_first in [true, false] {
            let new_agent = Uuid::now_v7();
            let [server, other] = company.servers.clone();
            let (who, service, id) = (visitor.clone(), company.service.clone(), contract.id);
            let new = NewChat { contract_id: id, key: None, request: request() };
            let offer = Box::pin(async move { server.create_chat(&who, new).await.unwrap().id });
            let patch = ContractPatch { agent_id: MaybeUndefined::Value(new_agent), ..ContractPatch::default() };
            let change = Box::pin(async move { other.update_contract(&service, id, &patch).await.unwrap().version });
            let chat_id = if offer_first {
                interleave(&company, table, offer, change).await.0
            } else {
                interleave(&company, table, change, offer).await.1
            };
            let chat = company.servers[0].chat(&company.agent(Some(new_agent)), chat_id).await.unwrap();
            assert_eq!(chat.unwrap().status, ChatStatus::Active, "{table}");
            company.check().await;
        }
    }
}
