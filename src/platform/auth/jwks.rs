//! The keys (JWKS, RFC 7517) that verify tokens of other issuers: from a file or a URL, loaded again as they change.
//!
//! ```text
//!   every SWITCHBOARD_JWKS_REFRESH ──┐
//!   a token with an unknown kid ─────┴─► load (one at a time, in a task of its own) ─► the key set, replaced whole
//!         (at most every 10 s)              └ failed: the old set stays, one line in the log
//! ```
//! A load runs in its own task: if the request that started it is dropped, the load goes on. Requests with a known
//! `kid` never wait.
//!
//! At start an unreadable file is an error. An unreachable URL is not, since the identity provider may be restarting
//! too; until the first load succeeds, its tokens get UNAVAILABLE.
//!
//! A key is used only with the algorithms of its type and curve, narrowed by its `alg`. Symmetric keys, keys that are
//! not for signatures, RSA keys under 2,048 bits and points that are not on their curve are left out and counted in the
//! log.

use std::{
    io::Read,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use reqwest::{Client, Url, redirect::Policy};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use crate::platform::{
    clock::Clock,
    error::{Error, Result},
};

/// Largest key set, in bytes.
const LARGEST: usize = 1024 * 1024;
/// Longest time that one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest time between two loads for unknown keys.
const BETWEEN_LOADS: time::Duration = time::Duration::seconds(10);

const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Makes ring the process's TLS provider. Must be called before any TLS client is built; further calls do nothing.
pub fn install_tls_provider() {
    // Fails if there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A key that verifies tokens, and the algorithms that it may be used with.
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    verifier: DecodingKey,
}

impl Key {
    pub(super) fn verifier(&self) -> &DecodingKey {
        &self.verifier
    }

    /// The key, if this server may and can use it.
    fn usable(jwk: Jwk) -> Option<Self> {
        let common = &jwk.common;
        let for_signatures = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_or(0, |bytes| bytes.len());
        let magnitude = |part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_or(0, |bytes| bytes.iter().skip_while(|byte| **byte == 0).count())
        };
        let of_its_type = match &jwk.algorithm {
            // 2,048 to 4,096 bits; the verifier handles no more.
            AlgorithmParameters::RSA(rsa) if (256..=512).contains(&magnitude(&rsa.n)) => RSA,
            AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
                EllipticCurve::P256 if bytes(&ec.x) == 32 && bytes(&ec.y) == 32 => &[Algorithm::ES256],
                EllipticCurve::P384 if bytes(&ec.x) == 48 && bytes(&ec.y) == 48 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 && bytes(&okp.x) == 32 => {
                &[Algorithm::EdDSA][..]
            }
            _ => return None,
        };
        let algorithms: Vec<_> = match common.key_algorithm {
            None => of_its_type.to_vec(),
            Some(only) => of_its_type.iter().copied().filter(|algorithm| only == (*algorithm).into()).collect(),
        };
        let first = *algorithms.first().filter(|_| for_signatures)?;
        let verifier = DecodingKey::from_jwk(&jwk).ok()?;
        // Builds the key as a verification does, so that a point that is not on its curve is refused once, here.
        jsonwebtoken::crypto::verify("", b"", &verifier, first).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, verifier })
    }
}

/// The place that the key set is loaded from.
enum Source {
    File(PathBuf),
    Url(Client, Url),
}

impl Source {
    fn new(place: &str) -> Result<Self> {
        let invalid = |problem: String| Error::invalid("SWITCHBOARD_JWKS", problem);
        if !place.contains("://") {
            return Ok(Self::File(place.into()));
        }
        let url = Url::parse(place).map_err(|error| invalid(error.to_string()))?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(invalid("must be a file, an https URL, or an http URL of this machine".into()));
        }
        install_tls_provider();
        // No redirects: one could lead to a place that was not configured, or to one without TLS.
        let builder = Client::builder().timeout(FETCH_TIMEOUT).redirect(Policy::none());
        let builder = if loopback { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| invalid(Error::internal(error).chain()))?;
        Ok(Self::Url(client, url))
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = move || {
                    let mut bytes = Vec::new();
                    std::fs::File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
                    Ok::<_, std::io::Error>(bytes)
                };
                let bytes = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
                bounded(bytes.map_err(|error| error.to_string())?)
            }
            Self::Url(client, url) => {
                // Without the URL, which may hold a password.
                let problem = |error: reqwest::Error| Error::internal(error.without_url()).chain();
                let mut response = client.get(url.clone()).send().await.map_err(problem)?;
                if !response.status().is_success() {
                    return Err(format!("the server responded {}", response.status()));
                }
                let mut bytes = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(problem)? {
                    bytes.extend_from_slice(&chunk);
                    bytes = bounded(bytes)?;
                }
                Ok(bytes)
            }
        }
    }
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.len() > LARGEST { Err(format!("is over {LARGEST} bytes")) } else { Ok(bytes) }
}

/// The usable keys of a key set, and the number of all others.
fn parse(bytes: &[u8]) -> Result<(Vec<Arc<Key>>, usize), String> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    // One key at a time, so that an unknown kind of key does not hide the others. The parser's message is not used,
    // since it could quote a key.
    let set: Set = serde_json::from_slice(bytes).map_err(|_| "is not a JWKS: {\"keys\": […]}".to_owned())?;
    let all = set.keys.len();
    let usable: Vec<_> =
        set.keys.into_iter().filter_map(|key| Key::usable(serde_json::from_value(key).ok()?).map(Arc::new)).collect();
    let others = all - usable.len();
    Ok((usable, others))
}

/// A key set that keeps itself up to date.
pub(super) struct Jwks {
    source: Source,
    clock: Clock,
    every: Duration,
    /// `None` until the first load succeeds. Never held across an await.
    keys: RwLock<Option<Arc<Vec<Arc<Key>>>>>,
    /// When the last load began; locked during a load.
    tried_at: tokio::sync::Mutex<Option<OffsetDateTime>>,
}

impl Jwks {
    /// Reads the keys for the first time.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a place that is not allowed or a file that cannot be read.
    pub(super) async fn open(place: &str, every: Duration, clock: Clock) -> Result<Arc<Self>> {
        let source = Source::new(place)?;
        let jwks =
            Arc::new(Self { source, clock, every, keys: RwLock::default(), tried_at: tokio::sync::Mutex::default() });
        if let (Err(problem), Source::File(path)) = (jwks.refresh().await, &jwks.source) {
            return Err(Error::invalid("SWITCHBOARD_JWKS", format!("{}: {problem}", path.display())));
        }
        Ok(jwks)
    }

    /// The one key for a token of this `kid` and algorithm.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Refusal> {
        match self.find(kid, algorithm) {
            Err(Refusal::UnknownKey) if kid.is_some() => {}
            Err(Refusal::Unavailable(_)) => {}
            found => return found,
        }
        // A failure is in the log already, and the second search finds what it means for this token.
        let _ = self.load(BETWEEN_LOADS).await;
        self.find(kid, algorithm)
    }

    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Refusal> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(keys) = keys else {
            return Err(Refusal::Unavailable("the JWKS has not been loaded yet".into()));
        };
        let named = || keys.iter().filter(|key| kid.is_none() || key.id.as_deref() == kid);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(Arc::clone(key)),
            // The key is known but not for this algorithm, which another load does not change.
            (None, _) if kid.is_some() && named().next().is_some() => Err(Refusal::Algorithm),
            _ => Err(Refusal::UnknownKey),
        }
    }

    /// Loads the keys now. The error is for operators, and already in the log.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<(), String> {
        self.load(time::Duration::ZERO).await
    }

    /// Loads the keys unless a load began less than `least` ago. Waits for a load that runs already.
    async fn load(self: &Arc<Self>, least: time::Duration) -> Result<(), String> {
        let this = Arc::clone(self);
        let load = async move {
            let mut tried_at = this.tried_at.lock().await;
            let now = this.clock.now();
            if tried_at.is_some_and(|last| (time::Duration::ZERO..least).contains(&(now - last))) {
                return Ok(());
            }
            *tried_at = Some(now);
            let (keys, others) = match this.source.read().await.and_then(|bytes| parse(&bytes)) {
                Ok(loaded) => loaded,
                Err(problem) => {
                    tracing::warn!(problem, "could not load the JWKS; the keys known so far stay in use");
                    return Err(problem);
                }
            };
            if keys.is_empty() || others > 0 {
                tracing::warn!(
                    usable = keys.len(),
                    others,
                    "the JWKS contains keys that cannot be used, or no key at all"
                );
            }
            *this.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
            Ok(())
        };
        tokio::spawn(load).await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Loads the keys at each refresh interval until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let stopped = stop.cancelled();
        let refreshing = async {
            loop {
                let loaded = self.keys.read().unwrap_or_else(PoisonError::into_inner).is_some();
                let pause = if loaded { self.every } else { self.every.min(BETWEEN_LOADS.unsigned_abs()) };
                self.clock.sleep_until(self.clock.now() + pause).await;
                let _ = self.refresh().await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = refreshing => {}
        }
    }
}
