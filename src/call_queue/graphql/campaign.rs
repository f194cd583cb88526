//! Campaigns in the API.

use std::sync::Arc;

use async_graphql::{
    Context, ID, InputObject, Object, SimpleObject,
    connection::{Connection, EmptyFields},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::CallQueueContextExt as _;
use crate::{
    call::graphql::mutation::user_data,
    call_queue::{
        CampaignPatch, CampaignRecord, CampaignStatus, ContactFailure as Failure, NewCampaign, NewContact,
        campaign::change, number,
    },
    platform::{
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            directives,
            page::{self, Place},
            scalars::{Datetime, Json},
        },
        input,
    },
};

/// Most contacts of one request.
const MOST_CONTACTS: usize = 10_000;

/// A list of contacts to be called within a daily window.
#[derive(SimpleObject)]
pub struct Campaign {
    /// Our id of the campaign.
    id: Uuid,
    /// Whose slots its calls take.
    user_id: ID,
    /// Who speaks on the company's side, by an id of its own.
    agent_id: ID,
    /// A name for people to read.
    name: String,
    /// How far it is.
    status: CampaignStatus,
    /// When its daily window opens, HH:MM.
    first_call_time: String,
    /// When it closes, exclusive.
    last_call_time: String,
    /// IANA name of the time zone of its window.
    time_zone: String,
    /// New tries of a contact after `BUSY`, `NO_ANSWER` or `FAILED`.
    max_retries: i32,
    /// Between two tries.
    retry_interval_minutes: i32,
    /// Its share among its user's campaigns.
    weight: i32,
    /// When it starts, if it is scheduled.
    starts_at: Option<Datetime>,
    /// Items that wait.
    queued: i32,
    /// Items that have a slot.
    processing: i32,
    /// Items that were reached.
    completed: i32,
    /// Items that failed for good.
    failed: i32,
    /// Items that were canceled.
    canceled: i32,
    /// Items whose number a dialer refused.
    skipped: i32,
    /// Raised by one at each change.
    version: i32,
}

impl From<Arc<CampaignRecord>> for Campaign {
    fn from(record: Arc<CampaignRecord>) -> Self {
        Arc::unwrap_or_clone(record).into()
    }
}

impl From<CampaignRecord> for Campaign {
    fn from(record: CampaignRecord) -> Self {
        Self {
            id: record.id,
            user_id: record.user_id.into(),
            agent_id: record.agent_id.into(),
            name: record.name,
            status: record.status,
            first_call_time: record.first_call_time,
            last_call_time: record.last_call_time,
            time_zone: record.time_zone,
            max_retries: record.max_retries,
            retry_interval_minutes: record.retry_interval_minutes,
            weight: record.weight,
            starts_at: record.starts_at.map(Datetime::from),
            queued: record.queued,
            processing: record.processing,
            completed: record.completed,
            failed: record.failed,
            canceled: record.canceled,
            skipped: record.skipped,
            version: record.version,
        }
    }
}

/// A campaign to create.
#[derive(Debug, InputObject)]
pub struct CampaignInput {
    /// Whose slots its calls take; 1 to 200 characters.
    user_id: ID,
    /// For people; 1 to 200 characters.
    name: String,
    /// Who speaks; 1 to 200 characters.
    agent_id: ID,
    /// Default: ACTIVE. SCHEDULED needs `startsAt`.
    status: Option<CampaignStatus>,
    /// Default: 00:00.
    first_call_time: Option<String>,
    /// Default: 24:00.
    last_call_time: Option<String>,
    /// Default: UTC.
    time_zone: Option<String>,
    /// 0 to 5; default: 0.
    max_retries: Option<i32>,
    /// 1 to 1440; default: 60.
    retry_interval_minutes: Option<i32>,
    /// 1 to 100; default: 1.
    weight: Option<i32>,
    /// When it starts, if it is SCHEDULED.
    starts_at: Option<Datetime>,
}

/// A campaign to create.
#[derive(Debug, InputObject)]
pub struct CreateCampaignInput {
    /// What the new campaign shall be.
    campaign: CampaignInput,
}

/// The result of `createCampaign`.
#[derive(SimpleObject)]
pub struct CreateCampaignPayload {
    /// The campaign as it is after the request.
    campaign: Campaign,
}

/// What is changed; absent keeps.
#[derive(Debug, InputObject)]
#[graphql(name = "CampaignPatch")]
pub struct CampaignPatchInput {
    /// A name for people to read.
    name: Option<String>,
    /// Who speaks in calls that are dispatched from now on, also of contacts that wait already.
    agent_id: Option<ID>,
    /// PAUSED, ACTIVE, CANCELED and so on.
    status: Option<CampaignStatus>,
    /// When its daily window opens.
    first_call_time: Option<String>,
    /// When it closes.
    last_call_time: Option<String>,
    /// The time zone of its window.
    time_zone: Option<String>,
    /// 0 to 5.
    max_retries: Option<i32>,
    /// 1 to 1440.
    retry_interval_minutes: Option<i32>,
    /// 1 to 100.
    weight: Option<i32>,
    /// When it starts.
    starts_at: Option<Datetime>,
}

/// A campaign to change.
#[derive(Debug, InputObject)]
pub struct UpdateCampaignInput {
    /// Our id of the campaign.
    id: Uuid,
    /// What is changed.
    patch: CampaignPatchInput,
}

/// The result of `updateCampaign`.
#[derive(SimpleObject)]
pub struct UpdateCampaignPayload {
    /// The campaign after the change.
    campaign: Campaign,
}

/// A contact to be called.
#[derive(Debug, InputObject)]
pub struct CampaignContactInput {
    /// The company's own name for the contact; 1 to 200 characters.
    contact_id: ID,
    /// Its number, with its country.
    phone_number: String,
    /// The contact's name, for whoever speaks.
    contact_name: Option<String>,
    /// Carried, not interpreted; at most 16 KiB.
    user_data: Option<Json>,
}

/// Contacts to add to a campaign.
#[derive(Debug, InputObject)]
pub struct EnqueueCampaignCallsInput {
    /// The campaign whose line the contacts enter.
    campaign_id: Uuid,
    /// 1 to 10,000 contacts.
    contacts: Vec<CampaignContactInput>,
}

/// A contact that was not taken.
#[derive(Debug, SimpleObject)]
pub struct ContactFailure {
    /// The contact, by an id of the company's own.
    contact_id: ID,
    /// Why, for programs.
    code: String,
    /// Why, for people.
    message: String,
}

/// The result of `enqueueCampaignCalls`.
#[derive(Debug, SimpleObject)]
pub struct EnqueueCampaignCallsPayload {
    /// Contacts that wait now.
    enqueued: i32,
    /// Contacts that had an open item already.
    duplicates: i32,
    /// Contacts that were not taken.
    #[graphql(directive = directives::list_size::apply(10_000))]
    failures: Vec<ContactFailure>,
}

fn maybe(field: &str, value: Option<String>) -> Result<Option<String>> {
    value.map(|value| input::name(field, &value)).transpose()
}

fn contact(given: &CampaignContactInput) -> Result<NewContact> {
    Ok(NewContact {
        contact_id: input::name("contactId", &given.contact_id)?,
        phone_number: number::normalise("phoneNumber", &given.phone_number)?,
        contact_name: maybe("contactName", given.contact_name.clone())?,
        user_data: user_data("userData", given.user_data.clone())?,
    })
}

fn count(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Mutations of campaigns.
#[derive(Default)]
pub struct CampaignMutation;

#[Object]
impl CampaignMutation {
    /// Creates a campaign.
    async fn create_campaign(
        &self,
        context: &Context<'_>,
        input: CreateCampaignInput,
    ) -> Result<CreateCampaignPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        let given = input.campaign;
        let new = NewCampaign {
            user_id: input::name("userId", &given.user_id)?,
            agent_id: input::name("agentId", &given.agent_id)?,
            name: input::name("name", &given.name)?,
            status: given.status.unwrap_or(CampaignStatus::Active),
            first_call_time: given.first_call_time.unwrap_or_else(|| "00:00".to_owned()),
            last_call_time: given.last_call_time.unwrap_or_else(|| "24:00".to_owned()),
            time_zone: given.time_zone.unwrap_or_else(|| "UTC".to_owned()),
            max_retries: change::within("maxRetries", given.max_retries.unwrap_or(0), 0..=5)?,
            retry_interval_minutes: change::within(
                "retryIntervalMinutes",
                given.retry_interval_minutes.unwrap_or(60),
                1..=1_440,
            )?,
            weight: change::within("weight", given.weight.unwrap_or(1), 1..=100)?,
            starts_at: given.starts_at.map(Into::into),
        };
        change::window(&new.first_call_time, &new.last_call_time, &new.time_zone)?;
        let campaign = Box::pin(context.call_queue().create_campaign(principal, new)).await?;
        Ok(CreateCampaignPayload { campaign: campaign.into() })
    }

    /// Changes a campaign. Pauses and resumes it; canceling is final and takes everything that waits out of the line.
    async fn update_campaign(
        &self,
        context: &Context<'_>,
        input: UpdateCampaignInput,
    ) -> Result<UpdateCampaignPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        let given = input.patch;
        let within = |field: &str, value: Option<i32>, bounds| {
            value.map(|value| change::within(field, value, bounds)).transpose()
        };
        let patch = CampaignPatch {
            name: maybe("name", given.name)?,
            agent_id: given.agent_id.map(|id| input::name("agentId", &id)).transpose()?,
            status: given.status,
            first_call_time: given.first_call_time,
            last_call_time: given.last_call_time,
            time_zone: given.time_zone,
            max_retries: within("maxRetries", given.max_retries, 0..=5)?,
            retry_interval_minutes: within("retryIntervalMinutes", given.retry_interval_minutes, 1..=1_440)?,
            weight: within("weight", given.weight, 1..=100)?,
            starts_at: given.starts_at.map(Into::into),
        };
        let campaign = Box::pin(context.call_queue().update_campaign(principal, input.id, patch)).await?;
        Ok(UpdateCampaignPayload { campaign: campaign.into() })
    }

    /// Adds contacts to a campaign. Good ones go in, bad ones are reported; one with an open item is a duplicate.
    async fn enqueue_campaign_calls(
        &self,
        context: &Context<'_>,
        input: EnqueueCampaignCallsInput,
    ) -> Result<EnqueueCampaignCallsPayload> {
        let principal = context.principal()?;
        principal.require_company()?;
        if !(1..=MOST_CONTACTS).contains(&input.contacts.len()) {
            return Err(Error::invalid("contacts", format_args!("must have 1 to {MOST_CONTACTS} contacts")));
        }
        let (mut contacts, mut failures) = (Vec::with_capacity(input.contacts.len()), Vec::new());
        for given in &input.contacts {
            match contact(given) {
                Ok(contact) => contacts.push(contact),
                Err(error) => failures.push(Failure {
                    contact_id: given.contact_id.to_string(),
                    code: error.code().as_str(),
                    message: error.message().to_owned(),
                }),
            }
        }
        let done = Box::pin(context.call_queue().enqueue(principal, input.campaign_id, contacts)).await?;
        let failure = |Failure { contact_id, code, message }| ContactFailure {
            contact_id: contact_id.into(),
            code: code.to_owned(),
            message,
        };
        Ok(EnqueueCampaignCallsPayload {
            enqueued: count(done.enqueued),
            duplicates: count(done.duplicates),
            failures: failures.into_iter().map(failure).collect(),
        })
    }
}

/// Queries on campaigns.
#[derive(Default)]
pub struct CampaignQuery;

#[Object]
impl CampaignQuery {
    /// Campaigns, newest first.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn campaigns(
        &self,
        context: &Context<'_>,
        user_id: Option<ID>,
        status: Option<Vec<CampaignStatus>>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, Campaign, EmptyFields, EmptyFields>> {
        let size = page::size("first", first)?;
        let before = after.map(|cursor| Place::parse("after", &cursor)).transpose()?.map(|place| place.id);
        let user_id = user_id.map(|id| input::name("userId", &id)).transpose()?;
        let queue = context.call_queue();
        let found = queue.campaigns(&context.reading(), context.principal()?, user_id, status, before, size).await?;
        let place = |campaign: &Arc<CampaignRecord>| Place { at: OffsetDateTime::UNIX_EPOCH, id: campaign.id };
        Ok(found.into_connection(place, Campaign::from))
    }

    /// One campaign.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn campaign(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Campaign>> {
        let campaign = Box::pin(context.call_queue().campaign(&context.reading(), context.principal()?, id)).await?;
        Ok(campaign.map(Campaign::from))
    }
}
