//! The caller of a socket: found when the client initialises the connection, once or with the older protocol again.

use std::{collections::VecDeque, sync::Arc};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::Connection;
use crate::platform::{
    auth::Caller,
    http::{
        cors::{Origins, Page},
        websocket::protocol::{Close, Credential},
    },
};

/// Why a socket on probation is closed.
const NO_PLACE: &str = "no room for another socket, reconnect later";

impl Connection {
    pub(super) fn authenticate(&mut self, credential: Credential) {
        if self.operations.len() > 0 {
            let text = self.protocol.on_late_init();
            return self.reply(text);
        }
        let credential = match credential {
            Ok(None) => self.client.header.clone(),
            given => given,
        };
        match credential {
            Ok(bearer) => {
                let caller = self.authentication.caller(bearer);
                let caller = match (self.client.key, &self.visitors) {
                    (Some(key), Some(visitors)) => {
                        let visitors = Arc::clone(visitors);
                        async move { visitors.caller(key, caller.await).await }.boxed()
                    }
                    _ => caller,
                };
                self.authenticating = Some(match (&self.origins, &self.client.page) {
                    (Some(origins), Some(page)) => admit_page(Arc::clone(origins), page.clone(), caller).boxed(),
                    _ => caller,
                });
                self.client_woken.set();
            }
            Err(why) => self.on_caller(Caller::Refused(why)),
        }
    }

    pub(super) fn on_caller(&mut self, caller: Caller) {
        self.authenticating = None;
        self.ending_woken.set();
        self.deadlines.known(Instant::now());
        let outcome = match &caller {
            Caller::Refused(why) => Err(why.clone()),
            // The credential may be valid: 1013 makes clients reconnect with the same one.
            Caller::Unavailable(_) => {
                return self.close(Close::overload("credentials cannot be checked now, reconnect"));
            }
            Caller::Anonymous if self.client.place.as_ref().is_some_and(|place| !place.is_open()) => {
                return self.close(Close::overload(NO_PLACE));
            }
            Caller::Anonymous => {
                self.expiry = None;
                Ok(())
            }
            Caller::Known(principal) => {
                if self.client.place.as_ref().is_some_and(|place| !place.prove()) {
                    return self.close(Close::overload(NO_PLACE));
                }
                if principal.is_company() {
                    self.frames = None;
                }
                tracing::Span::current().record("role", tracing::field::debug(principal.role));
                self.expiry = Some(self.authentication.expired(Arc::clone(principal)));
                Ok(())
            }
        };
        self.caller = Some(caller);
        // Before the actions that waited for the caller.
        let mut actions = VecDeque::from(self.protocol.on_caller(outcome));
        if !actions.is_empty() && self.protocol.keep_alive().is_some() {
            self.deadlines.kept_alive(Instant::now());
        }
        actions.append(&mut self.actions);
        self.actions = actions;
    }
}

/// The caller, unless the web page that opened the socket may not act for it.
async fn admit_page(origins: Arc<Origins>, page: Page, caller: impl Future<Output = Caller>) -> Caller {
    let caller = caller.await;
    match origins.admit(Some(&page), &caller).await {
        Ok(()) => caller,
        Err(error) => Caller::Refused(error.message().to_owned()),
    }
}
