//! Statements on websites, each in a file of its own.

use std::collections::HashMap;

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

/// The visitor that each of these keys stands for on a website.
pub(super) async fn find_visitor_keys(
    connection: &mut PgConnection,
    company_id: Uuid,
    website_id: Uuid,
    keys: &[VisitorKey],
) -> Result<HashMap<VisitorKey, String>> {
    let by_hash = by_hash(keys);
    let hashes: Vec<&[u8]> = by_hash.keys().copied().collect();
    let find =
        sqlx::query_file!("src/chat/website/sql/find_visitor_keys.sql", company_id, website_id, &hashes as &[&[u8]]);
    let found = find.fetch_all(connection).await?.into_iter();
    Ok(found.filter_map(|row| Some((*by_hash.get(&*row.hash)?, row.visitor))).collect())
}

/// The companies, websites and visitors of each of these keys.
pub(super) async fn visitors_of_keys(
    connection: &mut PgConnection,
    keys: &[VisitorKey],
) -> Result<HashMap<VisitorKey, Vec<(Uuid, Uuid, String)>>> {
    let by_hash = by_hash(keys);
    let hashes: Vec<&[u8]> = by_hash.keys().copied().collect();
    let rows = sqlx::query_file!("src/chat/website/sql/visitors_of_keys.sql", &hashes as &[&[u8]]);
    let mut found: HashMap<VisitorKey, Vec<(Uuid, Uuid, String)>> = HashMap::new();
    for row in rows.fetch_all(connection).await? {
        if let Some(key) = by_hash.get(&*row.hash) {
            found.entry(*key).or_default().push((row.company_id, row.website_id, row.visitor));
        }
    }
    Ok(found)
}

fn by_hash(keys: &[VisitorKey]) -> HashMap<&[u8], VisitorKey> {
    keys.iter().map(|key| (key.hash(), *key)).collect()
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
