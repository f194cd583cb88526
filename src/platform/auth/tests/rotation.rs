//! Key sets that change or fail to load while tokens arrive.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{JwksFile, SECRET, assert_refused, base64, build, claims, jwks, sign, test_key, with};
use crate::platform::{auth::refusal::Refusal, clock::Clock, error::Code, event::Hub};

#[tokio::test]
async fn a_key_is_chosen_by_its_kid_and_a_rotation_is_noticed() {
    let clock = Clock::default();
    let file = JwksFile::new(&jwks(&["p256", "ed"]));
    let authenticator = build(None, Some(file.place()), &clock).await.unwrap();
    let old = sign(Algorithm::EdDSA, Some("ed"), &test_key("ed"), &claims());
    let new = sign(Algorithm::EdDSA, Some("ed2"), &test_key("ed2"), &claims());
    let nameless = sign(Algorithm::EdDSA, None, &test_key("ed"), &claims());
    assert!(authenticator.caller(Some(&old)).await.principal().is_ok());
    assert!(authenticator.caller(Some(&nameless)).await.principal().is_ok(), "exactly one key fits");
    assert_refused(&authenticator.caller(Some(&new)).await, &Refusal::UnknownKey);

    // Unreadable: the old keys stay in use.
    file.write("{");
    clock.advance(time::Duration::seconds(11));
    assert_refused(&authenticator.caller(Some(&new)).await, &Refusal::UnknownKey);
    assert!(authenticator.caller(Some(&old)).await.principal().is_ok());

    // The new key is found ten seconds after the last load, not earlier.
    file.write(&jwks(&["ed", "ed2"]).to_string());
    assert_refused(&authenticator.caller(Some(&new)).await, &Refusal::UnknownKey);
    clock.advance(time::Duration::seconds(11));
    assert!(authenticator.caller(Some(&new)).await.principal().is_ok());
    assert!(authenticator.caller(Some(&old)).await.principal().is_ok());
    assert_refused(&authenticator.caller(Some(&nameless)).await, &Refusal::UnknownKey);

    // The old key is withdrawn. Unusable keys in the same set do not hide the new one.
    let mut keys = jwks(&["ed2"]);
    let usable = keys["keys"][0].clone();
    keys["keys"].as_array_mut().unwrap().extend([
        json!({ "kty": "oct", "kid": "oct", "k": base64(SECRET) }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AAAA" }),
        json!({ "kty": "EC", "crv": "P-256", "kid": "off", "x": base64(SECRET), "y": base64(SECRET) }),
        json!({ "kty": "RSA", "kid": "small", "n": base64(SECRET), "e": "AQAB" }),
        with(&with(&usable, "kid", json!("enc")), "use", json!("enc")),
        with(&with(&usable, "kid", json!("rs")), "alg", json!("RS256")),
        json!("no key at all"),
    ]);
    file.write(&keys.to_string());
    clock.advance(time::Duration::seconds(11));
    for (kid, algorithm, signer) in [
        ("enc", Algorithm::EdDSA, "ed2"),
        ("rs", Algorithm::EdDSA, "ed2"),
        ("short", Algorithm::EdDSA, "ed2"),
        ("off", Algorithm::ES256, "p256"),
        ("small", Algorithm::RS256, "rsa"),
    ] {
        let token = sign(algorithm, Some(kid), &test_key(signer), &claims());
        assert_refused(&authenticator.caller(Some(&token)).await, &Refusal::UnknownKey);
    }
    assert!(authenticator.caller(Some(&new)).await.principal().is_ok());
    assert_refused(&authenticator.caller(Some(&old)).await, &Refusal::UnknownKey);
    let symmetric = sign(Algorithm::HS256, Some("oct"), &EncodingKey::from_secret(SECRET.as_bytes()), &claims());
    assert_refused(&authenticator.caller(Some(&symmetric)).await, &Refusal::Algorithm);
}

#[tokio::test]
async fn a_jwks_url_is_fetched_again_and_its_failures_keep_the_keys() {
    let clock = Clock::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let (answer, answers) = tokio::sync::watch::channel((503_u16, String::new()));
    let get = axum::routing::get(move || {
        let (status, body) = answers.borrow().clone();
        async move { (axum::http::StatusCode::from_u16(status).unwrap(), body) }
    });
    tokio::spawn(axum::serve(listener, axum::Router::new().route("/keys", get)).into_future());

    // Never loaded: the token is not checked, and not refused either.
    let authenticator = build(None, Some(url), &clock).await.unwrap();
    let token = sign(Algorithm::ES256, Some("p256"), &test_key("p256"), &claims());
    let caller = authenticator.caller(Some(&token)).await;
    assert_eq!(caller.principal().unwrap_err().code(), Code::Unavailable);

    answer.send_replace((200, jwks(&["p256"]).to_string()));
    clock.advance(time::Duration::seconds(11));
    assert!(authenticator.caller(Some(&token)).await.principal().is_ok());

    let unknown = sign(Algorithm::EdDSA, Some("ed"), &test_key("ed"), &claims());
    let oversized = format!("{}{}", jwks(&["ed"]), " ".repeat(1024 * 1024));
    for failure in
        [(500, jwks(&["ed"]).to_string()), (200, "<html>".to_owned()), (302, String::new()), (200, oversized)]
    {
        answer.send_replace(failure);
        clock.advance(time::Duration::seconds(11));
        assert_refused(&authenticator.caller(Some(&unknown)).await, &Refusal::UnknownKey);
        assert!(authenticator.caller(Some(&token)).await.principal().is_ok());
    }
}

#[tokio::test]
async fn a_withdrawn_key_is_dropped_by_the_periodic_refresh() {
    let clock = Clock::default();
    let file = JwksFile::new(&jwks(&["ed"]));
    let authenticator = build(None, Some(file.place()), &clock).await.unwrap();
    let lasting = with(&claims(), "exp", json!(i64::from(u32::MAX)));
    let token = sign(Algorithm::EdDSA, Some("ed"), &test_key("ed"), &lasting);
    let revocations = Hub::new(1).subscribe_all_companies("api_key");
    let background = tokio::spawn(authenticator.clone().run(revocations, CancellationToken::new()));

    // Another key with the same kid, so that no token starts a load.
    let renamed = with(&jwks(&["ed2"])["keys"][0], "kid", json!("ed"));
    file.write(&json!({ "keys": [renamed] }).to_string());
    let forgotten = async {
        while authenticator.caller(Some(&token)).await.principal().is_ok() {
            clock.advance(time::Duration::minutes(5));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), forgotten)
        .await
        .expect("the keys are loaded again without a request");
    assert_refused(&authenticator.caller(Some(&token)).await, &Refusal::Signature);
    background.abort();
}
