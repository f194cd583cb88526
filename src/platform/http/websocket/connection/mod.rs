//! One socket's task: everything about the socket happens here, in turn, and nothing is shared.
//!
//! ```text
//!   read ──► protocol ──► actions ──► operations ──► outbox ──► write
//!                 caller, lapse, drain, timer ──────────┘
//! ```
//! What is waited for is waited for at once, in [`Connection::poll_event`]; what happens is handled in
//! [`Connection::handle`]. While a caller is being authenticated nothing is read, so that nothing a client sends
//! ahead has to be kept. Reader and operations take turns, and after a number of events the task yields.

mod poll;

use std::{
    collections::VecDeque,
    future::poll_fn,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use async_graphql::{ServerError, parser::types::OperationType};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    SocketState,
    callers::Callers,
    message::{OperationId, error},
    meter::Meter,
    operations::{Operations, Outcome},
    outbox::Outbox,
    protocol::{Action, Close, Credential, Protocol},
    pulse::{Due, Pulse},
    signal::Signal,
    wire::{LARGEST_MESSAGE, Read, Wire},
};
use crate::platform::{
    auth::{Caller, ClientAddress},
    config::HttpSettings,
    error::Code,
    graphql::{
        engine::{Engine, GraphqlRequest},
        error_response::Refusal,
        response::OperationResponse,
    },
};

enum Event {
    Read(Read),
    Outcome(OperationId, Outcome<OperationResponse>),
    Caller(Caller),
    Lapsed(String),
    Drain,
    Due(Due),
    Lost,
}

/// One socket.
pub(super) struct Connection {
    wire: Wire,
    protocol: Box<dyn Protocol>,
    callers: Arc<dyn Callers>,
    engine: Engine,
    settings: Arc<HttpSettings>,
    /// What the upgrade request proved; holds where an init names no credential.
    header: Credential,
    /// Where it comes from.
    address: Option<ClientAddress>,
    authenticating: Option<BoxFuture<'static, Caller>>,
    caller: Option<Caller>,
    lapse: Option<BoxFuture<'static, String>>,
    drain: Option<BoxFuture<'static, ()>>,
    draining: bool,
    /// What the last message asked for; waits while a caller is being authenticated.
    actions: VecDeque<Action>,
    operations: Operations<OperationResponse>,
    pulse: Pulse,
    timer: Pin<Box<Sleep>>,
    meter: Meter,
    /// A close frame was queued, or the client's arrived: only the handshake is left.
    closing: bool,
    /// Whether operations come before the reader this time.
    operations_first: bool,
    /// What the client sends, or who it turns out to be.
    client: Signal,
    /// The lapse and the drain.
    ending: Signal,
    /// The timer.
    due: Signal,
}

impl Connection {
    /// A socket that was just opened.
    pub(super) fn new(
        socket: WebSocket,
        protocol: Box<dyn Protocol>,
        state: &SocketState,
        (header, address): (Credential, Option<ClientAddress>),
    ) -> Self {
        let now = Instant::now();
        let settings = Arc::clone(&state.settings);
        let pulse = Pulse::new(now);
        Self {
            wire: Wire::new(socket, Outbox::new(settings.send_queue)),
            meter: Meter::new(protocol.name()),
            protocol,
            callers: Arc::clone(&state.callers),
            engine: state.engine.clone(),
            header,
            address,
            authenticating: None,
            caller: None,
            lapse: None,
            drain: Some(state.drain.clone().cancelled_owned().boxed()),
            draining: false,
            actions: VecDeque::new(),
            operations: Operations::new(),
            timer: Box::pin(sleep_until(pulse.next(&settings).0)),
            pulse,
            settings,
            closing: false,
            operations_first: false,
            client: Signal::new(),
            ending: Signal::new(),
            due: Signal::new(),
        }
    }

    /// Runs until the socket is closed. Everything it holds is freed then.
    pub(super) async fn run(mut self: Box<Self>) {
        loop {
            let event = poll_fn(|context| self.poll_event(context)).await;
            if self.handle(event).is_break() {
                return;
            }
            self.perform();
            self.meter.operations(self.operations.len());
            // A client and a stream that both never pause must not keep a worker thread to themselves.
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
            Event::Lapsed(why) => self.close(Close::forbidden(why)),
            Event::Drain => {
                self.drain = None;
                self.draining = true;
                self.pulse.draining(Instant::now());
            }
            Event::Due(due) => return self.on_due(due),
        }
        if self.draining && self.operations.single() == 0 {
            self.close(Close::drained());
        }
        ControlFlow::Continue(())
    }

    fn on_message(&mut self, message: Message) {
        self.pulse.heard(Instant::now());
        if self.closing {
            return;
        }
        match message {
            Message::Text(text) => {
                self.meter.received();
                self.actions.extend(self.protocol.on_text(&text));
            }
            Message::Binary(bytes) => {
                self.meter.received();
                self.actions.extend(self.protocol.on_binary(&bytes));
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => {
                self.ended("client");
                self.wire.outbox.clear();
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
                self.pulse.pinged(Instant::now());
                self.wire.outbox.push_frame(Message::Ping(Vec::new().into()));
            }
            Due::KeepAlive => {
                self.pulse.kept_alive(Instant::now());
                // A reader with a full outbox has better signs of life, if it reads at all.
                if let Some(text) = self.protocol.keep_alive().filter(|_| !self.wire.outbox.is_full()) {
                    self.wire.outbox.push_result(text);
                }
            }
            Due::Stuck => {
                tracing::info!("a reader took nothing from its full outbox");
                self.wire.outbox.clear();
                self.close(Close::overload("reader is too slow, reconnect and resume"));
            }
            Due::Drained => self.close(Close::drained()),
            Due::Silence => {
                self.ended("silent");
                return ControlFlow::Break(());
            }
            Due::Closed => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Does what messages asked for, in order, until one has to wait.
    fn perform(&mut self) {
        while self.authenticating.is_none() && !self.closing {
            match self.actions.pop_front() {
                None => return,
                Some(Action::Reply(text)) => self.reply(text),
                Some(Action::Authenticate(credential)) => self.authenticate(credential),
                Some(Action::Start(id, request)) => self.start(id, request),
                Some(Action::Stop(id)) => {
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

    fn authenticate(&mut self, credential: Credential) {
        if self.operations.len() > 0 {
            let text = self.protocol.on_late_init();
            return self.reply(text);
        }
        let credential = match credential {
            Ok(None) => self.header.clone(),
            given => given,
        };
        match credential {
            Ok(bearer) => {
                self.authenticating = Some(self.callers.caller(bearer));
                self.client.renew();
            }
            Err(why) => self.on_caller(Caller::Refused(why)),
        }
    }

    fn on_caller(&mut self, caller: Caller) {
        self.authenticating = None;
        self.ending.renew();
        self.pulse.known(Instant::now());
        let outcome = match &caller {
            Caller::Refused(why) => Err(why.clone()),
            // The credential may be good: clients come back with the same one.
            Caller::Unavailable(_) => {
                return self.close(Close::overload("credentials cannot be checked now, reconnect"));
            }
            Caller::Anonymous => {
                self.lapse = None;
                Ok(())
            }
            Caller::Known(principal) => {
                tracing::Span::current().record("role", tracing::field::debug(principal.role));
                self.lapse = Some(self.callers.lapse(Arc::clone(principal)));
                Ok(())
            }
        };
        self.caller = Some(caller);
        // Ahead of what waited for the caller.
        let mut actions = VecDeque::from(self.protocol.on_caller(outcome));
        if !actions.is_empty() && self.protocol.keep_alive().is_some() {
            self.pulse.kept_alive(Instant::now());
        }
        actions.append(&mut self.actions);
        self.actions = actions;
    }

    fn start(&mut self, id: OperationId, request: GraphqlRequest) {
        // Left unanswered: the client sends it again to the server that it reconnects to.
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
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let prepared = self.engine.prepare(request)?;
            let single = prepared.operation != OperationType::Subscription;
            Ok((self.engine.stream(prepared.from(self.address), caller), single))
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
                Ok(text) if text.len() <= LARGEST_MESSAGE => self.wire.outbox.push_result(text),
                Ok(_) => {
                    self.operations.remove(id);
                    self.fail(id, &[error(Code::PayloadTooLarge, "the result is too large to be sent")]);
                }
                Err(problem) => {
                    self.operations.remove(id);
                    self.fault(id, &format!("a result cannot be written: {problem}"));
                }
            },
            Outcome::Ended => {
                let text = self.protocol.complete(id);
                self.wire.outbox.push_result(text);
            }
            Outcome::Panicked => self.fault(id, "an operation panicked"),
        }
    }

    /// A fault of ours in one operation; the others go on.
    fn fault(&mut self, id: &OperationId, what: &str) {
        tracing::error!(operation = %id, "{what}");
        self.fail(id, &[error(Code::Internal, "internal server error")]);
    }

    fn fail(&mut self, id: &OperationId, errors: &[ServerError]) {
        let text = self.protocol.failure(id, errors);
        self.reply(text);
    }

    fn reply(&mut self, text: String) {
        if self.wire.outbox.push_reply(text).is_err() {
            tracing::info!("a client asks without reading the answers");
            self.wire.outbox.clear();
            self.close(Close::overload("too many unread replies, reconnect"));
        }
    }

    /// Queues a close frame behind what waits and frees all else.
    fn close(&mut self, close: Close) {
        if self.closing {
            return;
        }
        tracing::debug!(code = close.code, reason = close.reason, "closing");
        self.ended(close.code);
        if let Some(text) = self.protocol.before_close(&close) {
            self.wire.outbox.push_result(text);
        }
        let frame = CloseFrame { code: close.code, reason: close.reason.into() };
        self.wire.outbox.push_frame(Message::Close(Some(frame)));
        self.free();
    }

    /// Counts how the socket ended, once.
    fn ended(&mut self, code: impl ToString) {
        if !self.closing {
            self.meter.closed(code);
        }
    }

    /// Only the close handshake is left, and it is bounded.
    fn free(&mut self) {
        self.closing = true;
        self.pulse.closing(Instant::now());
        self.operations.clear();
        self.actions.clear();
        self.authenticating = None;
        self.lapse = None;
        self.drain = None;
    }
}
