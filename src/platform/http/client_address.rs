//! The client's address of a request.
//!
//! Usually it is the connection's remote address. Behind a trusted proxy that address is the proxy's, and the client's
//! is in `X-Forwarded-For`: each proxy appends the address that it received the request from. So the client's address
//! is the rightmost one that is not a trusted proxy. The client may have forged everything to the left of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap},
};
use ipnet::IpNet;

use crate::platform::auth::ClientAddress;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address; `None` for a request that did not arrive on a connection of this server.
pub(super) fn find(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Option<ClientAddress> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    if headers.contains_key(FORWARDED_FOR) && !trusted.iter().any(|network| network.contains(&peer.ip().to_canonical()))
    {
        warn_once(peer.ip());
    }
    Some(ClientAddress(client(peer.ip().to_canonical(), headers, trusted)))
}

/// Says that a proxy is not trusted. A client can send the header too, so this is said once and counted always.
fn warn_once(peer: IpAddr) {
    static SAID: Once = Once::new();
    metrics::counter!("switchboard_http_untrusted_forwarded_total").increment(1);
    SAID.call_once(|| {
        tracing::warn!(
            %peer,
            "X-Forwarded-For came from an address that is not in SWITCHBOARD_TRUSTED_PROXIES and is ignored: if that is \
             your proxy, all of its clients seem to have its address, and share one client's limits"
        );
    });
}

fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    for header in headers.get_all(FORWARDED_FOR).iter().rev() {
        for entry in header.to_str().unwrap_or("?").rsplit(',') {
            if !is_proxy(&nearest) {
                return nearest;
            }
            // An entry that is no address ends the chain: the proxy that wrote it is the last known sender.
            let Some(address) = parse(entry.trim()) else { return nearest };
            nearest = address;
        }
    }
    nearest
}

/// Parses an address with or without a port, and with or without brackets.
fn parse(entry: &str) -> Option<IpAddr> {
    let address = entry.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
    let address = address.or_else(|_| entry.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn only_entries_of_trusted_proxies_are_followed() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let table: &[(&str, &[&str], &str)] = &[
            ("203.0.113.7", &[], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ];
        for (peer, forwarded, expected) in table {
            let headers = forwarded
                .iter()
                .map(|value| (axum::http::HeaderName::from_static(FORWARDED_FOR), value.parse().unwrap()))
                .collect();
            let found = client(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), *expected, "{peer} {forwarded:?}");
        }
    }
}
