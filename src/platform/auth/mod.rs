//! Who is calling, and what that role may do.
//!
//! A request or socket brings one credential or none. [`Authenticator::caller`] turns it into a [`Caller`], and the rest
//! of the server sees nothing but the [`Principal`] inside: no other module reads a token or a key.
//!
//! ```text
//!            ┌ "sbk_…"  ─► keyring ─(cached row)─► api_key ─► sql ─► table api_key
//!  bearer ───┤
//!            └ a JWT    ─► token ─┬ HS256 ───────► the secret
//!                                 └ RS, PS, ES, EdDSA ► jwks ─► file or URL, read again as it changes
//!                    ▼
//!  Known(Principal) | Refused(why) | Unavailable(why)          none: Anonymous, or the demo company's service
//! ```
//!
//! What holds:
//!  - The key decides which algorithm may be used, never the token. HS256 meets only the secret; a key of a JWKS serves
//!    only the algorithms of its own type, curve and `alg`. `none` is no algorithm. So a token that is "signed" with
//!    the text of a public key finds nothing to match.
//!  - `exp` is required, and both it and `nbf` are judged by [`Clock`](crate::platform::clock::Clock) without leeway. A socket
//!    learns that its credential lapsed from [`Authenticator::expired`].
//!  - A request with a known API key costs no query. A revocation is noticed at once where
//!    [`Authenticator::forget_keys`] is called, and within a minute everywhere else.
//!  - What cannot be judged (database away, keys never loaded) is UNAVAILABLE: not let in, and not called bad either.
//!  - No token, key or secret is logged or echoed; refusals say which rule was broken, in fixed words.
//!
//! Counted: `switchboard_auth_refusals_total{reason}`.

pub mod api_key;
mod authenticator;
pub mod company;
pub mod graphql;
mod jwks;
mod keyring;
mod principal;
mod refusal;
mod sql;
#[cfg(test)]
mod tests;
pub mod token;

pub use authenticator::Authenticator;
pub use jwks::install_tls_provider;
pub use principal::{Caller, ClientAddress, Credential, Principal, Role};
