//! Statements on websites, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewWebsite, WebsiteRecord};
use crate::platform::{auth::VisitorKey, clock, error::Result};

/// Reads the websites of these ids that exist.
pub(in crate::chat) async fn find_many(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<WebsiteRecord>> {
    let websites = sqlx::query_file_as!(WebsiteRecord, "src/chat/website/sql/find_websites.sql", company_id, ids);
    Ok(websites.fetch_all(connection).await?)
}

/// Reads the websites of these public keys, of any company.
pub(in crate::chat) async fn find_by_keys(
    connection: &mut PgConnection,
    public_keys: &[Uuid],
) -> Result<Vec<WebsiteRecord>> {
    let websites = sqlx::query_file_as!(WebsiteRecord, "src/chat/website/sql/find_websites_by_key.sql", public_keys);
    Ok(websites.fetch_all(connection).await?)
}

/// Reads the websites of these ids, of any company.
pub(in crate::chat) async fn find_by_ids(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<WebsiteRecord>> {
    let websites = sqlx::query_file_as!(WebsiteRecord, "src/chat/website/sql/find_websites_by_id.sql", ids);
    Ok(websites.fetch_all(connection).await?)
}

/// The websites that list this origin, each with its company before it. The origin is in lower case.
pub(super) async fn websites_of_origin(connection: &mut PgConnection, origin: &str) -> Result<Vec<(Uuid, Uuid)>> {
    let websites = sqlx::query_file!("src/chat/website/sql/websites_of_origin.sql", origin);
    Ok(websites.fetch_all(connection).await?.into_iter().map(|row| (row.company_id, row.id)).collect())
}

/// Ties a key to a visitor of a website; false if it is tied already.
pub(super) async fn insert_visitor_key(
    connection: &mut PgConnection,
    company_id: Uuid,
    website_id: Uuid,
    key: VisitorKey,
    visitor: &str,
) -> Result<bool> {
    let insert =
        sqlx::query_file!("src/chat/website/sql/insert_visitor_key.sql", company_id, website_id, key.hash(), visitor);
    Ok(insert.execute(connection).await?.rows_affected() > 0)
}

/// The visitor that a key stands for on a website.
pub(super) async fn find_visitor_key(
    connection: &mut PgConnection,
    company_id: Uuid,
    website_id: Uuid,
    key: VisitorKey,
) -> Result<Option<String>> {
    let find =
        sqlx::query_file_scalar!("src/chat/website/sql/find_visitor_key.sql", company_id, website_id, key.hash());
    Ok(find.fetch_optional(connection).await?)
}

/// The companies, websites and visitors of a key.
pub(super) async fn visitors_of_key(
    connection: &mut PgConnection,
    key: VisitorKey,
) -> Result<Vec<(Uuid, Uuid, String)>> {
    let rows = sqlx::query_file!("src/chat/website/sql/visitors_of_key.sql", key.hash()).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.company_id, row.website_id, row.visitor)).collect())
}

/// Those of these websites that the agent has a contract with.
pub(in crate::chat) async fn of_agent(
    connection: &mut PgConnection,
    company_id: Uuid,
    agent_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Uuid>> {
    let served = sqlx::query_file_scalar!("src/chat/website/sql/websites_of_agent.sql", company_id, agent_id, ids);
    Ok(served.fetch_all(connection).await?)
}

/// Inserts a website with its allowed origins.
pub(super) async fn insert(
    connection: &mut PgConnection,
    company_id: Uuid,
    public_key: Uuid,
    new: &NewWebsite,
) -> Result<WebsiteRecord> {
    let website = sqlx::query_file_as!(
        WebsiteRecord,
        "src/chat/website/sql/insert_website.sql",
        company_id,
        clock::new_id(),
        public_key,
        new.name,
        new.logo_url,
        new.color,
        &new.allowed_origins
    );
    Ok(website.fetch_one(connection).await?)
}
