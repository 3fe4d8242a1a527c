//! The addresses of clients that limits are counted by, and the trusted proxies.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::bail;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bits of an IPv6 address that identify a client's network: a client usually has a whole /64.
const IPV6_BITS: u32 = 64;

/// The address of a client: an IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Address(Ipv6Addr);

impl Address {
    /// The client of an IP address. IPv4 mapped to IPv6 is IPv4.
    pub(crate) fn from_ip(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped()),
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - IPV6_BITS)))),
        }
    }
}

/// The proxies whose `x-forwarded-for` is trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Parses the values of `--trusted-proxy`: networks or single addresses.
    ///
    /// # Errors
    /// If one is neither, or has bits set after its prefix.
    pub(crate) fn parse(texts: &[String]) -> anyhow::Result<Self> {
        texts.iter().map(|text| parse_network(text)).collect::<anyhow::Result<_>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request: the peer, or behind trusted proxies the last address of `x-forwarded-for` that is not trusted.
    /// An invalid address there counts as the proxy itself.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Address {
        let peer = peer.ip();
        if self.0.is_empty() || !self.trusts(peer) {
            return Address::from_ip(peer);
        }
        let mut client = peer;
        for value in headers.get_all(FORWARDED_FOR).into_iter().rev() {
            let Ok(list) = value.to_str() else { return Address::from_ip(peer) };
            for text in list.rsplit(',') {
                let Some(address) = parse_address(text.trim()) else { return Address::from_ip(peer) };
                client = address;
                if !self.trusts(address) {
                    return Address::from_ip(client);
                }
            }
        }
        Address::from_ip(client)
    }
}

fn parse_network(text: &str) -> anyhow::Result<IpNet> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    // the system reports IPv4 clients in this form, and they are compared as IPv4
    let mapped = |network: IpNet| match network.addr() {
        IpAddr::V6(address) if network.prefix_len() >= 96 => {
            address.to_ipv4_mapped().and_then(|address| IpNet::new(address.into(), network.prefix_len() - 96).ok())
        }
        _ => None,
    };
    match parsed.map(|network| mapped(network).unwrap_or(network)) {
        Some(network) if network == network.trunc() => Ok(network),
        Some(network) => bail!("--trusted-proxy {text}: has bits set after its prefix; write {}", network.trunc()),
        None => bail!("--trusted-proxy {text}: write an address or a network, such as 10.0.0.0/8"),
    }
}

/// Parses an address of `x-forwarded-for`, with or without a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::from_ip(text.parse().unwrap())
    }

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> Address {
        let texts: Vec<String> = proxies.iter().map(|text| (*text).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        Proxies::parse(&texts).unwrap().client(SocketAddr::new(peer.parse().unwrap(), 1234), &headers)
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_mapped_ipv4_is_ipv4() {
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("10.0.0.1"), address("10.0.0.2"));
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_asks() {
        let trusted = ["10.0.0.0/8", "::1"];
        for (peer, forwarded, expected) in [
            // other peers are not trusted
            ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            // values of the client precede the value of the proxy
            ("10.0.0.1", vec!["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", vec!["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", vec!["198.51.100.7, 10.2.3.4"], "198.51.100.7"),
            ("10.0.0.1", vec!["198.51.100.7", "10.2.3.4 , 10.9.9.9"], "198.51.100.7"),
            ("10.0.0.1", vec!["10.5.5.5, 10.6.6.6"], "10.5.5.5"),
            ("::1", vec!["198.51.100.7:8080"], "198.51.100.7"),
            ("::ffff:10.0.0.1", vec!["[2001:db8::5]:443"], "2001:db8::1"),
            ("::1", vec!["[2001:db8::5]"], "2001:db8::1"),
            ("10.0.0.1", vec!["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.7,"], "10.0.0.1"),
            ("10.0.0.1", vec![""], "10.0.0.1"),
            ("10.0.0.1", vec!["nonsense, 198.51.100.7"], "198.51.100.7"),
        ] {
            assert_eq!(client(&trusted, peer, &forwarded), address(expected), "{peer} {forwarded:?}");
        }
        assert_eq!(client(&[], "10.0.0.1", &["198.51.100.7"]), address("10.0.0.1"));
        assert_eq!(client(&["0.0.0.0/0"], "10.0.0.1", &["198.51.100.7, 203.0.113.9"]), address("198.51.100.7"));
    }

    #[test]
    fn networks_are_checked() {
        for (text, message) in [
            ("10.0.0.0/33", "--trusted-proxy 10.0.0.0/33: write an address or a network, such as 10.0.0.0/8"),
            ("proxy", "--trusted-proxy proxy: write an address or a network, such as 10.0.0.0/8"),
            ("10.1.2.3/8", "--trusted-proxy 10.1.2.3/8: has bits set after its prefix; write 10.0.0.0/8"),
        ] {
            assert_eq!(Proxies::parse(&[text.to_owned()]).unwrap_err().to_string(), message);
        }
    }
}
