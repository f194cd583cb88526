//! The subscriptions that deployed chat widgets use: older names and simpler shapes of the present ones.
//!
//! `chatChanged`, `onMessageAdded` and `contractChanged` send changes only: no SNAPSHOT, no READY, no repeats. If the log
//! has a gap (a restored database), they send each present record as UPDATE with `resync: true`.
//!
//! Such a stream has no cursor that its client keeps. Instead its place is kept under its operation id: if the client opens
//! it again after a cut, it is sent what it missed, once.
//!
//! A widget in the field may lose its token on a socket. A caller without a token receives:
//!
//! | subscription | sends |
//! | --- | --- |
//! | `chat`, `messages`, `onMessageAdded` | the chat whose id the caller knows; ids are random and never listed to others |
//! | `contractChanged` | the public fields of the contracts of the company that is named |
//! | `chatChanged` with a contract | where the setting allows it: the one race that can be its own, see [`widget`](crate::chat) |
//! | `chatChanged` without one | the chats that its socket has named, and what the socket is pinned to |

use std::sync::Arc;

use async_graphql::{Context, Subscription};
use futures_util::{StreamExt as _, future, stream as streams};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    contract::Contract,
    message::{self, Message, MessageCondition, MessagesOrderBy, chat_and_order},
    objects::Chat,
};
use crate::{
    chat::{
        ChatFeed, ChatFilter, Chats, WidgetFeed,
        contract::ContractFeed,
        message::{MessageFeed, MessageList, ReadMessageList},
        rights::Viewer,
        rules::ChatStatus,
        widget::Proof,
    },
    platform::{
        auth::{Caller, Credential, VisitorKey},
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            directives,
            shown::Shown,
            source::{self, SourceRegistered},
            stream_event::StreamEvent,
        },
        subscription::{self, Newest, Opening},
    },
};

/// Parses a status, in upper or lower case.
fn status(text: &str) -> Result<ChatStatus> {
    let known = [ChatStatus::Active, ChatStatus::Started, ChatStatus::Finished];
    known
        .into_iter()
        .find(|status| status.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| Error::invalid("status", "must be ACTIVE, STARTED or FINISHED"))
}

/// Which stream of changes a client opens, with its arguments: the same text for the same stream.
fn stream(name: &str, arguments: impl std::fmt::Debug) -> String {
    format!("{name} {arguments:?}")
}

/// `chatChanged` of a caller without a token: what its socket has proved.
async fn changes_of_proved(
    context: &Context<'_>,
    contract_id: Option<Uuid>,
    status: Option<ChatStatus>,
) -> Result<SourceRegistered<StreamEvent<Chat>>> {
    let (chats, visit) = (context.chats(), context.visit());
    chats.allow_widget(context.caller()).map_err(|_| Error::forbidden("this needs a token"))?;
    let company_id = match contract_id {
        Some(id) => {
            let (company_id, website_id) = chats.website_of_contract(id).await?;
            chats.admit_page(&visit, company_id, website_id).await?;
            company_id
        }
        None => Uuid::nil(),
    };
    let stream = stream("chatChanged", (contract_id, status));
    let bookmark = context.bookmark(company_id, &stream).await?;
    let since = match bookmark.since() {
        Some(since) => since.clone(),
        None => subscription::cursor_now(context.sources()).await?,
    };
    let proofs = context.proofs();
    let mut fresh = None;
    if let Some(contract_id) = contract_id {
        let pinning = proofs.pinning.lock().await;
        let is_new = bookmark.since().is_none();
        let pin = match (bookmark.pin(), context.client_address()) {
            (Some(key), _) => Some(Proof::pinned(company_id, key)),
            (None, Some(address)) if is_new => {
                chats.pin(&proofs, context.bookmarks(), bookmark.key(), address, contract_id).await?
            }
            (None, _) => None,
        };
        if let Some(pin) = pin {
            bookmark.pinned(pin.key());
            proofs.add(pin);
            fresh = Some(pin).filter(|_| is_new);
        }
        drop(pinning);
    }
    bookmark.began(since.clone());
    let is_new = bookmark.since().is_none();
    Ok(source::changes_of_all(context, proofs.feeds(contract_id, status, since, is_new, fresh), bookmark))
}

/// `chatChanged` of a browser that names itself by a key: all of its visitors' chats.
async fn changes_of_key(
    context: &Context<'_>,
    key: VisitorKey,
    filter: ChatFilter,
) -> Result<SourceRegistered<StreamEvent<Chat>>> {
    let chats = context.chats();
    let visitors = match filter.contract_id {
        Some(id) => {
            chats.allow_widget(context.caller()).map_err(|_| Error::forbidden("this needs a token"))?;
            let (company_id, website_id) = chats.website_of_contract(id).await?;
            chats.admit_page(&context.visit(), company_id, website_id).await?;
            vec![chats.visitor_of_key(key, company_id, website_id).await?]
        }
        None => chats.visitors_of_key(key).await?,
    };
    let company_id = visitors.first().map(|visitor| visitor.company_id).unwrap_or_default();
    let stream = stream("chatChanged", (filter.contract_id, filter.status, &visitors));
    let bookmark = context.bookmark(company_id, &stream).await?;
    let since = bookmark.since().cloned();
    let opening = move || since.clone().map_or(Opening::Changes, Opening::Missed);
    let feeds = visitors.into_iter().map(move |visitor| {
        let viewer = Viewer::Known(Arc::new(visitor));
        (WidgetFeed(ChatFeed { viewer, filter: filter.clone() }, Vec::new()), opening())
    });
    // The stream goes on without a feed more, as long as the client wants it.
    let feeds = streams::iter(feeds.collect::<Vec<_>>()).chain(streams::pending());
    Ok(source::changes_of_all(context, feeds, bookmark))
}

fn in_order(list: &MessageList, order: MessagesOrderBy) -> Vec<Message> {
    let oldest_first = list.messages.iter().cloned().map(Message::from);
    match order {
        MessagesOrderBy::InsertedAtAsc => oldest_first.collect(),
        MessagesOrderBy::InsertedAtDesc => oldest_first.rev().collect(),
    }
}

/// Subscriptions of deployed widgets.
#[derive(Default)]
pub struct WidgetSubscription;

#[Subscription]
impl WidgetSubscription {
    /// A chat as it is, then at each change. A slow client may receive only the newest state. Null when the caller may
    /// not see the chat any more.
    #[graphql(deprecation = "for deployed widgets; use chatStatus(chatId)")]
    async fn chat(&self, context: &Context<'_>, id: Uuid) -> Result<SourceRegistered<Option<Shown<Chat>>>> {
        let viewer = context.viewer_of_chat(id).await?;
        let filter = ChatFilter { chat_id: Some(id), ..ChatFilter::default() };
        Ok(source::states(context, Newest(ChatFeed { viewer, filter })))
    }

    /// A chat's newest messages, at most 1,000: the whole list at first, and again after a change, at most four times a
    /// second. After the last change the list is complete.
    #[graphql(
        deprecation = "for deployed widgets; use messageAdded",
        directive = directives::list_size::apply(message::SIZE)
    )]
    async fn messages(
        &self,
        context: &Context<'_>,
        condition: Option<MessageCondition>,
        order_by: Option<Vec<MessagesOrderBy>>,
    ) -> Result<SourceRegistered<Option<Vec<Message>>>> {
        let (chat_id, order) = chat_and_order(condition, order_by)?;
        let viewer = context.viewer_of_chat(chat_id).await?;
        let read = ReadMessageList { company_id: viewer.company_id(), chat_id };
        let lists = context.chats().message_lists().watch(context.sources(), (read.company_id, chat_id), read);
        // The reader's rights are those that it has when the list was read.
        let seen = lists.filter_map(move |list| {
            future::ready(match list {
                Ok(list) => viewer.sees_chat(&list.chat).then(|| Ok(Some(in_order(&list, order)))),
                Err(error) => Some(Err(error)),
            })
        });
        Ok(source::own(context, seen))
    }

    /// Changes of the chats that the caller may see and that match the arguments. A visitor does not receive offers
    /// that were withdrawn because another agent won. It first receives the started chat of its newest open race, if
    /// there is one.
    #[graphql(deprecation = "for deployed widgets; use chatStatus")]
    async fn chat_changed(
        &self,
        context: &Context<'_>,
        contract_id: Option<Uuid>,
        #[graphql(name = "status")] named: Option<String>,
    ) -> Result<SourceRegistered<StreamEvent<Chat>>> {
        let status = named.map(|text| status(&text)).transpose()?;
        let filter = ChatFilter { contract_id, status, ..ChatFilter::default() };
        let caller = context.caller();
        let is_of_key = matches!(caller, Caller::Known(principal) if principal.credential == Credential::VisitorKey);
        match context.visit().key {
            Some(key) if is_of_key || Chats::is_widget(caller) => Box::pin(changes_of_key(context, key, filter)).await,
            _ if Chats::is_widget(caller) => Box::pin(changes_of_proved(context, contract_id, status)).await,
            _ => {
                let viewer = Viewer::Known(Arc::clone(caller.principal()?));
                let stream = stream("chatChanged", (contract_id, status));
                let bookmark = context.bookmark(viewer.company_id(), &stream).await?;
                Ok(source::changes(context, WidgetFeed(ChatFeed { viewer, filter }, Vec::new()), bookmark))
            }
        }
    }

    /// The messages of a chat as they are written.
    #[graphql(deprecation = "for deployed widgets; use messageAdded")]
    async fn on_message_added(
        &self,
        context: &Context<'_>,
        chat_id: Uuid,
    ) -> Result<SourceRegistered<StreamEvent<Message>>> {
        let viewer = context.viewer_of_chat(chat_id).await?;
        let bookmark = context.bookmark(viewer.company_id(), &stream("onMessageAdded", chat_id)).await?;
        Ok(source::changes(context, MessageFeed { viewer, chat_id }, bookmark))
    }

    /// Changes of the contracts that the caller may see. Without a token: of the company that is named, without prices
    /// and references.
    #[graphql(deprecation = "for deployed widgets; use contractStatus")]
    async fn contract_changed(
        &self,
        context: &Context<'_>,
        company_id: Option<Uuid>,
    ) -> Result<SourceRegistered<StreamEvent<Contract>>> {
        let viewer = match (context.caller(), company_id) {
            (Caller::Anonymous, None) => return Err(Error::invalid("companyId", "required without a token")),
            (Caller::Anonymous, Some(company_id)) => {
                context.chats().admit_page_of_company(&context.visit(), company_id).await?;
                context.viewer(company_id)?
            }
            (_, company_id) => context.viewer(company_id.unwrap_or_default())?,
        };
        let bookmark = context.bookmark(viewer.company_id(), &stream("contractChanged", company_id)).await?;
        Ok(source::changes(context, ContractFeed { viewer, company_id, website_id: None }, bookmark))
    }
}
