//! The schema: every concept's part of it, put together.

use async_graphql::{MergedObject, MergedSubscription, SDLExportOptions, Schema, SchemaBuilder};

use crate::{
    audit::graphql::{EventQuery, SubjectTypes},
    chat::{
        self, Chats,
        graphql::{ChatMutation, ChatQuery, ChatSubscription, Loaders},
    },
    platform::{
        auth::{self, Authenticator, graphql::ViewerQuery},
        graphql::source::Root,
        subscription::Sources,
    },
};

/// All queries.
#[derive(Default, MergedObject)]
pub struct Query(ViewerQuery, ChatQuery, EventQuery);

/// All mutations.
#[derive(Default, MergedObject)]
pub struct Mutation(ChatMutation);

/// All subscriptions.
#[derive(Default, MergedSubscription)]
pub struct Subscription(ChatSubscription);

/// The schema without what its resolvers work with.
fn types() -> SchemaBuilder<Root<Query>, Mutation, Subscription> {
    Schema::build(Root(Query::default()), Mutation::default(), Subscription::default())
}

/// The schema with what its resolvers work with.
pub fn schema(
    sources: &Sources,
    chats: &Chats,
    authenticator: &Authenticator,
) -> SchemaBuilder<Root<Query>, Mutation, Subscription> {
    types()
        .data(sources.pool.clone())
        .data(sources.clone())
        .data(chats.clone())
        .data(Loaders::new(&sources.pool))
        .data(authenticator.clone())
        .data(SubjectTypes(vec![chat::CHAT, chat::RACE, chat::MESSAGES, chat::CONTRACT, auth::api_key::SUBJECT]))
}

/// The schema in the schema definition language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    let mut sdl = types().finish().sdl_with_options(SDLExportOptions::new());
    sdl.truncate(sdl.trim_end().len());
    sdl.push('\n');
    sdl
}
