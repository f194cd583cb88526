//! The chat part of the schema, and what its resolvers find in the context.

use std::sync::Arc;

use async_graphql::{Context, MergedObject, MergedSubscription, dataloader::DataLoader};
use ipnet::IpNet;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Chats,
    contract::{
        AgentRecord, Agents, ContractRecord, Contracts,
        graphql::{ContractMutation, ContractQuery, ContractSubscription},
    },
    message::graphql::{MessageMutation, MessageQuery, MessageSubscription},
    race::{
        ChatRecord, RaceChats,
        graphql::{RaceQuery, RaceSubscription},
        mutation::RaceMutation,
    },
    rights::Reader,
    website::graphql::{WebsiteMutation, WebsiteQuery},
    widget::WidgetSubscription,
};
use crate::platform::{
    auth::{Caller, ClientAddress, Principal},
    error::Result,
    subscription::Sources,
};

/// Queries on chats, races, contracts and websites.
#[derive(Default, MergedObject)]
pub struct ChatQuery(WebsiteQuery, ContractQuery, RaceQuery, MessageQuery);

/// Mutations of chats, races, contracts and websites.
#[derive(Default, MergedObject)]
pub struct ChatMutation(WebsiteMutation, RaceMutation, MessageMutation, ContractMutation);

/// Streams of chats, races and contracts.
#[derive(Default, MergedSubscription)]
pub struct ChatSubscription(RaceSubscription, MessageSubscription, ContractSubscription, WidgetSubscription);

/// Reads for many resolvers at once: those of one request, and of all requests under way, that want the same kind of
/// thing at the same moment share a statement. Nothing is kept, so nothing is stale.
pub struct Loaders {
    contracts: DataLoader<Contracts>,
    agents: DataLoader<Agents>,
    chats: DataLoader<RaceChats>,
}

impl Loaders {
    /// Loaders on this pool; to be put in the schema's data.
    pub fn new(pool: &PgPool) -> Self {
        Self {
            contracts: DataLoader::new(Contracts(pool.clone()), tokio::spawn),
            agents: DataLoader::new(Agents(pool.clone()), tokio::spawn),
            chats: DataLoader::new(RaceChats(pool.clone()), tokio::spawn),
        }
    }

    /// One contract.
    pub(super) async fn contract(&self, company_id: Uuid, id: Uuid) -> Result<Option<Arc<ContractRecord>>> {
        self.contracts.load_one((company_id, id)).await
    }

    /// One agent.
    pub(super) async fn agent(&self, company_id: Uuid, id: Uuid) -> Result<Option<AgentRecord>> {
        self.agents.load_one((company_id, id)).await
    }

    /// The chats of one race, oldest first.
    pub(super) async fn chats(&self, company_id: Uuid, key: Uuid) -> Result<Vec<Arc<ChatRecord>>> {
        Ok(self.chats.load_one((company_id, key)).await?.unwrap_or_default())
    }
}

/// Who is calling.
pub(super) fn caller<'a>(context: &Context<'a>) -> &'a Caller {
    context.data_unchecked()
}

/// Who is calling, with a valid credential.
pub(super) fn principal<'a>(context: &Context<'a>) -> Result<&'a Arc<Principal>> {
    caller(context).principal()
}

/// As whom the caller reads what hangs on something of this company that it was shown.
pub(super) fn reader(context: &Context<'_>, company_id: Uuid) -> Result<Reader> {
    match caller(context) {
        Caller::Anonymous => Ok(Reader::Public { company_id }),
        caller => Ok(Reader::Known(Arc::clone(caller.principal()?))),
    }
}

/// Where the caller's connection comes from.
pub(super) fn address(context: &Context<'_>) -> Option<IpNet> {
    context.data_opt::<ClientAddress>().map(|address| address.0.into())
}

/// The service.
pub(super) fn chats<'a>(context: &Context<'a>) -> &'a Chats {
    context.data_unchecked()
}

/// The loaders.
pub(super) fn loaders<'a>(context: &Context<'a>) -> &'a Loaders {
    context.data_unchecked()
}

/// Where streams come from.
pub(super) fn sources<'a>(context: &Context<'a>) -> &'a Sources {
    context.data_unchecked()
}
