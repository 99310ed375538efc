//! What each resource means by itself.

use std::{collections::HashMap, sync::Arc};

use super::{
    AccessPolicy, DestinationPolicy, Gateway, MeshDefaults, MeshTest, RateLimitPolicy, Service,
    TelemetryPolicy, TokenPolicy, access, destination, gateway, gateway_api, mtls,
    mtls::MtlsPolicy, proxy_settings, question, rate_limit, scope, scope::SidecarScope, service,
    telemetry, token, traffic, traffic::Draft,
};
use crate::config::{Parsed, Problem, Resource, Spec, parse};

/// What a resource means by itself, before it meets others.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// Of the Gateway API; something by itself only if it is a route.
    GatewayApi(Option<Arc<gateway_api::Route>>),
    Services(Vec<Service>),
    Traffic(Draft),
    Destination(Arc<DestinationPolicy>),
    Gateway(Arc<Gateway>),
    Mtls(Arc<MtlsPolicy>),
    Tokens(Arc<TokenPolicy>),
    Access(Arc<AccessPolicy>),
    Scope(Arc<SidecarScope>),
    Telemetry(Arc<TelemetryPolicy>),
    RateLimit(Arc<RateLimitPolicy>),
    Test(Arc<MeshTest>),
}

/// What each resource meant under certain defaults: as long as both stay, nobody works it out
/// again.
#[derive(Debug, Default)]
pub(super) struct Meanings {
    defaults: MeshDefaults,
    /// By the address of the resource, which is not used again as long as it is kept here.
    known: HashMap<usize, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    resource: Arc<Resource>,
    meaning: Option<Meaning>,
    problems: Vec<Problem>,
}

impl Meanings {
    /// For a version with these defaults.
    pub(super) fn under(defaults: &MeshDefaults) -> Self {
        Self {
            defaults: defaults.clone(),
            known: HashMap::new(),
        }
    }

    /// What a resource means, taken from the version before where it was the same.
    pub(super) fn of(
        &mut self,
        resource: &Arc<Resource>,
        before: Option<&Self>,
    ) -> (Option<Meaning>, Vec<Problem>) {
        let place = Arc::as_ptr(resource) as usize;
        let before = before.filter(|before| before.defaults == self.defaults);
        let known = before.and_then(|before| before.known.get(&place)).cloned();
        let known = known.unwrap_or_else(|| {
            let (meaning, problems) = meaning(resource, &self.defaults);
            Known {
                resource: resource.clone(),
                meaning,
                problems,
            }
        });
        debug_assert!(
            Arc::ptr_eq(&known.resource, resource),
            "addresses are unique"
        );
        let found = (known.meaning.clone(), known.problems.clone());
        self.known.insert(place, known);
        found
    }
}

/// What a resource means; nothing for kinds that carry no rules, and for broken ones. A broken
/// policy means something all the same: that nobody may.
pub(super) fn meaning(
    resource: &Resource,
    defaults: &MeshDefaults,
) -> (Option<Meaning>, Vec<Problem>) {
    fn of<T>(
        (meaning, problems): (Option<T>, Vec<Problem>),
        wrap: fn(Arc<T>) -> Meaning,
    ) -> (Option<Meaning>, Vec<Problem>) {
        (meaning.map(Arc::new).map(wrap), problems)
    }
    fn services(
        (services, problems): (Option<Vec<Service>>, Vec<Problem>),
    ) -> (Option<Meaning>, Vec<Problem>) {
        (services.map(Meaning::Services), problems)
    }
    match &resource.spec {
        Spec::Service(written) => {
            let (service, problems) = service::of_kubernetes(resource, written, defaults);
            services((service.map(|service| vec![service]), problems))
        }
        Spec::ServiceEntry(written) => services(service::of_entry(resource, written, defaults)),
        Spec::VirtualService(written) => of(
            traffic::traffic_rules(resource, written, defaults),
            |draft| Meaning::Traffic(Draft::clone(&draft)),
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
        Spec::RequestAuthentication(written) => {
            of(token::token_policy(resource, written), Meaning::Tokens)
        }
        Spec::Sidecar(written) => of(
            scope::sidecar_scope(resource, written, defaults),
            Meaning::Scope,
        ),
        Spec::Telemetry(written) => of(
            telemetry::telemetry_policy(resource, written),
            Meaning::Telemetry,
        ),
        Spec::RateLimit(written) => of(
            rate_limit::rate_limit_policy(resource, written),
            Meaning::RateLimit,
        ),
        Spec::ProxyConfig(written) => (None, proxy_settings::not_honoured(resource, written)),
        Spec::MeshTest(written) => of(question::mesh_test(resource, written), Meaning::Test),
        Spec::GatewayApi(written) => {
            let (route, problems) = gateway_api::meaning(resource, written);
            let broken = problems.iter().any(Problem::is_error);
            let meaning = Meaning::GatewayApi(route.map(Arc::new));
            ((!broken).then_some(meaning), problems)
        }
        Spec::WorkloadEntry(_)
        | Spec::WorkloadGroup(_)
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
    let (problems, stand_ins) = (&mut parsed.problems, &mut parsed.stand_ins);
    parsed.resources.retain(|resource| {
        let (meaning, found) = meaning(resource, defaults);
        let broken = found.iter().any(Problem::is_error);
        if broken {
            problems.extend(found);
            if meaning.is_some() {
                let mut stand_in = Resource::clone(resource);
                stand_in.is_broken = true;
                stand_ins.push(Arc::new(stand_in));
            }
        }
        !broken
    });
    parsed
}
