//! Access to lines: the company's servers any, agents and visitors those of the chats that they see.

use time::Duration;

use super::record::Parties;
use crate::platform::{
    auth::{Principal, Role},
    concept::{Access, RootField},
    error::{Error, Result},
};

/// The roles that may coordinate.
const ROLES: &[Role] = &[Role::Consumer, Role::Agent, Role::Service, Role::Admin];
/// How long agents and visitors may hold a line in all.
const LONGEST_HOLD: Duration = Duration::minutes(2);

/// Who reaches each root field of this concept.
pub const FIELDS: &[RootField] = &[
    ("Mutation.coordinateChatCall", Access::Roles(ROLES)),
    ("Mutation.completeChatCall", Access::Roles(ROLES)),
    ("Subscription.coordinationEvents", Access::Roles(ROLES)),
];

/// Checks that the caller's role may coordinate.
///
/// # Errors
/// `FORBIDDEN` for participants.
pub fn may_coordinate(principal: &Principal) -> Result<()> {
    if ROLES.contains(&principal.role) { Ok(()) } else { Err(Error::forbidden("participants have no chats")) }
}

/// The caller as the owner of its requests: equal subjects of different roles, or of different agents, are different
/// callers.
pub fn name(principal: &Principal) -> String {
    let Principal { role, subject, agent_id, .. } = principal;
    match agent_id {
        Some(agent_id) => format!("{}:{agent_id}:{subject}", role.as_str()),
        None => format!("{}:{subject}", role.as_str()),
    }
}

/// How long the caller may hold a line in all; `None`: as long as it renews.
pub fn longest_hold(principal: &Principal) -> Option<Duration> {
    (!principal.is_company()).then_some(LONGEST_HOLD)
}

/// True if the caller may see the line of a chat with these parties; `None`: a chat elsewhere.
pub fn sees(principal: &Principal, parties: Option<&Parties>) -> bool {
    match principal.role {
        Role::Service | Role::Admin => true,
        Role::Participant => false,
        Role::Consumer => parties.is_some_and(|parties| {
            principal.subject == parties.visitor && principal.website_id == Some(parties.website_id)
        }),
        Role::Agent => {
            principal.agent_id.is_some() && parties.is_some_and(|parties| principal.agent_id == parties.agent_id)
        }
    }
}

/// Checks that the caller sees the line's chat.
///
/// # Errors
/// `NOT_FOUND`, also for a chat that does not exist.
pub fn require_sight(principal: &Principal, parties: Option<&Parties>) -> Result<()> {
    if sees(principal, parties) { Ok(()) } else { Err(Error::not_found("chat")) }
}
