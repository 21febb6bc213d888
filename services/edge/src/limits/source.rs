//! Who sent a request, as far as that can be known behind a load balancer.
//!
//! `X-Forwarded-For` is believed only from the proxies that the operator names, and of it only what those have added:
//! the last address that is none of theirs. Everything before that was written by whoever sent the request. No other
//! `X-Forwarded-*` header is read anywhere: the URL that Twilio signs comes from `PUBLIC_URL`.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

/// The header to which each proxy appends the address it was called from.
pub const HEADER: &str = "x-forwarded-for";

/// Proxies whose word on who called them is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Where requests come from: one address, or the network of one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl TrustedProxies {
    /// Who sent a request that `peer` has handed over with these values of [`HEADER`], in their order.
    ///
    /// `None` where the address says nothing: a trusted proxy speaks for itself, or the peer is in a private network and
    /// so something that all requests go through, though it was not named as a proxy.
    pub fn source<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> Option<Source> {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return (!is_private(peer)).then(|| Source::of(peer));
        }
        let hops = forwarded.rev().flat_map(|value| value.rsplit(','));
        let first_stranger = hops.map(parse_hop).find(|hop| hop.is_none_or(|address| !self.contains(address)));
        first_stranger.flatten().map(Source::of)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Source {
    /// Whoever has one IPv6 address has the 2^64 beside it as well.
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self(address),
            IpAddr::V6(wide) => Self(Ipv6Addr::from_bits(wide.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }
}

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    fn from_str(list: &str) -> Result<Self, NotANetwork> {
        list.split(',').map(parse_network).collect::<Result<_, _>>().map(Self)
    }
}

/// The text is no list of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of networks")]
pub struct NotANetwork;

fn parse_network(text: &str) -> Result<IpNet, NotANetwork> {
    let text = text.trim();
    text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into())).map_err(|_| NotANetwork)
}

/// An address, perhaps with the port that some proxies add.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Whether strangers on the internet cannot have this address.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(proxies: &str, peer: &str, forwarded: &[&str]) -> Option<Source> {
        let proxies = if proxies.is_empty() { TrustedProxies::default() } else { proxies.parse().unwrap() };
        proxies.source(peer.parse().unwrap(), forwarded.iter().copied())
    }

    fn of(address: &str) -> Option<Source> {
        Some(Source(address.parse().unwrap()))
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        assert_eq!(source("", "203.0.113.9", &["198.51.100.1"]), of("203.0.113.9"));
        assert_eq!(source("10.0.0.0/8", "203.0.113.9", &["198.51.100.1"]), of("203.0.113.9"));
    }

    #[test]
    fn of_what_a_proxy_hands_over_only_what_proxies_have_added_is_believed() {
        let proxies = "10.0.0.0/8, 192.0.2.7";
        assert_eq!(source(proxies, "10.1.2.3", &["203.0.113.9"]), of("203.0.113.9"));
        assert_eq!(source(proxies, "10.1.2.3", &["198.51.100.1, 203.0.113.9"]), of("203.0.113.9"));
        assert_eq!(source(proxies, "10.1.2.3", &["198.51.100.1", "203.0.113.9, 192.0.2.7"]), of("203.0.113.9"));
        assert_eq!(source(proxies, "::ffff:10.1.2.3", &["203.0.113.9:40312"]), of("203.0.113.9"));
        assert_eq!(source(proxies, "10.1.2.3", &["198.51.100.1, rubbish, 10.0.0.1"]), None, "nobody knows who it is");
    }

    #[test]
    fn an_address_that_everybody_shares_is_nobodys() {
        assert_eq!(source("10.0.0.0/8", "10.1.2.3", &[]), None, "a health check");
        assert_eq!(source("10.0.0.0/8", "10.1.2.3", &["10.9.9.9"]), None);
        for peer in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fd00::1"] {
            assert_eq!(source("", peer, &["203.0.113.9"]), None, "a proxy that was not named: {peer}");
        }
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let one = source("::1", "::1", &["2001:db8:1:2:3:4:5:6"]);
        assert_eq!(one, source("::1", "::1", &["[2001:db8:1:2:ffff::1]:443"]));
        assert_ne!(one, source("::1", "::1", &["2001:db8:1:3:3:4:5:6"]));
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        assert!("10.0.0.0/8,2001:db8::/32, 192.0.2.1".parse::<TrustedProxies>().is_ok());
        for wrong in ["", "10.0.0.0/33", "alb", "10.0.0.0/8,", "*"] {
            assert_eq!(wrong.parse::<TrustedProxies>(), Err(NotANetwork), "{wrong}");
        }
    }
}
