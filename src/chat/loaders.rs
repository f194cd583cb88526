//! Reads for many resolvers at once: those of one request, and of all requests under way, that need the same kind of row
//! at the same moment share a statement. Nothing is kept, so nothing is stale.

use std::{collections::HashMap, sync::Arc};

use futures_util::FutureExt as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    contract::{self, AgentRecord, ContractRecord},
    record::ChatRecord,
    sql,
};
use crate::platform::{batch::Reads, error::Result};

/// One coalescer for each kind of row. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Loaders {
    contracts: Reads<Uuid, Arc<ContractRecord>>,
    agents: Reads<Uuid, AgentRecord>,
    chats: Reads<Uuid, ChatRecord>,
    chats_of_races: Reads<Uuid, Vec<Arc<ChatRecord>>>,
}

impl Loaders {
    /// Loaders on this pool.
    pub(super) fn new(pool: &PgPool) -> Self {
        Self {
            contracts: Reads::new("contract", pool.clone(), |connection, company_id, ids| {
                async move {
                    let found = contract::sql::find_many(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|contract| (contract.id, Arc::new(contract))).collect())
                }
                .boxed()
            }),
            agents: Reads::new("agent", pool.clone(), |connection, company_id, ids| {
                async move {
                    let found = contract::sql::find_agents(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|agent| (agent.id, agent)).collect())
                }
                .boxed()
            }),
            chats: Reads::new("chat", pool.clone(), |connection, company_id, ids| {
                async move {
                    let found = sql::find_chats(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|chat| (chat.id, chat)).collect())
                }
                .boxed()
            }),
            chats_of_races: Reads::new("chats_of_race", pool.clone(), |connection, company_id, keys| {
                async move {
                    let mut found: HashMap<Uuid, Vec<Arc<ChatRecord>>> = HashMap::new();
                    for chat in sql::chats_of_races(connection, company_id, keys).await? {
                        found.entry(chat.key).or_default().push(Arc::new(chat));
                    }
                    Ok(found)
                }
                .boxed()
            }),
        }
    }

    /// One contract.
    pub(super) async fn contract(&self, company_id: Uuid, id: Uuid) -> Result<Option<Arc<ContractRecord>>> {
        self.contracts.get(company_id, id).await
    }

    /// One agent.
    pub(super) async fn agent(&self, company_id: Uuid, id: Uuid) -> Result<Option<AgentRecord>> {
        self.agents.get(company_id, id).await
    }

    /// One chat, without regard to rights.
    pub(super) async fn chat(&self, company_id: Uuid, id: Uuid) -> Result<Option<ChatRecord>> {
        self.chats.get(company_id, id).await
    }

    /// The chats of one race, oldest first, without regard to rights.
    pub(super) async fn chats_of_race(&self, company_id: Uuid, key: Uuid) -> Result<Vec<Arc<ChatRecord>>> {
        Ok(self.chats_of_races.get(company_id, key).await?.unwrap_or_default())
    }
}
