//! A small schema for the tests of the GraphQL layer.

use std::{sync::Arc, time::Duration};

use async_graphql::{
    Context, Enum, InputObject, MaybeUndefined, Object, OneofObject, Schema, SchemaBuilder, Subscription, scalar,
};
use futures_util::{StreamExt, stream};

use super::{
    directives,
    source::{self, Root, SourceRegistered},
    types::Types,
};
use crate::platform::{
    auth::Caller,
    config::{GuardSettings, Introspection},
    error::{Code, Error, Result},
};

/// Limits close to the defaults.
pub(super) fn settings() -> GuardSettings {
    GuardSettings {
        document_bytes: 65_536,
        document_tokens: 4_000,
        document_depth: 16,
        document_aliases: 100,
        document_root_fields: 20,
        document_directives: 50,
        document_cost: 20_000,
        introspection: Introspection::Company,
        response_limit: 1_048_576,
        document_cache: 4_194_304,
        execution_timeout: Duration::from_secs(30),
    }
}

pub(super) fn builder() -> SchemaBuilder<Root<Query>, Mutation, Streams> {
    Schema::build(Root(Query), Mutation, Streams)
}

pub(super) fn types() -> Types {
    Types::read(&builder().finish().sdl())
}

pub(super) struct Query;
pub(super) struct Node;
pub(super) struct Mutation;
pub(super) struct Streams;

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum Color {
    Red,
    Green,
}

#[derive(serde::Serialize, serde::Deserialize, Clone)]
struct Stamp(serde_json::Value);
scalar!(Stamp);

#[derive(InputObject)]
struct PatchInput {
    id: async_graphql::ID,
    name: MaybeUndefined<String>,
    tags: Option<Vec<String>>,
    inner: Option<Box<PatchInput>>,
    #[graphql(default = 7)]
    size: i32,
}

#[derive(OneofObject)]
enum OneInput {
    Id(i32),
    Name(String),
}

#[Object]
impl Query {
    async fn a(&self) -> i32 {
        1
    }

    async fn node(&self) -> Node {
        Node
    }

    async fn nodes(&self, first: Option<i32>, last: Option<i32>) -> Vec<Node> {
        let _ = (first, last);
        vec![Node]
    }

    #[graphql(directive = directives::list_size::apply(1_000))]
    async fn many(&self, count: usize) -> Vec<Node> {
        (0..count).map(|_| Node).collect()
    }

    async fn page(&self, #[graphql(default = 5)] first: i32) -> i32 {
        first
    }

    async fn color(&self, of: Color, stamp: Option<Stamp>) -> Color {
        let _ = stamp;
        of
    }

    async fn one(&self, of: OneInput) -> String {
        match of {
            OneInput::Id(id) => id.to_string(),
            OneInput::Name(name) => name,
        }
    }

    async fn id(&self, id: uuid::Uuid) -> uuid::Uuid {
        id
    }

    async fn caller(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(ctx.data_unchecked::<Caller>().principal()?.subject.clone())
    }

    async fn fail(&self, code: String) -> Result<Option<i32>> {
        let code = Code::ALL.into_iter().find(|known| known.as_str() == code).expect("a code");
        Err(match code {
            Code::Internal => Error::internal("the secret cause"),
            Code::Unavailable => Error::unavailable("the secret cause"),
            code => Error::new(code, "shown"),
        })
    }

    async fn fail_shared(&self) -> Result<i32, Arc<Error>> {
        Err(Arc::new(Error::conflict("shown")))
    }

    async fn fail_plainly(&self) -> async_graphql::Result<i32> {
        Err(async_graphql::Error::new("secret"))
    }

    async fn never(&self) -> i32 {
        std::future::pending().await
    }

    async fn panic(&self) -> i32 {
        explode()
    }
}

fn explode() -> i32 {
    panic!("secret")
}

#[Object]
impl Node {
    async fn a(&self) -> i32 {
        1
    }

    async fn node(&self) -> Node {
        Node
    }

    async fn nodes(&self, first: Option<i32>, last: Option<i32>) -> Vec<Node> {
        let _ = (first, last);
        vec![Node]
    }

    async fn fail(&self) -> Result<Option<i32>> {
        Err(Error::conflict("shown"))
    }

    #[graphql(directive = directives::cost::apply(7), directive = directives::list_size::apply(3))]
    async fn three(&self) -> Vec<Node> {
        vec![Node, Node, Node]
    }

    async fn numbers(&self) -> Vec<i32> {
        vec![1, 2]
    }

    /// A text of 20,000 bytes.
    async fn long(&self) -> String {
        "x".repeat(20_000)
    }

    async fn fail_strictly(&self) -> Result<i32> {
        Err(Error::conflict("shown"))
    }

    async fn maybe(&self) -> Option<Node> {
        Some(Node)
    }

    async fn maybes(&self) -> Vec<Option<Node>> {
        vec![Some(Node), None]
    }

    async fn values(&self, of: Vec<Vec<i32>>) -> i32 {
        i32::try_from(of.len()).unwrap_or(i32::MAX)
    }
}

#[Object]
impl Mutation {
    async fn consumer_login(&self) -> bool {
        true
    }

    /// Returns what the patch does with the name.
    async fn patch(&self, input: PatchInput) -> String {
        let _ = (input.tags, input.inner, input.id);
        match input.name {
            MaybeUndefined::Undefined => format!("keep {}", input.size),
            MaybeUndefined::Null => format!("clear {}", input.size),
            MaybeUndefined::Value(name) => format!("set {name} {}", input.size),
        }
    }
}

#[Subscription]
impl Streams {
    async fn count(&self, context: &Context<'_>, to: i32) -> SourceRegistered<i32> {
        let numbers = (1..=to).map(|n| if n == 3 { Err(Error::conflict("three")) } else { Ok(n) });
        source::own(context, stream::iter(numbers))
    }

    async fn explode(&self, context: &Context<'_>) -> SourceRegistered<i32> {
        source::own(context, stream::iter([1, 2]).map(|n| Ok(if n == 2 { explode() } else { n })))
    }
}
