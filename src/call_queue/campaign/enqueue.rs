//! `enqueueCampaignCalls`: contacts at the end of a campaign's line, 500 in a transaction, so that the lock is held for
//! milliseconds. Each chunk commits alone; a repeat of the request counts what was there before as duplicates.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use super::{CampaignStatus, sql};
use crate::{
    call_queue::{CallQueue, slots},
    platform::{
        auth::Principal,
        clock,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
    },
};

/// Contacts of one transaction.
const CHUNK: usize = 500;

/// A contact to be called. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewContact {
    /// The company's own name for the contact.
    pub contact_id: String,
    /// Its number, in E.164.
    pub phone_number: String,
    /// The contact's name, for whoever speaks.
    pub contact_name: Option<String>,
    /// Carried, not interpreted.
    pub user_data: Option<Value>,
}

/// A contact that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactFailure {
    /// The contact, by an id of the company's own.
    pub contact_id: String,
    /// Why, for programs.
    pub code: &'static str,
    /// Why, for people.
    pub message: String,
}

/// What became of contacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// Those that wait now.
    pub enqueued: usize,
    /// Those that had an open item already.
    pub duplicates: usize,
}

struct Enqueue {
    company_id: Uuid,
    actor: String,
    campaign_id: Uuid,
    chunk: Vec<(Uuid, Uuid, NewContact)>,
}

impl Verb for Enqueue {
    type Outcome = Enqueued;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Enqueued> {
        slots::lock(unit, self.company_id).await?;
        let campaign = sql::find(unit.connection(), self.company_id, self.campaign_id).await?;
        let campaign = campaign.ok_or_else(|| Error::not_found("campaign"))?;
        if campaign.status == CampaignStatus::Canceled {
            return Err(Error::conflict("the campaign is canceled"));
        }
        let (entered, replaced) =
            sql::enqueue(unit.connection(), self.company_id, self.campaign_id, &self.chunk).await?;
        slots::canceled(unit, self.company_id, &replaced).await?;
        let of = |is_new: bool| entered.iter().filter(|entered| **entered == is_new).count();
        let calls: Vec<Uuid> =
            self.chunk.iter().zip(&entered).filter(|(_, entered)| **entered).map(|((_, call, _), _)| *call).collect();
        slots::queued(unit, self.company_id, &calls, Some(&self.actor)).await?;
        slots::dispatch(unit, self.company_id).await?;
        Ok(Enqueued { enqueued: of(true), duplicates: of(false) })
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

impl CallQueue {
    /// Adds contacts to a campaign.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `CONFLICT` for a canceled campaign.
    #[tracing::instrument(name = "campaign.enqueue", skip_all)]
    pub async fn enqueue(
        &self,
        principal: &Principal,
        campaign_id: Uuid,
        contacts: Vec<NewContact>,
    ) -> Result<Enqueued> {
        principal.require_company()?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        let mut sum = Enqueued::default();
        let mut seen = HashSet::new();
        let mut fresh = Vec::with_capacity(contacts.len());
        for contact in contacts {
            if seen.insert(contact.contact_id.clone()) {
                fresh.push((clock::new_id(), clock::new_id(), contact));
            } else {
                sum.duplicates += 1;
            }
        }
        let mut fresh = fresh.into_iter().peekable();
        loop {
            let chunk: Vec<_> = fresh.by_ref().take(CHUNK).collect();
            let is_last = fresh.peek().is_none();
            let enqueue = Enqueue { company_id, actor: actor.clone(), campaign_id, chunk };
            let done = self.work.run(enqueue).await?;
            sum.enqueued += done.enqueued;
            sum.duplicates += done.duplicates;
            if is_last {
                return Ok(sum);
            }
        }
    }
}
