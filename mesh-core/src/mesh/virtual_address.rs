//! Addresses for services that were given none.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Resolution, Service};
use crate::name::{Host, IpNetwork};

/// Gives every service that needs an address and has none one of `range`.
///
/// The address follows from the service's name, so that a service keeps it when others come and
/// go; only where two names fall on the same address the later one, by name, moves on.
pub(super) fn allocate(services: &mut [Service], range: IpNetwork) {
    let mut taken: BTreeSet<IpAddr> = services
        .iter()
        .flat_map(|service| service.addresses.iter().copied())
        .collect();
    let mut without: Vec<&mut Service> = services.iter_mut().filter(|s| needs_one(s)).collect();
    without.sort_by(|a, b| (&a.host, &a.namespace).cmp(&(&b.host, &b.namespace)));
    let size = size(range);
    for service in without {
        let start = hash(&service.host, &service.namespace);
        // The first address of a range is the range itself.
        let mut candidates = (0..size).map(|i| address(range, 1 + (start.wrapping_add(i)) % size));
        if let Some(free) = candidates.find(|candidate| !taken.contains(candidate)) {
            taken.insert(free);
            service.addresses.push(free);
        }
    }
}

fn needs_one(service: &Service) -> bool {
    let by_name = !matches!(
        service.resolution,
        // Where the caller tells the address, one that nobody listens at would lead nowhere.
        Resolution::Headless | Resolution::Passthrough | Resolution::Alias(_)
    );
    service.addresses.is_empty()
        && service.networks.is_empty()
        && by_name
        && !service.host.is_wildcard()
}

/// How many addresses are given out of a range, at most 2^24.
fn size(range: IpNetwork) -> u64 {
    let width = if range.address.is_ipv4() { 32 } else { 128 };
    let bits = u32::from(width - range.prefix_len.min(width)).min(24);
    // Neither the first nor the last.
    ((1_u64 << bits).saturating_sub(2)).max(1)
}

fn address(range: IpNetwork, offset: u64) -> IpAddr {
    match range.address {
        IpAddr::V4(base) => {
            let offset = u32::try_from(offset).unwrap_or(0);
            Ipv4Addr::from_bits(base.to_bits().saturating_add(offset)).into()
        }
        IpAddr::V6(base) => {
            Ipv6Addr::from_bits(base.to_bits().saturating_add(u128::from(offset))).into()
        }
    }
}

/// FNV-1a, which stays the same from build to build.
fn hash(host: &Host, namespace: &str) -> u64 {
    let bytes = host.as_str().bytes().chain([0]).chain(namespace.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
