//! The streams that deployed chat widgets open: the present ones under older names and in simpler shapes.
//!
//! `chatChanged`, `onMessageAdded` and `contractChanged` send changes only: no SNAPSHOT, no READY, no repeats. Where the
//! log does not reach back (a restored database), what is there comes as UPDATE with `resync: true`.
//!
//! A widget in the field may lose its token on a socket. To a caller without one,
//!
//! | stream | shows |
//! | --- | --- |
//! | `chat`, `messages`, `onMessageAdded` | the chat whose id it knows; ids are random and never listed to others |
//! | `contractChanged` | of the company that it names what is public |
//! | `chatChanged` | nothing, unless anonymous widgets are let in: then chats asked for from its own address |

use std::{collections::VecDeque, sync::Arc};

use async_graphql::{Context, Subscription};
use futures_util::{StreamExt as _, future};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    contract::Contract,
    message::{Message, MessageCondition, MessagesOrderBy, chat_and_order},
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
            source::{self, SourceRegistered},
        },
        subscription::{self, Change, ChangeOperation, Newest, StreamEvent},
    },
};

/// The status of this name, in any case.
fn status(text: &str) -> Result<ChatStatus> {
    let known = [ChatStatus::Active, ChatStatus::Started, ChatStatus::Finished];
    known
        .into_iter()
        .find(|status| status.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| Error::invalid("status", "must be ACTIVE, STARTED or FINISHED"))
}

/// As whom the caller reads `chatChanged`.
async fn widget(context: &Context<'_>, contract_id: Option<Uuid>) -> Result<Viewer> {
    let address = || context.client_address().ok_or_else(|| Error::forbidden("this needs a token"));
    match context.caller() {
        // Development mode: whoever has no token is the demo company's service, and here a widget of its own.
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

/// The whole list as it grows: kept here, so that a message costs no query.
#[derive(Default)]
struct List {
    messages: VecDeque<Arc<MessageRecord>>,
    /// The present state is being sent: the list is shown when it is complete.
    begun: bool,
}

impl List {
    /// Takes one change; true when the list is to be shown.
    fn take(&mut self, change: Change<Arc<MessageRecord>>) -> bool {
        if change.operation == ChangeOperation::Snapshot && !self.begun {
            self.begun = true;
            self.messages.clear();
        }
        let Some(message) = change.record else {
            // Complete; a chat without messages has sent nothing before.
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

/// Streams of deployed widgets.
#[derive(Default)]
pub struct WidgetSubscription;

#[Subscription]
impl WidgetSubscription {
    /// A chat as it is, then as it changes: a slow reader may get only the newest state. Null when the caller may not see it
    /// any more.
    #[graphql(deprecation = "for deployed widgets; use chatStatus(chatId)")]
    async fn chat(&self, context: &Context<'_>, id: Uuid) -> Result<SourceRegistered<Option<Chat>>> {
        let (viewer, _) = Box::pin(context.chats().viewer_of_chat(context.caller(), id)).await?;
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

    /// A chat's newest messages, at most 1,000: the whole list at once, and again at every change.
    #[graphql(deprecation = "for deployed widgets; use messageAdded")]
    async fn messages(
        &self,
        context: &Context<'_>,
        condition: Option<MessageCondition>,
        order_by: Option<Vec<MessagesOrderBy>>,
    ) -> Result<SourceRegistered<Option<Vec<Message>>>> {
        let (chat_id, order) = chat_and_order(condition, order_by)?;
        let (viewer, _) = Box::pin(context.chats().viewer_of_chat(context.caller(), chat_id)).await?;
        let changes = subscription::subscribe(context.sources(), MessageFeed { viewer, chat_id }, None);
        let lists = changes.scan(List::default(), move |list, change| {
            future::ready(Some(match change {
                Ok(change) => list.take(change).then(|| Ok(Some(list.shown(order)))),
                Err(error) => Some(Err(error)),
            }))
        });
        Ok(source::own(context, lists.filter_map(future::ready)))
    }

    /// Changes of the chats that the caller may see and that pass. A visitor is not told of offers that another agent's
    /// win withdrew, and first of the started chat of its newest open race, if there is one.
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

    /// Messages as they are added to a chat.
    #[graphql(deprecation = "for deployed widgets; use messageAdded")]
    async fn on_message_added(
        &self,
        context: &Context<'_>,
        chat_id: Uuid,
    ) -> Result<SourceRegistered<StreamEvent<Message>>> {
        let (viewer, _) = Box::pin(context.chats().viewer_of_chat(context.caller(), chat_id)).await?;
        let changes = subscription::changes(context.sources(), MessageFeed { viewer, chat_id });
        Ok(source::shared(context, changes))
    }

    /// Changes of the contracts that the caller may see; without a token of the company that it names, without prices
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
