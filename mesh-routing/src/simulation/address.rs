//! From a host as an application writes it to an address, as DNS in a cluster does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mesh_core::{
    mesh::{Mesh, Resolution, Service, WorkloadAddress},
    name::Host,
};

use super::Resolved;
use crate::Dice;

/// What stands for every host that only the world outside knows (TEST-NET-2, RFC 5737).
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// How often one name may stand for another.
const MAX_ALIASES: usize = 8;

/// Where an application of a namespace connects to.
pub(super) fn resolve(mesh: &Mesh, namespace: &str, host: &str, port: u16, seed: u64) -> Resolved {
    let told = |address: IpAddr, what: String| Resolved {
        address: SocketAddr::new(address, port),
        what,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return told(address, "an address".to_owned());
    }
    match service(mesh, namespace, host) {
        Some(service) => {
            let (address, what) = address_of(mesh, service, port, seed);
            told(address, what)
        }
        None => told(
            ELSEWHERE.into(),
            format!("{host} is no service of the mesh: an address outside"),
        ),
    }
}

/// The service an application means: by its full name, or by the search path of its namespace.
pub(super) fn service<'a>(mesh: &'a Mesh, namespace: &str, host: &str) -> Option<&'a Service> {
    let domain = &mesh.defaults().domain;
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let searched = [
        format!("{host}.{namespace}.svc.{domain}"),
        format!("{host}.svc.{domain}"),
        format!("{host}.{domain}"),
        host,
    ];
    let mut found = searched
        .iter()
        .find_map(|name| of_name(mesh, namespace, name))?;
    for _ in 0..MAX_ALIASES {
        let Resolution::Alias(other) = &found.resolution else {
            break;
        };
        match of_name(mesh, namespace, other.as_str()) {
            Some(other) => found = other,
            None => break,
        }
    }
    Some(found)
}

fn of_name<'a>(mesh: &'a Mesh, namespace: &str, name: &str) -> Option<&'a Service> {
    let host: Host = name.parse().ok()?;
    let visible = mesh.service(&host, namespace).map(|service| &**service);
    // DNS knows services that the mesh hides.
    visible.or_else(|| {
        let mut all = mesh.services().iter();
        all.find(|service| service.host == host)
            .map(|service| &**service)
    })
}

fn address_of(mesh: &Mesh, service: &Service, port: u16, seed: u64) -> (IpAddr, String) {
    let host = &service.host;
    if let Some(address) = service.addresses.first() {
        return (*address, format!("{host}, by the service's address"));
    }
    let instances = mesh.endpoints().of(service, port);
    let ready: Vec<IpAddr> = instances
        .iter()
        .filter(|instance| instance.is_ready)
        .filter_map(|instance| match instance.address {
            WorkloadAddress::Ip(address) => Some(address),
            WorkloadAddress::Dns(_) => None,
        })
        .collect();
    let chosen = Dice::new(seed).below(ready.len().max(1) as u64) as usize;
    match (&service.resolution, ready.get(chosen)) {
        (Resolution::Headless, Some(address)) => (
            *address,
            format!("{host}, by one of its instances' addresses"),
        ),
        _ => (
            ELSEWHERE.into(),
            format!("{host}, by an address that only DNS knows"),
        ),
    }
}
