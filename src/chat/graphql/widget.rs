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

use std::{collections::VecDeque, sync::Arc};

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
        message::{MOST, MessageFeed, MessageRecord},
        rights::Viewer,
        rules::ChatStatus,
    },
    platform::{
        auth::{Caller, Credential},
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            directives,
            source::{self, SourceRegistered},
        },
        subscription::{self, Change, ChangeOperation, Newest, StreamEvent},
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

/// The list of `messages` as it grows. It is kept in memory, so that a new message costs no query.
#[derive(Default)]
struct List {
    messages: VecDeque<Arc<MessageRecord>>,
    /// True while the present state is being received: the list is sent when it is complete.
    begun: bool,
}

impl List {
    /// Applies one change. True when the list is to be sent.
    fn take(&mut self, change: Change<Arc<MessageRecord>>) -> bool {
        if change.operation == ChangeOperation::Snapshot && !self.begun {
            self.begun = true;
            self.messages.clear();
        }
        let Some(message) = change.record else {
            // READY. A chat without messages has sent no SNAPSHOT before it.
            if !self.begun {
                self.messages.clear();
            }
            self.begun = false;
            return true;
        };
        self.messages.push_back(message);
        if self.messages.len() > MOST {
            self.messages.pop_front();
        }
        change.operation != ChangeOperation::Snapshot
    }

    fn shown(&self, order: MessagesOrderBy) -> Vec<Message> {
        let oldest_first = self.messages.iter().cloned().map(Message::from);
        match order {
            MessagesOrderBy::InsertedAtAsc => oldest_first.collect(),
            MessagesOrderBy::InsertedAtDesc => oldest_first.rev().collect(),
        }
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
    async fn chat(&self, context: &Context<'_>, id: Uuid) -> Result<SourceRegistered<Option<Chat>>> {
        let (viewer, _) =
            Box::pin(context.chats().viewer_of_chat(context.caller(), context.client_address(), id)).await?;
        let filter = ChatFilter { chat_id: Some(id), ..ChatFilter::default() };
        let changes = subscription::subscribe(context.sources(), Newest(ChatFeed { viewer, filter }), None);
        let states = changes.filter_map(|change| {
            future::ready(match change {
                Ok(Change { operation: ChangeOperation::Ready, .. }) => None,
                Ok(Change { operation: ChangeOperation::Delete, .. }) => Some(Ok(None)),
                Ok(change) => Some(Ok(change.record.map(Chat::from))),
                Err(error) => Some(Err(error)),
            })
        });
        Ok(source::own(context, states))
    }

    /// A chat's newest messages, at most 1,000: the whole list at first, and again at each change.
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
        let changes = subscription::subscribe(context.sources(), MessageFeed { viewer, chat_id }, None);
        let lists = changes.scan(List::default(), move |list, change| {
            future::ready(Some(match change {
                Ok(change) => list.take(change).then(|| Ok(Some(list.shown(order)))),
                Err(error) => Some(Err(error)),
            }))
        });
        Ok(source::own(context, lists.filter_map(future::ready)))
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
        let changes = subscription::changes(context.sources(), WidgetFeed(ChatFeed { viewer, filter }));
        Ok(source::shared(context, changes))
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
        let changes = subscription::changes(context.sources(), MessageFeed { viewer, chat_id });
        Ok(source::shared(context, changes))
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
        let changes = subscription::changes(context.sources(), feed);
        Ok(source::shared(context, changes))
    }
}
