//! Statements on websites, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewWebsite, WebsiteRecord};
use crate::platform::{clock, error::Result};

/// Reads one website of the company.
pub(in crate::chat) async fn find(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<WebsiteRecord>> {
    let website = sqlx::query_file_as!(WebsiteRecord, "src/chat/website/sql/find_website.sql", company_id, id);
    Ok(website.fetch_optional(connection).await?)
}

/// Reads the website of a public key, of any company.
pub(super) async fn find_by_key(connection: &mut PgConnection, public_key: Uuid) -> Result<Option<WebsiteRecord>> {
    let website = sqlx::query_file_as!(WebsiteRecord, "src/chat/website/sql/find_website_by_key.sql", public_key);
    Ok(website.fetch_optional(connection).await?)
}

/// The companies of which a website lists this origin. The origin is in lower case.
pub(super) async fn companies_of_origin(connection: &mut PgConnection, origin: &str) -> Result<Vec<Uuid>> {
    let companies = sqlx::query_file_scalar!("src/chat/website/sql/companies_of_origin.sql", origin);
    Ok(companies.fetch_all(connection).await?)
}

/// True if the agent has a contract with the website.
pub(super) async fn agent_serves(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    agent_id: Uuid,
) -> Result<bool> {
    let serves = sqlx::query_file_scalar!("src/chat/website/sql/agent_serves_website.sql", company_id, id, agent_id);
    Ok(serves.fetch_one(connection).await?)
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
