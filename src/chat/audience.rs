//! Which viewers are one audience: those that may see the same records, and the same of each record. A message of a stream
//! is executed once for all of them, with a caller in its context that has nothing in it but what the
//! [rights](super::rights) depend on.

use std::sync::Arc;

use super::rights::Viewer;
use crate::platform::{
    auth::{Caller, Principal, Role},
    graphql::audience::Audience,
};

impl Viewer {
    /// Whom the viewer's streams are executed for.
    pub fn audience(&self) -> Audience {
        match self {
            Self::Known(principal) => Audience::of(Caller::Known(Arc::new(reduced(principal)))),
            Self::HoldsChatId { company_id, chat_id } => Audience::of_anonymous(format!("chat {company_id} {chat_id}")),
            Self::PinnedTo { company_id, key } => Audience::of_anonymous(format!("race {company_id} {key}")),
            Self::Public { company_id } => Audience::of_anonymous(format!("public {company_id}")),
        }
    }
}

/// The caller without what no right depends on: of an agent its user, of a server its name, of all their credential.
fn reduced(principal: &Principal) -> Principal {
    let (website_id, agent_id, nobody) = (principal.website_id, principal.agent_id, principal.of_role_alone());
    match principal.role {
        Role::Consumer => {
            let (subject, earlier) = (principal.subject.clone(), principal.earlier.clone());
            Principal { subject, earlier, website_id, ..nobody }
        }
        Role::Agent => Principal { agent_id, ..nobody },
        Role::Participant | Role::Service | Role::Admin => nobody,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::{prelude::*, sample::select};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::chat::{
        contract::ContractRecord,
        message::MessageRecord,
        record::{ChatRecord, RaceRecord},
        rights::{sees_chat, sees_contract, sees_message, sees_race},
    };
    use crate::platform::auth::Credential;

    /// A few of each, so that equal and different ones meet.
    fn id(number: u8) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn principals() -> impl Strategy<Value = Principal> {
        use Role::{Admin, Agent, Consumer, Participant, Service};
        let roles = select(vec![Consumer, Agent, Participant, Service, Admin]);
        let ids = (0..2u8, 0..2u8, proptest::option::of(0..2u8), proptest::option::of(0..2u8));
        (roles, ids, any::<bool>()).prop_map(|(role, (company, subject, website, agent), other)| Principal {
            company_id: id(company),
            role,
            subject: subject.to_string(),
            earlier: (other && role == Role::Consumer).then(|| (1 - subject).to_string()),
            website_id: website.map(id),
            agent_id: agent.map(id),
            session_id: other.then(|| "session".to_owned()),
            expires_at: other.then(time::OffsetDateTime::now_utc),
            credential: if other { Credential::ApiKey(id(9)) } else { Credential::Token },
        })
    }

    /// A chat, its race, a message of it, its contract.
    fn records() -> impl Strategy<Value = (ChatRecord, RaceRecord, MessageRecord, Arc<ContractRecord>)> {
        (0..2u8, 0..2u8, 0..2u8, proptest::option::of(0..2u8)).prop_map(|(company, visitor, website, agent)| {
            let (company, website, agent) = (id(company), id(website), agent.map(id));
            let at = "2026-01-01T00:00:00Z";
            let chat = json!({
                "companyId": company, "id": id(7), "key": id(8), "websiteId": website, "contractId": id(9),
                "agentId": agent, "visitor": visitor.to_string(), "status": "ACTIVE", "missed": false,
                "closeReason": null, "headline": "", "customerName": "", "ipAddress": null, "rating": null,
                "missAt": null, "messageCount": 0, "version": 1, "insertedAt": at, "updatedAt": at,
                "startedAt": null, "finishedAt": null,
            });
            let race = json!({
                "companyId": company, "key": id(8), "websiteId": website, "owner": visitor.to_string(),
                "state": "WAITING", "winnerId": null, "failures": [], "expiresAt": at,
                "agentIds": agent.into_iter().collect::<Vec<_>>(), "version": 1, "insertedAt": at, "updatedAt": at,
            });
            let message = json!({
                "companyId": company, "chatId": id(7), "id": id(6), "websiteId": website, "agentId": agent,
                "visitor": visitor.to_string(), "text": "", "author": "", "isAgent": false, "opening": false,
                "insertedAt": at, "updatedAt": at,
            });
            let contract = json!({
                "companyId": company, "id": id(9), "websiteId": website, "agentId": agent, "name": null,
                "color": null, "rate": 1.5, "status": "active", "session": 1, "chatMissTime": null,
                "chatMissFee": 2.5, "jobId": null, "proposalId": null, "agentDeleted": false, "version": 1,
                "insertedAt": at, "updatedAt": at,
            });
            (
                serde_json::from_value(chat).unwrap(),
                serde_json::from_value(race).unwrap(),
                serde_json::from_value(message).unwrap(),
                Arc::new(serde_json::from_value(contract).unwrap()),
            )
        })
    }

    fn viewers() -> impl Strategy<Value = Viewer> {
        let ids = (0..2u8, 7..9u8).prop_map(|(company, other)| (id(company), id(other)));
        let known = principals().prop_map(|principal| Viewer::Known(Arc::new(principal)));
        prop_oneof![
            6 => known,
            1 => ids.clone().prop_map(|(company_id, chat_id)| Viewer::HoldsChatId { company_id, chat_id }),
            1 => ids.clone().prop_map(|(company_id, key)| Viewer::PinnedTo { company_id, key }),
            1 => ids.prop_map(|(company_id, ..)| Viewer::Public { company_id }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn viewers_of_one_audience_have_the_same_rights(
            one in viewers(), other in viewers(), (chat, race, message, contract) in records(),
        ) {
            let alike = one.audience() == other.audience();
            let differs = one.sees_chat(&chat) != other.sees_chat(&chat)
                || one.sees_message(&message) != other.sees_message(&message)
                || one.shown(&contract) != other.shown(&contract)
                || one.is_visitor() != other.is_visitor();
            prop_assert!(!(alike && differs), "{one:?} and {other:?} are one audience");
            if let (Viewer::Known(one), Viewer::Known(other)) = (&one, &other) {
                prop_assert!(!alike || sees_race(one, &race) == sees_race(other, &race));
                prop_assert!(!alike || one.role == other.role);
            }
        }

        #[test]
        fn an_audience_has_the_rights_of_its_viewers(
            principal in principals(), (chat, race, message, contract) in records(),
        ) {
            let stands_for_it = reduced(&principal);
            prop_assert_eq!(sees_chat(&principal, &chat), sees_chat(&stands_for_it, &chat));
            prop_assert_eq!(sees_race(&principal, &race), sees_race(&stands_for_it, &race));
            prop_assert_eq!(sees_message(&principal, &message), sees_message(&stands_for_it, &message));
            prop_assert_eq!(sees_contract(&principal, &contract), sees_contract(&stands_for_it, &contract));
        }
    }
}
