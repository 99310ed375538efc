use std::{fmt, net::IpAddr};

use serde::{Serialize, Serializer};

/// A range of addresses in CIDR notation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpNetwork {
    /// The address, bits beyond the prefix being zero.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix_len: u8,
}

impl IpNetwork {
    /// A network; bits beyond the prefix are cleared. None if the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if prefix_len <= 32 => {
                IpAddr::V4((v4.to_bits() & mask(32, prefix_len) as u32).into())
            }
            IpAddr::V6(v6) if prefix_len <= 128 => {
                IpAddr::V6((v6.to_bits() & mask(128, prefix_len)).into())
            }
            _ => return None,
        };
        Some(Self {
            address,
            prefix_len,
        })
    }

    /// The network of one address.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix_len: if address.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Reads `10.0.0.0/8` or a bare address.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((address, len)) => Self::new(address.parse().ok()?, len.parse().ok()?),
            None => Some(Self::host(text.parse().ok()?)),
        }
    }

    /// Whether an address lies within. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address.to_canonical(), self.prefix_len)
            .is_some_and(|network| network.address == self.address)
    }
}

fn mask(width: u32, prefix_len: u8) -> u128 {
    let all = if width == 128 {
        u128::MAX
    } else {
        (1 << width) - 1
    };
    all & !all.checked_shr(prefix_len.into()).unwrap_or(0)
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl fmt::Debug for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for IpNetwork {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.9.9.9/8", "10.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("fd00::/8", "fd12::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
        ] {
            let network = IpNetwork::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                want,
                "{network} {address}"
            );
        }
        for bad in ["", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/"] {
            assert_eq!(IpNetwork::parse(bad), None, "{bad}");
        }
    }
}
