//! Statements on campaigns, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{CampaignRecord, CampaignStatus, NewContact};
use crate::platform::{db::fetch_by_values, error::Result};

/// One campaign. Takes no lock.
pub(super) async fn find(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<Option<CampaignRecord>> {
    let found = sqlx::query_file_as!(CampaignRecord, "src/call_queue/campaign/sql/find.sql", company_id, id);
    Ok(found.fetch_optional(connection).await?)
}

/// Settles campaigns whose counters were changed. The slots are locked.
pub(super) async fn settle(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<CampaignRecord>> {
    let settled = sqlx::query_file_as!(CampaignRecord, "src/call_queue/campaign/sql/settle.sql", company_id);
    Ok(settled.fetch_all(connection).await?)
}

/// Inserts a campaign with its line. The slots are locked.
pub(super) async fn insert(connection: &mut PgConnection, campaign: &CampaignRecord) -> Result<()> {
    sqlx::query_file!(
        "src/call_queue/campaign/sql/insert.sql",
        campaign.company_id,
        campaign.id,
        campaign.user_id,
        campaign.agent_id,
        campaign.name,
        campaign.status.as_str(),
        campaign.first_call_time,
        campaign.last_call_time,
        campaign.time_zone,
        campaign.max_retries,
        campaign.retry_interval_minutes,
        campaign.weight,
        campaign.starts_at,
        campaign.is_window_open,
        campaign.window_turns_at,
        campaign.inserted_at,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_file!(
        "src/call_queue/campaign/sql/insert_line.sql",
        campaign.company_id,
        campaign.id,
        campaign.user_id,
        campaign.is_open(),
        campaign.weight,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes a campaign and what its line follows from. The slots are locked.
pub(super) async fn update(connection: &mut PgConnection, campaign: &CampaignRecord) -> Result<()> {
    sqlx::query_file!(
        "src/call_queue/campaign/sql/update.sql",
        campaign.company_id,
        campaign.id,
        campaign.agent_id,
        campaign.name,
        campaign.status.as_str(),
        campaign.first_call_time,
        campaign.last_call_time,
        campaign.time_zone,
        campaign.max_retries,
        campaign.retry_interval_minutes,
        campaign.weight,
        campaign.starts_at,
        campaign.is_window_open,
        campaign.window_turns_at,
        campaign.queued,
        campaign.canceled,
        campaign.version,
        campaign.updated_at,
    )
    .execute(&mut *connection)
    .await?;
    let (company_id, id, is_open, weight) = (campaign.company_id, campaign.id, campaign.is_open(), campaign.weight);
    sqlx::query_file_scalar!("src/call_queue/campaign/sql/set_line.sql", company_id, id, is_open, weight)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// Puts contacts at the end of a campaign's line; says for each whether it is new, and which calls were found canceled.
/// The slots are locked.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    company_id: Uuid,
    campaign_id: Uuid,
    contacts: &[(Uuid, Uuid, NewContact)],
) -> Result<(Vec<bool>, Vec<Uuid>)> {
    let items: Vec<Uuid> = contacts.iter().map(|(item, _, _)| *item).collect();
    let calls: Vec<Uuid> = contacts.iter().map(|(_, call, _)| *call).collect();
    let numbers: Vec<String> = contacts.iter().map(|(_, _, new)| new.phone_number.clone()).collect();
    let ids: Vec<String> = contacts.iter().map(|(_, _, new)| new.contact_id.clone()).collect();
    let names: Vec<Option<String>> = contacts.iter().map(|(_, _, new)| new.contact_name.clone()).collect();
    let data: Vec<Option<String>> =
        contacts.iter().map(|(_, _, new)| new.user_data.as_ref().map(ToString::to_string)).collect();
    let entered = sqlx::query_file!(
        "src/call_queue/campaign/sql/enqueue.sql",
        company_id,
        campaign_id,
        &items,
        &calls,
        &numbers,
        &ids,
        &names as &[Option<String>],
        &data as &[Option<String>],
    );
    let row = entered.fetch_one(connection).await?;
    Ok((row.entered, row.replaced))
}

/// Campaigns, newest first. Takes no lock.
pub(super) async fn list(
    connection: &mut PgConnection,
    company_id: Uuid,
    user_id: Option<&str>,
    status: Option<&[CampaignStatus]>,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<CampaignRecord>> {
    let status: Option<Vec<String>> =
        status.map(|status| status.iter().map(|status| status.as_str().to_owned()).collect());
    let found = sqlx::query_file_as!(
        CampaignRecord,
        "src/call_queue/campaign/sql/list.sql",
        company_id,
        user_id,
        status.as_deref(),
        before,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    fetch_by_values(connection, found).await
}
