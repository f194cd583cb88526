//! The caller as the rest of the server sees it.

use std::{net::IpAddr, sync::Arc};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::error::{Error, Result};

/// What a credential lets its bearer be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A visitor of a website: its own chats.
    Consumer,
    /// An agent: the chats of its contracts.
    Agent,
    /// Somebody in one video session: itself.
    Participant,
    /// A company's server: everything of the company.
    Service,
    /// A company's operator: also companies, limits and keys.
    Admin,
}

impl Role {
    /// The name in tokens, in the database and on the command line.
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

/// How the caller proved who it is; decides how long the proof lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A signed token, good until its `exp`.
    Token,
    /// An API key, good until revoked.
    ApiKey(Uuid),
    /// Development mode: anonymous callers on loopback act as the demo company's service.
    Development,
}

/// A caller whose credential is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant. Nothing of another company is reachable.
    pub company_id: Uuid,
    /// What the caller may be.
    pub role: Role,
    /// `sub`: the visitor, agent user, participant or server user. A token without one: the agent's id or the role's
    /// name; an API key: the key's id.
    pub subject: String,
    /// A consumer's website (claim `user_id`).
    pub website_id: Option<Uuid>,
    /// An agent's id (claim `agent_id`).
    pub agent_id: Option<Uuid>,
    /// A participant's session (claim `session_id`).
    pub session_id: Option<String>,
    /// When the credential lapses; sockets close with 4403 then.
    pub expires_at: Option<OffsetDateTime>,
    /// How it was proved.
    pub credential: Credential,
}

impl Principal {
    /// True for roles that act for the whole company.
    pub fn is_company(&self) -> bool {
        matches!(self.role, Role::Service | Role::Admin)
    }

    /// Only for roles that act for the whole company.
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

/// Where a request or a socket comes from: the remote address, or behind a trusted proxy the one that it vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// What arrived with a request or a socket.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A valid credential.
    Known(Arc<Principal>),
    /// No credential at all.
    Anonymous,
    /// A credential that is not valid; the text says why, without any secret.
    Refused(String),
    /// A credential that could not be judged, because the database or the key set is away; the text (for the log) says
    /// which. Neither let in nor told that it is bad.
    Unavailable(String),
}

impl Caller {
    /// The principal, where there is one.
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
