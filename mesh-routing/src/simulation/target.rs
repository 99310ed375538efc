//! Where a call goes first: what the network between the application and a proxy does.

use std::net::SocketAddr;

use mesh_core::mesh::{Call, Caller, Mesh, Question, Service, Workload, WorkloadAddress};

use super::{
    Resolved, Simulation, Unanswerable,
    address::{resolve, service},
    party,
};
use crate::Dice;

/// Where the caller connects to.
pub(super) fn target(
    simulation: &Simulation,
    question: &Question,
    caller: Option<&Workload>,
) -> Result<Resolved, Unanswerable> {
    let mesh = simulation.mesh();
    let Call { host, port, .. } = &question.call;
    match (&question.caller, caller) {
        (Caller::Gateway { .. }, Some(gateway)) => {
            let address = address_of(gateway, *port)?;
            let mut inbound = mesh.inbound_ports(gateway).into_iter();
            let through = inbound.find(|inbound| inbound.port.number == *port);
            let port = through.map_or(*port, |inbound| inbound.target_port);
            Ok(Resolved {
                address: SocketAddr::new(address.ip(), port),
                what: format!("the gateway {}", party::display(gateway)),
            })
        }
        (Caller::Outside, _) => instance_of(simulation, question),
        (_, caller) => {
            let namespace = caller.map_or("default", |caller| &*caller.namespace);
            Ok(resolve(mesh, namespace, host, *port, question.seed))
        }
    }
}

/// The instance that a caller without a proxy reaches, as the network spreads them.
fn instance_of(simulation: &Simulation, question: &Question) -> Result<Resolved, Unanswerable> {
    let mesh = simulation.mesh();
    let Call { host, port, .. } = &question.call;
    let Some(service) = service(mesh, "default", host) else {
        let resolved = resolve(mesh, "default", host, *port, question.seed);
        return match party::at(mesh, resolved.address.ip()) {
            Some(_) => Ok(resolved),
            None => Err(Unanswerable::Nowhere(host.clone())),
        };
    };
    match any_instance(mesh, service, *port, question.seed) {
        Some(address) => Ok(Resolved {
            address,
            what: format!("an instance of {}", service.host),
        }),
        None => Err(Unanswerable::Nowhere(host.clone())),
    }
}

/// The instance that the network leads to in place of a service's own address.
pub(super) fn instance_behind(
    simulation: &Simulation,
    address: SocketAddr,
    seed: u64,
) -> Option<SocketAddr> {
    let mesh = simulation.mesh();
    let mut services = mesh.services().iter();
    let service = services.find(|service| service.addresses.contains(&address.ip()))?;
    any_instance(mesh, service, address.port(), seed).filter(|instance| *instance != address)
}

fn any_instance(mesh: &Mesh, service: &Service, port: u16, seed: u64) -> Option<SocketAddr> {
    let instances = mesh.endpoints().of(service, port).iter();
    let ready: Vec<SocketAddr> = instances
        .filter(|instance| instance.is_ready)
        .filter_map(|instance| match instance.address {
            WorkloadAddress::Ip(address) => Some(SocketAddr::new(address, instance.port)),
            WorkloadAddress::Dns(_) => None,
        })
        .collect();
    let chosen = Dice::new(seed).below(ready.len().max(1) as u64) as usize;
    ready.get(chosen).copied()
}

/// Where a workload calls from and is called.
pub(super) fn address_of(workload: &Workload, port: u16) -> Result<SocketAddr, Unanswerable> {
    let mut addresses = workload.addresses.iter();
    let ip = addresses.find_map(|address| match address {
        WorkloadAddress::Ip(ip) => Some(*ip),
        WorkloadAddress::Dns(_) => None,
    });
    ip.map(|ip| SocketAddr::new(ip, port))
        .ok_or_else(|| Unanswerable::NoAddress(party::display(workload)))
}
