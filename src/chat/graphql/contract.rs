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
            scalars::Datetime,
            source::{self, SourceRegistered},
        },
        input,
        subscription::{self, StreamEvent},
    },
};

/// An agent's agreement to answer a website's chats in one shift.
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

#[Object]
impl Contract {
    /// The contract.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// Shown by the widget.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Shown by the widget.
    async fn color(&self) -> Option<&str> {
        self.0.color.as_deref()
    }

    /// Price; carried, not interpreted.
    async fn rate(&self) -> Option<f64> {
        self.0.rate
    }

    /// "active" or "inactive". Only active contracts are offered chats.
    async fn status(&self) -> &str {
        self.0.status.as_str()
    }

    /// Shift: 1 = 00-08 UTC, 2 = 08-16, 3 = 16-24.
    async fn session(&self) -> i32 {
        self.0.shift
    }

    /// Seconds until an unanswered chat is flagged missed; null, zero or negative: never.
    async fn chat_miss_time(&self) -> Option<i32> {
        self.0.chat_miss_time
    }

    /// What a miss costs; carried, not interpreted.
    async fn chat_miss_fee(&self) -> Option<f64> {
        self.0.chat_miss_fee
    }

    /// Whose visitors it serves.
    async fn website_id(&self) -> Uuid {
        self.0.website_id
    }

    /// Who answers.
    async fn agent_id(&self) -> Option<Uuid> {
        self.0.agent_id
    }

    /// Who answers.
    async fn agent(&self, context: &Context<'_>) -> Result<Option<Agent>> {
        let Some(id) = self.0.agent_id else { return Ok(None) };
        Ok(context.chats().loaders().agent(self.0.company_id, id).await?.map(Agent::from))
    }

    /// The company's own reference.
    async fn job_id(&self) -> Option<Uuid> {
        self.0.job_id
    }

    /// The tenant.
    async fn company_id(&self) -> Uuid {
        self.0.company_id
    }

    /// The company's own reference.
    async fn proposal_id(&self) -> Option<Uuid> {
        self.0.proposal_id
    }

    /// The agent left; the contract gets no more chats.
    async fn agent_deleted(&self) -> bool {
        self.0.agent_deleted
    }

    /// Raised by one at each change.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it was created.
    async fn inserted_at(&self) -> Datetime {
        self.0.inserted_at.into()
    }

    /// When it last changed.
    async fn updated_at(&self) -> Datetime {
        self.0.updated_at.into()
    }
}

/// Who answers chats.
#[derive(Debug, SimpleObject)]
pub struct Agent {
    /// Claim `agent_id` of its token.
    id: Uuid,
    /// Shown to customers.
    name: Option<String>,
}

impl From<AgentRecord> for Agent {
    fn from(record: AgentRecord) -> Self {
        Self { id: record.id, name: record.name }
    }
}

/// Which contracts; what is absent matches all.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ContractCondition {
    /// The one.
    pub id: Option<Uuid>,
    /// "active" or "inactive".
    pub status: Option<String>,
    /// Of this shift.
    pub session: Option<i32>,
    /// Of this agent.
    pub agent_id: Option<Uuid>,
    /// Of this website.
    pub website_id: Option<Uuid>,
}

impl From<ContractCondition> for ContractFilter {
    fn from(condition: ContractCondition) -> Self {
        let ContractCondition { id, status, session, agent_id, website_id } = condition;
        Self { id, status, shift: session, agent_id, website_id }
    }
}

/// A contract's properties.
#[derive(Debug, InputObject)]
pub struct ContractInput {
    /// Whose visitors it serves.
    website_id: Uuid,
    /// Shift: 1 = 00-08 UTC, 2 = 08-16, 3 = 16-24.
    session: i32,
    /// "active" (the default) or "inactive".
    status: Option<String>,
    /// Shown by the widget.
    name: Option<String>,
    /// Shown by the widget.
    color: Option<String>,
    /// Price; carried, not interpreted.
    rate: Option<f64>,
    /// Seconds until an unanswered chat is flagged missed; null, zero or negative: never.
    chat_miss_time: Option<i32>,
    /// What a miss costs; carried, not interpreted.
    chat_miss_fee: Option<f64>,
    /// Who answers; an id not known yet becomes an agent.
    agent_id: Option<Uuid>,
    /// The agent's name, shown to customers.
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

/// A contract to create.
#[derive(Debug, InputObject)]
pub struct CreateContractInput {
    /// Its properties.
    contract: ContractInput,
}

/// A contract that was created.
#[derive(SimpleObject)]
pub struct CreateContractPayload {
    /// The contract.
    contract: Contract,
}

/// What to change of a contract: null clears, absent keeps.
#[derive(Debug, InputObject)]
pub struct ContractPatch {
    /// Shift; cannot be cleared.
    session: MaybeUndefined<i32>,
    /// "active" or "inactive"; cannot be cleared.
    status: MaybeUndefined<String>,
    /// Shown by the widget.
    name: MaybeUndefined<String>,
    /// Shown by the widget.
    color: MaybeUndefined<String>,
    /// Price.
    rate: MaybeUndefined<f64>,
    /// Seconds until an unanswered chat is flagged missed; holds for offers to come.
    chat_miss_time: MaybeUndefined<i32>,
    /// What a miss costs.
    chat_miss_fee: MaybeUndefined<f64>,
    /// Who answers; unfinished chats move along.
    agent_id: MaybeUndefined<Uuid>,
    /// The agent left; cannot be cleared.
    agent_deleted: MaybeUndefined<bool>,
}

/// A value that may be kept, replaced or cleared, checked where there is one.
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

/// A contract to change.
#[derive(Debug, InputObject)]
pub struct UpdateContractInput {
    /// The contract.
    id: Uuid,
    /// What to change.
    patch: ContractPatch,
}

/// A contract that was changed.
#[derive(SimpleObject)]
pub struct UpdateContractPayload {
    /// The contract.
    contract: Contract,
}

/// Queries on contracts.
#[derive(Default)]
pub struct ContractQuery;

#[Object]
impl ContractQuery {
    /// The present shift by the UTC clock: 1, 2 or 3; a contract's `session`.
    async fn current_shift(&self, context: &Context<'_>) -> Result<i32> {
        context.principal()?;
        context.chats().current_shift().await
    }

    /// A contract: to a visitor its website's, to an agent its own.
    async fn contract(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Contract>> {
        Ok(context.chats().contract(context.principal()?, id).await?.map(Contract::from))
    }

    /// The contracts that the caller may see.
    async fn contracts(&self, context: &Context<'_>, condition: Option<ContractCondition>) -> Result<Vec<Contract>> {
        let filter = condition.unwrap_or_default().into();
        let contracts = context.chats().contracts(context.principal()?, &filter).await?;
        Ok(contracts.into_iter().map(Contract::from).collect())
    }
}

/// Mutations of contracts.
#[derive(Default)]
pub struct ContractMutation;

#[Object]
impl ContractMutation {
    /// Creates a contract. For the company's service and admin.
    async fn create_contract(
        &self,
        context: &Context<'_>,
        input: CreateContractInput,
    ) -> Result<CreateContractPayload> {
        let contract = context.chats().create_contract(context.principal()?, input.contract.checked()?).await?;
        Ok(CreateContractPayload { contract: contract.into() })
    }

    /// Changes a contract. For the company's service and admin. A change of agent moves its unfinished chats along.
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

/// Streams of contracts.
#[derive(Default)]
pub struct ContractSubscription;

#[Subscription]
impl ContractSubscription {
    /// The contracts that the caller may see, then every change.
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
