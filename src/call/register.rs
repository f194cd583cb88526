//! `registerCall`: a call that began at the provider becomes known. Parked news of its name is applied at once.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Calls,
    record::{CALL_REGISTERED, CALL_REPORTED, CallRecord},
    report, rights,
    rules::{CallStatus, CallType},
    sql,
};
use crate::{
    call_queue::slots,
    platform::{
        auth::Principal,
        clock,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
    },
};

/// A call that began at the provider. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// The provider's name for it.
    pub call_control_id: String,
    /// Whose call it is.
    pub user_id: String,
    /// Who speaks on the company's side, by an id of its own.
    pub agent_id: String,
    /// The other side.
    pub phone_number: Option<String>,
    /// The name of the other side.
    pub contact_name: Option<String>,
    /// Carried, not interpreted.
    pub user_data: Option<Value>,
}

struct Register {
    company_id: Uuid,
    actor: String,
    id: Uuid,
    new: NewCall,
}

impl Verb for Register {
    type Outcome = CallRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<CallRecord> {
        let Self { company_id, id, ref actor, ref new } = *self;
        let name = &new.call_control_id;
        slots::lock(unit, company_id).await?;
        if let Some(known) = sql::lock_name(unit.connection(), company_id, name).await? {
            let known = sql::find_calls(unit.connection(), company_id, &[known]).await?.pop();
            let known = known.ok_or_else(|| Error::internal("a named call is gone"))?;
            return if known.user_id == new.user_id {
                Ok(known)
            } else {
                Err(Error::conflict("another user's call has this callControlId"))
            };
        }
        let now = sql::now(unit.connection()).await?;
        let registered = CallRecord {
            company_id,
            id,
            call_control_id: Some(name.clone()),
            user_id: new.user_id.clone(),
            agent_id: new.agent_id.clone(),
            call_type: CallType::Direct,
            campaign_id: None,
            phone_number: new.phone_number.clone(),
            contact_id: None,
            contact_name: new.contact_name.clone(),
            user_data: new.user_data.clone(),
            attempt: 1,
            inbound: true,
            status: CallStatus::Ringing,
            end_reason: None,
            told_reason: None,
            told_at: None,
            untold_at: None,
            pending_hang_up: false,
            dialing: false,
            dialed: false,
            hanging_up: false,
            hung_up_until: None,
            asked: false,
            generation: 1,
            version: 1,
            queued_at: None,
            started_at: Some(now),
            answered_at: None,
            ended_at: None,
            hang_up_at: None,
            finalize_at: None,
            finalized_at: None,
            abandoned: 0,
            lease_expires_at: None,
            inserted_at: now,
            updated_at: now,
        };
        sql::insert_call(unit.connection(), &registered).await?;
        sql::give_name(unit.connection(), company_id, name, id).await?;
        slots::take(unit, &registered, now).await?;
        unit.changes().record(CALL_REGISTERED, Some(actor), &registered, None)?;
        unit.changes().count("switchboard_calls_registered_total", &[]);
        let mut call = registered.clone();
        report::merge_parked(unit, &mut call, name, now).await?;
        if call != registered {
            call.version += 1;
            sql::update_calls(unit.connection(), company_id, &[&call]).await?;
            unit.changes().record(CALL_REPORTED, Some(actor), &call, Some(&registered))?;
            if call.status == CallStatus::Ended {
                slots::release(unit, company_id, &[&call]).await?;
            }
        }
        Ok(call)
    }

    fn lines(&self) -> Lines {
        Lines { caller: Some((self.company_id, self.actor.clone())), ..Lines::default() }
    }
}

impl Calls {
    /// Brings in a call that began at the provider; see the module. A repeat returns the existing call.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `CONFLICT` if the name is of another user's call.
    #[tracing::instrument(name = "call.register", skip_all)]
    pub async fn register(&self, principal: &Principal, new: NewCall) -> Result<CallRecord> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Register { company_id, actor, id: clock::new_id(), new }).await
    }
}
