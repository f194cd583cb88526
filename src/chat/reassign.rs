//! A contract goes to another agent: its unfinished chats move along.

use uuid::Uuid;

use super::{
    decision::Decision,
    events,
    rules::ChatStatus,
    sql,
    verb::{self, Invocation, RaceVerb, Target},
};
use crate::platform::{error::Result, unit::Unit};

/// Moves the contract's chats of one race.
struct Reassign {
    company_id: Uuid,
    key: Uuid,
    contract_id: Uuid,
    agent_id: Option<Uuid>,
    actor: String,
}

impl RaceVerb for Reassign {
    const KIND: &'static str = "reassign";
    type Outcome = ();

    fn invocation(&self) -> Invocation<'_> {
        Invocation { company_id: self.company_id, target: Target::Key(self.key), caller: Some(&self.actor) }
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<()> {
        let race = decision.race_or("race")?;
        let agents_before = race.record.agent_ids.clone();
        let moved: Vec<Uuid> = race
            .chats
            .iter()
            .filter(|chat| chat.contract_id == self.contract_id && chat.status != ChatStatus::Finished)
            .map(|chat| chat.id)
            .collect();
        for id in moved {
            decision.change_chat(id, events::CHAT_REASSIGNED, |chat| chat.agent_id = self.agent_id);
        }
        if decision.race_or("race")?.agents() != agents_before {
            decision.change_race(events::RACE_REASSIGNED, |_| {});
        }
        Ok(())
    }
}

/// Moves the contract's unfinished chats to `agent_id`. The contract is locked for update, so that none is added; the
/// races are locked here.
pub(super) async fn reassign(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    contract_id: Uuid,
    agent_id: Option<Uuid>,
    actor: &str,
) -> Result<()> {
    let keys = sql::unfinished_races_of_contract(unit.connection(), company_id, contract_id).await?;
    let verbs: Vec<Reassign> = keys
        .into_iter()
        .map(|key| Reassign { company_id, key, contract_id, agent_id, actor: actor.to_owned() })
        .collect();
    let verbs: Vec<&Reassign> = verbs.iter().collect();
    let found = verb::lock(unit.connection(), &verbs).await?;
    verb::write_locked(unit, &verbs, &found).await
}
