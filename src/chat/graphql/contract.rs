//! Contracts in the API.

use std::sync::Arc;

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject, Subscription};
use uuid::Uuid;

use super::ChatContextExt as _;
use crate::{
    chat::contract::{
        AgentRecord, ContractFeed, ContractFilter, ContractPatch as Patch, ContractRecord, ContractStatus, NewContract,
    },
    platform::{
        error::{Error, Result},
        event::Cursor,
        graphql::{
            context::ContextExt as _,
            directives,
            scalars::Datetime,
            source::{self, SourceRegistered},
        },
        input,
        subscription::{self, StreamEvent},
    },
};

/// Most contracts of a list, for the cost of a document: [`MOST`](crate::chat::contract::MOST).
pub(super) const SIZE: i32 = 1_000;

/// The object `Contract` of the schema.
pub struct Contract(Arc<ContractRecord>);

impl From<ContractRecord> for Contract {
    fn from(record: ContractRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<ContractRecord>> for Contract {
    fn from(record: Arc<ContractRecord>) -> Self {
        Self(record)
    }
}

/// An agent's agreement to answer a website's chats in one shift.
#[Object]
impl Contract {
    /// Chats refer to it as `contractId`.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The name that the widget shows.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The color that the widget shows; the server does not interpret it.
    async fn color(&self) -> Option<&str> {
        self.0.color.as_deref()
    }

    /// The agent's price; null for visitors. The server stores it and never uses it.
    async fn rate(&self) -> Option<f64> {
        self.0.rate
    }

    /// "active" or "inactive". Only active contracts are offered chats.
    async fn status(&self) -> &str {
        self.0.status.as_str()
    }

    /// The shift: 1 = 00-08 UTC, 2 = 08-16, 3 = 16-24.
    async fn session(&self) -> i32 {
        self.0.shift
    }

    /// Seconds until an unanswered chat is flagged missed; null, zero or negative: never.
    async fn chat_miss_time(&self) -> Option<i32> {
        self.0.chat_miss_time
    }

    /// The cost of a missed chat; null for visitors. The server stores it and never uses it.
    async fn chat_miss_fee(&self) -> Option<f64> {
        self.0.chat_miss_fee
    }

    /// The website whose visitors the contract serves.
    async fn website_id(&self) -> Uuid {
        self.0.website_id
    }

    /// The agent who answers; null while there is none.
    async fn agent_id(&self) -> Option<Uuid> {
        self.0.agent_id
    }

    /// The agent who answers; null while there is none.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn agent(&self, context: &Context<'_>) -> Result<Option<Agent>> {
        let Some(id) = self.0.agent_id else { return Ok(None) };
        Ok(context.chats().loaders().agent(self.0.company_id, id).await?.map(Agent::from))
    }

    /// The company's reference to a job. The server never uses it.
    async fn job_id(&self) -> Option<Uuid> {
        self.0.job_id
    }

    /// The company that the contract belongs to.
    async fn company_id(&self) -> Uuid {
        self.0.company_id
    }

    /// The company's reference to a proposal. The server never uses it.
    async fn proposal_id(&self) -> Option<Uuid> {
        self.0.proposal_id
    }

    /// True once the agent has left. The contract is then offered no more chats.
    async fn agent_deleted(&self) -> bool {
        self.0.agent_deleted
    }

    /// Starts at 1 and is raised by one at each change; a higher version is the newer state.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the contract was created.
    async fn inserted_at(&self) -> Datetime {
        self.0.inserted_at.into()
    }

    /// When the contract last changed.
    async fn updated_at(&self) -> Datetime {
        self.0.updated_at.into()
    }
}

/// A person who answers chats.
#[derive(Debug, SimpleObject)]
pub struct Agent {
    /// The claim `agent_id` of the agent's token.
    id: Uuid,
    /// The name that customers see.
    name: Option<String>,
}

impl From<AgentRecord> for Agent {
    fn from(record: AgentRecord) -> Self {
        Self { id: record.id, name: record.name }
    }
}

/// Selects contracts. An absent field matches all; the others must all match.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ContractCondition {
    /// The contract with this id.
    pub id: Option<Uuid>,
    /// "active" or "inactive"; any other text matches none.
    pub status: Option<String>,
    /// Contracts of this shift, 1 to 3.
    pub session: Option<i32>,
    /// This agent's contracts.
    pub agent_id: Option<Uuid>,
    /// This website's contracts.
    pub website_id: Option<Uuid>,
}

impl From<ContractCondition> for ContractFilter {
    fn from(condition: ContractCondition) -> Self {
        let ContractCondition { id, status, session, agent_id, website_id } = condition;
        Self { id, status, shift: session, agent_id, website_id }
    }
}

/// The properties of a contract to create.
#[derive(Debug, InputObject)]
pub struct ContractInput {
    /// The website whose visitors the contract serves.
    website_id: Uuid,
    /// The shift: 1 = 00-08 UTC, 2 = 08-16, 3 = 16-24.
    session: i32,
    /// "active" (the default) or "inactive".
    status: Option<String>,
    /// The name that the widget shows.
    name: Option<String>,
    /// The color that the widget shows; the server does not interpret it.
    color: Option<String>,
    /// The agent's price. The server stores it and never uses it.
    rate: Option<f64>,
    /// Seconds until an unanswered chat is flagged missed; null, zero or negative: never.
    chat_miss_time: Option<i32>,
    /// The cost of a missed chat. The server stores it and never uses it.
    chat_miss_fee: Option<f64>,
    /// The agent who answers. An unknown id creates an agent.
    agent_id: Option<Uuid>,
    /// The agent's name, which customers see. Needs `agentId`.
    agent_name: Option<String>,
}

fn status(field: &str, text: &str) -> Result<ContractStatus> {
    ContractStatus::parse(text).ok_or_else(|| Error::invalid(field, "must be \"active\" or \"inactive\""))
}

impl ContractInput {
    fn checked(self) -> Result<NewContract> {
        if self.agent_name.is_some() && self.agent_id.is_none() {
            return Err(Error::invalid("contract.agentName", "needs contract.agentId"));
        }
        let status = self.status.as_deref().map(|text| status("contract.status", text)).transpose()?;
        Ok(NewContract {
            website_id: self.website_id,
            shift: input::shift("contract.session", self.session)?,
            status: status.unwrap_or(ContractStatus::Active),
            name: self.name.map(|name| input::name("contract.name", &name)).transpose()?,
            color: self.color.map(|color| input::color("contract.color", &color)).transpose()?,
            rate: self.rate.map(|rate| input::amount("contract.rate", rate)).transpose()?,
            chat_miss_time: self
                .chat_miss_time
                .map(|seconds| input::miss_time("contract.chatMissTime", seconds))
                .transpose()?,
            chat_miss_fee: self.chat_miss_fee.map(|fee| input::amount("contract.chatMissFee", fee)).transpose()?,
            agent_id: self.agent_id,
            agent_name: self.agent_name.map(|name| input::name("contract.agentName", &name)).transpose()?,
        })
    }
}

/// The input of `createContract`.
#[derive(Debug, InputObject)]
pub struct CreateContractInput {
    /// The contract to create.
    contract: ContractInput,
}

/// The result of `createContract`.
#[derive(SimpleObject)]
pub struct CreateContractPayload {
    /// The new contract.
    contract: Contract,
}

/// The fields of a contract to change. An absent field keeps its value, null clears it.
#[derive(Debug, InputObject)]
pub struct ContractPatch {
    /// The shift, 1 to 3; cannot be cleared.
    session: MaybeUndefined<i32>,
    /// "active" or "inactive"; cannot be cleared.
    status: MaybeUndefined<String>,
    /// The name that the widget shows.
    name: MaybeUndefined<String>,
    /// The color that the widget shows; the server does not interpret it.
    color: MaybeUndefined<String>,
    /// The agent's price.
    rate: MaybeUndefined<f64>,
    /// Seconds until an unanswered chat is flagged missed. Applies to chats that are offered later.
    chat_miss_time: MaybeUndefined<i32>,
    /// The cost of a missed chat.
    chat_miss_fee: MaybeUndefined<f64>,
    /// The agent who answers. The unfinished chats move to the new agent.
    agent_id: MaybeUndefined<Uuid>,
    /// True once the agent has left; cannot be cleared.
    agent_deleted: MaybeUndefined<bool>,
}

/// Applies `check` to a value that is given; keeps null and absent.
fn checked<T, U>(value: MaybeUndefined<T>, check: impl FnOnce(T) -> Result<U>) -> Result<MaybeUndefined<U>> {
    Ok(match value {
        MaybeUndefined::Undefined => MaybeUndefined::Undefined,
        MaybeUndefined::Null => MaybeUndefined::Null,
        MaybeUndefined::Value(value) => MaybeUndefined::Value(check(value)?),
    })
}

impl ContractPatch {
    fn checked(self) -> Result<Patch> {
        let session = input::kept("patch.session", self.session)?;
        let text = input::kept("patch.status", self.status)?;
        Ok(Patch {
            shift: session.map(|shift| input::shift("patch.session", shift)).transpose()?,
            status: text.map(|text| status("patch.status", &text)).transpose()?,
            name: checked(self.name, |name| input::name("patch.name", &name))?,
            color: checked(self.color, |color| input::color("patch.color", &color))?,
            rate: checked(self.rate, |rate| input::amount("patch.rate", rate))?,
            chat_miss_time: checked(self.chat_miss_time, |time| input::miss_time("patch.chatMissTime", time))?,
            chat_miss_fee: checked(self.chat_miss_fee, |fee| input::amount("patch.chatMissFee", fee))?,
            agent_id: self.agent_id,
            agent_deleted: input::kept("patch.agentDeleted", self.agent_deleted)?,
        })
    }
}

/// Names a contract and what to change of it.
#[derive(Debug, InputObject)]
pub struct UpdateContractInput {
    /// The contract to change.
    id: Uuid,
    /// The fields to change: all of them, or none if one is refused.
    patch: ContractPatch,
}

/// The result of `updateContract`.
#[derive(SimpleObject)]
pub struct UpdateContractPayload {
    /// The contract after the change.
    contract: Contract,
}

/// Queries on contracts.
#[derive(Default)]
pub struct ContractQuery;

#[Object]
impl ContractQuery {
    /// The present shift, by the database's clock in UTC: 1, 2 or 3, as in `Contract.session`.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn current_shift(&self, context: &Context<'_>) -> Result<i32> {
        context.principal()?;
        context.chats().current_shift().await
    }

    /// One contract. A visitor sees its website's active contracts and those that it has a chat with, an agent its own.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn contract(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Contract>> {
        Ok(context.chats().contract(context.principal()?, id).await?.map(Contract::from))
    }

    /// The contracts that the caller may see and that match the condition: the newest 1,000, oldest first. A visitor sees
    /// its website's active contracts and those that it has a chat with, an agent its own.
    #[graphql(directive = directives::cost::apply(directives::LIST), directive = directives::list_size::apply(SIZE))]
    async fn contracts(&self, context: &Context<'_>, condition: Option<ContractCondition>) -> Result<Vec<Contract>> {
        let filter = condition.unwrap_or_default().into();
        let contracts = context.chats().contracts(&context.reading(), context.principal()?, filter).await?;
        Ok(contracts.into_iter().map(Contract::from).collect())
    }
}

/// Mutations of contracts.
#[derive(Default)]
pub struct ContractMutation;

#[Object]
impl ContractMutation {
    /// Creates a contract. Only for the company's service and admin.
    async fn create_contract(
        &self,
        context: &Context<'_>,
        input: CreateContractInput,
    ) -> Result<CreateContractPayload> {
        let contract = context.chats().create_contract(context.principal()?, input.contract.checked()?).await?;
        Ok(CreateContractPayload { contract: contract.into() })
    }

    /// Changes a contract. Only for the company's service and admin. If the agent changes, its unfinished chats move to
    /// the new agent.
    async fn update_contract(
        &self,
        context: &Context<'_>,
        input: UpdateContractInput,
    ) -> Result<UpdateContractPayload> {
        let patch = input.patch.checked()?;
        let contract = context.chats().update_contract(context.principal()?, input.id, &patch).await?;
        Ok(UpdateContractPayload { contract: contract.into() })
    }
}

/// Subscriptions to contracts.
#[derive(Default)]
pub struct ContractSubscription;

#[Subscription]
impl ContractSubscription {
    /// The contracts that the caller may see and that match the arguments, then every change of them. With `after`: the
    /// changes since that cursor instead of the present state.
    async fn contract_status(
        &self,
        context: &Context<'_>,
        company_id: Option<Uuid>,
        website_id: Option<Uuid>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Contract>>> {
        let feed = ContractFeed { viewer: Arc::clone(context.principal()?).into(), company_id, website_id };
        let changes = subscription::subscribe(context.sources(), feed, after);
        Ok(source::shared(context, changes))
    }
}
