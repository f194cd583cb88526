//! The caller as the rest of the server sees it.

use std::{net::IpAddr, sync::Arc};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::error::{Error, Result};

/// What a caller may do; every credential has one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A visitor of a website; may use its own chats.
    Consumer,
    /// An agent; may use the chats of its contracts.
    Agent,
    /// A participant of one video session; may report on itself.
    Participant,
    /// A company's server; may use everything of the company.
    Service,
    /// A company's operator; may also manage limits and keys.
    Admin,
}

impl Role {
    /// The role's name in tokens, in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Agent => "agent",
            Self::Participant => "participant",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }
}

/// The kind of credential, which decides when it stops being valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A signed token; valid until its `exp`.
    Token,
    /// An API key; valid until it is revoked.
    ApiKey(Uuid),
    /// The key of a browser, which stands for a visitor without a token; never ends. See [`VisitorKey`](super::VisitorKey).
    VisitorKey,
    /// None: in development mode anonymous callers on loopback act as the demo company's service.
    Development,
}

/// A caller whose credential is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The only company whose data the caller can reach.
    pub company_id: Uuid,
    /// What the caller may do within its company.
    pub role: Role,
    /// `sub` of the token: the visitor, agent user, participant or server user. For a token without `sub` the agent's
    /// id or the role's name, for an API key the key's id.
    pub subject: String,
    /// The visitor that a consumer's token names, where its browser's key stands for another one: it still sees that
    /// visitor's chats, and asks for new ones as `subject`.
    pub earlier: Option<String>,
    /// A consumer's website (claim `user_id`).
    pub website_id: Option<Uuid>,
    /// An agent's id (claim `agent_id`).
    pub agent_id: Option<Uuid>,
    /// A participant's session (claim `session_id`).
    pub session_id: Option<String>,
    /// When the credential expires; sockets then close with 4403.
    pub expires_at: Option<OffsetDateTime>,
    /// The kind of credential that proved all this.
    pub credential: Credential,
}

impl Principal {
    /// A visitor of a website whose token or key is without an end.
    pub fn visitor(company_id: Uuid, website_id: Uuid, visitor: String) -> Self {
        Self {
            company_id,
            role: Role::Consumer,
            subject: visitor,
            earlier: None,
            website_id: Some(website_id),
            agent_id: None,
            session_id: None,
            expires_at: None,
            credential: Credential::VisitorKey,
        }
    }

    /// True if `visitor` is the caller's name, or was.
    pub fn is_called(&self, visitor: &str) -> bool {
        self.subject == visitor || self.earlier.as_deref() == Some(visitor)
    }

    /// True for roles that act for the whole company.
    pub fn is_company(&self) -> bool {
        matches!(self.role, Role::Service | Role::Admin)
    }

    /// The company and the claim `sub`: what counts as one caller where callers share something.
    pub fn name(&self) -> (Uuid, String) {
        (self.company_id, self.subject.clone())
    }

    /// The caller with nothing but its company and its role, for what depends on nothing else.
    #[must_use]
    pub fn of_role_alone(&self) -> Self {
        Self {
            company_id: self.company_id,
            role: self.role,
            subject: String::new(),
            earlier: None,
            website_id: None,
            agent_id: None,
            session_id: None,
            expires_at: None,
            credential: Credential::Token,
        }
    }

    /// Fails unless the role acts for the whole company.
    ///
    /// # Errors
    /// `FORBIDDEN` for all others.
    pub fn require_company(&self) -> Result<()> {
        if self.is_company() {
            Ok(())
        } else {
            Err(Error::forbidden("only the company's service or admin may do this"))
        }
    }
}

/// The address of a request's or socket's client: the remote address, or behind a trusted proxy the one that the proxy
/// reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The result of checking a request's or socket's credential.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A valid credential.
    Known(Arc<Principal>),
    /// No credential at all.
    Anonymous,
    /// A credential that is not valid; the text says why, without any secret.
    Refused(String),
    /// A credential that could not be checked because the database or the key set is away; the text is for the log and
    /// says which.
    Unavailable(String),
}

impl Caller {
    /// The principal of a known caller.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when the credential is missing or not valid, `UNAVAILABLE` when it could not be checked.
    pub fn principal(&self) -> Result<&Arc<Principal>> {
        match self {
            Self::Known(principal) => Ok(principal),
            Self::Anonymous => Err(Error::unauthenticated("this needs a token or an API key")),
            Self::Refused(why) => Err(Error::unauthenticated(why)),
            Self::Unavailable(why) => Err(Error::unavailable(why.as_str())),
        }
    }
}
