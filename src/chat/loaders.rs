//! Reads for many resolvers at once: those of one request, and of all requests under way, that need the same kind of row
//! at the same moment share a statement. Nothing is kept, so nothing is stale.
//!
//! Every field that reads the database reads here. Records come in one statement for all callers of a company; lists in
//! one for each caller and each set of arguments, on the caller's share of the connections.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use futures_util::FutureExt as _;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    contract::{self, AgentRecord, ContractFilter, ContractRecord, list::OwnContracts},
    filter::{ChatSearch, OwnChats},
    message::{self, MessageRecord, MessageWindow},
    record::{ChatRecord, RaceRecord},
    sql::{self, Question},
    website::{self, WebsiteRecord},
};
use crate::platform::{
    auth::Principal,
    batch::{Reading, Reads},
    error::{Error, Result},
    graphql::page::Place,
    unit::UnitOfWork,
};

/// Most messages that one statement reads for lists.
const MESSAGES_AT_ONCE: usize = 1_000;

/// A page of chats: whose, which, from where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ChatList {
    pub(super) company_id: Uuid,
    pub(super) own: OwnChats,
    pub(super) search: ChatSearch,
    pub(super) after: Option<Place>,
    pub(super) limit: usize,
}

/// A list of contracts: whose, which, how many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ContractList {
    pub(super) company_id: Uuid,
    pub(super) filter: ContractFilter,
    pub(super) own: OwnContracts,
    pub(super) limit: usize,
}

/// One coalescer for each kind of row. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Loaders {
    now: Reads<(), (), OffsetDateTime>,
    websites: Reads<Uuid, Uuid, WebsiteRecord>,
    /// By public key, of any company.
    websites_by_key: Reads<(), Uuid, WebsiteRecord>,
    /// Of a company's agent.
    websites_of_agent: Reads<(Uuid, Uuid), Uuid, ()>,
    contracts: Reads<Uuid, Uuid, Arc<ContractRecord>>,
    /// The company and the website of contracts of any company.
    websites_of_contracts: Reads<(), Uuid, (Uuid, Uuid)>,
    /// Of a company's visitor on a website.
    contracts_with_chat: Reads<(Uuid, String, Uuid), Uuid, ()>,
    contract_lists: Reads<ContractList, (), Vec<Arc<ContractRecord>>>,
    agents: Reads<Uuid, Uuid, AgentRecord>,
    waiting_races: Reads<Uuid, Question, Vec<Uuid>>,
    /// By id alone, of any company.
    websites_by_id: Reads<(), Uuid, WebsiteRecord>,
    races: Reads<Uuid, Uuid, RaceRecord>,
    chats: Reads<Uuid, Uuid, ChatRecord>,
    /// By id alone, of any company.
    chats_by_id: Reads<(), Uuid, ChatRecord>,
    chats_of_races: Reads<Uuid, Uuid, Vec<Arc<ChatRecord>>>,
    chat_lists: Reads<ChatList, (), Vec<Arc<ChatRecord>>>,
    /// Of a company's chats.
    messages: Reads<(Uuid, MessageWindow), Uuid, Vec<Arc<MessageRecord>>>,
}

/// The rows by their keys.
fn keyed<K: Eq + Hash, V>(rows: Vec<V>, key: impl Fn(&V) -> K) -> HashMap<K, V> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

/// The rows of each key, in their order.
fn grouped<K: Eq + Hash, V>(rows: Vec<V>, key: impl Fn(&V) -> K) -> HashMap<K, Vec<Arc<V>>> {
    let mut found: HashMap<K, Vec<Arc<V>>> = HashMap::new();
    for row in rows {
        found.entry(key(&row)).or_default().push(Arc::new(row));
    }
    found
}

impl Loaders {
    /// Loaders on this database.
    #[expect(clippy::too_many_lines, reason = "a list of the loaders, each with its statement")]
    pub(super) fn new(work: &UnitOfWork) -> Self {
        let pool = || work.pool().clone();
        let readers = || work.readers().clone();
        Self {
            now: Reads::records("now", pool(), |connection, (), _| {
                async move { Ok(HashMap::from([((), sql::now(connection).await?)])) }.boxed()
            }),
            websites: Reads::records("website", pool(), |connection, company_id, ids| {
                async move {
                    Ok(keyed(website::sql::find_many(connection, company_id, ids).await?, |website| website.id))
                }
                .boxed()
            }),
            websites_by_key: Reads::records("website_by_key", pool(), |connection, (), keys| {
                async move {
                    Ok(keyed(website::sql::find_by_keys(connection, keys).await?, |website| website.public_key))
                }
                .boxed()
            }),
            websites_of_agent: Reads::records("website_of_agent", pool(), |connection, (company_id, agent_id), ids| {
                async move {
                    let served = website::sql::of_agent(connection, company_id, agent_id, ids).await?;
                    Ok(served.into_iter().map(|id| (id, ())).collect())
                }
                .boxed()
            }),
            contracts: Reads::records("contract", pool(), |connection, company_id, ids| {
                async move {
                    let found = contract::sql::find_many(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|contract| (contract.id, Arc::new(contract))).collect())
                }
                .boxed()
            }),
            websites_of_contracts: Reads::records("website_of_contract", pool(), |connection, (), ids| {
                contract::sql::websites_of_contracts(connection, ids).boxed()
            }),
            contracts_with_chat: Reads::records("contract_with_chat", pool(), |connection, group, ids| {
                async move {
                    let (company_id, visitor, website_id): (Uuid, String, Uuid) = group;
                    let found = contract::sql::with_chat(connection, company_id, &visitor, website_id, ids).await?;
                    Ok(found.into_iter().map(|id| (id, ())).collect())
                }
                .boxed()
            }),
            contract_lists: Reads::each(
                "contracts",
                pool(),
                readers(),
                |list| list.iter().map(|contract| contract.bytes()).sum(),
                |connection, group, ()| {
                    async move {
                        let ContractList { company_id, filter, own, limit } = group;
                        let found = contract::sql::list(connection, company_id, &filter, &own, limit).await?;
                        Ok(Some(found.into_iter().map(Arc::new).collect()))
                    }
                    .boxed()
                },
            ),
            agents: Reads::records("agent", pool(), |connection, company_id, ids| {
                async move { Ok(keyed(contract::sql::find_agents(connection, company_id, ids).await?, |agent| agent.id)) }
                    .boxed()
            }),
            waiting_races: Reads::records("waiting_race", pool(), |connection, company_id, questions| {
                async move {
                    let mut found: HashMap<Question, Vec<Uuid>> = HashMap::new();
                    let websites: HashMap<Uuid, Uuid> =
                        questions.iter().map(|(_, website, key)| (*key, *website)).collect();
                    for (visitor, asked, key) in sql::waiting_races(connection, company_id, questions).await? {
                        let website = websites.get(&asked).copied().unwrap_or_default();
                        found.entry((visitor, website, asked)).or_default().push(key);
                    }
                    Ok(found)
                }
                .boxed()
            }),
            websites_by_id: Reads::records("website_by_id", pool(), |connection, (), ids| {
                async move { Ok(keyed(website::sql::find_by_ids(connection, ids).await?, |website| website.id)) }
                    .boxed()
            }),
            races: Reads::records("race", pool(), |connection, company_id, keys| {
                async move { Ok(keyed(sql::find_races(connection, company_id, keys).await?, |race| race.key)) }.boxed()
            }),
            chats: Reads::records("chat", pool(), |connection, company_id, ids| {
                async move { Ok(keyed(sql::find_chats(connection, company_id, ids).await?, |chat| chat.id)) }.boxed()
            }),
            chats_by_id: Reads::records("chat_by_id", pool(), |connection, (), ids| {
                async move { Ok(keyed(sql::find_chats_by_id(connection, ids).await?, |chat| chat.id)) }.boxed()
            }),
            chats_of_races: Reads::records("chats_of_race", pool(), |connection, company_id, keys| {
                async move { Ok(grouped(sql::chats_of_races(connection, company_id, keys).await?, |chat| chat.key)) }
                    .boxed()
            }),
            chat_lists: Reads::each(
                "chats",
                pool(),
                readers(),
                |list| list.iter().map(|chat| chat.bytes()).sum(),
                |connection, group, ()| {
                    async move {
                        let ChatList { company_id, own, search, after, limit } = group;
                        let found = sql::list_chats(connection, company_id, &search, &own, after, limit).await?;
                        Ok(Some(found.into_iter().map(Arc::new).collect()))
                    }
                    .boxed()
                },
            ),
            messages: Reads::lists(
                "messages",
                pool(),
                readers(),
                |(_, window)| MESSAGES_AT_ONCE / window.limit.max(1),
                |list| list.iter().map(|message| message.bytes()).sum(),
                |connection, (company_id, window), chat_ids| {
                    async move {
                        let found = message::sql::page(connection, company_id, chat_ids, &window).await?;
                        Ok(grouped(found, |message| message.chat_id))
                    }
                    .boxed()
                },
            ),
        }
    }

    /// The database's time.
    pub(super) async fn now(&self) -> Result<OffsetDateTime> {
        let now = self.now.get((), ()).await?;
        now.ok_or_else(|| Error::internal("the database gave no time"))
    }

    /// One website of the company.
    pub(super) async fn website(&self, company_id: Uuid, id: Uuid) -> Result<Option<WebsiteRecord>> {
        self.websites.get(company_id, id).await
    }

    /// The website of a public key, of whatever company.
    pub(super) async fn website_of_key(&self, public_key: Uuid) -> Result<Option<WebsiteRecord>> {
        self.websites_by_key.get((), public_key).await
    }

    /// One website of whatever company.
    pub(super) async fn website_by_id(&self, id: Uuid) -> Result<Option<WebsiteRecord>> {
        self.websites_by_id.get((), id).await
    }

    /// The other races in which the visitor of a question waits, if the question opens a race that is not there yet.
    pub(super) async fn waiting_races(&self, company_id: Uuid, question: Question) -> Result<Vec<Uuid>> {
        Ok(self.waiting_races.get(company_id, question).await?.unwrap_or_default())
    }

    /// True if the agent has a contract with the website.
    pub(super) async fn agent_serves(&self, company_id: Uuid, agent_id: Uuid, website_id: Uuid) -> Result<bool> {
        Ok(self.websites_of_agent.get((company_id, agent_id), website_id).await?.is_some())
    }

    /// One contract.
    pub(super) async fn contract(&self, company_id: Uuid, id: Uuid) -> Result<Option<Arc<ContractRecord>>> {
        self.contracts.get(company_id, id).await
    }

    /// The company and the website of a contract of any company.
    pub(super) async fn website_of_contract(&self, id: Uuid) -> Result<Option<(Uuid, Uuid)>> {
        self.websites_of_contracts.get((), id).await
    }

    /// True if the caller is a visitor who has a chat with the contract.
    pub(super) async fn has_chat_with(&self, principal: &Principal, contract_id: Uuid) -> Result<bool> {
        let Some(website_id) = principal.website_id else { return Ok(false) };
        for name in [Some(&principal.subject), principal.earlier.as_ref()].into_iter().flatten() {
            let visitor = (principal.company_id, name.clone(), website_id);
            if self.contracts_with_chat.get(visitor, contract_id).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A list of contracts, oldest first.
    pub(super) async fn contracts(&self, reading: &Reading, list: ContractList) -> Result<Vec<Arc<ContractRecord>>> {
        Ok(self.contract_lists.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// One agent.
    pub(super) async fn agent(&self, company_id: Uuid, id: Uuid) -> Result<Option<AgentRecord>> {
        self.agents.get(company_id, id).await
    }

    /// One race, without its agents and without regard to rights.
    pub(super) async fn race(&self, company_id: Uuid, key: Uuid) -> Result<Option<RaceRecord>> {
        self.races.get(company_id, key).await
    }

    /// One chat, without regard to rights.
    pub(super) async fn chat(&self, company_id: Uuid, id: Uuid) -> Result<Option<ChatRecord>> {
        self.chats.get(company_id, id).await
    }

    /// One chat of whatever company, without regard to rights.
    pub(super) async fn chat_by_id(&self, id: Uuid) -> Result<Option<ChatRecord>> {
        self.chats_by_id.get((), id).await
    }

    /// The chats of one race, oldest first, without regard to rights.
    pub(super) async fn chats_of_race(&self, company_id: Uuid, key: Uuid) -> Result<Vec<Arc<ChatRecord>>> {
        Ok(self.chats_of_races.get(company_id, key).await?.unwrap_or_default())
    }

    /// A page of chats, newest first.
    pub(super) async fn chats(&self, reading: &Reading, list: ChatList) -> Result<Vec<Arc<ChatRecord>>> {
        Ok(self.chat_lists.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// A window of a chat's messages, in the window's order, without regard to rights.
    pub(super) async fn messages(
        &self,
        reading: &Reading,
        chat: &ChatRecord,
        window: MessageWindow,
    ) -> Result<Vec<Arc<MessageRecord>>> {
        Ok(self.messages.get_for(reading, (chat.company_id, window), chat.id).await?.unwrap_or_default())
    }
}
