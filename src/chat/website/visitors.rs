//! Which visitor a browser is that names itself by a key (`?visitor=KEY`).
//!
//! The first use of a key on a website ties it to a visitor, for ever: to that of the token that comes with it, else to a
//! new one. From then on the key is enough: whoever calls with it is that visitor, also without a token. A caller whose token
//! names another visitor asks for chats as the key's visitor, and keeps seeing the token's.
//!
//! Two first uses at once agree: the row is inserted or read in one transaction, and the second waits for the first.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use quick_cache::sync::Cache;
use uuid::Uuid;

use super::sql;
use crate::platform::{
    auth::{Caller, Credential, Principal, Role, VisitorKey, VisitorKeys},
    batch::Reads,
    clock,
    db::pool::{LOOKUP_TIME, within},
    error::{Code, Error, Result},
    unit::{Unit, UnitOfWork, Verb},
};

/// Most keys whose visitors are remembered. They never change.
const REMEMBERED: usize = 10_000;

/// A key on a website of a company.
type Place = (Uuid, Uuid, VisitorKey);

/// The visitors behind keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebsiteVisitors {
    work: UnitOfWork,
    /// The visitor of a key on a website of a company.
    of_websites: Reads<(Uuid, Uuid), VisitorKey, String>,
    /// The visitors of a key, each behind its company and website.
    of_keys: Reads<(), VisitorKey, Vec<(Uuid, Uuid, String)>>,
    known: Arc<Cache<Place, Arc<str>>>,
}

struct Tie {
    place: Place,
    visitor: String,
}

impl Verb for Tie {
    type Outcome = String;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<String> {
        let (company_id, website_id, key) = self.place;
        if sql::insert_visitor_key(unit.connection(), company_id, website_id, key, &self.visitor).await? {
            unit.mark_changed();
            return Ok(self.visitor.clone());
        }
        let mut found = sql::find_visitor_keys(unit.connection(), company_id, website_id, &[key]).await?;
        found.remove(&key).ok_or_else(|| Error::internal("the key of a visitor is gone"))
    }
}

impl WebsiteVisitors {
    /// Reads and ties the keys of this database.
    pub fn new(work: UnitOfWork) -> Self {
        let of_websites =
            Reads::records("visitor_of_website", work.pool().clone(), |connection, (company_id, website_id), keys| {
                sql::find_visitor_keys(connection, company_id, website_id, keys).boxed()
            });
        let of_keys = Reads::records("visitor_of_key", work.pool().clone(), |connection, (), keys| {
            sql::visitors_of_keys(connection, keys).boxed()
        });
        Self { work, of_websites, of_keys, known: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// The visitor that the key stands for on this website; ties it to `visitor`, else to a new one, if it stands for none.
    pub(in crate::chat) async fn tie(
        &self,
        company_id: Uuid,
        website_id: Uuid,
        key: VisitorKey,
        visitor: Option<&str>,
    ) -> Result<String> {
        let place = (company_id, website_id, key);
        if let Some(known) = self.known.get(&place) {
            return Ok(known.to_string());
        }
        let read = self.of_websites.get((company_id, website_id), key);
        let tied = if let Some(tied) = within(LOOKUP_TIME, read).await? {
            tied
        } else {
            // All bits random: an id with a time would show when the visitor came.
            let new = || clock::new_random_id().to_string();
            self.work.run(Tie { place, visitor: visitor.map_or_else(new, str::to_owned) }).await?
        };
        self.known.insert(place, tied.as_str().into());
        Ok(tied)
    }

    /// The visitors that the key stands for.
    pub(in crate::chat) async fn of(&self, key: VisitorKey) -> Result<Vec<Principal>> {
        let found = within(LOOKUP_TIME, self.of_keys.get((), key)).await?.unwrap_or_default();
        Ok(found.into_iter().map(|(company, website, visitor)| Principal::visitor(company, website, visitor)).collect())
    }

    async fn resolved(&self, key: VisitorKey, caller: Caller) -> Result<Caller> {
        match caller {
            Caller::Known(principal) if principal.credential == Credential::Development => self.alone(key).await,
            Caller::Anonymous => self.alone(key).await,
            Caller::Known(principal) if principal.role == Role::Consumer => {
                let Some(website_id) = principal.website_id else { return Ok(Caller::Known(principal)) };
                let subject = &principal.subject;
                let visitor = self.tie(principal.company_id, website_id, key, Some(subject)).await?;
                if visitor == *subject {
                    return Ok(Caller::Known(principal));
                }
                let earlier = Some(subject.clone());
                Ok(Caller::Known(Arc::new(Principal { subject: visitor, earlier, ..Principal::clone(&principal) })))
            }
            other => Ok(other),
        }
    }

    /// The caller that has the key and nothing else. On several websites it is several visitors: then the website that a
    /// request is about decides.
    async fn alone(&self, key: VisitorKey) -> Result<Caller> {
        let mut visitors = self.of(key).await?;
        let only = visitors.pop().filter(|_| visitors.is_empty());
        Ok(only.map_or(Caller::Anonymous, |visitor| Caller::Known(Arc::new(visitor))))
    }
}

impl VisitorKeys for WebsiteVisitors {
    fn caller(&self, key: VisitorKey, caller: Caller) -> BoxFuture<'static, Caller> {
        let visitors = self.clone();
        async move {
            let known = caller.clone();
            match visitors.resolved(key, caller).await {
                Ok(caller) => caller,
                // The website of a token need not exist: another issuer may have signed it.
                Err(error) if error.code() != Code::Unavailable => known,
                Err(error) => Caller::Unavailable(error.chain()),
            }
        }
        .boxed()
    }
}
