//! A race while it is decided: what was read of it, and what becomes of it.
//!
//! Verbs read and change a [`Decision`]; nothing here touches the database. Times are the database's, as read together
//! with the race. A changed record gets its version and its time at once, derived from the record as it was read: however
//! many calls of one batch change it, it is raised once and has one event.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    contract::ContractRecord,
    events,
    message::MessageRecord,
    record::{ChatRecord, Race, RaceRecord},
    rights,
    rules::{ChatStatus, CloseReason},
};
use crate::{
    operation::{HolderRow, Pass},
    platform::{
        auth::Principal,
        error::{Error, Result},
        service::Outage,
        unit::Changes,
    },
};

/// A race as it was read.
#[derive(Debug)]
pub(super) struct SeenRace {
    pub(super) race: Race,
    /// Raised by every write of the race or one of its chats, so that an unlocked read can be checked later.
    pub(super) revision: i64,
    /// A chat's line was granted at some time, so that lines must be read.
    pub(super) is_coordinated: bool,
    /// The agent has written in the chat that is held now.
    pub(super) agent_wrote: bool,
    /// The last time that no server lived.
    pub(super) outage: Option<Outage>,
}

/// Everything that calls of one batch decide on, read at one moment or under locks.
#[derive(Debug)]
pub(super) struct Situation {
    pub(super) company_id: Uuid,
    /// The database's time.
    pub(super) now: OffsetDateTime,
    pub(super) races: HashMap<Uuid, SeenRace>,
    pub(super) contracts: HashMap<Uuid, ContractRecord>,
    /// The live holders of chats' lines, of those that the calls pass.
    pub(super) holders: HashMap<String, HolderRow>,
}

/// A race and what calls have made of it so far.
pub(crate) struct Decision<'a> {
    situation: &'a Situation,
    key: Uuid,
    draft: Draft<'a>,
    /// Counted also for a call that is refused.
    changes: Changes,
}

/// What a refused call must leave untouched.
#[derive(Clone, Default)]
struct Draft<'a> {
    race: Option<Race>,
    race_event: Option<&'static str>,
    chat_events: Vec<(Uuid, &'static str)>,
    opening: Option<MessageRecord>,
    /// Contracts that the decision rests on, with the versions that were read.
    premises: Vec<(Uuid, i32)>,
    /// `sub` of the caller whose change comes first; `None` for a timer.
    actor: Option<&'a str>,
}

/// A decided race, about to be written.
#[derive(Debug)]
pub(super) struct RaceWrite {
    pub(super) race: RaceRecord,
    /// The revision that was read; `None`: the race is new, its key must be free.
    pub(super) base_revision: Option<i64>,
    pub(super) new_chats: Vec<ChatRecord>,
    /// Each with the number of messages that was read.
    pub(super) changed_chats: Vec<(ChatRecord, i32)>,
    pub(super) opening: Option<MessageRecord>,
    pub(super) premises: Vec<(Uuid, i32)>,
    pub(super) changes: Changes,
}

impl<'a> Decision<'a> {
    pub(super) fn new(situation: &'a Situation, key: Uuid) -> Self {
        let race = situation.races.get(&key).map(|seen| seen.race.clone());
        let draft = Draft { race, ..Draft::default() };
        Self { situation, key, draft, changes: Changes::default() }
    }

    /// Runs one call's decision on behalf of `caller`; if it is refused, nothing of it remains.
    pub(super) fn call<T>(
        &mut self,
        caller: Option<&'a str>,
        decide: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.draft.clone();
        if !self.is_changed() {
            self.draft.actor = caller;
        }
        let outcome = decide(self);
        if outcome.is_err() {
            self.draft = before;
        }
        outcome
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.situation.now
    }

    pub(super) fn key(&self) -> Uuid {
        self.key
    }

    /// The race as it was read, if there was one.
    pub(super) fn seen(&self) -> Option<&'a SeenRace> {
        self.situation.races.get(&self.key)
    }

    /// The race as decided so far.
    pub(super) fn race(&self) -> Option<&Race> {
        self.draft.race.as_ref()
    }

    /// The race of a call that names one of its chats or itself.
    pub(super) fn race_or(&self, not_found: &str) -> Result<&Race> {
        self.race().ok_or_else(|| Error::not_found(not_found))
    }

    /// The chat as decided so far, if the caller may see it now: its contract may have gone to another agent since the call
    /// came in.
    pub(super) fn visible_chat(&self, principal: &Principal, id: Uuid) -> Result<ChatRecord> {
        let chat = self.race().and_then(|race| race.chat(id)).filter(|chat| rights::sees_chat(principal, chat));
        chat.cloned().ok_or_else(|| Error::not_found("chat"))
    }

    /// Checks that the line of a chat lets the call pass.
    ///
    /// # Errors
    /// As [`Pass::check`].
    pub(super) fn pass_line(&self, chat_id: Uuid, pass: &Pass) -> Result<()> {
        pass.check(self.situation.holders.get(&chat_id.to_string()))
    }

    pub(super) fn contract(&self, id: Uuid) -> Option<&'a ContractRecord> {
        self.situation.contracts.get(&id)
    }

    pub(super) fn contracts(&self) -> impl Iterator<Item = &'a ContractRecord> + use<'a> {
        self.situation.contracts.values()
    }

    pub(super) fn is_changed(&self) -> bool {
        self.draft.race_event.is_some() || !self.draft.chat_events.is_empty()
    }

    /// Counts once the batch is written, also if this call is refused or changes nothing.
    pub(super) fn count(&mut self, metric: &'static str, labels: &[(&'static str, &'static str)]) {
        self.changes.count(metric, labels);
    }

    /// Makes the race, which has no chats yet. Written only with an event of it.
    pub(super) fn open(&mut self, race: RaceRecord) {
        self.draft.race = Some(Race::new(race, Vec::new()));
    }

    /// Adds a chat, offered to `contract`.
    pub(super) fn add_chat(&mut self, contract: &ContractRecord, chat: ChatRecord) {
        self.draft.premises.push((contract.id, contract.version));
        self.draft.chat_events.push((chat.id, events::CHAT_OFFERED));
        if let Some(race) = &mut self.draft.race {
            race.chats.push(chat);
            race.renew_agents();
        }
    }

    /// Notes that the decision rests on `contract` as it was read.
    pub(super) fn rest_on(&mut self, contract: &ContractRecord) {
        self.draft.premises.push((contract.id, contract.version));
    }

    /// Changes the race. A new race keeps the event type of its creation.
    pub(super) fn change_race(&mut self, event_type: &'static str, change: impl FnOnce(&mut RaceRecord)) {
        let seen = self.seen();
        let Some(race) = &mut self.draft.race else { return };
        change(&mut race.record);
        race.renew_agents();
        race.record.version = seen.map_or(0, |seen| seen.race.record.version) + 1;
        race.record.updated_at = self.situation.now;
        self.draft.race_event = Some(if seen.is_some() { event_type } else { events::RACE_OPENED });
    }

    /// Changes a chat of the race; the last of several changes gives its event the type.
    pub(super) fn change_chat(&mut self, id: Uuid, event_type: &'static str, change: impl FnOnce(&mut ChatRecord)) {
        let before = self.seen().and_then(|seen| seen.race.chat(id)).map_or(0, |chat| chat.version);
        let now = self.situation.now;
        let Some(race) = &mut self.draft.race else { return };
        let Some(chat) = race.chats.iter_mut().find(|chat| chat.id == id) else { return };
        change(chat);
        chat.version = before + 1;
        chat.updated_at = now;
        match self.draft.chat_events.iter_mut().find(|event| event.0 == id) {
            Some(event) if before > 0 => event.1 = event_type,
            Some(_) => {}
            None => self.draft.chat_events.push((id, event_type)),
        }
    }

    /// Finishes a chat.
    pub(super) fn finish_chat(&mut self, id: Uuid, reason: CloseReason, event_type: &'static str) {
        let now = self.situation.now;
        self.change_chat(id, event_type, |chat| {
            chat.status = ChatStatus::Finished;
            chat.close_reason = Some(reason);
            chat.finished_at = Some(now);
        });
    }

    /// Finishes every chat that is still offered.
    pub(super) fn withdraw_offers(&mut self, reason: CloseReason, event_type: &'static str) {
        let offered: Vec<Uuid> = self
            .race()
            .into_iter()
            .flat_map(|race| &race.chats)
            .filter(|chat| chat.status == ChatStatus::Active)
            .map(|chat| chat.id)
            .collect();
        for id in offered {
            self.finish_chat(id, reason, event_type);
        }
    }

    /// Adds the opening message of a chat that starts.
    pub(super) fn add_opening(&mut self, message: MessageRecord) {
        self.draft.opening = Some(message);
    }

    /// What is to be written, `None` if nothing was changed; and what is counted whether or not it is written.
    pub(super) fn into_write(self) -> Result<(Option<RaceWrite>, Changes)> {
        let is_changed = self.is_changed();
        let seen = self.seen();
        let Self { draft, changes: counts, .. } = self;
        let Draft { race, race_event, chat_events, opening, premises, actor } = draft;
        let Some(race) = race.filter(|_| is_changed) else { return Ok((None, counts)) };
        let before = seen.map(|seen| &seen.race);
        let mut changes = Changes::default();
        if let Some(event_type) = race_event {
            changes.record(event_type, actor, &race.record, before.map(|race| &race.record))?;
        }
        let (mut new_chats, mut changed_chats) = (Vec::new(), Vec::new());
        for (id, event_type) in chat_events {
            let chat = race.chat(id).ok_or_else(|| Error::internal("a changed chat is not in its race"))?;
            let chat_before = before.and_then(|race| race.chat(id));
            changes.record(event_type, actor, chat, chat_before)?;
            match chat_before {
                Some(before) => changed_chats.push((chat.clone(), before.message_count)),
                None => new_chats.push(chat.clone()),
            }
        }
        if let Some(message) = &opening {
            changes.record(events::MESSAGE_ADDED, actor, message, None)?;
        }
        let base_revision = seen.map(|seen| seen.revision);
        let write =
            RaceWrite { race: race.record, base_revision, new_chats, changed_chats, opening, premises, changes };
        Ok((Some(write), counts))
    }
}
