//! `createWebsite`, reads of websites, and the identity of visitors.

use uuid::Uuid;

use super::{NewWebsite, WebsiteRecord, sql};
use crate::{
    chat::{
        Chats,
        rights::{self, Action},
    },
    platform::{
        auth::{Caller, Principal, Role},
        clock,
        error::{Error, Result},
        unit::{Unit, Verb},
    },
};

/// The identity of a visitor that logs in. A caller with a valid token of the same website keeps its identity, and so
/// its chats.
pub(in crate::chat) fn visitor(caller: &Caller, website: &WebsiteRecord) -> String {
    let known = match caller {
        Caller::Known(principal)
            if principal.role == Role::Consumer
                && principal.company_id == website.company_id
                && principal.website_id == Some(website.id) =>
        {
            Some(principal.subject.clone())
        }
        _ => None,
    };
    // All bits random: an id with a time would show when the visitor logged in.
    known.unwrap_or_else(|| clock::new_random_id().to_string())
}

struct CreateWebsite<'a> {
    company_id: Uuid,
    public_key: Uuid,
    new: &'a NewWebsite,
}

impl Verb for CreateWebsite<'_> {
    type Outcome = WebsiteRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<WebsiteRecord> {
        let website = sql::insert(unit.connection(), self.company_id, self.public_key, self.new).await?;
        // No event: nobody subscribes to websites.
        unit.mark_changed();
        Ok(website)
    }
}

impl Chats {
    /// The website whose widget logs in with this key.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown key.
    pub async fn website_of_key(&self, public_key: Uuid) -> Result<WebsiteRecord> {
        let website = self.loaders.website_of_key(public_key).await?;
        website.ok_or_else(|| Error::not_found("website"))
    }

    /// The website, if the caller may see it. A visitor sees its own, an agent those that it has a contract with.
    pub async fn website(&self, principal: &Principal, id: Uuid) -> Result<Option<WebsiteRecord>> {
        let company_id = principal.company_id;
        let sees = match principal.role {
            Role::Consumer => principal.website_id == Some(id),
            Role::Agent => match principal.agent_id {
                Some(agent_id) => self.loaders.agent_serves(company_id, agent_id, id).await?,
                None => false,
            },
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        };
        if sees { self.loaders.website(company_id, id).await } else { Ok(None) }
    }

    /// Creates a website with a new public key.
    ///
    /// # Errors
    /// `FORBIDDEN` for all but the company.
    #[tracing::instrument(name = "website.create", skip_all)]
    pub async fn create_website(&self, principal: &Principal, new: &NewWebsite) -> Result<WebsiteRecord> {
        rights::may(principal, Action::Administer)?;
        // All bits random: keys are looked up across companies, and none may be guessed from another.
        let verb = CreateWebsite { company_id: principal.company_id, public_key: clock::new_random_id(), new };
        self.work.run(&verb).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::platform::auth::Credential;

    #[test]
    fn a_visitor_keeps_its_name_only_on_its_own_website() {
        let [company_id, website_id] = [(); 2].map(|()| Uuid::new_v4());
        let sub = "visitor-1";
        let website = |company_id, id| WebsiteRecord {
            company_id,
            id,
            public_key: Uuid::nil(),
            name: None,
            logo_url: None,
            color: None,
        };
        let caller = |role| {
            Caller::Known(Arc::new(Principal {
                company_id,
                role,
                subject: sub.to_owned(),
                website_id: Some(website_id),
                agent_id: None,
                session_id: None,
                expires_at: None,
                credential: Credential::Token,
            }))
        };
        assert_eq!(visitor(&caller(Role::Consumer), &website(company_id, website_id)), sub);
        assert_ne!(visitor(&caller(Role::Consumer), &website(company_id, Uuid::new_v4())), sub);
        assert_ne!(visitor(&caller(Role::Consumer), &website(Uuid::new_v4(), website_id)), sub);
        assert_ne!(visitor(&caller(Role::Service), &website(company_id, website_id)), sub);
        let refused = Caller::Refused("expired".to_owned());
        assert_ne!(
            visitor(&refused, &website(company_id, website_id)),
            visitor(&Caller::Anonymous, &website(company_id, website_id))
        );
    }
}
