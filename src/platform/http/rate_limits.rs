//! The rate limits of requests: writes of a caller, writes of visitors and logins from an address. Both transports count in
//! the same buckets.
//!
//! A mutation counts once for each root field. A login counts for the address that it comes from, because it has no caller
//! yet. A visitor's writes count for its address too, because each login may make a new visitor. Service and admin have no
//! limits: they are the company's own servers.

use crate::platform::{
    auth::{Caller, ClientAddress, Role},
    config::RateSettings,
    error::Result,
    graphql::engine::Prepared,
    limit::{AddressKey, PrincipalKey, Rate, RateLimit},
};

/// The buckets of this server.
pub(super) struct RateLimits {
    writes: RateLimit<PrincipalKey>,
    visitor_writes: RateLimit<AddressKey>,
    logins: RateLimit<AddressKey>,
}

impl RateLimits {
    /// Limits that nobody has used any of.
    pub(super) fn new(settings: &RateSettings) -> Self {
        let rate = |at_once, per_second| Rate { at_once, per_second };
        let writes = rate(settings.writes_at_once, settings.writes_per_second);
        let visitor_writes = rate(settings.visitor_writes_at_once, settings.visitor_writes_per_second);
        let logins = rate(settings.logins_at_once, settings.logins_per_second);
        Self {
            writes: RateLimit::new("writes", writes),
            visitor_writes: RateLimit::new("visitor_writes", visitor_writes),
            logins: RateLimit::new("logins", logins),
        }
    }

    /// Counts a request that is about to run.
    ///
    /// # Errors
    /// `RATE_LIMITED`
    pub(super) fn admit(&self, prepared: &Prepared, caller: &Caller, from: Option<ClientAddress>) -> Result<()> {
        if prepared.writes == 0 && prepared.logins == 0 {
            return Ok(());
        }
        let principal = match caller {
            Caller::Known(principal) => Some(principal),
            _ => None,
        };
        if principal.is_some_and(|principal| principal.is_company()) {
            return Ok(());
        }
        if let Some(address) = from.filter(|_| prepared.logins > 0) {
            self.logins.take(&address.into(), prepared.logins)?;
        }
        // Without a caller every other write is refused by its resolver.
        let Some(principal) = principal else { return Ok(()) };
        self.writes.take(&PrincipalKey::from(&**principal), prepared.writes)?;
        match from.filter(|_| principal.role == Role::Consumer) {
            Some(address) => self.visitor_writes.take(&address.into(), prepared.writes),
            None => Ok(()),
        }
    }
}
