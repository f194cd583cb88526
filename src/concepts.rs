//! The concepts of this server, in one list, and the schema that they make together.
//!
//! A new concept is added here in three lines: its value in [`all`], its GraphQL roots, and the service that its
//! resolvers find in the context. Nothing else outside its folder, its migration and its tests changes.

use async_graphql::{MergedObject, MergedSubscription, SDLExportOptions, Schema, SchemaBuilder};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    audit::{
        self, AuditTrail,
        graphql::{EventQuery, SubjectTypes},
    },
    call::{
        self, Calls,
        graphql::{CallMutation, CallQuery, CallSubscription},
    },
    call_queue::{
        self, CallQueue,
        graphql::{CallQueueMutation, CallQueueQuery, CallQueueSubscription, CampaignMutation, CampaignQuery},
    },
    chat::{
        self, Chats,
        graphql::{ChatMutation, ChatQuery, ChatSubscription},
    },
    operation::{
        self, Operations,
        graphql::{OperationMutation, OperationSubscription},
    },
    platform::{
        auth::{Authenticator, graphql::ViewerQuery},
        concept::Concept,
        graphql::source::Root,
        http::RouterState,
        subscription::Sources,
        task::Task,
        unit::UnitOfWork,
    },
    session::{
        self, Sessions,
        graphql::{SessionMutation, SessionQuery, SessionSubscription},
    },
    settings::Settings,
    tenant,
};

/// What every concept registers.
pub fn all(settings: &Settings) -> Vec<Concept> {
    vec![
        tenant::concept(),
        audit::concept(),
        chat::concept(),
        operation::concept(&settings.operation),
        call::concept(),
        call_queue::concept(),
        session::concept(),
    ]
}

/// The background tasks of all concepts.
pub fn tasks(work: &UnitOfWork, settings: &Settings) -> Vec<Task> {
    let mut tasks = operation::tasks(work);
    tasks.extend(call::tasks(work, &settings.call));
    tasks.extend(call_queue::tasks(work, &settings.call_queue));
    tasks.extend(session::tasks(work, &settings.session));
    tasks
}

/// All queries.
#[derive(Default, MergedObject)]
pub struct Query(ViewerQuery, ChatQuery, EventQuery, CallQuery, CallQueueQuery, CampaignQuery, SessionQuery);

/// All mutations.
#[derive(Default, MergedObject)]
pub struct Mutation(
    ChatMutation,
    OperationMutation,
    CallMutation,
    CallQueueMutation,
    CampaignMutation,
    SessionMutation,
);

/// All subscriptions.
#[derive(Default, MergedSubscription)]
pub struct Subscription(
    ChatSubscription,
    OperationSubscription,
    CallSubscription,
    CallQueueSubscription,
    SessionSubscription,
);

/// What resolvers find in their context. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    sources: Sources,
    authenticator: Authenticator,
    audit_trail: AuditTrail,
    chats: Chats,
    operations: Operations,
    calls: Calls,
    call_queue: CallQueue,
    sessions: Sessions,
    subjects: Vec<&'static str>,
}

impl Services {
    /// The services of all concepts on this database.
    /// `server_id` names this server in `service_alive`; `stopping` is cancelled when it begins to drain.
    pub fn new(
        work: &UnitOfWork,
        settings: &Settings,
        sources: Sources,
        authenticator: Authenticator,
        server_id: Uuid,
        stopping: CancellationToken,
    ) -> Self {
        let operations =
            Operations::new(work, settings.operation.clone(), server_id, sources.hub.clone(), stopping.clone());
        let calls = Calls::new(
            work.clone(),
            settings.call.clone(),
            settings.operation.operation_lease,
            sources.hub.clone(),
            stopping,
        );
        let call_queue = CallQueue::new(work.clone());
        let chats = Chats::new(work.clone(), settings.chat.clone());
        let audit_trail = AuditTrail::new(work);
        let sessions = Sessions::new(work.clone());
        let subjects = all(settings).into_iter().flat_map(|concept| concept.subjects).map(|subject| subject.name);
        let subjects = subjects.collect();
        Self { sources, authenticator, audit_trail, chats, operations, calls, call_queue, sessions, subjects }
    }

    /// The routes of concepts beside GraphQL.
    pub(crate) fn routes(&self) -> axum::Router<RouterState> {
        call_queue::rest::routes(self.call_queue.clone())
    }

    /// The schema with what its resolvers work with.
    pub fn schema(&self) -> SchemaBuilder<Root<Query>, Mutation, Subscription> {
        types()
            .data(self.sources.clone())
            .data(self.authenticator.clone())
            .data(SubjectTypes(self.subjects.clone()))
            .data(self.audit_trail.clone())
            .data(self.chats.clone())
            .data(self.operations.clone())
            .data(self.calls.clone())
            .data(self.call_queue.clone())
            .data(self.sessions.clone())
    }
}

/// The schema without what its resolvers work with.
fn types() -> SchemaBuilder<Root<Query>, Mutation, Subscription> {
    Schema::build(Root(Query::default()), Mutation::default(), Subscription::default())
}

/// The schema in the schema definition language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    let mut sdl = types().finish().sdl_with_options(SDLExportOptions::new());
    sdl.truncate(sdl.trim_end().len());
    sdl.push('\n');
    sdl
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use async_graphql::parser::{
        parse_schema,
        types::{BaseType, TypeKind, TypeSystemDefinition},
    };
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    fn concepts() -> Vec<Concept> {
        all(&Flags::parse_from(["test"]).settings)
    }

    /// The root fields of the schema, as `Query.viewer`.
    fn root_fields() -> Vec<String> {
        let mut fields = Vec::new();
        for definition in parse_schema(sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            if let (TypeKind::Object(object), "Query" | "Mutation" | "Subscription") = (definition.node.kind, &*name) {
                fields.extend(object.fields.iter().map(|field| format!("{name}.{}", field.node.name.node)));
            }
        }
        fields.sort();
        fields
    }

    #[test]
    fn every_root_field_has_one_decision_who_reaches_it() {
        let mut decided: Vec<String> =
            concepts().iter().flat_map(|concept| concept.fields).map(|(field, _)| (*field).to_owned()).collect();
        decided.sort();
        assert_eq!(root_fields(), decided);
    }

    #[test]
    fn every_list_without_pages_says_how_large_it_may_be() {
        let (mut lists, mut unsized_lists) = (0, Vec::new());
        for definition in parse_schema(sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let TypeKind::Object(object) = definition.node.kind else { continue };
            let name = definition.node.name.node.to_string();
            for field in object.fields.iter().map(|field| &field.node) {
                let is_list = matches!(field.ty.node.base, BaseType::List(_));
                let is_page = name.ends_with("Connection") && ["nodes", "edges"].contains(&field.name.node.as_str());
                if is_list && !is_page {
                    lists += 1;
                    if !field.directives.iter().any(|directive| directive.node.name.node == "listSize") {
                        unsized_lists.push(format!("{name}.{}", field.name.node));
                    }
                }
            }
        }
        assert!(lists > 3, "only {lists} lists found");
        assert!(unsized_lists.is_empty(), "{unsized_lists:?} need the directive list_size, or the guard assumes 1,000");
    }

    #[test]
    fn names_of_concepts_subjects_events_and_timers_are_unique() {
        let concepts = concepts();
        let names: Vec<&str> = concepts.iter().map(|concept| concept.name).collect();
        let subjects: Vec<&str> =
            concepts.iter().flat_map(|concept| concept.subjects).map(|subject| subject.name).collect();
        let event_types: Vec<&str> = concepts
            .iter()
            .flat_map(|concept| concept.subjects)
            .flat_map(|subject| subject.event_types)
            .copied()
            .collect();
        for list in [names, subjects.clone(), event_types] {
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len(), "{list:?}");
        }
        let timers: Vec<_> = concepts.iter().flat_map(|concept| &concept.timers).map(|timer| timer.handles()).collect();
        assert_eq!(timers.iter().collect::<BTreeSet<_>>().len(), timers.len());
        assert!(timers.iter().all(|(subject, _)| subjects.contains(subject)), "a timer's subject is registered");
    }
}
