use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

/// Why a listener takes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// It is for exactly this address and port.
    Address,
    /// It is for this port, whatever the address.
    Port,
    /// It accepted the connection, and hands nothing over or knows no one to hand this over to.
    Accepting,
}

/// The listener that a connection was meant for, among those that others hand connections over to:
/// the one of the exact destination, else the one of its port. None leaves it to the listener that
/// accepted the connection.
pub fn captured<T>(
    meant_for: SocketAddr,
    unbound: impl Fn(SocketAddr) -> Option<T>,
) -> Option<(T, Capture)> {
    let any = match meant_for.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let of = |address, why| Some((unbound(address)?, why));
    of(meant_for, Capture::Address)
        .or_else(|| of(SocketAddr::new(any, meant_for.port()), Capture::Port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_address_comes_first() {
        let known = ["10.0.0.1:80", "0.0.0.0:80", "[::]:81"];
        let find = |address: SocketAddr| known.iter().find(|known| **known == address.to_string());
        for (meant_for, want) in [
            ("10.0.0.1:80", Some(("10.0.0.1:80", Capture::Address))),
            ("10.0.0.2:80", Some(("0.0.0.0:80", Capture::Port))),
            ("[fd00::1]:81", Some(("[::]:81", Capture::Port))),
            ("10.0.0.1:81", None),
        ] {
            let found = captured(meant_for.parse().unwrap(), find);
            assert_eq!(found.map(|(name, why)| (*name, why)), want, "{meant_for}");
        }
    }
}
