//! Authentication: from the credential of a request or socket to a [`Principal`].
//!
//! A request or socket carries one credential or none. [`Authenticator::caller`] turns it into a [`Caller`]. The rest
//! of the server sees only the [`Principal`] in it: no other module reads a token or a key.
//!
//! ```text
//!            ┌ "sbk_…"  ─► keyring ─(cached row)─► api_key ─► sql ─► table api_key
//!  bearer ───┤
//!            └ a JWT    ─► token ─┬ HS256 ───────► the secret
//!                                 └ RS, PS, ES, EdDSA ► jwks ─► file or URL, loaded again as it changes
//!                    ▼
//!  Known(Principal) | Refused(why) | Unavailable(why)          none: Anonymous, or the demo company's service
//! ```
//!
//! Guarantees:
//!  - The key decides which algorithm may be used, never the token. HS256 is used only with the secret; a key of a JWKS
//!    only with the algorithms of its own type, curve and `alg`. `none` is no algorithm. So a token that was signed
//!    with the text of a public key as an HMAC secret matches no key.
//!  - `exp` is required. It and `nbf` are compared with [`Clock`](crate::platform::clock::Clock) without leeway.
//!    [`Authenticator::expired`] returns when a socket's credential expires or is revoked.
//!  - Where an issuer or an audience is configured, every token must name it, whichever key signed it.
//!  - A request with a known API key costs no query. A revocation takes effect at once on servers that read its event
//!    (see [`Authenticator::run`]), and within a minute on all others.
//!  - No token, key or secret is logged or sent back. A refusal names the broken rule in fixed words.
//!
//! Failures: while the database is away, or before the JWKS was loaded, a credential cannot be checked. The caller is
//! then [`Caller::Unavailable`]: it is not let in, and its credential is not called bad either.
//!
//! Counted: `switchboard_auth_refusals_total{reason}`.

pub mod api_key;
mod authenticator;
pub mod graphql;
mod jwks;
mod keyring;
mod principal;
mod refusal;
mod sql;
#[cfg(test)]
mod tests;
pub mod token;
mod visit;

pub use authenticator::Authenticator;
pub use jwks::install_tls_provider;
pub use principal::{Caller, ClientAddress, Credential, Principal, Role};
pub use visit::{PageOrigin, Visit, VisitorKey, VisitorKeys};
