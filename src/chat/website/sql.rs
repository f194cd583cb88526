//! Every query on websites.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewWebsite, WebsiteRecord};
use crate::platform::error::Result;

/// One website.
pub(in crate::chat) async fn find(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<WebsiteRecord>> {
    let website = sqlx::query_as!(
        WebsiteRecord,
        "select company_id, id, public_key, name, logo_url, color from website where company_id = $1 and id = $2",
        company_id,
        id
    );
    Ok(website.fetch_optional(connection).await?)
}

/// The website whose widget logs in with this key, of whatever company: who logs in belongs to none yet.
pub(super) async fn find_by_key(connection: &mut PgConnection, public_key: Uuid) -> Result<Option<WebsiteRecord>> {
    let website = sqlx::query_as!(
        WebsiteRecord,
        "select company_id, id, public_key, name, logo_url, color from website where public_key = $1",
        public_key
    );
    Ok(website.fetch_optional(connection).await?)
}

/// True if pages of this origin, in lower case, may call for any website of any company.
pub(super) async fn lists_origin(connection: &mut PgConnection, origin: &str) -> Result<bool> {
    let lists = sqlx::query_scalar!(
        r#"select exists (select from website where allowed_origins @> array[$1::text]) as "lists!""#,
        origin
    );
    Ok(lists.fetch_one(connection).await?)
}

/// True if the agent has a contract with the website.
pub(super) async fn serves(connection: &mut PgConnection, company_id: Uuid, id: Uuid, agent_id: Uuid) -> Result<bool> {
    let serves = sqlx::query_scalar!(
        r#"select exists (
               select from contract where company_id = $1 and website_id = $2 and agent_id = $3
           ) as "serves!""#,
        company_id,
        id,
        agent_id
    );
    Ok(serves.fetch_one(connection).await?)
}

/// Inserts a website.
pub(super) async fn insert(
    connection: &mut PgConnection,
    company_id: Uuid,
    public_key: Uuid,
    new: &NewWebsite,
) -> Result<WebsiteRecord> {
    let website = sqlx::query_as!(
        WebsiteRecord,
        "insert into website (company_id, id, public_key, name, logo_url, color, allowed_origins)
         values ($1, $2, $3, $4, $5, $6, $7)
         returning company_id, id, public_key, name, logo_url, color",
        company_id,
        crate::platform::clock::new_id(),
        public_key,
        new.name,
        new.logo_url,
        new.color,
        &new.allowed_origins
    );
    Ok(website.fetch_one(connection).await?)
}
