//! Tokens (JWT): their claims, how they are signed and how they are verified.
//!
//! ```text
//!  header.payload.signature
//!    │       │        └ 2. verified with the one key that the header's alg and kid select
//!    │       └───────── 3. only then read: exp, nbf, iss, aud, role, and the claims that this role needs
//!    └───────────────── 1. alg names a family, kid a key; neither is trusted beyond that choice
//! ```
//! The principal of a token that this server's own secret signed is cached until the token expires: the secret does not
//! change while the server runs, and a caller sends the same token with each request. Keys of a JWKS do change, so
//! tokens that they signed are verified each time.
//!
//! Claims that a role does not need are ignored, whatever they hold: an identity provider's service token may have a
//! `user_id` of its own. Times may be fractions of a second, as the standard allows.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, crypto};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Credential, Principal, Role, jwks::Jwks, refusal::Refusal};
use crate::platform::{
    clock::Clock,
    config::AuthSettings,
    error::{Error, Result},
};

/// Longest accepted credential, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;
/// Shortest accepted HS256 secret, in bytes: as long as the hash, as RFC 7518 requires.
pub const SHORTEST_SECRET: usize = 32;
/// Longest text claim, in characters.
const LONGEST_TEXT: usize = 255;
/// Most tokens whose principals are cached; the least used are evicted first.
const CACHED: usize = 4_096;
/// Longest token that is cached, in bytes; longer ones are verified each time.
const LONGEST_CACHED: usize = 1_024;
/// Longest life of a token that this server issues: ten years.
const LONGEST_LIFE: Duration = Duration::from_hours(10 * 365 * 24);

/// The claims of a token about its bearer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// What the bearer may do within its company.
    pub role: Role,
    /// The bearer's company; every role needs one.
    pub company_id: Uuid,
    /// The visitor, agent user, participant or server user. Needed by consumers and participants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// A consumer's website.
    #[serde(rename = "user_id", skip_serializing_if = "Option::is_none")]
    pub website_id: Option<Uuid>,
    /// An agent's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// A participant's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

impl Claims {
    /// A visitor's claims.
    pub fn consumer(company_id: Uuid, website_id: Uuid, visitor: impl ToString) -> Self {
        Self {
            role: Role::Consumer,
            company_id,
            sub: Some(visitor.to_string()),
            website_id: Some(website_id),
            agent_id: None,
            session_id: None,
        }
    }

    /// The claims of a company's server; `user` is its user for the call routes.
    pub fn service(company_id: Uuid, user: &str) -> Self {
        Self {
            role: Role::Service,
            company_id,
            sub: Some(user.to_owned()),
            website_id: None,
            agent_id: None,
            session_id: None,
        }
    }
}

/// The issuer and the audience of tokens: put into those that this server signs, and demanded of those that arrive. What
/// is `None` is neither.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Realm {
    /// The claim `iss`.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The claim `aud`, or one of its values.
    #[serde(rename = "aud", skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl From<&AuthSettings> for Realm {
    fn from(settings: &AuthSettings) -> Self {
        Self { issuer: settings.jwt_issuer.clone(), audience: settings.jwt_audience.clone() }
    }
}

impl Realm {
    /// Checks the claims `iss` and `aud` (a text or a list of texts).
    fn check(&self, iss: Option<&Value>, aud: Option<&Value>) -> Result<(), Refusal> {
        let is = |claim: &Value, wanted: &str| claim.as_str() == Some(wanted);
        if let Some(issuer) = self.issuer.as_deref()
            && !iss.is_some_and(|iss| is(iss, issuer))
        {
            return Err(Refusal::Issuer);
        }
        let names = |aud: &Value, wanted: &str| match aud {
            Value::Array(several) => several.iter().any(|one| is(one, wanted)),
            one => is(one, wanted),
        };
        match self.audience.as_deref() {
            Some(audience) if !aud.is_some_and(|aud| names(aud, audience)) => Err(Refusal::Audience),
            _ => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(flatten)]
    claims: &'a Claims,
    #[serde(flatten)]
    realm: &'a Realm,
    iat: i64,
    exp: i64,
}

/// Signs tokens with the HS256 secret.
#[derive(Clone)]
pub struct TokenIssuer {
    key: EncodingKey,
    realm: Realm,
    clock: Clock,
}

impl TokenIssuer {
    /// An issuer that signs with this secret.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when the secret is too short.
    pub fn new(secret: &str, clock: Clock) -> Result<Self> {
        check_secret(secret)?;
        Ok(Self { key: EncodingKey::from_secret(secret.as_bytes()), realm: Realm::default(), clock })
    }

    /// Signs for this issuer and audience.
    #[must_use]
    pub fn with_realm(self, realm: Realm) -> Self {
        Self { realm, ..self }
    }

    /// Signs a token with these claims that is valid for `ttl` (whole seconds).
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when the claims are not what the role needs, or the life is under a second or over ten years.
    pub fn issue(&self, claims: &Claims, ttl: Duration) -> Result<String> {
        if ttl < Duration::from_secs(1) || ttl > LONGEST_LIFE {
            return Err(Error::invalid("ttl", "must be between 1s and 10 years"));
        }
        let now = self.clock.now();
        let expires_at = now + ttl;
        let payload = serde_json::to_value(Payload {
            claims,
            realm: &self.realm,
            iat: now.unix_timestamp(),
            exp: expires_at.unix_timestamp(),
        })?;
        // The same check as for a token that arrives: this server accepts every token that it issues.
        principal(serde_json::from_value(payload.clone())?, &self.realm, now)
            .map_err(|refusal| Error::invalid("claims", refusal))?;
        jsonwebtoken::encode(&jsonwebtoken::Header::new(Algorithm::HS256), &payload, &self.key).map_err(Error::internal)
    }
}

/// Signs one token without issuer and audience. Servers keep a [`TokenIssuer`].
///
/// # Errors
/// As [`TokenIssuer::new`] and [`TokenIssuer::issue`].
pub fn issue(secret: &str, claims: &Claims, ttl: Duration) -> Result<String> {
    TokenIssuer::new(secret, Clock::default())?.issue(claims, ttl)
}

/// Refuses a secret that is short enough to be guessed.
fn check_secret(secret: &str) -> Result<()> {
    if secret.len() < SHORTEST_SECRET {
        let problem = format!("must have at least {SHORTEST_SECRET} bytes (make one with: openssl rand -hex 32)");
        return Err(Error::invalid("SWITCHBOARD_JWT_SECRET", problem));
    }
    Ok(())
}

/// Verifies tokens with the secret and the JWKS.
pub(super) struct Verifier {
    secret: Option<DecodingKey>,
    /// Principals by the text of tokens that the secret has signed.
    verified: Cache<Box<str>, Arc<Principal>>,
    jwks: Option<Arc<Jwks>>,
    realm: Realm,
    clock: Clock,
}

impl Verifier {
    pub(super) fn new(secret: Option<&str>, jwks: Option<Arc<Jwks>>, realm: Realm, clock: Clock) -> Result<Self> {
        secret.map_or(Ok(()), check_secret)?;
        let secret = secret.map(|secret| DecodingKey::from_secret(secret.as_bytes()));
        Ok(Self { secret, verified: Cache::new(CACHED), jwks, realm, clock })
    }

    /// The principal of this token.
    pub(super) async fn verify(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let now = self.clock.now();
        if let Some(principal) = self.verified.get(token)
            && principal.expires_at.is_some_and(|expires_at| now < expires_at)
        {
            return Ok(principal);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = decode(header)?;
        // Lists extensions that a verifier must know; this one knows none.
        if header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        let algorithm: Algorithm = header.alg.parse().map_err(|_| Refusal::Algorithm)?;
        let matches =
            |key: &DecodingKey| crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false);
        let is_own = algorithm == Algorithm::HS256;
        let genuine = match algorithm.family() {
            AlgorithmFamily::Hmac if is_own => matches(self.secret.as_ref().ok_or(Refusal::Algorithm)?),
            AlgorithmFamily::Hmac => return Err(Refusal::Algorithm),
            AlgorithmFamily::Rsa | AlgorithmFamily::Ec | AlgorithmFamily::Ed => {
                let jwks = self.jwks.as_ref().ok_or(Refusal::Algorithm)?;
                matches(Box::pin(jwks.key(header.kid.as_deref(), algorithm)).await?.verifier())
            }
        };
        if !genuine {
            return Err(Refusal::Signature);
        }
        let principal = Arc::new(principal(decode(payload)?, &self.realm, self.clock.now())?);
        if is_own && token.len() <= LONGEST_CACHED {
            self.verified.insert(token.into(), Arc::clone(&principal));
        }
        Ok(principal)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// The claims as they arrived. Only those that the role needs are checked for their types.
#[derive(Deserialize)]
pub(super) struct Arrived {
    exp: Option<Value>,
    nbf: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
    role: Option<Value>,
    company_id: Option<Value>,
    sub: Option<Value>,
    user_id: Option<Value>,
    agent_id: Option<Value>,
    session_id: Option<Value>,
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)
}

/// The principal of claims whose signature was verified.
pub(super) fn principal(claims: Arrived, realm: &Realm, now: OffsetDateTime) -> Result<Principal, Refusal> {
    let Arrived { exp, nbf, iss, aud, role, company_id, sub, user_id, agent_id, session_id } = claims;
    let expires_at = exp.map(|exp| instant(&exp)).ok_or(Refusal::Claim("the claim exp is missing"))?;
    let expires_at = expires_at.ok_or(Refusal::Claim("the claim exp is not a time in seconds"))?;
    if now >= expires_at {
        return Err(Refusal::Expired);
    }
    if let Some(nbf) = nbf {
        let starts_at = instant(&nbf).ok_or(Refusal::Claim("the claim nbf is not a time in seconds"))?;
        if now < starts_at {
            return Err(Refusal::NotYetValid);
        }
    }
    realm.check(iss.as_ref(), aud.as_ref())?;
    let role: Role = role
        .and_then(|role| serde_json::from_value(role).ok())
        .ok_or(Refusal::Claim("the claim role must be consumer, agent, participant, service or admin"))?;
    let company_id = id(company_id).ok_or(Refusal::Claim("the claim company_id must be a UUID"))?;
    let mut principal = Principal {
        company_id,
        role,
        subject: role.as_str().to_owned(),
        earlier: None,
        website_id: None,
        agent_id: None,
        session_id: None,
        expires_at: Some(expires_at),
        credential: Credential::Token,
    };
    match role {
        Role::Consumer => {
            let website = id(user_id).ok_or(Refusal::Claim("a consumer's claim user_id must be its website's UUID"))?;
            principal.website_id = Some(website);
        }
        Role::Agent => {
            let agent = id(agent_id).ok_or(Refusal::Claim("an agent's claim agent_id must be a UUID"))?;
            principal.agent_id = Some(agent);
            principal.subject = agent.to_string();
        }
        Role::Participant => {
            let session = session_id.and_then(text);
            let session = session.ok_or(Refusal::Claim("a participant's claim session_id must be a text"))?;
            principal.session_id = Some(session);
        }
        Role::Service | Role::Admin => {}
    }
    match sub {
        Some(sub) => principal.subject = text(sub).ok_or(Refusal::Claim("the claim sub must be a text"))?,
        None if matches!(role, Role::Consumer | Role::Participant) => {
            return Err(Refusal::Claim("the claim sub is missing"));
        }
        None => {}
    }
    Ok(principal)
}

/// Parses seconds since 1970, to the millisecond. `None` for a number out of range, such as one in milliseconds.
fn instant(claim: &Value) -> Option<OffsetDateTime> {
    let seconds = claim.as_f64().filter(|seconds| seconds.abs() < 253_402_300_799.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the filter, far inside an i64")]
    let ms = (seconds * 1_000.0).floor() as i64;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()
}

fn id(claim: Option<Value>) -> Option<Uuid> {
    claim?.as_str()?.parse().ok()
}

/// A text that fits into a column and a log line.
fn text(claim: Value) -> Option<String> {
    match claim {
        Value::String(text)
            if !text.is_empty() && text.chars().count() <= LONGEST_TEXT && !text.contains(char::is_control) =>
        {
            Some(text)
        }
        _ => None,
    }
}
