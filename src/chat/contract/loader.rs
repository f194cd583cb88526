//! Contracts and agents for many resolvers at once.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;
use sqlx::PgPool;
use uuid::Uuid;

use super::{AgentRecord, ContractRecord, sql};
use crate::platform::error::Error;

/// Contracts by (company, id).
#[derive(Debug, Clone)]
pub(crate) struct Contracts(pub(crate) PgPool);

/// Agents by (company, id).
#[derive(Debug, Clone)]
pub(crate) struct Agents(pub(crate) PgPool);

impl Loader<(Uuid, Uuid)> for Contracts {
    type Value = Arc<ContractRecord>;
    type Error = Error;

    async fn load(&self, keys: &[(Uuid, Uuid)]) -> Result<HashMap<(Uuid, Uuid), Self::Value>, Self::Error> {
        let (companies, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
        let mut connection = self.0.acquire().await?;
        let contracts = sql::load(&mut connection, &companies, &ids).await?;
        Ok(contracts.into_iter().map(|found| ((found.company_id, found.id), Arc::new(found))).collect())
    }
}

impl Loader<(Uuid, Uuid)> for Agents {
    type Value = AgentRecord;
    type Error = Error;

    async fn load(&self, keys: &[(Uuid, Uuid)]) -> Result<HashMap<(Uuid, Uuid), Self::Value>, Self::Error> {
        let (companies, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
        let mut connection = self.0.acquire().await?;
        let agents = sql::load_agents(&mut connection, &companies, &ids).await?;
        Ok(agents.into_iter().map(|found| ((found.company_id, found.id), found)).collect())
    }
}
