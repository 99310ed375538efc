//! What each resource means by itself.

use super::{
    AccessPolicy, DestinationPolicy, Gateway, MeshDefaults, Service, TrafficRules, access,
    destination, gateway, mtls, mtls::MtlsPolicy, scope, scope::SidecarScope, service, traffic,
};
use crate::config::{Parsed, Problem, Resource, Spec, parse};

/// What a resource means by itself, before it meets others.
#[expect(clippy::large_enum_variant, reason = "lives for one step of a loop")]
pub(super) enum Meaning {
    Services(Vec<Service>),
    Traffic(TrafficRules),
    Destination(DestinationPolicy),
    Gateway(Gateway),
    Mtls(MtlsPolicy),
    Access(AccessPolicy),
    Scope(SidecarScope),
}

/// What a resource means; nothing for kinds that carry no rules, and for broken ones.
pub(super) fn meaning(
    resource: &Resource,
    defaults: &MeshDefaults,
) -> (Option<Meaning>, Vec<Problem>) {
    fn of<T>(
        (meaning, problems): (Option<T>, Vec<Problem>),
        wrap: fn(T) -> Meaning,
    ) -> (Option<Meaning>, Vec<Problem>) {
        (meaning.map(wrap), problems)
    }
    match &resource.spec {
        Spec::Service(written) => of(
            service::of_kubernetes(resource, written, defaults),
            |service| Meaning::Services(vec![service]),
        ),
        Spec::ServiceEntry(written) => of(service::of_entry(resource, written), Meaning::Services),
        Spec::VirtualService(written) => of(
            traffic::traffic_rules(resource, written, defaults),
            Meaning::Traffic,
        ),
        Spec::DestinationRule(written) => of(
            destination::destination_policy(resource, written, defaults),
            Meaning::Destination,
        ),
        Spec::Gateway(written) => of(gateway::gateway(resource, written), Meaning::Gateway),
        Spec::PeerAuthentication(written) => {
            of(mtls::mtls_policy(resource, written), Meaning::Mtls)
        }
        Spec::AuthorizationPolicy(written) => {
            of(access::access_policy(resource, written), Meaning::Access)
        }
        Spec::Sidecar(written) => of(scope::sidecar_scope(resource, written), Meaning::Scope),
        Spec::WorkloadEntry(_)
        | Spec::Pod(_)
        | Spec::Deployment(_)
        | Spec::EndpointSlice(_)
        | Spec::Secret(_)
        | Spec::ConfigMap(_)
        | Spec::Namespace
        | Spec::ServiceAccount => (None, Vec::new()),
    }
}

/// Parses a text like [`parse`], and leaves out, with its problems, also what is well formed but
/// cannot be meant: a weight below zero, an expression that does not compile.
///
/// What comes out is ready for [`ConfigSet::replace_file`](crate::config::ConfigSet::replace_file),
/// which keeps the last good version of everything that was left out.
pub fn read(file: &str, text: &str, defaults: &MeshDefaults) -> Parsed {
    let mut parsed = parse(file, text);
    let problems = &mut parsed.problems;
    parsed.resources.retain(|resource| {
        let (_, found) = meaning(resource, defaults);
        let broken = found.iter().any(Problem::is_error);
        if broken {
            problems.extend(found);
        }
        !broken
    });
    parsed
}
