//! The chats of many races at once.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;
use sqlx::PgPool;
use uuid::Uuid;

use super::{ChatRecord, sql};
use crate::platform::error::Error;

/// Chats by (company, race).
#[derive(Debug, Clone)]
pub(crate) struct RaceChats(pub(crate) PgPool);

impl Loader<(Uuid, Uuid)> for RaceChats {
    type Value = Vec<Arc<ChatRecord>>;
    type Error = Error;

    async fn load(&self, races: &[(Uuid, Uuid)]) -> Result<HashMap<(Uuid, Uuid), Self::Value>, Self::Error> {
        let (companies, keys): (Vec<Uuid>, Vec<Uuid>) = races.iter().copied().unzip();
        let mut connection = self.0.acquire().await?;
        let mut found: HashMap<_, Self::Value> = HashMap::new();
        for chat in sql::chats_of_races(&mut connection, &companies, &keys).await? {
            found.entry((chat.company_id, chat.key)).or_default().push(Arc::new(chat));
        }
        Ok(found)
    }
}
