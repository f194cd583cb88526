//! What happened in the queues of a database, in the order in which it happened.
//!
//! Triggers write down each change of a limit, a line, an item and a slot. Those are made under the lock of their company's
//! slots, so the numbers of the rows are in the order of that lock, and the rows of one transaction are beside each other.

use sqlx::{PgConnection, PgPool, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

const TRIGGERS: &str = "
    create schema recorder;
    create table recorder.history (
        seq        bigint generated always as identity primary key,
        xid        bigint not null default pg_current_xact_id()::text::bigint,
        at         timestamptz not null,
        company_id uuid not null,
        what       text not null,
        user_id    text,
        line_id    uuid,
        item_id    uuid,
        call_id    uuid,
        number     bigint
    );
    create index history_company on recorder.history (company_id, seq);

    create function recorder.slots() returns trigger language plpgsql as $$
    begin
        insert into recorder.history (at, company_id, what, number)
        values (switchboard.now(), new.company_id, 'system limit', new.system_limit);
        return null;
    end $$;
    create trigger recorder after update of system_limit on switchboard.call_slots
        for each row execute function recorder.slots();

    create function recorder.users() returns trigger language plpgsql as $$
    begin
        insert into recorder.history (at, company_id, what, user_id, number)
        values (switchboard.now(), new.company_id, 'limit', new.user_id, new.call_limit);
        return null;
    end $$;
    create trigger recorder after update of call_limit on switchboard.call_queue_user
        for each row execute function recorder.users();

    create function recorder.lines() returns trigger language plpgsql as $$
    begin
        if tg_op = 'INSERT' then
            insert into recorder.history (at, company_id, what, user_id, line_id, number)
            values (switchboard.now(), new.company_id, 'line', new.user_id, new.id, (new.campaign_id is not null)::integer);
        elsif new.canceled_through is distinct from old.canceled_through then
            insert into recorder.history (at, company_id, what, user_id, line_id, number)
            values (switchboard.now(), new.company_id, 'line canceled', new.user_id, new.id, new.canceled_through);
        elsif new.is_open <> old.is_open then
            insert into recorder.history (at, company_id, what, user_id, line_id, number)
            values (switchboard.now(), new.company_id, 'open', new.user_id, new.id, new.is_open::integer);
        end if;
        return null;
    end $$;
    create trigger recorder after insert or update of is_open, canceled_through on switchboard.call_queue_line
        for each row execute function recorder.lines();

    create function recorder.items() returns trigger language plpgsql as $$
    declare
        v_before text := case when tg_op = 'UPDATE' then old.status end;
    begin
        if v_before = new.status and (tg_op = 'INSERT' or old.number is not distinct from new.number) then
            return null;
        end if;
        insert into recorder.history (at, company_id, what, user_id, line_id, item_id, call_id, number)
        values (
            case
                when tg_op = 'INSERT' then new.queued_at
                when new.status = 'PROCESSING' then new.left_at
                else switchboard.now() end,
            new.company_id,
            case
                when new.status = 'QUEUED' and new.number is null then 'retry'
                when new.status = 'QUEUED' then 'queued'
                when new.status = 'PROCESSING' then 'dispatched'
                when v_before = 'QUEUED' then 'canceled'
                else 'ended' end,
            new.user_id, new.line_id, new.id, new.call_id, new.number);
        return null;
    end $$;
    create trigger recorder after insert or update of status, number on switchboard.call_queue
        for each row execute function recorder.items();

    create function recorder.calls() returns trigger language plpgsql as $$
    declare
        v_slot switchboard.active_calls := case when tg_op = 'INSERT' then new else old end;
    begin
        insert into recorder.history (at, company_id, what, user_id, item_id, call_id)
        values (switchboard.now(), v_slot.company_id, case when tg_op = 'INSERT' then 'taken' else 'freed' end,
            v_slot.user_id, v_slot.queue_id, v_slot.call_id);
        return null;
    end $$;
    create trigger recorder after insert or delete on switchboard.active_calls
        for each row execute function recorder.calls();
";

/// One change of a limit, a line, an item or a slot, as a trigger wrote it down.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub(super) seq: i64,
    /// Changes of one transaction have one.
    pub(super) xid: i64,
    pub(super) at: OffsetDateTime,
    pub(super) what: String,
    pub(super) user: String,
    pub(super) line: Uuid,
    pub(super) item: Option<Uuid>,
    pub(super) call: Uuid,
    /// A place in a line, a limit, or a choice.
    pub(super) number: Option<i64>,
}

impl Happened {
    /// True for an item that is dispatched, and for the slot that it takes.
    pub(super) fn is_of_dispatch(&self) -> bool {
        self.what == "dispatched" || (self.what == "taken" && self.item.is_some())
    }
}

/// Records what happens from now on.
pub(super) async fn install(connection: &mut PgConnection) {
    sqlx::raw_sql(TRIGGERS).execute(connection).await.unwrap();
}

/// What happened in a company's queue.
pub(super) async fn history(sql: &PgPool, company: Uuid) -> Vec<Happened> {
    let rows = sqlx::query(
        "select seq, xid, at, what, coalesce(user_id, '') as user_id, item_id, number,
                coalesce(line_id, '00000000-0000-0000-0000-000000000000') as line_id,
                coalesce(call_id, '00000000-0000-0000-0000-000000000000') as call_id
         from recorder.history where company_id = $1 order by seq",
    )
    .bind(company)
    .fetch_all(sql)
    .await
    .unwrap();
    let happened = |row: &sqlx::postgres::PgRow| Happened {
        seq: row.get("seq"),
        xid: row.get("xid"),
        at: row.get("at"),
        what: row.get("what"),
        user: row.get("user_id"),
        line: row.get("line_id"),
        item: row.get("item_id"),
        call: row.get("call_id"),
        number: row.get("number"),
    };
    rows.iter().map(happened).collect()
}
