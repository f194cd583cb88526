//! A winner who vanishes gives way: when the agent's side ends a chat within the grace, before it wrote anything, the
//! race of a `createChatRace` offers its other chats again, and the customer need not ask anew.
//!
//! ```text
//! WON ── the winner's side ends it, in time and silent ──► WAITING: the rescinded offers of contracts that are active
//!                                                                   and on shift are ACTIVE again
//! ```
//! The race keeps its end: a re-opened race expires when it would have before. The contracts are premises of the decision
//! (locked on the locked path), so that an offer never goes to an agent who has just handed its contract on. A message
//! of the agent that comes first is seen; a later one finds the chat over.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    contract::ContractRecord,
    decision::Decision,
    events,
    record::{ChatRecord, Race},
    rules::{self, ChatStatus, CloseReason, RaceState, Side},
    verb::Candidates,
};

/// The contracts whose offers may go out again if `side` ends this chat now.
pub(super) fn candidates(
    race: Option<&Race>,
    ended: Uuid,
    side: Side,
    grace: Duration,
    now: OffsetDateTime,
) -> Candidates {
    let gives_way = |race: &&Race| {
        let chat = race.chat(ended).filter(|chat| chat.status == ChatStatus::Started);
        side == Side::Company
            && race.record.reoffers
            && chat.is_some_and(|chat| rules::gives_way(chat.started_at, race.record.expires_at, grace, now))
    };
    match race.filter(gives_way) {
        None => Candidates::None,
        Some(race) => Candidates::Named(rescinded(race).map(|chat| chat.contract_id).collect()),
    }
}

fn rescinded(race: &Race) -> impl Iterator<Item = &ChatRecord> {
    race.chats.iter().filter(|chat| chat.close_reason == Some(CloseReason::Rescinded))
}

/// Re-opens the race whose winner `ended` (as it was before) was just finished by its own side, if it gives way.
pub(super) fn reoffer(decision: &mut Decision<'_>, ended: &ChatRecord, grace: Duration) {
    let now = decision.now();
    let (Some(seen), Some(race)) = (decision.seen(), decision.race()) else { return };
    let is_winner = race.record.winner_id == Some(ended.id);
    let in_time = rules::gives_way(ended.started_at, race.record.expires_at, grace, now);
    if !is_winner || !race.record.reoffers || !in_time || seen.agent_wrote {
        return;
    }
    let shift = rules::shift_of(now);
    let is_available = |contract: &&ContractRecord| contract.is_active() && contract.shift == shift;
    let reopened: Vec<(Uuid, &ContractRecord)> = rescinded(race)
        .filter_map(|chat| Some((chat.id, decision.contract(chat.contract_id).filter(is_available)?)))
        .collect();
    if reopened.is_empty() {
        return;
    }
    for (id, contract) in reopened {
        decision.rest_on(contract);
        decision.change_chat(id, events::CHAT_REOFFERED, |chat| {
            chat.status = ChatStatus::Active;
            chat.close_reason = None;
            chat.finished_at = None;
            chat.agent_id = contract.agent_id;
            if !chat.missed {
                chat.miss_at = contract.miss_at(now);
            }
        });
    }
    decision.change_race(events::RACE_REOFFERED, |race| {
        race.state = RaceState::Waiting;
        race.winner_id = None;
    });
    decision.count("switchboard_races_reoffered_total", &[]);
}
