//! Widgets without a token: what they prove instead, and what that allows.
//!
//! A deployed widget never sends its token on its socket, and in a new tab it cannot read the token that it stored. It then
//! has three proofs left, from the strongest to the weakest:
//!
//! | proof | allows |
//! | --- | --- |
//! | the key of its browser (`?visitor=KEY`) | everything that the visitor may do |
//! | the id of a chat, which is random and never listed to others | to read the chat, and as its customer to write, end and rate |
//! | the address that it calls from, and the contract that it names | to be told of the one race that can be its own |
//!
//! # The pin
//! Several customers may share an address. So a socket is *pinned* when its stream `chatChanged` begins: to the only open
//! race that was asked for from its address for the contract and that no other stream is pinned to. While there are two
//! such races, neither socket can know its own, and both are told nothing. A pin lasts as long as the stream and two minutes
//! after a cut, during which only the same operation gets it back; it goes at once when the client leaves. A socket that has
//! named a chat of an open race, or is pinned to one, is not pinned to another.
//!
//! A stream `chatChanged` without a contract is never pinned by itself: it shows the chats that its socket has named, before
//! or after it began, and what the socket is pinned to.
//!
//! Pages are narrowed further: what a page of an origin may see belongs to a website that lists the origin.

use std::sync::Arc;

use futures_util::Stream;
use ipnet::IpNet;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::{
    ChatFeed, ChatFilter, Chats, WidgetFeed,
    record::ChatRecord,
    rights::Viewer,
    rules::ChatStatus,
    sql::{self, Asked},
};
use crate::platform::{
    auth::{Caller, Credential, Principal, Visit, VisitorKey},
    error::{Error, Result},
    event::Cursor,
    subscription::{
        Opening,
        bookmark::{BookmarkKey, Bookmarks},
    },
    unit::{Unit, Verb},
};

/// Most chats that one socket names; more are not shown by `chatChanged`.
const MOST_NAMED: usize = 100;

/// What a caller without a token has proved on its socket. It grows and never shrinks.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    shown: watch::Sender<Vec<Proof>>,
    /// Held while a stream is being pinned, so that the streams of one socket agree.
    pub(super) pinning: Mutex<()>,
}

/// One way in which a caller without a token proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proof {
    company_id: Uuid,
    /// Key of the race that the proof opens.
    key: Uuid,
    /// The only chat of it that is shown; `None`: the socket is pinned to the race.
    chat_id: Option<Uuid>,
    /// That chat had ended when it was named.
    has_ended: bool,
}

impl Proof {
    /// The proof of a pin.
    pub(super) fn pinned(company_id: Uuid, key: Uuid) -> Self {
        Self { company_id, key, chat_id: None, has_ended: false }
    }

    /// The key of its race.
    pub(super) fn key(&self) -> Uuid {
        self.key
    }

    /// `earlier` are the proofs whose feeds the stream has already.
    fn feed(self, contract_id: Option<Uuid>, status: Option<ChatStatus>, earlier: &[Self]) -> WidgetFeed {
        let Self { company_id, key, chat_id, .. } = self;
        let viewer = match chat_id {
            Some(chat_id) => Viewer::HoldsChatId { company_id, chat_id },
            None => Viewer::PinnedTo { company_id, key },
        };
        let key = Some(key).filter(|_| chat_id.is_none());
        let shown = earlier.iter().filter(|proof| proof.key == self.key).filter_map(|proof| proof.chat_id).collect();
        WidgetFeed(ChatFeed { viewer, filter: ChatFilter { chat_id, key, contract_id, status } }, shown)
    }
}

impl Proofs {
    /// The socket has named this chat, which it knows by its id.
    pub(super) fn name(&self, chat: &ChatRecord) {
        let has_ended = chat.status == ChatStatus::Finished;
        self.add(Proof { company_id: chat.company_id, key: chat.key, chat_id: Some(chat.id), has_ended });
    }

    pub(super) fn add(&self, proof: Proof) {
        self.shown.send_if_modified(|shown| {
            let is_new =
                |known: &Proof| known.key != proof.key || known.chat_id.is_some_and(|chat| Some(chat) != proof.chat_id);
            let is_new = shown.len() < MOST_NAMED && shown.iter().all(is_new);
            if is_new {
                shown.push(proof);
            }
            is_new
        });
    }

    /// The races that are proved, with their companies before them.
    fn races(&self) -> Vec<(Uuid, Uuid)> {
        self.shown.borrow().iter().map(|proof| (proof.company_id, proof.key)).collect()
    }

    /// The feed of each proof, also of those that come later. That of `fresh`, the pin of a stream that begins, begins with
    /// the race's started chat. That of a chat that was named begins with its end, if the stream `is_new` and the chat ended
    /// before it. All others go on from `since`.
    pub(super) fn feeds(
        self: Arc<Self>,
        contract_id: Option<Uuid>,
        status: Option<ChatStatus>,
        since: Cursor,
        is_new: bool,
        fresh: Option<Proof>,
    ) -> impl Stream<Item = (WidgetFeed, Opening)> + Send {
        let mut changes = self.shown.subscribe();
        async_stream::stream! {
            let mut seen: Vec<Proof> = Vec::new();
            let mut begins = true;
            loop {
                let new: Vec<Proof> = changes.borrow_and_update()[seen.len()..].to_vec();
                for proof in new {
                    // Of a chat that was open when it was named later, the log since then tells all.
                    let is_told_of_ends = is_new && contract_id.is_none() && proof.chat_id.is_some();
                    let may_have_ended = is_told_of_ends && (begins || proof.has_ended);
                    let is_fresh = fresh == Some(proof) || may_have_ended;
                    let opening = if is_fresh { Opening::Changes } else { Opening::Missed(since.clone()) };
                    let feed = proof.feed(contract_id, status, &seen);
                    seen.push(proof);
                    yield (feed, opening);
                }
                begins = false;
                // Never fails while this stream holds the proofs.
                if changes.changed().await.is_err() {
                    break;
                }
            }
            drop(self);
        }
    }
}

struct Pin {
    asked: Asked,
    row: BookmarkKey,
    server_id: Uuid,
}

impl Verb for Pin {
    type Outcome = Option<Uuid>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Option<Uuid>> {
        sql::delete_dead_pins(unit.connection(), &self.asked, self.row.id()).await?;
        let pin = sql::pin_race(unit.connection(), &self.asked, self.row.id(), self.server_id).await?;
        unit.mark_changed();
        Ok(pin)
    }
}

impl Chats {
    /// True if the caller is a widget: without a token, or in development mode with nothing that names it.
    pub(super) fn is_widget(caller: &Caller) -> bool {
        match caller {
            Caller::Known(principal) => principal.credential == Credential::Development,
            caller => matches!(caller, Caller::Anonymous),
        }
    }

    /// Checks that this server lets widgets without a token do more than read what they know the id of.
    pub(super) fn allow_widget(&self, caller: &Caller) -> Result<()> {
        match caller {
            Caller::Anonymous if !self.settings.anonymous_widgets => Err(Error::unauthenticated("this needs a token")),
            _ => Ok(()),
        }
    }

    /// Checks that a page may see what belongs to this website.
    ///
    /// # Errors
    /// `FORBIDDEN` for a page of an origin that the website does not list.
    pub(super) async fn admit_page(&self, visit: &Visit, company_id: Uuid, website_id: Uuid) -> Result<()> {
        let Some(page) = visit.page.as_ref().filter(|page| !page.is_listed) else { return Ok(()) };
        if self.origins.websites_of(&page.origin).await.contains(&(company_id, website_id)) {
            return Ok(());
        }
        Err(Error::forbidden("web pages of this origin may not act for this website"))
    }

    /// Checks that a page may see what belongs to this company as a whole.
    ///
    /// # Errors
    /// `FORBIDDEN` for a page of an origin that no website of the company lists.
    pub(super) async fn admit_page_of_company(&self, visit: &Visit, company_id: Uuid) -> Result<()> {
        let Some(page) = visit.page.as_ref().filter(|page| !page.is_listed) else { return Ok(()) };
        if self.origins.websites_of(&page.origin).await.iter().any(|(company, _)| *company == company_id) {
            return Ok(());
        }
        Err(Error::forbidden("web pages of this origin may not act for this company"))
    }

    /// The visitor that the key of a browser stands for on a website; a new one at its first use.
    pub(super) async fn visitor_of_key(
        &self,
        key: VisitorKey,
        company_id: Uuid,
        website_id: Uuid,
    ) -> Result<Principal> {
        let visitor = self.visitors.tie(company_id, website_id, key, None).await?;
        Ok(Principal::visitor(company_id, website_id, visitor))
    }

    /// The visitors that the key of a browser stands for.
    pub(super) async fn visitors_of_key(&self, key: VisitorKey) -> Result<Vec<Principal>> {
        self.visitors.of(key).await
    }

    /// Pins a stream that begins, if its socket has no open race yet; see the module.
    pub(super) async fn pin(
        &self,
        proofs: &Proofs,
        bookmarks: &Bookmarks,
        row: BookmarkKey,
        address: IpNet,
        contract_id: Uuid,
    ) -> Result<Option<Proof>> {
        let company_id = row.company_id;
        for (company_id, key) in proofs.races() {
            let chats = self.loaders.chats_of_race(company_id, key).await?;
            if chats.iter().any(|chat| chat.status != ChatStatus::Finished) {
                return Ok(None);
            }
        }
        let asked = Asked { company_id, address, contract_id };
        let pin = self.work.run(Pin { asked, row, server_id: bookmarks.server_id() }).await?;
        let outcome = if pin.is_some() { "pinned" } else { "none" };
        metrics::counter!("switchboard_widget_pins_total", "outcome" => outcome).increment(1);
        Ok(pin.map(|key| Proof::pinned(company_id, key)))
    }
}
