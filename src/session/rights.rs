//! Access to sessions: a participant to itself in its one session, the company's service and admin to everything.

use crate::platform::{
    auth::{Principal, Role},
    concept::{Access, RootField},
    error::{Error, Result},
};

/// Whoever may have to do with sessions.
const PARTIES: Access = Access::Roles(&[Role::Participant, Role::Service, Role::Admin]);

/// Who reaches each root field of this concept.
pub const FIELDS: &[RootField] = &[
    ("Query.sessionCoordination", PARTIES),
    ("Query.sessionHealth", PARTIES),
    ("Query.sessionHealthAlerts", PARTIES),
    ("Query.staleConnections", PARTIES),
    ("Query.qualityRecovery", PARTIES),
    ("Query.sessions", Access::COMPANY),
    ("Query.sessionProviders", Access::COMPANY),
    ("Mutation.selectSessionProvider", PARTIES),
    ("Mutation.coordinateProviderRecovery", PARTIES),
    ("Mutation.updateUserSessionState", PARTIES),
    ("Mutation.updateSessionHealth", PARTIES),
    ("Mutation.heartbeatPing", PARTIES),
    ("Mutation.setSessionProviders", Access::Roles(&[Role::Admin])),
    ("Subscription.sessionChanged", PARTIES),
    ("Subscription.healthAlerts", PARTIES),
    ("Subscription.qualityRecovery", PARTIES),
    ("Subscription.sessionProviderChanged", Access::COMPANY),
];

/// Checks that the caller may read of a session; `None` means all sessions of the company.
///
/// # Errors
/// `FORBIDDEN`.
pub fn may_read(principal: &Principal, session_id: Option<&str>) -> Result<()> {
    match principal.role {
        Role::Service | Role::Admin => Ok(()),
        Role::Participant if session_id.is_some() && principal.session_id.as_deref() == session_id => Ok(()),
        Role::Participant => Err(Error::forbidden("a participant reaches its own session only")),
        Role::Agent | Role::Consumer => {
            Err(Error::forbidden("only participants and the company have to do with sessions"))
        }
    }
}

/// Checks that the caller may report as this user of this session.
///
/// # Errors
/// `FORBIDDEN`.
pub fn may_report(principal: &Principal, session_id: &str, user_id: &str) -> Result<()> {
    may_read(principal, Some(session_id))?;
    if principal.role == Role::Participant && principal.subject != user_id {
        return Err(Error::forbidden("a participant reports on itself only"));
    }
    Ok(())
}

/// True if the caller may see what a participant said of its device.
pub fn sees_device(principal: &Principal, user_id: &str) -> bool {
    principal.is_company() || principal.subject == user_id
}
