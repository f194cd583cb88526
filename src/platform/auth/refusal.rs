//! Why a credential was refused: in fixed words, so that no secret reaches a client or the log, and with one metric
//! label for each reason.

use std::fmt;

/// Why a credential was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Longer than [`LONGEST`](super::token::LONGEST).
    TooLong,
    /// Neither a token nor an API key.
    Malformed,
    /// `none`, an unknown algorithm, or one that this server has no key for.
    Algorithm,
    /// No key has the token's `kid`, or it has none and not exactly one key fits.
    UnknownKey,
    /// The signature does not match.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come yet.
    NotYetValid,
    /// `iss` is not the configured issuer.
    Issuer,
    /// `aud` does not name the configured audience.
    Audience,
    /// A claim is missing or wrong; the text names it.
    Claim(&'static str),
    /// No such API key, or the wrong secret.
    ApiKey,
    /// The right secret of an API key that was revoked.
    Revoked,
    /// It could not be checked; the text is for the log.
    Unavailable(String),
}

impl Refusal {
    /// The value of the metric's label `reason`.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claim(_) => "claim",
            Self::ApiKey => "api_key",
            Self::Revoked => "revoked",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "neither a token nor an API key",
            Self::Algorithm => "the token's algorithm is not accepted here",
            Self::UnknownKey => "the token's key is not known",
            Self::Signature => "the token's signature does not match",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Issuer => "the token's issuer is not accepted here",
            Self::Audience => "the token is for another audience",
            Self::Claim(problem) => problem,
            Self::ApiKey => "the API key is not valid",
            Self::Revoked => "the API key was revoked",
            Self::Unavailable(_) => "the credential cannot be checked at present",
        })
    }
}
