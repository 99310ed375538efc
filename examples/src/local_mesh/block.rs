//! The addresses of one mesh.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use mesh_core::name::IpNetwork;
use tokio::net::TcpSocket;

/// A part of loopback, `127.<x>.0.0/16`, that no other mesh of this machine uses.
///
/// ```text
/// 127.<x>.0.1              the control plane
/// 127.<x>.1.1 and up       pods, one address each
/// 127.<x>.128.0/17         services: names for many, nobody listens there
/// ```
#[derive(Debug)]
pub struct Block {
    number: u8,
    /// Bound but never listened on: it keeps other meshes out, and calls to it are refused.
    _claim: TcpSocket,
}

/// Whoever is bound to this port of a block's first address has the block.
const CLAIM_PORT: u16 = 15010;
/// Where istiod serves, on the block's first address.
const CONTROL_PLANE_PORT: u16 = 15012;
/// Of each 256 addresses, the first and the last are nobody's.
const PODS_PER_THIRD_OCTET: u16 = 254;

impl Block {
    /// The most pods of one mesh.
    pub const MAX_PODS: u16 = 127 * PODS_PER_THIRD_OCTET;

    /// Takes the first block that is free.
    ///
    /// # Errors
    /// All 254 are taken, or this machine does not let loopback addresses be bound.
    pub fn claim() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for number in 1..=254 {
            // Without SO_REUSEADDR, so that a second bind is refused.
            let socket = TcpSocket::new_v4()?;
            let first = address(number, 0, 1);
            // A mesh that is about to end gives its block back before its control plane is gone.
            let served = || TcpListener::bind((first, CONTROL_PLANE_PORT));
            let bound = socket.bind((first, CLAIM_PORT).into());
            match bound.and_then(|()| served()) {
                Ok(_free) => {
                    return Ok(Self {
                        number,
                        _claim: socket,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Its `<x>`.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Where the control plane and the CA serve.
    pub fn control_plane(&self) -> SocketAddr {
        SocketAddr::new(address(self.number, 0, 1).into(), CONTROL_PLANE_PORT)
    }

    /// The address of a pod, counted from 0; none past [`MAX_PODS`](Self::MAX_PODS).
    pub fn pod(&self, index: u16) -> Option<Ipv4Addr> {
        let third = u8::try_from(1 + index / PODS_PER_THIRD_OCTET).ok()?;
        let fourth = u8::try_from(1 + index % PODS_PER_THIRD_OCTET).ok()?;
        (index < Self::MAX_PODS).then(|| address(self.number, third, fourth))
    }

    /// Where services get their virtual addresses.
    pub fn services(&self) -> IpNetwork {
        let first: IpAddr = address(self.number, 128, 0).into();
        IpNetwork {
            address: first,
            prefix_len: 17,
        }
    }
}

fn address(number: u8, third: u8, fourth: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, number, third, fourth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meshes_never_share_a_block() {
        let (one, other) = (Block::claim().unwrap(), Block::claim().unwrap());
        assert_ne!(one.control_plane(), other.control_plane());
        let freed = one.number;
        drop(one);
        // Other tests of this machine may be quicker to take it.
        let again = Block::claim().unwrap();
        assert!(again.number == freed || again.number != other.number);
    }

    #[test]
    fn pods_come_after_the_control_plane_and_before_services() {
        let block = Block::claim().unwrap();
        let check = |index: u16, third: u8, fourth: u8| {
            let expected = address(block.number, third, fourth);
            assert_eq!(block.pod(index), Some(expected), "{index}");
            assert!(!block.services().contains(expected.into()), "{index}");
        };
        check(0, 1, 1);
        check(1, 1, 2);
        check(253, 1, 254);
        check(254, 2, 1);
        check(Block::MAX_PODS - 1, 127, 254);
        assert_eq!(block.pod(Block::MAX_PODS), None);
        assert_eq!(block.control_plane().port(), 15012);
    }
}
