-- Inserts a call.
--
--  $1..$6  company, id, name, user, agent, type
--  $7..$11 campaign, phone number, contact, its name, user data
-- $12..$15 attempt, inbound, status, version
-- $16, $17 queued, started
-- $18      time
insert into call (company_id, id, call_control_id, user_id, agent_id, call_type, campaign_id, phone_number, contact_id,
    contact_name, user_data, attempt, inbound, status, version, queued_at, started_at, inserted_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18)
