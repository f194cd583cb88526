//! The task of one socket. It owns everything about the socket and handles one event at a time.
//!
//! ```text
//!   read ──► protocol ──► actions ──► operations ──► send queue ──► write
//!                caller, expiry, drain, timer ───────────┘
//! ```
//! [`Connection::poll_event`] waits for all sources at once; [`Connection::handle`] handles the event. During
//! authentication nothing is read, so that messages which the client sends ahead need no memory. Client and operations
//! take turns, and the task yields after a number of events.

mod caller;
mod poll;

use std::{
    collections::VecDeque,
    future::poll_fn,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use async_graphql::{Response, ServerError, parser::types::OperationType};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Client,
    authentication::Authentication,
    deadlines::{Deadlines, Due},
    message::{OperationId, error},
    operations::{Operations, Outcome},
    protocol::{Action, Close, Protocol},
    send_queue::SendQueue,
    socket::{LARGEST_MESSAGE, Read, Socket},
    socket_metrics::SocketMetrics,
    state::SocketState,
    wake_flag::WakeFlag,
};
use crate::platform::{
    auth::{Caller, Visit, VisitorKeys},
    config::{HttpSettings, RateSettings},
    error::Code,
    graphql::{
        engine::{Engine, GraphqlRequest},
        error_response::{Refusal, server_error},
        response::OperationResponse,
        socket::{SocketOperation, SocketSession},
    },
    http::{cors::Origins, rate_limits::RateLimits},
    limit::{self, Bucket, Rate},
};

/// Close codes of a client that does not come back for its operations: done, the page goes away, no code.
const LEAVING: [u16; 3] = [1000, 1001, 1005];

/// Payload of the pings whose pongs show that the client has received what was sent before.
const PROBE: &[u8] = b"received?";

/// Whether a ping with [`PROBE`] is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    None,
    UnderWay,
}

enum Event {
    Read(Read),
    Outcome(OperationId, Outcome<OperationResponse>),
    Caller(Caller),
    Expired(String),
    Drain,
    Due(Due),
    Lost,
}

/// The state of one socket's task.
pub(super) struct Connection {
    socket: Socket,
    protocol: Box<dyn Protocol>,
    authentication: Arc<dyn Authentication>,
    engine: Engine,
    settings: Arc<HttpSettings>,
    client: Client,
    /// Which web pages may act for whom.
    origins: Option<Arc<Origins>>,
    rates: Arc<RateLimits>,
    visitors: Option<Arc<dyn VisitorKeys>>,
    /// What the operations share; made with the first.
    session: Option<Arc<SocketSession>>,
    /// Limits how fast the client may send; `None` for the company's own servers.
    frames: Option<Bucket>,
    authenticating: Option<BoxFuture<'static, Caller>>,
    caller: Option<Caller>,
    expiry: Option<BoxFuture<'static, String>>,
    drain: Option<BoxFuture<'static, ()>>,
    draining: bool,
    /// Actions still to perform. They wait during authentication.
    actions: VecDeque<Action>,
    operations: Operations<OperationResponse>,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
    metrics: SocketMetrics,
    probe: Probe,
    /// A close frame was queued, or the client's was received: only the handshake is left.
    closing: bool,
    /// True when operations are polled before the client this time.
    operations_first: bool,
    /// For `socket` (reading) and `authenticating`.
    client_woken: WakeFlag,
    /// For `expiry` and `drain`.
    ending_woken: WakeFlag,
    /// For `timer`.
    timer_woken: WakeFlag,
}

impl Connection {
    pub(super) fn new(socket: WebSocket, protocol: Box<dyn Protocol>, state: &SocketState, client: Client) -> Self {
        let now = Instant::now();
        let settings = Arc::clone(&state.settings);
        let RateSettings { frames_at_once: at_once, frames_per_second: per_second, .. } = settings.rates;
        let on_probation = client.place.as_ref().is_some_and(|place| !place.is_open());
        let deadlines = Deadlines::new(now, on_probation);
        Self {
            socket: Socket::new(
                socket,
                SendQueue::new(settings.send_queue),
                client.received.clone(),
                settings.body_limit,
            ),
            metrics: SocketMetrics::new(protocol.name()),
            protocol,
            authentication: Arc::clone(&state.authentication),
            engine: state.engine.clone(),
            client,
            origins: state.origins.clone(),
            rates: Arc::clone(&state.rates),
            visitors: state.visitors.clone(),
            session: None,
            frames: Bucket::new(Rate { at_once, per_second }),
            authenticating: None,
            caller: None,
            expiry: None,
            drain: Some(state.drain.clone().cancelled_owned().boxed()),
            draining: false,
            actions: VecDeque::new(),
            operations: Operations::new(),
            timer: Box::pin(sleep_until(deadlines.next(&settings).0)),
            deadlines,
            settings,
            probe: Probe::None,
            closing: false,
            operations_first: false,
            client_woken: WakeFlag::new(),
            ending_woken: WakeFlag::new(),
            timer_woken: WakeFlag::new(),
        }
    }

    /// Runs until the socket is closed.
    pub(super) async fn run(mut self: Box<Self>) {
        loop {
            let event = poll_fn(|context| self.poll_event(context)).await;
            if self.handle(event).is_break() {
                return;
            }
            self.perform();
            self.metrics.operations(self.operations.len());
            self.deadlines.idle(matches!(self.caller, Some(Caller::Anonymous)) && self.operations.len() == 0);
            // A client or a stream that is always ready must not monopolise a worker thread.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn handle(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Read(Read::Message(message)) => self.on_message(message),
            Event::Read(Read::Broken(close)) => self.close(close),
            Event::Read(Read::Ended) | Event::Lost => {
                self.ended("lost");
                return ControlFlow::Break(());
            }
            Event::Outcome(id, outcome) => self.on_outcome(&id, outcome),
            Event::Caller(caller) => self.on_caller(caller),
            Event::Expired(why) => self.close(Close::forbidden(why)),
            Event::Drain => {
                self.drain = None;
                self.draining = true;
                self.deadlines.draining(Instant::now());
            }
            Event::Due(due) => return self.on_due(due),
        }
        if self.draining && self.operations.single() == 0 {
            self.close(Close::drained());
        }
        ControlFlow::Continue(())
    }

    fn on_message(&mut self, message: Message) {
        self.deadlines.received(Instant::now());
        if self.closing {
            return;
        }
        let counts_as = self.socket.frames_of(&message);
        if self.probe == Probe::UnderWay && matches!(&message, Message::Pong(payload) if **payload == *PROBE) {
            self.probe = Probe::None;
            if let Some(session) = &self.session {
                session.received();
            }
            return;
        }
        if let Some(frames) = &self.frames
            && let Err(wait) = frames.take(counts_as)
        {
            let error = limit::refused("frames", "too many messages, reconnect later", wait);
            // Reading on until the client closes would cost what the limit saves.
            self.socket.stop_reading();
            return self.close(Close::overload(error.message()));
        }
        match message {
            Message::Text(text) => {
                self.metrics.received();
                self.actions.extend(self.protocol.on_text(&text));
            }
            Message::Binary(bytes) => {
                self.metrics.received();
                self.actions.extend(self.protocol.on_binary(&bytes));
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(frame) => {
                let code = frame.map_or(1005, |frame| frame.code);
                if let Some(session) = self.session.as_ref().filter(|_| LEAVING.contains(&code)) {
                    session.left();
                }
                self.ended("client");
                self.socket.queue.clear();
                self.free();
            }
        }
    }

    fn on_due(&mut self, due: Due) -> ControlFlow<()> {
        match due {
            Due::Init if self.authenticating.is_some() => {
                self.close(Close::overload("authentication takes too long, reconnect later"));
            }
            Due::Init => self.close(Close::no_init()),
            Due::Ping => {
                self.deadlines.pinged(Instant::now());
                self.socket.queue.push_frame(Message::Ping(Vec::new().into()));
            }
            Due::KeepAlive => {
                self.deadlines.kept_alive(Instant::now());
                // With a full queue the client has other messages to read, so the keep-alive is skipped.
                if let Some(text) = self.protocol.keep_alive().filter(|_| !self.socket.queue.is_full()) {
                    self.socket.queue.push_result(text);
                }
            }
            Due::Stuck => {
                tracing::info!("closing a WebSocket: the client took nothing from its full send queue");
                self.socket.queue.clear();
                self.close(Close::overload("reader is too slow, reconnect and resume"));
            }
            Due::Idle => self.close(Close::idle()),
            Due::Drained => self.close(Close::drained()),
            Due::Silence => {
                self.ended("silent");
                return ControlFlow::Break(());
            }
            Due::Closed => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Performs actions in order, until one has to wait for authentication.
    fn perform(&mut self) {
        while self.authenticating.is_none() && !self.closing {
            match self.actions.pop_front() {
                None => return,
                Some(Action::Reply(text)) => self.reply(text),
                Some(Action::Authenticate(credential)) => self.authenticate(credential),
                Some(Action::Start(id, request)) => self.start(id, request),
                Some(Action::Stop(id)) => {
                    if let Some(session) = &self.session {
                        session.ended(&id.to_string());
                    }
                    if self.operations.remove(&id)
                        && let Some(text) = self.protocol.on_stopped(&id)
                    {
                        self.reply(text);
                    }
                }
                Some(Action::Close(close)) => self.close(close),
            }
        }
    }

    fn start(&mut self, id: OperationId, request: GraphqlRequest) {
        // Not started and not refused: the client repeats it on the server that it reconnects to.
        if self.draining {
            return;
        }
        let Some(caller) = &self.caller else { return self.close(Close::new(4401, "Unauthorized")) };
        if self.operations.contains(&id) {
            if let Some(close) = self.protocol.on_duplicate(&id) {
                return self.close(close);
            }
            self.operations.remove(&id);
        }
        let limit = self.settings.subscription_limit;
        if self.operations.len() >= limit {
            let problem = format!("at most {limit} operations may be under way on one socket");
            return self.fail(&id, &[error(Code::RateLimited, problem)]);
        }
        let session = Arc::clone(self.session.get_or_insert_default());
        let operation = SocketOperation { session, id: id.to_string().into() };
        let page = self.client.page.as_ref().zip(self.origins.as_ref());
        let visit = Visit { page: page.map(|(page, origins)| origins.describe(page)), key: self.client.key };
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let prepared = self.engine.prepare(request)?;
            let address = self.client.address;
            if let Err(error) = self.rates.admit(&prepared, caller, address) {
                return Err(Refusal {
                    code: error.code(),
                    response: Response::from_errors(vec![server_error(&error)]),
                });
            }
            let single = prepared.operation != OperationType::Subscription;
            let prepared = prepared.from(address).visiting(visit).on(operation);
            Ok((self.engine.stream(prepared, caller), single))
        }));
        match begun {
            Ok(Ok((responses, single))) => self.operations.insert(id, responses, single),
            Ok(Err(Refusal { response, .. })) => self.fail(&id, &response.errors),
            Err(_) => self.fault(&id, "an operation panicked before it began"),
        }
    }

    fn on_outcome(&mut self, id: &OperationId, outcome: Outcome<OperationResponse>) {
        match outcome {
            Outcome::Item(response) => match self.protocol.result(id, &response) {
                Ok(text) if text.len() <= self.engine.response_limit().min(LARGEST_MESSAGE) => {
                    self.socket.queue.push_result(text);
                    if let Some(session) = &self.session {
                        session.queued(&id.to_string());
                    }
                }
                Ok(_) => {
                    self.operations.remove(id);
                    if let Some(session) = &self.session {
                        session.ended(&id.to_string());
                    }
                    self.fail(id, &[error(Code::PayloadTooLarge, "the result is too large to be sent")]);
                }
                Err(problem) => {
                    self.operations.remove(id);
                    self.fault(id, &format!("a result cannot be written: {problem}"));
                }
            },
            Outcome::Ended => {
                if let Some(session) = &self.session {
                    session.ended(&id.to_string());
                }
                let text = self.protocol.complete(id);
                self.socket.queue.push_result(text);
            }
            Outcome::Panicked => self.fault(id, "an operation panicked"),
        }
    }

    /// Fails one operation after an internal fault; the others continue.
    fn fault(&mut self, id: &OperationId, what: &str) {
        tracing::error!(operation = %id, "{what}");
        self.fail(id, &[error(Code::Internal, "internal server error")]);
    }

    fn fail(&mut self, id: &OperationId, errors: &[ServerError]) {
        let text = self.protocol.failure(id, errors);
        self.reply(text);
    }

    fn reply(&mut self, text: String) {
        if self.socket.queue.push_reply(text).is_err() {
            tracing::info!("closing a WebSocket: the client does not read its replies");
            self.socket.queue.clear();
            self.close(Close::overload("too many unread replies, reconnect"));
        }
    }

    /// Queues a close frame behind the messages that wait, and frees everything else.
    fn close(&mut self, close: Close) {
        if self.closing {
            return;
        }
        tracing::debug!(code = close.code, reason = close.reason, "closing");
        self.ended(close.code);
        if let Some(text) = self.protocol.before_close(&close) {
            self.socket.queue.push_result(text);
        }
        // What waits in the queue is still written, before the close frame, unless it was cleared because nobody reads it.
        if let Some(session) = self.session.as_ref().filter(|_| self.draining) {
            session.sent();
        }
        let frame = CloseFrame { code: close.code, reason: close.reason.into() };
        self.socket.queue.push_frame(Message::Close(Some(frame)));
        self.free();
    }

    /// Counts the end of the socket, once.
    fn ended(&mut self, code: impl ToString) {
        if !self.closing {
            self.metrics.closed(code);
        }
    }

    /// Frees everything but the send queue and starts the deadline of the close handshake.
    fn free(&mut self) {
        self.closing = true;
        self.deadlines.closing(Instant::now());
        self.operations.clear();
        self.actions.clear();
        self.authenticating = None;
        self.expiry = None;
        self.drain = None;
    }
}
