//! What must hold in the database whatever happened: each as a query for what breaks it.

use sqlx::{AssertSqlSafe, PgConnection};

const BROKEN: [(&str, &str); 13] = [
    ("two chats of a race were started", "select key from chat where started_at is not null group by company_id, key having count(*) > 1"),
    (
        "a race is won by a chat that was not started, or a started chat's race is not won",
        "select key from chat_race race full join (select * from chat where started_at is not null) chat using (company_id, key)
         where (race.state = 'WON' or chat.id is not null) and race.winner_id is distinct from chat.id",
    ),
    (
        "the opening message is not written exactly once",
        "select id from chat left join (select chat_id, count(*) as messages, min(text) as text from chat_message where opening group by chat_id) said
             on said.chat_id = chat.id
         where coalesce(messages, 0) <> (started_at is not null)::int or text <> headline",
    ),
    ("a chat's count of messages is wrong", "select id from chat where message_count <> (select count(*) from chat_message where chat_id = chat.id)"),
    ("an offer is out in a race that does not wait", "select chat.id from chat join chat_race using (company_id, key) where status = 'ACTIVE' and state <> 'WAITING'"),
    (
        "a race waits without an offer, or without a time limit",
        "select key from chat_race race where state = 'WAITING' and
             (not exists (select from chat where chat.key = race.key and status = 'ACTIVE')
              or not exists (select from timer where subject_type = 'chat_race' and subject_id = race.key::text and purpose = 'expire'))",
    ),
    (
        "a timer of an offer is absent or left over",
        "select coalesce(chat.id::text, subject_id) from (select * from chat where status = 'ACTIVE' and not missed and miss_at is not null) chat
         full join (select * from timer where subject_type = 'chat') timer on subject_id = chat.id::text
         where chat.id is null or subject_id is null",
    ),
    (
        "a timer of a race is left over",
        "select subject_id from timer where subject_type = 'chat_race' and not exists (select from chat_race where key::text = subject_id and state = 'WAITING')",
    ),
    (
        "an event version is absent or there twice",
        "select subject_id from event group by company_id, subject_type, subject_id
         having count(*) <> max(version) or min(version) <> 1 or count(distinct version) <> count(*)",
    ),
    (
        "a chat and its last event differ",
        "select chat.id from chat left join lateral
             (select version, payload from event where subject_type = 'chat' and subject_id = chat.id::text order by version desc limit 1) last on true
         where last.version is distinct from chat.version or last.payload ->> 'status' <> status or (last.payload ->> 'closeReason') is distinct from close_reason",
    ),
    (
        "a race and its last event differ",
        "select key from chat_race race left join lateral
             (select version, payload from event where subject_type = 'chat_race' and subject_id = race.key::text order by version desc limit 1) last on true
         where last.version is distinct from race.version or last.payload ->> 'state' <> state",
    ),
    ("a race was won twice", "select subject_id from event where type = 'RaceWon' group by subject_id having count(*) > 1"),
    ("a chat was started twice", "select subject_id from event where type = 'ChatStarted' group by subject_id having count(*) > 1"),
];

/// Fails where anything that must hold does not.
pub(crate) async fn check(connection: &mut PgConnection) {
    for (what, query) in BROKEN {
        let statement = format!("select array_agg(broken::text) from ({query}) as found (broken)");
        let broken: Option<Vec<String>> =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(broken, None, "{what}");
    }
}
