//! The issuer and the audience of tokens.

use super::*;
use crate::platform::auth::token::TokenIssuer;

fn realm(issuer: Option<&str>, audience: Option<&str>) -> Realm {
    Realm { issuer: issuer.map(str::to_owned), audience: audience.map(str::to_owned) }
}

#[test]
fn a_configured_issuer_and_audience_must_be_named_and_others_are_ignored() {
    let judge = |realm: &Realm, more: Value| {
        let mut claims = json!({ "role": "service", "company_id": COMPANY, "exp": 10 });
        claims.as_object_mut().unwrap().append(more.clone().as_object_mut().unwrap());
        let claims = serde_json::from_value(claims).unwrap();
        token::principal(claims, realm, OffsetDateTime::UNIX_EPOCH).map(drop)
    };
    let (anybody, both) = (Realm::default(), realm(Some("https://id.example"), Some("switchboard")));
    let good = [
        json!({ "iss": "https://id.example", "aud": "switchboard" }),
        json!({ "iss": "https://id.example", "aud": ["other", "switchboard"] }),
    ];
    for claims in good {
        assert_eq!((judge(&both, claims.clone()), judge(&anybody, claims)), (Ok(()), Ok(())));
    }
    let bad = [
        (json!({ "aud": "switchboard" }), Refusal::Issuer),
        (json!({ "iss": "https://other.example", "aud": "switchboard" }), Refusal::Issuer),
        (json!({ "iss": ["https://id.example"], "aud": "switchboard" }), Refusal::Issuer),
        (json!({ "iss": "https://id.example" }), Refusal::Audience),
        (json!({ "iss": "https://id.example", "aud": "other" }), Refusal::Audience),
        (json!({ "iss": "https://id.example", "aud": ["other", 7] }), Refusal::Audience),
        (json!({ "iss": "https://id.example", "aud": { "switchboard": true } }), Refusal::Audience),
    ];
    for (claims, refusal) in bad {
        assert_eq!((judge(&both, claims.clone()), judge(&anybody, claims)), (Err(refusal), Ok(())));
    }
}

#[tokio::test]
async fn tokens_that_the_server_issues_name_its_issuer_and_audience() {
    let settings = AuthSettings {
        jwt_secret: None,
        jwks: None,
        jwks_refresh: Duration::from_mins(5),
        jwt_audience: Some("switchboard".to_owned()),
        jwt_issuer: Some("https://id.example".to_owned()),
        dev: false,
        consumer_token_ttl: Duration::from_hours(1),
    };
    let clock = Clock::default();
    let server = Authenticator::new(&settings, Some(SECRET.to_owned()), no_database(), clock.clone(), None).await;
    let server = server.unwrap();
    let token = server.issue_consumer(COMPANY, WEBSITE, "eve").unwrap();
    assert!(matches!(server.caller(Some(&token)).await, Caller::Known(_)));
    let claims: Value = {
        use base64::Engine;
        let payload = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    };
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://id.example"), &json!("switchboard")));

    // The same secret for another audience: a token of a staging server.
    let issuer = TokenIssuer::new(SECRET, clock).unwrap();
    let foreign = issuer.with_realm(realm(Some("https://id.example"), Some("staging")));
    let foreign = foreign.issue(&Claims::service(COMPANY, "server"), Duration::from_mins(1)).unwrap();
    for _ in 0..2 {
        let Caller::Refused(why) = server.caller(Some(&foreign)).await else { panic!("accepted") };
        assert!(why.contains("audience"), "{why}");
    }
}
