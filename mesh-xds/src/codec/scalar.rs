//! Numbers, durations, shares and addresses.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use mesh_core::{
    dataplane::{Fraction, IpNetwork},
    name::Locality,
};

use super::reader::{Reader, Unread};
use crate::proto::{core, types, wkt};

pub(super) fn boolean(value: bool) -> Option<wkt::BoolValue> {
    Some(wkt::BoolValue { value })
}

pub(super) fn number(value: u32) -> Option<wkt::UInt32Value> {
    Some(wkt::UInt32Value { value })
}

pub(super) fn long(value: u64) -> Option<wkt::UInt64Value> {
    Some(wkt::UInt64Value { value })
}

pub(super) fn duration(value: Duration) -> wkt::Duration {
    wkt::Duration {
        seconds: value.as_secs().try_into().unwrap_or(i64::MAX),
        nanos: value.subsec_nanos() as i32,
    }
}

/// A duration that Envoy writes as zero when there is none.
pub(super) fn duration_or_zero(value: Option<Duration>) -> Option<wkt::Duration> {
    Some(duration(value.unwrap_or_default()))
}

pub(super) fn read_duration(
    r: &mut Reader,
    field: &str,
    wire: Option<wkt::Duration>,
) -> Option<Duration> {
    let wkt::Duration { seconds, nanos } = wire?;
    let read = u64::try_from(seconds)
        .ok()
        .zip(u32::try_from(nanos).ok().filter(|&n| n < 1_000_000_000))
        .map(|(seconds, nanos)| Duration::new(seconds, nanos));
    if read.is_none() {
        r.refuse(
            field,
            format!("is not a duration ({seconds} s, {nanos} ns)"),
        );
    }
    read
}

/// A duration that Envoy reads as none when it is zero, and as `unset` when it is left out.
pub(super) fn read_duration_or_zero(
    r: &mut Reader,
    field: &str,
    wire: Option<wkt::Duration>,
    unset: Option<Duration>,
) -> Option<Duration> {
    match wire {
        None => unset,
        some => read_duration(r, field, some).filter(|duration| !duration.is_zero()),
    }
}

pub(super) fn fraction(share: Fraction) -> types::FractionalPercent {
    types::FractionalPercent {
        numerator: share.parts(),
        denominator: types::fractional_percent::DenominatorType::Million.into(),
    }
}

pub(super) fn read_fraction(
    r: &mut Reader,
    field: &str,
    wire: Option<types::FractionalPercent>,
    unset: Fraction,
) -> Fraction {
    use types::fractional_percent::DenominatorType;
    let Some(wire) = wire else { return unset };
    let per_unit = match DenominatorType::try_from(wire.denominator) {
        Ok(DenominatorType::Hundred) => 10_000,
        Ok(DenominatorType::TenThousand) => 100,
        Ok(DenominatorType::Million) => 1,
        Err(_) => {
            r.refuse(field, "has an unknown denominator");
            1
        }
    };
    Fraction::per_million(wire.numerator.saturating_mul(per_unit))
}

pub(super) fn runtime_fraction(share: Fraction) -> core::RuntimeFractionalPercent {
    core::RuntimeFractionalPercent {
        default_value: Some(fraction(share)),
        ..Default::default()
    }
}

pub(super) fn read_runtime_fraction(
    r: &mut Reader,
    field: &str,
    wire: core::RuntimeFractionalPercent,
    unset: Fraction,
) -> Fraction {
    if !wire.runtime_key.is_empty() {
        r.ignore(field, "runtime keys are not supported; the default is used");
    }
    read_fraction(r, field, wire.default_value, unset)
}

pub(super) fn read_percent(
    r: &mut Reader,
    field: &str,
    wire: Option<types::Percent>,
    unset: Fraction,
) -> Fraction {
    let Some(types::Percent { value }) = wire else {
        return unset;
    };
    Fraction::percent(value).unwrap_or_else(|| {
        r.refuse(field, format!("is not a percentage ({value})"));
        unset
    })
}

pub(super) fn percent(share: Fraction) -> types::Percent {
    types::Percent {
        value: f64::from(share.parts()) / 10_000.0,
    }
}

pub(super) fn read_port(r: &mut Reader, field: &str, wire: u32) -> u16 {
    u16::try_from(wire).unwrap_or_else(|_| {
        r.refuse(field, format!("is not a port ({wire})"));
        0
    })
}

pub(super) fn socket_address(address: SocketAddr) -> core::SocketAddress {
    host_and_port(address.ip().to_string(), address.port())
}

pub(super) fn host_and_port(address: String, port: u16) -> core::SocketAddress {
    core::SocketAddress {
        address,
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    }
}

pub(super) fn address(wire: core::SocketAddress) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(wire)),
    }
}

/// Host text and port of an address.
pub(super) fn read_host_and_port(
    r: &mut Reader,
    wire: Option<core::Address>,
) -> Option<(String, u16)> {
    let wire = match wire.and_then(|wire| wire.address) {
        Some(core::address::Address::SocketAddress(wire)) => wire,
        Some(_) => {
            r.refuse("address", "is neither an IP address nor a host name");
            return None;
        }
        None => {
            r.refuse("address", "is missing");
            return None;
        }
    };
    r.within("address.socket_address", |r| read_socket_address(r, wire))
}

pub(super) fn read_socket_address(
    r: &mut Reader,
    mut wire: core::SocketAddress,
) -> Option<(String, u16)> {
    let host = std::mem::take(&mut wire.address);
    let port = match wire.port_specifier.take() {
        Some(core::socket_address::PortSpecifier::PortValue(port)) => {
            read_port(r, "port_value", port)
        }
        Some(core::socket_address::PortSpecifier::NamedPort(name)) => {
            r.refuse("named_port", format!("is not supported ({name})"));
            return None;
        }
        None => 0,
    };
    r.finish(wire, Unread::RefusedExcept(&["ipv4_compat"]));
    Some((host, port))
}

pub(crate) fn read_ip_address(r: &mut Reader, wire: Option<core::Address>) -> Option<SocketAddr> {
    let (host, port) = read_host_and_port(r, wire)?;
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, port)),
        Err(_) => {
            r.refuse("address", format!("is not an IP address ({host})"));
            None
        }
    }
}

pub(super) fn cidr(network: &IpNetwork) -> core::CidrRange {
    core::CidrRange {
        address_prefix: network.address.to_string(),
        prefix_len: number(network.prefix_len.into()),
    }
}

/// A network that contains nothing of interest stands in for one that cannot be read: the resource
/// is refused anyway.
pub(super) fn read_cidr(r: &mut Reader, wire: core::CidrRange) -> IpNetwork {
    let length = wire.prefix_len.unwrap_or_default().value;
    wire.address_prefix
        .parse()
        .ok()
        .zip(u8::try_from(length).ok())
        .and_then(|(address, length)| IpNetwork::new(address, length))
        .unwrap_or_else(|| {
            r.refuse(
                "",
                format!("is not a network ({}/{length})", wire.address_prefix),
            );
            IpNetwork::host(IpAddr::from([0, 0, 0, 0]))
        })
}

pub(super) fn locality(value: &Locality) -> core::Locality {
    core::Locality {
        region: value.region.clone(),
        zone: value.zone.clone(),
        sub_zone: value.sub_zone.clone(),
    }
}

pub(super) fn read_locality(wire: core::Locality) -> Locality {
    Locality {
        region: wire.region,
        zone: wire.zone,
        sub_zone: wire.sub_zone,
    }
}
