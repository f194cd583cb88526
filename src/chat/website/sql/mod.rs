//! Statements on websites, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewWebsite, WebsiteRecord};
use crate::platform::{clock, error::Result};

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

/// The companies of which a website lists this origin. The origin is in lower case.
pub(super) async fn companies_of_origin(connection: &mut PgConnection, origin: &str) -> Result<Vec<Uuid>> {
    let companies = sqlx::query_file_scalar!("src/chat/website/sql/companies_of_origin.sql", origin);
    Ok(companies.fetch_all(connection).await?)
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
