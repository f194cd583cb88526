//! API keys: credentials of companies' servers that do not expire.
//!
//! ```text
//!  sbk_ <43 characters> _ <43 characters>
//!         │                └ 32 random bytes: the secret; only its SHA-256 is stored
//!         └ company id and key id: the row's primary key, so that finding it needs no second index
//! ```
//! Both parts are base64url without padding. That alphabet contains the underscore, so the parts are split by length. A
//! random secret of 256 bits needs no slow hash. A revocation is final.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::platform::{
    clock::new_id,
    error::{Error, Result},
};

/// The subject type in the event log.
pub const SUBJECT: &str = "api_key";

/// The prefix of every key; no token begins with it.
pub(super) const PREFIX: &str = "sbk_";
/// Length of each part: 32 bytes as base64url.
const PART: usize = 43;

/// A key as its bearer sends it. Not `Debug`, because it holds the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) company_id: Uuid,
    pub(crate) id: Uuid,
    secret: [u8; 32],
}

impl Bearer {
    /// A new key of this company, with a fresh secret.
    pub(crate) fn new(company_id: Uuid) -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self { company_id, id: new_id(), secret })
    }

    /// `None` if the text does not have the form of a key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (name, rest) = rest.split_at_checked(PART)?;
        let secret = decode(rest.strip_prefix('_')?)?;
        let name = decode(name)?;
        let (company_id, id) = name.split_at(16);
        Some(Self { company_id: Uuid::from_slice(company_id).ok()?, id: Uuid::from_slice(id).ok()?, secret })
    }

    /// The key as its bearer will send it.
    pub(crate) fn text(&self) -> String {
        let name = [self.company_id.into_bytes(), self.id.into_bytes()].concat();
        format!("{PREFIX}{}_{}", URL_SAFE_NO_PAD.encode(name), URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// The form in which the secret is stored.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }
}

fn decode(part: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(part).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_parses_back_and_no_changed_text_parses_as_the_same_key() {
        let bearer = Bearer { company_id: new_id(), id: new_id(), secret: [0xff; 32] };
        let text = bearer.text();
        assert!(Bearer::parse(&text).is_some_and(|read| read == bearer));
        for (at, bit) in (0..text.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8(bytes).expect("seven bits are ASCII");
            assert!(Bearer::parse(&changed).is_none_or(|read| read != bearer), "byte {at} bit {bit}");
        }
        for wrong in ["", "sbk_", &text[..text.len() - 1], &format!("{text}A"), "sbk_é"] {
            assert!(Bearer::parse(wrong).is_none());
        }
    }
}
