//! What comes due: an offer that was not answered in its contract's time is flagged missed, a race that was not
//! answered in its own is expired. Both are rows, set and cleared by the transactions that make them needful or
//! needless, so they fire also when every server was down meanwhile.

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    record::{ChatRecord, Race, RaceRecord},
    service, sql,
    state::{CloseReason, RaceState},
};
use crate::{
    chat::{CHAT, RACE, changes::Changes},
    platform::{
        error::{Error, Result},
        event::Subject,
        timer::{self, Handler, NewTimer, Timer},
    },
};

const MISS: &str = "miss";
const EXPIRE: &str = "expire";

/// The timer that will flag this offer missed, if one is due at all.
pub(super) fn miss(chat: &ChatRecord) -> Option<NewTimer> {
    let due_at = chat.miss_at?;
    Some(NewTimer { company_id: chat.company_id, subject: Subject::new(CHAT, chat.id), purpose: MISS, due_at })
}

/// The timer that will expire this race.
pub(super) fn expire(race: &RaceRecord) -> NewTimer {
    let subject = Subject::new(RACE, race.key);
    NewTimer { company_id: race.company_id, subject, purpose: EXPIRE, due_at: race.expires_at }
}

/// Clears the timers of these chats, all of one company. Their race is locked.
pub(super) async fn clear_miss(connection: &mut PgConnection, chats: &[ChatRecord]) -> Result<()> {
    let Some(first) = chats.first() else { return Ok(()) };
    let subjects: Vec<Subject> = chats.iter().map(|chat| Subject::new(CHAT, chat.id)).collect();
    timer::clear(connection, first.company_id, &subjects).await
}

/// Clears the timers of these races and of all their chats. The races are locked.
pub(super) async fn clear_all(connection: &mut PgConnection, company_id: Uuid, races: &[Race]) -> Result<()> {
    let of_races = races.iter().map(|race| Subject::new(RACE, race.record.key));
    let of_chats = races.iter().flat_map(|race| &race.chats).map(|chat| Subject::new(CHAT, chat.id));
    let subjects: Vec<Subject> = of_races.chain(of_chats).collect();
    timer::clear(connection, company_id, &subjects).await
}

fn subject_id(timer: &Timer) -> Result<Uuid> {
    timer.subject_id.parse().map_err(Error::internal)
}

/// Flags an offer missed.
#[derive(Debug, Clone, Copy, Default)]
pub struct MissTimer;

impl Handler for MissTimer {
    fn handles(&self) -> (&'static str, &'static str) {
        (CHAT, MISS)
    }

    fn lock<'a>(&'a self, connection: &'a mut PgConnection, timer: &'a Timer) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // Read without a lock: a chat never changes its race.
            if let Some(chat) = sql::find_chat(connection, timer.company_id, subject_id(timer)?).await? {
                sql::lock_races(connection, timer.company_id, &[chat.key]).await?;
            }
            Ok(())
        })
    }

    fn fire<'a>(&'a self, connection: &'a mut PgConnection, timer: &'a Timer) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let id = subject_id(timer)?;
            let before = sql::find_chat(connection, timer.company_id, id).await?;
            // Started or finished meanwhile: needless.
            let Some(missed) = sql::flag_missed(connection, timer.company_id, id).await? else { return Ok(()) };
            let mut changes = Changes::by(timer.company_id, None);
            changes.chat("ChatMissed", &missed, before.as_ref())?;
            changes.append(connection).await?;
            metrics::counter!("switchboard_chats_missed_total").increment(1);
            Ok(())
        })
    }
}

/// Withdraws the offers of a race that nobody answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct CapTimer;

impl Handler for CapTimer {
    fn handles(&self) -> (&'static str, &'static str) {
        (RACE, EXPIRE)
    }

    fn lock<'a>(&'a self, connection: &'a mut PgConnection, timer: &'a Timer) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sql::lock_races(connection, timer.company_id, &[subject_id(timer)?]).await?;
            Ok(())
        })
    }

    fn fire<'a>(&'a self, connection: &'a mut PgConnection, timer: &'a Timer) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let key = subject_id(timer)?;
            let Some(mut race) = service::lock(connection, timer.company_id, key).await? else { return Ok(()) };
            if race.record.state != RaceState::Waiting || !race.is_offered(None) {
                return Ok(());
            }
            let before = race.clone();
            let expired = sql::withdraw_offers(connection, timer.company_id, key, CloseReason::Expired).await?;
            race.record.state = RaceState::Expired;
            sql::save_race(connection, &mut race.record, None).await?;
            clear_miss(connection, &before.chats).await?;
            let mut changes = Changes::by(timer.company_id, None);
            changes.race("RaceExpired", &race.record, Some(&before.record))?;
            changes.chats("ChatExpired", &expired, &before.chats)?;
            changes.append(connection).await?;
            metrics::counter!("switchboard_races_expired_total").increment(1);
            Ok(())
        })
    }
}
