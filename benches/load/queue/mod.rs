//! The call queue: admissions, dispatch with one, two and three servers, and what single calls cost in lines of a thousand,
//! a hundred thousand and a million items.
//!
//! Each part has companies of its own, because one row is the lock of all of a company's queue. `pgbench` runs the same
//! statements for one call in a transaction, on companies of the peers' database.

mod admissions;
mod dispatch;
mod sizes;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Arguments, Result, database::Database, http::post, stage::Stage};

const INITIATE: &str = "mutation($input: InitiateCallInput!) { initiateCall(input: $input) \
     { admission call { id } queueItem { id position } } }";
const REPORT: &str = "mutation($input: UpdateCallStatusInput!) { updateCallStatus(input: $input) { outcome } }";

/// Measures the part `queue`.
pub(crate) async fn measure(arguments: &Arguments, stage: &Stage) -> Result<()> {
    admissions::measure(arguments, stage).await?;
    dispatch::measure(arguments, stage).await?;
    sizes::measure(arguments, stage).await
}

fn request(token: &str, document: &str, variables: &Value) -> Vec<u8> {
    post("/graphql", token, &json!({ "query": document, "variables": variables }).to_string())
}

/// The request by which a user's direct call is made.
fn initiation(token: &str, user: &str) -> Vec<u8> {
    let input = json!({ "userId": user, "agentId": "agent", "phoneNumber": "+14155552671" });
    request(token, INITIATE, &json!({ "input": input }))
}

/// The request by which a call is ended.
fn end(token: &str, call: &str) -> Vec<u8> {
    let input = json!({ "callId": call, "status": "ENDED", "endReason": "COMPLETED" });
    request(token, REPORT, &json!({ "input": input }))
}

/// Makes a company with so many slots.
async fn company(database: &Database, slots: u32) -> Result<Uuid> {
    let id = Uuid::new_v4();
    let make = format!(
        "insert into switchboard.company (id, name) values ('{id}', 'Queue');
         insert into switchboard.call_slots (company_id, system_limit) values ('{id}', {slots});"
    );
    database.execute(&make).await?;
    Ok(id)
}

/// Makes users `u0`, `u1`, … of a company, with lines that are as long as a line of many calls: items at the end of a
/// campaign's line and of the direct one. Foreign keys are not checked.
async fn fill(database: &Database, company: Uuid, lines: &Lines) -> Result<()> {
    let Lines { users, direct, campaign, limit } = lines;
    let make = format!(
        "set session_replication_role = replica;
         set synchronous_commit = off;
         insert into call_queue_user (company_id, user_id, direct_line, call_limit, queued_direct, queued_campaign, turn,
             campaign_since, is_waiting, may_dispatch, is_busy)
         select '{company}', 'u' || n, md5('{company} direct ' || n)::uuid, {limit}, {direct}, {campaign}, n + 1,
             case when {campaign} > 0 then switchboard.now() end, true, true, true
         from generate_series(0, {users} - 1) as n;
         update call_slots set users = {users}, turn = {users} where company_id = '{company}';
         insert into call_queue_line (company_id, id, user_id, tail, n)
         select company_id, direct_line, user_id, {direct}, {direct} from call_queue_user where company_id = '{company}';
         insert into campaign (company_id, id, user_id, agent_id, name, status, queued)
         select company_id, md5('{company} ' || user_id)::uuid, user_id, 'agent', 'Load', 'ACTIVE', {campaign}
         from call_queue_user where company_id = '{company}' and {campaign} > 0;
         insert into call_queue_line (company_id, id, user_id, campaign_id, tail, n)
         select company_id, id, user_id, id, {campaign}, {campaign} from campaign where company_id = '{company}';
         -- Ids with a time first, as servers make them: neighbours in a line are neighbours in the index.
         insert into call_queue (company_id, id, line_id, user_id, call_type, campaign_id, number, status, call_id,
             agent_id, phone_number, contact_id, queued_at, requeued_at)
         select line.company_id,
             (lpad(to_hex(number), 12, '0') || '7' || substr(md5('item' || line.id || number), 1, 19))::uuid,
             line.id, line.user_id, case when line.campaign_id is null then 'DIRECT' else 'CAMPAIGN' end,
             line.campaign_id, number, 'QUEUED',
             (lpad(to_hex(number), 12, '0') || '7' || substr(md5('call' || line.id || number), 1, 19))::uuid,
             'agent', '+14155552671', number::text, switchboard.now(), switchboard.now()
         from generate_series(1, greatest({direct}, {campaign})) as number
         join call_queue_line as line on line.company_id = '{company}' and line.tail >= number;
         analyze call_queue;"
    );
    database.execute(&make).await
}

/// The lines of a company's users.
struct Lines {
    users: u32,
    /// Items of each direct line.
    direct: u32,
    /// Items of each user's campaign; none: no campaign.
    campaign: u32,
    /// Slots of each user.
    limit: u32,
}
