//! What all sockets of a server share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::authentication::Authentication;
use crate::platform::{
    auth::VisitorKeys,
    config::HttpSettings,
    graphql::engine::Engine,
    http::{cors::Origins, rate_limits::RateLimits, state::Gates},
};

/// What all sockets of a server share, and the limit on their number.
pub struct SocketState {
    pub(super) engine: Engine,
    pub(super) authentication: Arc<dyn Authentication>,
    pub(super) settings: Arc<HttpSettings>,
    pub(super) drain: CancellationToken,
    pub(super) now: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Every socket holds one permit.
    pub(super) slots: Arc<Semaphore>,
    /// Which web pages may open sockets, and for whom; `None` allows all.
    pub(super) origins: Option<Arc<Origins>>,
    pub(super) rates: Arc<RateLimits>,
    /// Knows the visitors behind the keys of browsers.
    pub(super) visitors: Option<Arc<dyn VisitorKeys>>,
}

impl SocketState {
    /// State for sockets that `drain` closes and `now` drops. `tasks` is empty when all sockets are gone.
    pub fn new(
        engine: Engine,
        authentication: Arc<dyn Authentication>,
        settings: Arc<HttpSettings>,
        [drain, now]: [CancellationToken; 2],
        tasks: TaskTracker,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(settings.socket_limit.min(Semaphore::MAX_PERMITS)));
        let rates = Arc::new(RateLimits::new(&settings.rates));
        Self { engine, authentication, settings, drain, now, tasks, slots, origins: None, rates, visitors: None }
    }

    /// Shares the checks and limits of the other transport.
    #[must_use]
    pub(in crate::platform::http) fn with_gates(self, gates: &Gates) -> Self {
        Self { origins: Some(Arc::clone(&gates.origins)), rates: Arc::clone(&gates.rates), ..self }
    }

    /// Takes the keys of browsers into account.
    #[must_use]
    pub(in crate::platform::http) fn with_visitors(self, visitors: Option<Arc<dyn VisitorKeys>>) -> Self {
        Self { visitors, ..self }
    }

    /// The number of open sockets.
    pub fn open(&self) -> usize {
        self.settings.socket_limit.saturating_sub(self.slots.available_permits())
    }
}
