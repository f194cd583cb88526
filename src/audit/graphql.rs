//! The event log in the API: cursors, and the audit trail of a subject.

use async_graphql::{
    Context, ID, InputValueError, InputValueResult, Json, Object, Scalar, ScalarType, SimpleObject, Value,
    connection::{Connection, Edge, EmptyFields},
};

use super::history::{AuditTrail, HistoryPage};
use crate::platform::{
    auth::Caller,
    error::{Error, Result},
    event::{Cursor, Event, HistoryPlace, Hub, Position, SubjectName},
    graphql::{context::ContextExt as _, directives, page, scalars::Datetime},
};

/// An opaque place in the event log, for `after` of any subscription.
#[Scalar(name = "Cursor")]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        text.parse().map_err(|error: Error| InputValueError::custom(error.message()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

/// A change of a subject, as the event log holds it.
#[derive(Debug, SimpleObject)]
#[graphql(name = "Event")]
pub struct AuditEvent {
    /// Resumes a subscription to this subject after this event.
    cursor: Cursor,
    /// The type of the record that changed: `chat`, `chat_race`, `messages`, `contract`, `api_key`, `session`,
    /// `session_alert`, `session_quality` or `session_provider`.
    subject_type: String,
    /// The id of the record; for `messages` the id of the chat, for `chat_race` the key.
    subject_id: ID,
    /// The subject's version after the change. Versions of a subject have no holes and no repeats.
    version: i32,
    /// The kind of change, such as `ChatStarted`.
    #[graphql(name = "type")]
    event_type: String,
    /// The claim `sub` of the caller that made the change; null for a timer.
    actor: Option<ID>,
    /// The subject's record at this version.
    #[graphql(directive = directives::cost::apply(directives::TEXT))]
    payload: Json<serde_json::Value>,
    /// When the change was made, in database time.
    occurred_at: Datetime,
}

/// The position of the log before anything of the request was read. It is taken before execution: the fields of a query
/// are resolved concurrently, so the resolver of `logCursor` could run after a sibling that has read already.
pub struct RequestStart(Option<Position>);

impl RequestStart {
    /// Takes the position from the hub.
    pub fn note(hub: &Hub) -> Self {
        Self(hub.position())
    }
}

/// The subject types that `events` searches if its argument names none.
pub struct SubjectTypes(pub Vec<&'static str>);

/// Queries of the event log.
#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// The position of the event log before anything of this request is read. A subscription with `after` this cursor
    /// receives every change that the results of the request do not contain.
    async fn log_cursor(&self, context: &Context<'_>) -> Result<Cursor> {
        context.data_unchecked::<Caller>().principal()?;
        match &context.data_unchecked::<RequestStart>().0 {
            Some(position) => Ok(Cursor::At(position.clone())),
            None => Err(Error::unavailable("the event log has not been read yet")),
        }
    }

    /// The changes of one subject, oldest first, for as long as events are kept. Only for the company's service and
    /// admin.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "`chat`, `chat_race`, `messages`, `contract`, `api_key`, `session`, `session_alert`, `session_quality`, `session_provider`; all of them when absent"
        )]
        subject_type: Option<String>,
        subject_id: ID,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, AuditEvent, EmptyFields, EmptyFields>> {
        let principal = context.data_unchecked::<Caller>().principal()?;
        principal.require_company()?;
        let subject_types = match subject_type {
            Some(subject_type) => vec![subject_type],
            None => context.data_unchecked::<SubjectTypes>().0.iter().map(|name| (*name).to_owned()).collect(),
        };
        let first = page::size("first", first)?;
        let after = after.as_deref().map(HistoryPlace::parse).transpose()?;
        let behind = after.is_some();
        let wanted = HistoryPage {
            company_id: principal.company_id,
            subject_types,
            subject_id: subject_id.0,
            after,
            limit: first + 1,
        };
        let history = context.data_unchecked::<AuditTrail>().page(&context.reading(), wanted).await?;
        let history = history.ok_or_else(|| Error::internal("a page of the audit trail was not read"))?;
        let mut page = Connection::new(behind, history.events.len() > first);
        page.edges = history
            .events
            .iter()
            .take(first)
            .map(|event| {
                let place = HistoryPlace::of(event).to_string();
                Ok(Edge::new(place, AuditEvent::new(event, &history.position)?))
            })
            .collect::<Result<_>>()?;
        Ok(page)
    }
}

impl AuditEvent {
    fn new(event: &Event, position: &Position) -> Result<Self> {
        let subject = SubjectName::new(&event.subject_type, &event.subject_id);
        Ok(Self {
            cursor: subject.cursor(position, event.version),
            subject_type: event.subject_type.clone(),
            subject_id: ID(event.subject_id.clone()),
            version: event.version,
            event_type: event.event_type.clone(),
            actor: event.actor.clone().map(ID),
            payload: Json(serde_json::from_str(&event.payload)?),
            occurred_at: event.occurred_at.into(),
        })
    }
}
