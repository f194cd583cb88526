//! The plans of the batches' statements, which sessions make once and keep, look rows up by their whole keys: also when they
//! were made on tables that were empty or small then.

use uuid::Uuid;

use super::company::Company;
use crate::support::plans::{assert_whole_keys, plan, session};

const STATEMENTS: [&str; 20] = [
    "src/chat/sql/read_races.sql",
    "src/chat/sql/lock_races.sql",
    "src/chat/sql/lock_chats.sql",
    "src/chat/sql/try_lock_races.sql",
    "src/chat/sql/try_lock_chats.sql",
    "src/chat/sql/insert_races.sql",
    "src/chat/sql/update_races.sql",
    "src/chat/sql/chats_of_races.sql",
    "src/chat/sql/waiting_races.sql",
    "src/chat/sql/newest_started_chat_of_visitor.sql",
    "src/chat/sql/newest_ended_chat_of_visitor.sql",
    "src/chat/sql/pin_race.sql",
    "src/chat/sql/delete_dead_pins.sql",
    "src/platform/timer/sql/take_timers.sql",
    "src/chat/contract/sql/find_contracts.sql",
    "src/chat/message/sql/read_chats.sql",
    "src/chat/message/sql/known_messages.sql",
    "src/chat/message/sql/opening_messages.sql",
    "src/chat/message/sql/write_messages.sql",
    "src/platform/unit/sql/write_changes.sql",
];

#[tokio::test]
async fn batches_look_rows_up_by_their_whole_keys() {
    let company = Company::new().await;
    let mut connection = session(&company.database.options()).await;
    for size in ["empty", "small"] {
        if size == "small" {
            let contracts = company.contracts(2).await;
            for _ in 0..60 {
                let chat = company.offer(&company.visitor("ada"), &contracts[0], Uuid::now_v7()).await.unwrap();
                company.servers[0].start(&company.agent(chat.agent_id), chat.id).await.unwrap();
            }
            sqlx::raw_sql("analyze").execute(&mut connection).await.unwrap();
        }
        assert_whole_keys(&mut connection, size, &STATEMENTS).await;
        for file in ["src/platform/timer/sql/due_timers.sql", "src/platform/timer/sql/next_due.sql"] {
            let plan = plan(&mut connection, file).await;
            let range = plan.lines().skip_while(|line| !line.contains(" using timer_due on timer")).nth(1);
            assert!(
                range.is_some_and(|range| range.contains("Index Cond") && range.contains("due_at")),
                "{size}, {file}: {plan}"
            );
        }
    }
}
