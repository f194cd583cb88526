//! API keys: credentials of companies' servers that do not expire.
//!
//! ```text
//!  sbk_ <43 characters> _ <43 characters>
//!         │                └ 32 random bytes: the secret; only its SHA-256 is stored
//!         └ company id and key id: the row's primary key, so that finding it needs no second index
//! ```
//! Both parts are base64url without padding. That alphabet contains the underscore, so the parts are split by length. A
//! random secret of 256 bits needs no slow hash. A revocation is final.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Role, company::checked_name, sql};
use crate::platform::{
    clock::new_id,
    error::{Error, Result},
    event::{self, NewEvent, Subject},
};

/// The subject type in the event log.
pub const SUBJECT: &str = "api_key";

/// The prefix of every key; no token begins with it.
pub(super) const PREFIX: &str = "sbk_";
/// Length of each part: 32 bytes as base64url.
const PART: usize = 43;

/// A key without its secret, as its owner may see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ApiKey {
    /// The company that the key acts for.
    pub company_id: Uuid,
    /// Public: shown in lists and logs.
    pub id: Uuid,
    /// The key's purpose, in its owner's words.
    pub name: String,
    /// `service` or `admin`.
    pub role: String,
    /// Version of the subject `api_key` in the event log.
    pub version: i32,
    /// Database time of its creation.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// Database time of its revocation; `None` while it is valid.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// Creates a key. The second value is the key's text with its secret, which is stored nowhere.
///
/// # Errors
/// `BAD_USER_INPUT` for another role than service or admin, or a name out of bounds; `NOT_FOUND` for the company.
pub async fn create(
    connection: &mut PgConnection,
    company_id: Uuid,
    role: Role,
    name: &str,
) -> Result<(ApiKey, String)> {
    let name = checked_name(name)?;
    if !matches!(role, Role::Service | Role::Admin) {
        return Err(Error::invalid("role", "an API key is for a service or an admin"));
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| Error::internal(error.to_string()))?;
    let bearer = Bearer { company_id, id: new_id(), secret };
    let key = sql::insert_api_key(connection, company_id, bearer.id, name, role.as_str(), &bearer.hash()).await?;
    let key = key.ok_or_else(|| Error::not_found("company"))?;
    event::append(connection, &[key.event("ApiKeyCreated", None)?]).await?;
    Ok((key, bearer.text()))
}

/// A company's keys, oldest first, at most 1,000; revoked ones too.
pub async fn list(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<ApiKey>> {
    sql::list_api_keys(connection, company_id).await
}

/// Revokes a key. Returns false if there is no such key or it was revoked before.
pub async fn revoke(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<bool> {
    let Some(revoked) = sql::revoke_api_key(connection, company_id, id).await? else { return Ok(false) };
    let before = ApiKey { revoked_at: None, version: revoked.version - 1, ..revoked.clone() };
    event::append(connection, &[revoked.event("ApiKeyRevoked", Some(&before))?]).await?;
    Ok(true)
}

impl ApiKey {
    fn event(&self, event_type: &'static str, before: Option<&Self>) -> Result<NewEvent> {
        let subject = Subject::new(SUBJECT, self.id);
        NewEvent::new(self.company_id, subject, self.version, event_type, None, self, before)
    }
}

/// A key as its bearer sends it. Not `Debug`, because it holds the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) company_id: Uuid,
    pub(super) id: Uuid,
    secret: [u8; 32],
}

impl Bearer {
    /// `None` if the text does not have the form of a key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (name, rest) = rest.split_at_checked(PART)?;
        let secret = decode(rest.strip_prefix('_')?)?;
        let name = decode(name)?;
        let (company_id, id) = name.split_at(16);
        Some(Self { company_id: Uuid::from_slice(company_id).ok()?, id: Uuid::from_slice(id).ok()?, secret })
    }

    fn text(&self) -> String {
        let name = [self.company_id.into_bytes(), self.id.into_bytes()].concat();
        format!("{PREFIX}{}_{}", URL_SAFE_NO_PAD.encode(name), URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// The form in which the secret is stored.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }
}

fn decode(part: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(part).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_parses_back_and_no_changed_text_parses_as_the_same_key() {
        let bearer = Bearer { company_id: new_id(), id: new_id(), secret: [0xff; 32] };
        let text = bearer.text();
        assert!(Bearer::parse(&text).is_some_and(|read| read == bearer));
        for (at, bit) in (0..text.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8(bytes).expect("seven bits are ASCII");
            assert!(Bearer::parse(&changed).is_none_or(|read| read != bearer), "byte {at} bit {bit}");
        }
        for wrong in ["", "sbk_", &text[..text.len() - 1], &format!("{text}A"), "sbk_é"] {
            assert!(Bearer::parse(wrong).is_none());
        }
    }
}
