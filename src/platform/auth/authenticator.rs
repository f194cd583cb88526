//! Turns the credential of a request into a [`Caller`].

use std::{future::pending, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Caller, Credential, Principal,
    api_key::PREFIX,
    jwks::Jwks,
    keyring::Keyring,
    refusal::Refusal,
    token::{Claims, LONGEST, Realm, TokenIssuer, Verifier},
};
use crate::platform::{
    clock::Clock,
    config::AuthSettings,
    error::{Error, Result},
    event::hub::EventQueue,
};

/// Checks tokens and API keys, and signs visitors' tokens. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    verifier: Verifier,
    issuer: Option<TokenIssuer>,
    jwks: Option<Arc<Jwks>>,
    keyring: Keyring,
    clock: Clock,
    consumer_token_ttl: Duration,
    development: Option<Arc<Principal>>,
}

impl Authenticator {
    /// Loads the JWKS, if one is set. `secret` is the HS256 secret, from the settings or generated; `development` is
    /// the principal of anonymous callers, if they have one.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a secret that is too short, a JWKS that cannot be read, or when there is neither.
    pub async fn new(
        settings: &AuthSettings,
        secret: Option<String>,
        pool: PgPool,
        clock: Clock,
        development: Option<Arc<Principal>>,
    ) -> Result<Self> {
        if secret.is_none() && settings.jwks.is_none() {
            return Err(Error::invalid("SWITCHBOARD_JWT_SECRET", "required unless SWITCHBOARD_JWKS is set"));
        }
        let realm = Realm::from(settings);
        let issuer = secret.as_deref().map(|secret| TokenIssuer::new(secret, clock.clone())).transpose()?;
        let issuer = issuer.map(|issuer| issuer.with_realm(realm.clone()));
        let jwks = match &settings.jwks {
            Some(place) => Some(Jwks::open(place, settings.jwks_refresh, clock.clone()).await?),
            None => None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                verifier: Verifier::new(secret.as_deref(), jwks.clone(), realm, clock.clone())?,
                issuer,
                jwks,
                keyring: Keyring::new(pool, clock.clone()),
                clock,
                consumer_token_ttl: settings.consumer_token_ttl,
                development,
            }),
        })
    }

    /// Keeps the JWKS up to date, and forgets cached API keys at each event about one, until `stop`. `revocations` is
    /// the hub's queue of [`api_key::SUBJECT`](super::api_key::SUBJECT); it has one consumer, so this runs once per
    /// server.
    pub async fn run(self, revocations: Arc<EventQueue>, stop: CancellationToken) {
        let forget = async {
            loop {
                // Also after a lag or a resync: every key is read again, so no event's content matters.
                revocations.recv().await;
                self.forget_keys();
            }
        };
        let refresh = async {
            match &self.shared.jwks {
                Some(jwks) => Arc::clone(jwks).run(stop.clone()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = refresh => {}
            () = forget => {}
        }
    }

    /// The caller that `bearer` (a token or an API key, without the word "Bearer") proves;
    /// `None` is anonymous, or the demo company's service in development mode.
    pub async fn caller(&self, bearer: Option<&str>) -> Caller {
        let shared = &self.shared;
        let Some(bearer) = bearer else {
            return shared.development.clone().map_or(Caller::Anonymous, Caller::Known);
        };
        let checked = if bearer.len() > LONGEST {
            Err(Refusal::TooLong)
        } else if bearer.starts_with(PREFIX) {
            Box::pin(shared.keyring.check(bearer)).await
        } else {
            shared.verifier.verify(bearer).await
        };
        checked.map_or_else(refused, Caller::Known)
    }

    /// Waits until the principal's credential has expired or was revoked, and returns the close reason for its sockets.
    /// Never returns for a credential without an end.
    pub async fn expired(&self, principal: &Arc<Principal>) -> String {
        match (principal.credential, principal.expires_at) {
            (Credential::ApiKey(id), _) => {
                Box::pin(self.shared.keyring.expired(principal.company_id, id)).await;
                "API key revoked".to_owned()
            }
            (Credential::Token, Some(expires_at)) => {
                self.shared.clock.sleep_until(expires_at).await;
                "token expired".to_owned()
            }
            (Credential::Token, None) | (Credential::VisitorKey | Credential::Development, _) => pending().await,
        }
    }

    /// Makes this server read API keys from the database again. To be called after the commit that revoked a key: from
    /// then on the key is refused and its sockets close.
    pub fn forget_keys(&self) {
        self.shared.keyring.forget();
    }

    /// Signs a visitor's token: `sub` is the visitor, `user_id` the website.
    ///
    /// # Errors
    /// `CONFLICT` when this server has no HS256 secret to sign with.
    pub fn issue_consumer(&self, company_id: Uuid, website_id: Uuid, visitor: impl ToString) -> Result<String> {
        let issuer = self.shared.issuer.as_ref();
        let issuer = issuer.ok_or_else(|| Error::conflict("visitors' tokens need SWITCHBOARD_JWT_SECRET to be set"))?;
        issuer.issue(&Claims::consumer(company_id, website_id, visitor), self.shared.consumer_token_ttl)
    }
}

fn refused(refusal: Refusal) -> Caller {
    metrics::counter!("switchboard_auth_refusals_total", "reason" => refusal.label()).increment(1);
    match refusal {
        Refusal::Unavailable(why) => Caller::Unavailable(why),
        refusal => Caller::Refused(refusal.to_string()),
    }
}
