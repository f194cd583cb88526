//! The rules of a race as pure functions of its state. They read no clock and no database.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The state of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChatStatus {
    /// Offered to the contract's agent, not started.
    Active,
    /// Started by its agent, not ended. At most one chat of a race is.
    Started,
    /// Ended or withdrawn.
    Finished,
}

impl ChatStatus {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Started => "STARTED",
            Self::Finished => "FINISHED",
        }
    }
}

/// Why a chat is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[graphql(name = "ChatCloseReason")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CloseReason {
    /// It was started and has ended, or its agent declined it.
    Completed,
    /// Another contract's agent won the race.
    Rescinded,
    /// The customer left.
    Canceled,
    /// No agent started it in time.
    Expired,
}

impl CloseReason {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Rescinded => "RESCINDED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// The state of a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RaceState {
    /// Chats are offered, none is started.
    Waiting,
    /// A chat was started. The state stays so after that chat ends.
    Won,
    /// Nobody was on shift, so nothing was offered.
    Offline,
    /// The customer left before an agent started a chat.
    Canceled,
    /// The time passed before an agent started a chat.
    Expired,
    /// No chat could be offered, or every agent declined.
    Failed,
}

impl RaceState {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Won => "WON",
            Self::Offline => "OFFLINE",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
            Self::Failed => "FAILED",
        }
    }

    /// The reason with which a chat that joins now is created finished; `None` while the race takes offers. A decision
    /// is final, so a late offer gets the reason of the offers that were withdrawn.
    pub const fn closes(self) -> Option<CloseReason> {
        match self {
            Self::Waiting | Self::Offline | Self::Failed => None,
            Self::Won => Some(CloseReason::Rescinded),
            Self::Canceled => Some(CloseReason::Canceled),
            Self::Expired => Some(CloseReason::Expired),
        }
    }
}

/// The outcome of `startChat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "StartChatOutcome")]
pub enum StartOutcome {
    /// This call started the chat and decided the race.
    Started,
    /// The chat was started before; the call is a repeat.
    AlreadyStarted,
    /// Another chat of the race was started first.
    LostRace,
    /// The chat is over for another reason.
    Closed,
}

impl StartOutcome {
    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::AlreadyStarted => "already_started",
            Self::LostRace => "lost_race",
            Self::Closed => "closed",
        }
    }
}

/// The outcome of starting a chat in this state.
pub const fn start(status: ChatStatus, reason: Option<CloseReason>) -> StartOutcome {
    match (status, reason) {
        (ChatStatus::Active, _) => StartOutcome::Started,
        (ChatStatus::Started, _) => StartOutcome::AlreadyStarted,
        (ChatStatus::Finished, Some(CloseReason::Rescinded)) => StartOutcome::LostRace,
        (ChatStatus::Finished, _) => StartOutcome::Closed,
    }
}

/// The side on which a caller ends a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The visitor that created the chat.
    Customer,
    /// The agent, or the company's server.
    Company,
}

/// The effect of ending a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The reason that the chat gets.
    pub reason: CloseReason,
    /// The new state of the race; `None`: unchanged.
    pub race: Option<RaceState>,
}

/// The effect of ending a chat in this state; `None` if it is finished already. `others_active`: other chats of its
/// race are offered.
pub const fn end(status: ChatStatus, side: Side, others_active: bool) -> Option<End> {
    let (reason, race) = match (status, side) {
        (ChatStatus::Finished, _) => return None,
        (ChatStatus::Started, _) => return Some(End { reason: CloseReason::Completed, race: None }),
        (ChatStatus::Active, Side::Customer) => (CloseReason::Canceled, RaceState::Canceled),
        (ChatStatus::Active, Side::Company) => (CloseReason::Completed, RaceState::Failed),
    };
    Some(End { reason, race: if others_active { None } else { Some(race) } })
}

/// True if the race reopens when the side of the winner ends the chat now and has written nothing: soon after the
/// start, and before the race would have expired.
pub fn gives_way(
    started_at: Option<OffsetDateTime>,
    expires_at: OffsetDateTime,
    grace: Duration,
    now: OffsetDateTime,
) -> bool {
    !grace.is_zero() && now < expires_at && started_at.is_some_and(|started_at| now <= started_at + grace)
}

/// The outcome of `cancelChatRace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "CancelRaceOutcome")]
pub enum CancelOutcome {
    /// This call canceled the race: every offer is withdrawn.
    Canceled,
    /// A chat was started before. It goes on.
    AlreadyWon,
    /// The race was canceled or had expired before.
    AlreadyClosed,
}

impl CancelOutcome {
    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::AlreadyWon => "already_won",
            Self::AlreadyClosed => "already_closed",
        }
    }
}

/// The outcome of canceling a race in this state. A race without offers is canceled too, so that no chat can join it
/// later.
pub const fn cancel(state: RaceState) -> CancelOutcome {
    match state {
        RaceState::Waiting | RaceState::Offline | RaceState::Failed => CancelOutcome::Canceled,
        RaceState::Won => CancelOutcome::AlreadyWon,
        RaceState::Canceled | RaceState::Expired => CancelOutcome::AlreadyClosed,
    }
}

/// The new state of an undecided race after offers were requested. `active`: chats are offered now; `failed`: contracts
/// could not be offered the chat.
pub const fn opened(before: RaceState, active: bool, failed: bool) -> RaceState {
    match before {
        RaceState::Won | RaceState::Canceled | RaceState::Expired => before,
        _ if active => RaceState::Waiting,
        RaceState::Failed => RaceState::Failed,
        _ if failed => RaceState::Failed,
        _ => RaceState::Offline,
    }
}

/// The shift at a moment, in UTC: 1 = 00-08, 2 = 08-16, 3 = 16-24.
pub fn shift_of(moment: OffsetDateTime) -> i32 {
    i32::from(moment.to_offset(time::UtcOffset::UTC).hour() / 8) + 1
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    /// A race as the service would keep it, moved only by the rules above.
    #[derive(Debug, Clone)]
    struct Model {
        state: RaceState,
        winner: Option<usize>,
        chats: Vec<(ChatStatus, Option<CloseReason>)>,
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Join,
        AskInVain(bool),
        Start(usize),
        End(usize, Side),
        /// The winner's side ends it in time, having written nothing.
        Vanish,
        Cancel,
        Expire,
    }

    impl Model {
        fn withdraw(&mut self, why: CloseReason) {
            for chat in self.chats.iter_mut().filter(|chat| chat.0 == ChatStatus::Active) {
                *chat = (ChatStatus::Finished, Some(why));
            }
        }

        fn active(&self) -> usize {
            self.chats.iter().filter(|chat| chat.0 == ChatStatus::Active).count()
        }

        fn apply(&mut self, step: Step) {
            match step {
                Step::Join => {
                    let closes = self.state.closes();
                    self.chats.push((closes.map_or(ChatStatus::Active, |_| ChatStatus::Finished), closes));
                    self.state = opened(self.state, self.active() > 0, false);
                }
                Step::AskInVain(failed) => self.state = opened(self.state, self.active() > 0, failed),
                Step::Start(index) if index < self.chats.len() => {
                    let (status, reason) = self.chats[index];
                    if start(status, reason) == StartOutcome::Started {
                        self.chats[index] = (ChatStatus::Started, None);
                        self.withdraw(CloseReason::Rescinded);
                        self.state = RaceState::Won;
                        self.winner = Some(index);
                    }
                }
                Step::End(index, side) if index < self.chats.len() => {
                    let (status, _) = self.chats[index];
                    let others = self.active() - usize::from(status == ChatStatus::Active) > 0;
                    if let Some(end) = end(status, side, others) {
                        self.chats[index] = (ChatStatus::Finished, Some(end.reason));
                        self.state = end.race.unwrap_or(self.state);
                    }
                }
                Step::Expire if self.state == RaceState::Waiting => {
                    self.withdraw(CloseReason::Expired);
                    self.state = RaceState::Expired;
                }
                Step::Cancel if cancel(self.state) == CancelOutcome::Canceled => {
                    self.withdraw(CloseReason::Canceled);
                    self.state = RaceState::Canceled;
                }
                Step::Vanish => self.vanish(),
                Step::Start(_) | Step::End(..) | Step::Expire | Step::Cancel => {}
            }
        }

        fn vanish(&mut self) {
            let Some(winner) = self.winner.filter(|winner| self.chats[*winner].0 == ChatStatus::Started) else {
                return;
            };
            self.chats[winner] = (ChatStatus::Finished, Some(CloseReason::Completed));
            let rescinded = (ChatStatus::Finished, Some(CloseReason::Rescinded));
            if self.chats.contains(&rescinded) {
                for chat in self.chats.iter_mut().filter(|chat| **chat == rescinded) {
                    *chat = (ChatStatus::Active, None);
                }
                (self.state, self.winner) = (RaceState::Waiting, None);
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Join),
            1 => any::<bool>().prop_map(Step::AskInVain),
            2 => (0_usize..6).prop_map(Step::Start),
            3 => (0_usize..6, prop_oneof![Just(Side::Customer), Just(Side::Company)])
                .prop_map(|(index, side)| Step::End(index, side)),
            1 => Just(Step::Vanish),
            1 => Just(Step::Cancel),
            1 => Just(Step::Expire),
        ]
    }

    proptest! {
        #[test]
        fn a_race_is_decided_once(steps in prop::collection::vec(step(), 0..40)) {
            let mut race = Model { state: RaceState::Offline, winner: None, chats: Vec::new() };
            for step in steps {
                let before = race.clone();
                race.apply(step);
                let started = race.chats.iter().filter(|chat| chat.0 == ChatStatus::Started).count();
                prop_assert!(started <= 1, "two are started at once");
                prop_assert_eq!(race.state == RaceState::Won, race.winner.is_some());
                prop_assert_eq!(race.state == RaceState::Waiting, race.active() > 0, "waiting means that an offer is out");
                let reopens = matches!(step, Step::Vanish) && before.state == RaceState::Won;
                if before.state.closes().is_some() && !reopens {
                    prop_assert_eq!(race.state, before.state, "a decision stands");
                }
                for (now, then) in race.chats.iter().zip(&before.chats) {
                    prop_assert_eq!(now.0 == ChatStatus::Finished, now.1.is_some());
                    if then.0 == ChatStatus::Finished && !(reopens && then.1 == Some(CloseReason::Rescinded)) {
                        prop_assert_eq!(now, then, "a finished chat stays as it is");
                    }
                }
            }
        }

        #[test]
        fn a_winner_gives_way_only_soon_and_in_time(started in 0_i64..100, now in 0_i64..200, expires in 0_i64..200) {
            let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let way = gives_way(Some(at(started)), at(expires), Duration::from_secs(30), at(now));
            prop_assert_eq!(way, now <= started + 30 && now < expires);
            prop_assert!(!gives_way(Some(at(started)), at(expires), Duration::ZERO, at(now)));
        }

        #[test]
        fn every_moment_has_its_shift(seconds in 0_i64..4_000_000_000, offset in -12_i8..=12) {
            let utc = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let elsewhere = utc.to_offset(time::UtcOffset::from_hms(offset, 0, 0).unwrap());
            prop_assert_eq!(i64::from(shift_of(elsewhere)), seconds % 86_400 / 28_800 + 1);
        }
    }
}
