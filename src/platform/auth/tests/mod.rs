//! Valid and invalid tokens of every kind against a whole [`Authenticator`]. API keys need a database: see
//! `tests/it/platform/auth.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod realm;
mod rotation;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use proptest::prelude::*;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Authenticator, Caller, Credential, Principal, Role,
    refusal::Refusal,
    token::{self, Claims, Realm},
};
use crate::platform::{
    clock::Clock,
    config::AuthSettings,
    error::{Code, Result},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const COMPANY: Uuid = Uuid::from_u128(1);
const WEBSITE: Uuid = Uuid::from_u128(2);

/// The test keys (see `keys/README.md`): kid, private key, its algorithms.
fn test_keys() -> [(&'static str, EncodingKey, Vec<Algorithm>); 5] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let ed = |pem: &[u8]| EncodingKey::from_ed_pem(pem).unwrap();
    let ec = |pem: &[u8]| EncodingKey::from_ec_pem(pem).unwrap();
    let rsa = EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")).unwrap();
    [
        ("rsa", rsa, vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        ("p256", ec(include_bytes!("keys/p256.pem")), vec![ES256]),
        ("p384", ec(include_bytes!("keys/p384.pem")), vec![ES384]),
        ("ed", ed(include_bytes!("keys/ed25519.pem")), vec![EdDSA]),
        ("ed2", ed(include_bytes!("keys/ed25519_other.pem")), vec![EdDSA]),
    ]
}

fn test_key(kid: &str) -> EncodingKey {
    test_keys().into_iter().find(|key| key.0 == kid).unwrap().1
}

/// A JWKS with the public parts of these keys; `alg` left out, so that an RSA key serves its whole family.
fn jwks(kids: &[&str]) -> Value {
    let public = |(kid, key, algorithms): (&str, EncodingKey, Vec<Algorithm>)| {
        let mut jwk = Jwk::from_encoding_key(&key, algorithms[0]).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.key_algorithm = None;
        serde_json::to_value(jwk).unwrap()
    };
    json!({ "keys": test_keys().into_iter().filter(|key| kids.contains(&key.0)).map(public).collect::<Vec<_>>() })
}

/// A JWKS file; removed when dropped.
struct JwksFile(PathBuf);

impl JwksFile {
    fn new(content: &Value) -> Self {
        let file = Self(std::env::temp_dir().join(format!("switchboard-jwks-{}.json", Uuid::now_v7())));
        file.write(&content.to_string());
        file
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.0, content).unwrap();
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for JwksFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A pool whose database is away: nothing listens on port 1.
fn no_database() -> PgPool {
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_millis(50));
    options.connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap()
}

async fn build(secret: Option<&str>, jwks: Option<String>, clock: &Clock) -> Result<Authenticator> {
    let settings = AuthSettings {
        jwt_secret: None,
        jwks,
        jwks_refresh: Duration::from_mins(5),
        jwt_audience: None,
        jwt_issuer: None,
        dev: false,
        consumer_token_ttl: Duration::from_hours(1),
    };
    Authenticator::new(&settings, secret.map(str::to_owned), no_database(), clock.clone(), None).await
}

fn claims() -> Value {
    json!({ "role": "service", "company_id": COMPANY, "exp": OffsetDateTime::now_utc().unix_timestamp() + 600 })
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    sign(Algorithm::HS256, None, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

#[track_caller]
fn assert_refused(caller: &Caller, refusal: &Refusal) {
    assert!(matches!(caller, Caller::Refused(why) if *why == refusal.to_string()), "{caller:?} is not {refusal:?}");
    assert_eq!(caller.principal().unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn every_algorithm_is_accepted_with_its_own_key_and_no_other() {
    let file = JwksFile::new(&jwks(&["rsa", "p256", "p384", "ed"]));
    let authenticator = build(Some(SECRET), Some(file.place()), &Clock::default()).await.unwrap();
    let keys = test_keys();
    for (kid, key, algorithms) in &keys[..4] {
        for algorithm in algorithms {
            let token = sign(*algorithm, Some(kid), key, &claims());
            let caller = authenticator.caller(Some(&token)).await;
            assert_eq!(caller.principal().unwrap().company_id, COMPANY, "{algorithm:?}");
            // Another key's kid: that key does not serve this algorithm.
            let other = if *kid == "p256" { "p384" } else { "p256" };
            let token = sign(*algorithm, Some(other), key, &claims());
            assert_refused(&authenticator.caller(Some(&token)).await, &Refusal::Algorithm);
        }
    }
    // The right kid and algorithm, signed with another key.
    let token = sign(Algorithm::EdDSA, Some("ed"), &test_key("ed2"), &claims());
    assert_refused(&authenticator.caller(Some(&token)).await, &Refusal::Signature);
}

#[tokio::test]
async fn algorithms_cannot_be_confused() {
    let file = JwksFile::new(&jwks(&["rsa"]));
    let with_both = build(Some(SECRET), Some(file.place()), &Clock::default()).await.unwrap();
    let keys_only = build(None, Some(file.place()), &Clock::default()).await.unwrap();
    let secret_only = build(Some(SECRET), None, &Clock::default()).await.unwrap();

    // "HMAC" with the public key's text, in both of its forms.
    let pem = include_bytes!("keys/rsa_public.pem");
    let modulus = jwks(&["rsa"])["keys"][0]["n"].as_str().unwrap().to_owned();
    for text in [&pem[..], modulus.as_bytes()] {
        for kid in [None, Some("rsa")] {
            let token = sign(Algorithm::HS256, kid, &EncodingKey::from_secret(text), &claims());
            assert_refused(&with_both.caller(Some(&token)).await, &Refusal::Signature);
            assert_refused(&keys_only.caller(Some(&token)).await, &Refusal::Algorithm);
        }
    }
    // The right secret, but not the algorithm that it is for.
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = sign(algorithm, None, &EncodingKey::from_secret(SECRET.as_bytes()), &claims());
        assert_refused(&with_both.caller(Some(&token)).await, &Refusal::Algorithm);
    }
    let token = sign(Algorithm::RS256, Some("rsa"), &test_key("rsa"), &claims());
    assert_refused(&secret_only.caller(Some(&token)).await, &Refusal::Algorithm);

    let good = hs256(&claims());
    let (_, rest) = good.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    for (header, refusal) in [
        (json!({ "alg": "none" }), Refusal::Algorithm),
        (json!({ "alg": "NONE" }), Refusal::Algorithm),
        (json!({ "alg": "hs256" }), Refusal::Algorithm),
        (json!({}), Refusal::Malformed),
        (json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), Refusal::Malformed),
    ] {
        let header = base64(&header.to_string());
        for token in [format!("{header}.{rest}"), format!("{header}.{payload}.")] {
            assert_refused(&with_both.caller(Some(&token)).await, &refusal);
        }
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn exp_and_nbf_are_compared_without_leeway() {
    let at = |ms: i128| OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).unwrap();
    let judge = |exp: Value, nbf: Value, now| {
        let claims = json!({ "role": "service", "company_id": COMPANY, "exp": exp, "nbf": nbf });
        token::principal(serde_json::from_value(claims).unwrap(), &Realm::default(), now)
    };
    assert_eq!(judge(json!(1_000), Value::Null, at(999_999)).unwrap().expires_at, Some(at(1_000_000)));
    assert_eq!(judge(json!(1_000), Value::Null, at(1_000_000)), Err(Refusal::Expired));
    assert_eq!(judge(json!(1_000.5), Value::Null, at(1_000_500)), Err(Refusal::Expired));
    assert!(judge(json!(1_000.5), Value::Null, at(1_000_499)).is_ok());
    assert_eq!(judge(json!(-1), Value::Null, at(0)), Err(Refusal::Expired));
    assert_eq!(judge(json!(2_000), json!(1_000), at(999_999)), Err(Refusal::NotYetValid));
    assert!(judge(json!(2_000), json!(1_000), at(1_000_000)).is_ok());
    // Missing, not a number, and milliseconds by mistake.
    for exp in [Value::Null, json!("1000"), json!([1_000]), json!(1_763_000_000_000_i64)] {
        assert!(matches!(judge(exp, Value::Null, at(0)), Err(Refusal::Claim(_))));
    }
    assert!(matches!(judge(json!(1_000), json!("soon"), at(0)), Err(Refusal::Claim(_))));
}

#[test]
fn each_role_needs_its_claims_and_ignores_the_others() {
    let judge = |claims: &Value| {
        let mut all = claims.clone();
        all["exp"] = json!(10);
        token::principal(serde_json::from_value(all).unwrap(), &Realm::default(), OffsetDateTime::UNIX_EPOCH)
    };
    let good = [
        json!({ "role": "consumer", "company_id": COMPANY, "sub": "v", "user_id": WEBSITE }),
        json!({ "role": "agent", "company_id": COMPANY, "agent_id": WEBSITE }),
        json!({ "role": "participant", "company_id": COMPANY, "sub": "p", "session_id": "s" }),
        json!({ "role": "service", "company_id": COMPANY }),
        json!({ "role": "admin", "company_id": COMPANY }),
    ];
    for claims in &good {
        let principal = judge(claims).unwrap();
        assert_eq!(json!(principal.role), claims["role"]);
        assert_eq!(principal.website_id.is_some(), principal.role == Role::Consumer);
        assert_eq!(principal.agent_id.is_some(), principal.role == Role::Agent);
        assert_eq!(principal.session_id.is_some(), principal.role == Role::Participant);
        for name in claims.as_object().unwrap().keys() {
            let mut missing = claims.clone();
            missing.as_object_mut().unwrap().remove(name);
            for wrong in [missing, with(claims, name, json!(5)), with(claims, name, json!("\u{0}"))] {
                assert!(matches!(judge(&wrong), Err(Refusal::Claim(_))), "{wrong}");
            }
        }
    }
    // A claim of another issuer that this role does not need.
    let foreign = with(&with(&good[3], "user_id", json!(7)), "aud", json!(["elsewhere"]));
    let principal = judge(&foreign).unwrap();
    assert_eq!((principal.website_id, principal.subject.as_str()), (None, "service"));
    assert!(judge(&with(&good[0], "sub", json!("x".repeat(256)))).is_err());
    assert!(judge(&with(&good[3], "role", json!("root"))).is_err());
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn unsafe_settings_are_refused_at_start() {
    let clock = Clock::default();
    for (secret, jwks) in [
        (None, None),
        (Some(&SECRET[1..]), None),
        (Some(SECRET), Some("http://keys.example/jwks")),
        (Some(SECRET), Some("ftp://127.0.0.1/jwks")),
        (Some(SECRET), Some("/nowhere/keys.json")),
    ] {
        let error = build(secret, jwks.map(str::to_owned), &clock).await.err().unwrap();
        assert_eq!(error.code(), Code::BadUserInput);
        assert!(error.message().starts_with("SWITCHBOARD_J"), "{error}");
        assert!(!error.message().contains(&SECRET[1..]));
    }
    // A URL that does not respond does not prevent the start: it is loaded again later.
    assert!(build(None, Some("https://127.0.0.1:1/keys".into()), &clock).await.is_ok());
}

#[tokio::test]
async fn a_token_expires_when_the_clock_says_so() {
    let clock = Clock::default();
    let authenticator = build(Some(SECRET), None, &clock).await.unwrap();
    let visitor = Uuid::now_v7();
    let token = authenticator.issue_consumer(COMPANY, WEBSITE, visitor).unwrap();
    let principal = authenticator.caller(Some(&token)).await.principal().unwrap().clone();
    assert_eq!((principal.role, principal.website_id), (Role::Consumer, Some(WEBSITE)));
    assert_eq!((principal.subject.clone(), principal.credential), (visitor.to_string(), Credential::Token));

    let mut expiry = std::pin::pin!(authenticator.expired(&principal));
    clock.advance(time::Duration::seconds(3_590));
    assert!(futures_util::poll!(&mut expiry).is_pending());
    assert!(authenticator.caller(Some(&token)).await.principal().is_ok());
    clock.advance(time::Duration::seconds(11));
    assert_eq!(expiry.await, "token expired");
    assert_refused(&authenticator.caller(Some(&token)).await, &Refusal::Expired);
}

#[tokio::test]
async fn malformed_credentials_are_refused_and_an_absent_database_is_unavailable() {
    let authenticator = build(Some(SECRET), None, &Clock::default()).await.unwrap();
    assert!(matches!(authenticator.caller(None).await, Caller::Anonymous));
    for (bearer, refusal) in [
        (String::new(), Refusal::Malformed),
        ("undefined".into(), Refusal::Malformed),
        ("a.b.c".into(), Refusal::Malformed),
        ("sbk_a_b".into(), Refusal::ApiKey),
        (format!("{}.", hs256(&claims())), Refusal::Signature),
        (hs256(&with(&claims(), "x", json!("x".repeat(8_192)))), Refusal::TooLong),
    ] {
        assert_refused(&authenticator.caller(Some(&bearer)).await, &refusal);
    }
    let key = format!("sbk_{0}_{0}", base64(SECRET));
    let caller = authenticator.caller(Some(&key)).await;
    assert_eq!(caller.principal().unwrap_err().code(), Code::Unavailable);
    let claims = Claims { sub: None, ..Claims::consumer(COMPANY, WEBSITE, Uuid::nil()) };
    assert!(token::issue(SECRET, &claims, Duration::from_mins(1)).is_err(), "what is issued must be accepted");
}

#[tokio::test]
async fn development_lets_anonymous_callers_act_as_the_service() {
    let service: Principal =
        token::principal(serde_json::from_value(claims()).unwrap(), &Realm::default(), OffsetDateTime::UNIX_EPOCH)
            .unwrap();
    let service = Arc::new(Principal { expires_at: None, credential: Credential::Development, ..service });
    let settings = AuthSettings {
        jwt_secret: None,
        jwks: None,
        jwks_refresh: Duration::from_secs(1),
        jwt_audience: None,
        jwt_issuer: None,
        dev: true,
        consumer_token_ttl: Duration::from_mins(1),
    };
    let (secret, clock) = (Some(SECRET.to_owned()), Clock::default());
    let new = Authenticator::new(&settings, secret, no_database(), clock, Some(Arc::clone(&service)));
    let authenticator = new.await.unwrap();
    assert_eq!(authenticator.caller(None).await.principal().unwrap(), &service);
    assert!(authenticator.caller(Some("bad")).await.principal().is_err(), "a bad token is not anonymous");
    assert!(futures_util::poll!(std::pin::pin!(authenticator.expired(&service))).is_pending());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_single_bit_of_a_token_can_be_changed(at in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let authenticator = build(Some(SECRET), None, &Clock::default()).await.unwrap();
            let mut token = hs256(&claims()).into_bytes();
            let at = at.index(token.len());
            // The eighth bit would leave ASCII, which no header value and no text of ours does.
            token[at] ^= 1 << bit;
            let caller = authenticator.caller(Some(std::str::from_utf8(&token).unwrap())).await;
            assert!(matches!(caller, Caller::Refused(_)), "byte {at} bit {bit}: {caller:?}");
        });
    }
}
