//! The subscriptions that deployed chat widgets use: older names and simpler shapes of the present ones.
//!
//! `chatChanged`, `onMessageAdded` and `contractChanged` send changes only: no SNAPSHOT, no READY, no repeats. If the log
//! has a gap (a restored database), they send each present record as UPDATE with `resync: true`.
//!
//! A widget in the field may lose its token on a socket. A caller without a token receives:
//!
//! | subscription | sends |
//! | --- | --- |
//! | `chat`, `messages`, `onMessageAdded` | the chat whose id the caller knows; ids are random and never listed to others |
//! | `contractChanged` | the public fields of the contracts of the company that is named |
//! | `chatChanged` | FORBIDDEN, unless the setting allows anonymous widgets: then the chats that were created from its own address |

use std::sync::Arc;

use async_graphql::{Context, Subscription};
use futures_util::{StreamExt as _, future};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    contract::Contract,
    message::{self, Message, MessageCondition, MessagesOrderBy, chat_and_order},
    objects::Chat,
};
use crate::{
    chat::{
        ChatFeed, ChatFilter, WidgetFeed,
        contract::ContractFeed,
        message::{MessageFeed, MessageList, ReadMessageList},
        rights::Viewer,
        rules::ChatStatus,
    },
    platform::{
        auth::{Caller, Credential},
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            directives,
            shown::Shown,
            source::{self, SourceRegistered},
            stream_event::StreamEvent,
        },
        subscription::Newest,
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

/// The viewer of `chatChanged`.
async fn widget(context: &Context<'_>, contract_id: Option<Uuid>) -> Result<Viewer> {
    let address = || context.client_address().ok_or_else(|| Error::forbidden("this needs a token"));
    match context.caller() {
        // Development mode: a caller without a token is the demo company's service, but reads this stream as a widget.
        Caller::Known(principal) if principal.credential == Credential::Development => {
            Ok(Viewer::FromAddress { company_id: principal.company_id, address: address()? })
        }
        Caller::Anonymous if context.chats().allows_anonymous_widgets() => {
            let id = contract_id.ok_or_else(|| Error::invalid("contractId", "required without a token"))?;
            Ok(Viewer::FromAddress { company_id: context.chats().company_of_contract(id).await?, address: address()? })
        }
        Caller::Anonymous => Err(Error::forbidden("this needs a token")),
        caller => Ok(Viewer::Known(Arc::clone(caller.principal()?))),
    }
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
        let (viewer, _) =
            Box::pin(context.chats().viewer_of_chat(context.caller(), context.client_address(), id)).await?;
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
        let (viewer, _) =
            Box::pin(context.chats().viewer_of_chat(context.caller(), context.client_address(), chat_id)).await?;
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
        let viewer = widget(context, contract_id).await?;
        let filter = ChatFilter { contract_id, status, ..ChatFilter::default() };
        Ok(source::changes(context, WidgetFeed(ChatFeed { viewer, filter })))
    }

    /// The messages of a chat as they are written.
    #[graphql(deprecation = "for deployed widgets; use messageAdded")]
    async fn on_message_added(
        &self,
        context: &Context<'_>,
        chat_id: Uuid,
    ) -> Result<SourceRegistered<StreamEvent<Message>>> {
        let (viewer, _) =
            Box::pin(context.chats().viewer_of_chat(context.caller(), context.client_address(), chat_id)).await?;
        Ok(source::changes(context, MessageFeed { viewer, chat_id }))
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
            (_, company_id) => context.viewer(company_id.unwrap_or_default())?,
        };
        let feed = ContractFeed { viewer, company_id, website_id: None };
        Ok(source::changes(context, feed))
    }
}
