//! Who is asked whether a call may pass: CUSTOM policies. Rules on trial tell which calls somebody
//! is asked about, and a filter behind them asks.

use std::sync::Arc;

use super::{names, view::View};
use crate::{
    config::{Problem, Severity},
    dataplane::{
        AccessPolicy, AccessRules, AuthzBody, AuthzGate, AuthzService, ConnectionAuthz,
        ExtAuthzFilter, HttpFilter, NetworkFilter, Origin, RbacFilter,
    },
    mesh::{self, AuthorizerProtocol, AuthorizerProvider, ProviderKind},
};

/// Whom a workload's policies ask.
pub(super) enum Asked<'a> {
    /// Nobody: there are none.
    Nobody,
    /// Somebody who is known.
    Somebody {
        /// As policies call them.
        name: &'a str,
        /// Who they are.
        provider: &'a AuthorizerProvider,
    },
    /// Whoever it is cannot be asked: everything is denied because of this policy.
    Unknown(&'a mesh::AccessPolicy),
}

/// Finds who is asked. Policies on trial ask nobody.
pub(super) fn asked<'a>(
    view: &'a View<'_>,
    policies: &'a [Arc<mesh::AccessPolicy>],
    problems: &mut Vec<Problem>,
) -> Asked<'a> {
    let mut asked = Asked::Nobody;
    for policy in policies.iter().filter(|policy| !policy.is_dry_run) {
        let mesh::AccessAction::Custom(name) = &policy.action else {
            continue;
        };
        if policy.is_broken {
            // Why was told when it was read.
            return Asked::Unknown(policy);
        }
        let found = match (&asked, find(view, name)) {
            (Asked::Somebody { name: first, .. }, _) if *first != &**name => {
                let reason = "a workload's policies may ask one provider";
                Err(format!("{reason}, and another asks {first}"))
            }
            (_, found) => found,
        };
        match found {
            Ok(provider) => asked = Asked::Somebody { name, provider },
            Err(reason) => {
                let problem = Problem::new(Severity::Error, policy.source.clone(), reason);
                let problem = problem
                    .of(policy.reference.clone())
                    .at("spec.provider.name");
                let effect = "until it is mended everything is denied at the workloads it is for";
                problems.push(problem.advise(effect));
                return Asked::Unknown(policy);
            }
        }
    }
    asked
}

fn find<'a>(view: &'a View<'_>, name: &str) -> Result<&'a AuthorizerProvider, String> {
    let providers = &view.mesh.defaults().telemetry.providers;
    let found = providers.iter().find(|provider| *provider.name == *name);
    let provider = match found.map(|found| &found.kind) {
        None => return Err(format!("there is no provider {name}")),
        Some(ProviderKind::Authorizer(provider)) => &**provider,
        Some(_) => return Err(format!("provider {name} decides nothing")),
    };
    let (host, port) = (&provider.host, provider.port);
    let of_namespace = |service: &&Arc<mesh::Service>| {
        let namespace = provider.namespace.as_deref();
        namespace.is_none_or(|namespace| *service.namespace == *namespace)
    };
    let Some(service) = view.service(host).filter(of_namespace) else {
        return Err(format!("provider {name}: no service {host} can be called"));
    };
    match service.port(port).is_some() {
        true => Ok(provider),
        false => Err(format!("provider {name}: {host} has no port {port}")),
    }
}

/// What matches everything and denies it, as istiod names it.
pub(super) fn deny_all(because: &mesh::AccessPolicy) -> RbacFilter {
    let policy = AccessPolicy {
        origin: Some(Origin::of(because.reference.clone()).at("spec.provider.name")),
        ..AccessPolicy::of_everything()
    };
    let policies = [("default-deny-all-due-to-bad-CUSTOM-action".into(), policy)];
    RbacFilter {
        rules: Some(AccessRules {
            action: crate::dataplane::AccessAction::Deny,
            policies: policies.into(),
        }),
        ..RbacFilter::default()
    }
}

/// Rules that tell which calls somebody is asked about.
fn told_by(rules: AccessRules) -> RbacFilter {
    RbacFilter {
        rules: None,
        shadow_rules: Some(rules),
        shadow_stat_prefix: AuthzGate::STAT_PREFIX.into(),
    }
}

/// Asks about the requests that these rules match.
pub(super) fn on_requests(
    name: &str,
    provider: &AuthorizerProvider,
    rules: AccessRules,
) -> [HttpFilter; 2] {
    let (service, headers_in_check) = match &provider.protocol {
        AuthorizerProtocol::Grpc => {
            let (cluster, authority) = grpc(provider);
            (AuthzService::Grpc { cluster, authority }, Vec::new())
        }
        AuthorizerProtocol::Http(http) => {
            let service = AuthzService::Http {
                cluster: names::outbound(provider.port, "", &provider.host),
                host: provider.host.to_string(),
                path_prefix: http.path_prefix.clone(),
                added_headers: http.added_headers.clone(),
                to_upstream_on_allow: http.to_upstream_on_allow.clone(),
                to_downstream_on_allow: http.to_downstream_on_allow.clone(),
                to_downstream_on_deny: http.to_downstream_on_deny.clone(),
            };
            (service, http.sent_headers.clone())
        }
    };
    let asks = ExtAuthzFilter {
        gate: Some(AuthzGate::of_provider(name)),
        service,
        timeout: provider.timeout,
        fail_open: provider.fail_open,
        status_on_error: provider.status_on_error,
        clear_route_cache: provider.clear_route_cache,
        headers_in_check,
        body_in_check: provider.body.as_ref().map(|body| AuthzBody {
            max_bytes: body.max_request_bytes,
            allow_partial: body.allow_partial_message,
            as_bytes: body.pack_as_bytes,
        }),
    };
    let told = HttpFilter::Rbac(told_by(rules));
    [told, HttpFilter::ExtAuthz(Box::new(asks))]
}

/// Asks about the connections that these rules match. Who speaks only HTTP cannot be asked about
/// connections: what the rules match is denied then.
pub(super) fn on_connections(
    name: &str,
    provider: &AuthorizerProvider,
    rules: AccessRules,
) -> Vec<NetworkFilter> {
    if let AuthorizerProtocol::Http(_) = provider.protocol {
        let denied = RbacFilter {
            rules: Some(rules),
            ..RbacFilter::default()
        };
        return vec![NetworkFilter::Rbac(denied)];
    }
    let (cluster, authority) = grpc(provider);
    let asks = ConnectionAuthz {
        gate: Some(AuthzGate::of_provider(name)),
        stat_prefix: "tcp.".into(),
        cluster,
        authority,
        timeout: provider.timeout,
        fail_open: provider.fail_open,
    };
    let told = NetworkFilter::Rbac(told_by(rules));
    vec![told, NetworkFilter::ExtAuthz(asks)]
}

/// The cluster, and the same as an authority may be spelt: `|` is allowed in none.
fn grpc(provider: &AuthorizerProvider) -> (crate::dataplane::Name, String) {
    let (host, port) = (&provider.host, provider.port);
    let authority = names::server_name(port, "", host);
    (names::outbound(port, "", host), authority.to_string())
}
