//! `createWebsite`, reads of websites, and the identity of visitors.

use uuid::Uuid;

use super::{NewWebsite, WebsiteRecord, sql};
use crate::{
    chat::{
        Chats,
        rights::{self, Action},
    },
    platform::{
        auth::{Caller, Principal, Role, Visit},
        clock,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
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

struct CreateWebsite {
    principal: Principal,
    public_key: Uuid,
    new: NewWebsite,
}

impl Verb for CreateWebsite {
    type Outcome = WebsiteRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<WebsiteRecord> {
        let website = sql::insert(unit.connection(), self.principal.company_id, self.public_key, &self.new).await?;
        // No event: nobody subscribes to websites.
        unit.mark_changed();
        Ok(website)
    }

    fn lines(&self) -> Lines {
        Lines { caller: Some(self.principal.name()), ..Lines::default() }
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

    /// The website as everybody may see it, for a widget without a token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` where widgets are not allowed, `FORBIDDEN` for a page of an origin that the website does not list.
    pub(in crate::chat) async fn public_website(
        &self,
        caller: &Caller,
        visit: &Visit,
        id: Uuid,
    ) -> Result<Option<WebsiteRecord>> {
        self.allow_widget(caller)?;
        let Some(website) = self.loaders.website_by_id(id).await? else { return Ok(None) };
        self.admit_page(visit, website.company_id, website.id).await?;
        Ok(Some(website))
    }

    /// The visitor of a website that logs in: by the key of its browser, if it has one, the same as without the token.
    pub(in crate::chat) async fn visitor_of_login(
        &self,
        caller: &Caller,
        visit: &Visit,
        website: &WebsiteRecord,
    ) -> Result<String> {
        let named = visitor(caller, website);
        match visit.key {
            Some(key) => self.visitors.tie(website.company_id, website.id, key, Some(&named)).await,
            None => Ok(named),
        }
    }

    /// Creates a website with a new public key.
    ///
    /// # Errors
    /// `FORBIDDEN` for all but the company.
    #[tracing::instrument(name = "website.create", skip_all)]
    pub async fn create_website(&self, principal: &Principal, new: &NewWebsite) -> Result<WebsiteRecord> {
        rights::may(principal, Action::Administer)?;
        // All bits random: keys are looked up across companies, and none may be guessed from another.
        let verb = CreateWebsite { principal: principal.clone(), public_key: clock::new_random_id(), new: new.clone() };
        self.work.run(verb).await
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
                earlier: None,
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
