//! For whom rows are read: whose share of the connections a read takes, and whose answer its rows count to.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv6Net};
use uuid::Uuid;

use crate::platform::{
    auth::{Caller, ClientAddress, Principal, Role},
    budget::ByteBudget,
};

/// Bits of an IPv6 address that one customer of a provider has to itself, so that they count as one address.
const IPV6_PREFIX: u8 = 64;

/// A caller, as far as it matters for sharing connections.
#[derive(Debug, Clone)]
pub(crate) enum Reader {
    /// A caller with a credential. All of its tokens are one reader.
    Principal(Arc<Principal>),
    /// A caller without one, by its address.
    Address(IpNet),
    /// A caller without a credential whose address is not known; all of them are one reader.
    Unknown,
}

/// What tells readers apart.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Principal(Uuid, Role, &'a str),
    Address(IpNet),
    Unknown,
}

impl Reader {
    fn identity(&self) -> Identity<'_> {
        match self {
            Self::Principal(principal) => {
                Identity::Principal(principal.company_id, principal.role, principal.subject.as_str())
            }
            Self::Address(address) => Identity::Address(*address),
            Self::Unknown => Identity::Unknown,
        }
    }

    fn at(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(address) => IpAddr::V4(address).into(),
            IpAddr::V6(address) => {
                Ipv6Net::new(address, IPV6_PREFIX).map_or_else(|_| IpAddr::V6(address).into(), |net| net.trunc().into())
            }
        })
    }
}

impl PartialEq for Reader {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Reader {}

impl Hash for Reader {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// A reader and the budget of the answer that it reads for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reading {
    pub(super) reader: Reader,
    /// `None`: nobody limits what is read.
    pub(super) budget: Option<Arc<ByteBudget>>,
}

impl Reading {
    /// Reads for a request of `caller`, which came from `address`.
    pub fn new(caller: &Caller, address: Option<ClientAddress>, budget: Option<Arc<ByteBudget>>) -> Self {
        let reader = match (caller, address) {
            (Caller::Known(principal), _) => Reader::Principal(Arc::clone(principal)),
            (_, Some(ClientAddress(address))) => Reader::at(address),
            (_, None) => Reader::Unknown,
        };
        Self { reader, budget }
    }

    /// Reads for a caller with a credential, whose answer nobody limits.
    pub fn by(principal: &Arc<Principal>) -> Self {
        Self { reader: Reader::Principal(Arc::clone(principal)), budget: None }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_reader_and_ipv4_addresses_are_one_each() {
        let at = |address: &str| Reader::at(address.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
