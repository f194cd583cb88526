//! Reading lines that are to be decided.

use std::collections::{BTreeMap, VecDeque};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    operation::{
        line::{LineKey, Row, SeenLine},
        record::Parties,
        rules::{CallType, Finished, Holder, Known, Line, Requests, Waiter},
    },
    platform::error::Result,
};

/// What a call has to know of its line.
#[derive(Debug, Clone, Copy)]
pub(in crate::operation) struct Lookup<'a> {
    pub(in crate::operation) key: &'a LineKey,
    /// Of the request that the call is about.
    pub(in crate::operation) principal: &'a str,
    pub(in crate::operation) request_id: &'a str,
    /// The call may release the line although its holder lives.
    pub(in crate::operation) may_release: bool,
}

/// A row of `read_lines.sql`: null where there is no line, no such request, no chat of ours.
struct LineRow {
    now: OffsetDateTime,
    number: i64,
    revision: Option<i64>,
    used_at: Option<OffsetDateTime>,
    version: Option<i32>,
    last_place: Option<i64>,
    last_granted: Option<i64>,
    last_token: Option<i64>,
    waiting: Option<i32>,
    start_failed: Option<bool>,
    end_failed: Option<bool>,
    call_type: Option<CallType>,
    principal: Option<String>,
    request_id: Option<String>,
    attempt: Option<Uuid>,
    granted_at: Option<OffsetDateTime>,
    expires_at: Option<OffsetDateTime>,
    claim_by: Option<OffsetDateTime>,
    held_for_ms: Option<i32>,
    website_id: Option<Uuid>,
    visitor: Option<String>,
    agent_id: Option<Uuid>,
    race_key: Option<Uuid>,
    race_revision: Option<i64>,
    own_type: Option<CallType>,
    own_place: Option<i64>,
    own_attempt: Option<Uuid>,
    own_actor: Option<String>,
    own_opposite: Option<CallType>,
    own_lease_ms: Option<i32>,
    own_began_at: Option<OffsetDateTime>,
    own_began_version: Option<i32>,
    own_wait_until: Option<OffsetDateTime>,
    own_server_id: Option<Uuid>,
    own_completed_by: Option<Uuid>,
    own_forget_at: Option<OffsetDateTime>,
}

impl LineRow {
    /// The call's request, which is named by what the call looked for.
    fn known(&mut self, principal: &str, request_id: &str) -> Known {
        let Some(call_type) = self.own_type else { return Known::New };
        if let Some(forget_at) = self.own_forget_at {
            return Known::Finished(Finished { call_type, completed_by: self.own_completed_by, forget_at });
        }
        self.waiter(call_type, principal, request_id).map_or(Known::New, Known::Waiting)
    }

    /// The columns of one that waits are not null.
    fn waiter(&mut self, call_type: CallType, principal: &str, request_id: &str) -> Option<Waiter> {
        Some(Waiter {
            principal: principal.to_owned(),
            request_id: request_id.to_owned(),
            call_type,
            place: self.own_place?,
            attempt: self.own_attempt?,
            actor: self.own_actor.take()?,
            opposite: self.own_opposite?,
            lease_ms: self.own_lease_ms?,
            began_at: self.own_began_at?,
            began_version: self.own_began_version?,
            wait_until: self.own_wait_until?,
            server_id: self.own_server_id?,
            is_live: true,
        })
    }

    /// `None`: nobody holds the line. The columns of a holder are not null.
    fn holder(&mut self) -> Option<Holder> {
        Some(Holder {
            call_type: self.call_type?,
            principal: self.principal.take()?,
            request_id: self.request_id.take()?,
            attempt: self.attempt?,
            granted_at: self.granted_at?,
            expires_at: self.expires_at?,
            claim_by: self.claim_by,
            held_for_ms: self.held_for_ms?,
        })
    }

    /// `None`: nobody ever entered the line. Its columns are not null.
    fn line(&mut self) -> Option<(Row, Line)> {
        let row = Row { revision: self.revision?, used_at: self.used_at? };
        let line = Line {
            version: self.version?,
            last_place: self.last_place?,
            last_granted: self.last_granted?,
            last_token: self.last_token?,
            waiting: self.waiting?,
            start_failed: self.start_failed?,
            end_failed: self.end_failed?,
            holder: self.holder(),
        };
        Some((row, line))
    }

    /// The line, without its requests and waiters.
    fn seen(mut self) -> SeenLine {
        let (row, line) = self.line().unzip();
        let parties = self.website_id.zip(self.visitor);
        SeenLine {
            now: self.now,
            row,
            line: line.unwrap_or_default(),
            parties: parties.map(|(website_id, visitor)| Parties { website_id, visitor, agent_id: self.agent_id }),
            race: self.race_key.zip(self.race_revision),
            requests: Requests::default(),
            next: VecDeque::new(),
        }
    }
}

/// Reads the lines that calls of one company are about, each with the requests of its calls, and with its next waiters if
/// one of the calls may hand it over. Takes no lock.
pub(in crate::operation) async fn read(
    connection: &mut PgConnection,
    company_id: Uuid,
    calls: &[Lookup<'_>],
) -> Result<Vec<(LineKey, SeenLine)>> {
    let rows = sqlx::query_file_as!(
        LineRow,
        "src/operation/sql/read_lines.sql",
        company_id,
        &calls.iter().map(|call| call.key.chat_id.as_str()).collect::<Vec<_>>() as &[&str],
        &calls.iter().map(|call| call.key.uuid).collect::<Vec<_>>() as &[Option<Uuid>],
        &calls.iter().map(|call| call.principal).collect::<Vec<_>>() as &[&str],
        &calls.iter().map(|call| call.request_id).collect::<Vec<_>>() as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut lines: BTreeMap<&str, (&LineKey, SeenLine)> = BTreeMap::new();
    for (call, mut row) in calls.iter().zip(rows) {
        debug_assert!(row.number > 0, "rows are numbered from 1, in the order of the calls");
        let key = (call.principal.to_owned(), call.request_id.to_owned());
        let known = row.known(call.principal, call.request_id);
        let (_, seen) = lines.entry(&call.key.chat_id).or_insert_with(|| (call.key, row.seen()));
        seen.requests.read(key, known);
    }
    add_next_waiters(connection, company_id, calls, &mut lines).await?;
    Ok(lines.into_values().map(|(key, seen)| (key.clone(), seen)).collect())
}

/// Adds the next waiters to the lines that may be handed over. Nobody waits in most lines.
async fn add_next_waiters(
    connection: &mut PgConnection,
    company_id: Uuid,
    calls: &[Lookup<'_>],
    lines: &mut BTreeMap<&str, (&LineKey, SeenLine)>,
) -> Result<()> {
    let (mut chat_ids, mut after, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for (&chat_id, (_, seen)) in &*lines {
        let of_line = calls.iter().filter(|call| call.key.chat_id == chat_id);
        let may_hand_over = seen.line.is_to_reap(seen.now) || of_line.clone().any(|call| call.may_release);
        if seen.line.waiting > 0 && may_hand_over {
            chat_ids.push(chat_id);
            after.push(seen.line.last_granted);
            // Each call takes at most one waiter out of the line, and a dead holder is followed by one more.
            wanted.push(i64::try_from(of_line.count()).unwrap_or(i64::MAX - 1) + 1);
        }
    }
    if chat_ids.is_empty() {
        return Ok(());
    }
    let rows =
        sqlx::query_file!("src/operation/sql/next_waiters.sql", company_id, &chat_ids as &[&str], &after, &wanted,)
            .fetch_all(connection)
            .await?;
    for row in rows {
        let Some((_, seen)) = lines.get_mut(row.chat_id.as_str()) else { continue };
        seen.next.push_back(Waiter {
            principal: row.principal,
            request_id: row.request_id,
            call_type: row.call_type,
            place: row.place,
            attempt: row.attempt,
            actor: row.actor,
            opposite: row.opposite,
            lease_ms: row.lease_ms,
            began_at: row.began_at,
            began_version: row.began_version,
            wait_until: row.wait_until,
            server_id: row.server_id,
            is_live: row.is_live,
        });
    }
    Ok(())
}
