use std::sync::Arc;

use mesh_core::dataplane::{Listener, Name, Refusal, ResourceType, RouteTable, Snapshot, Verdict};
use mesh_routing::{ChainSelector, Router};

use super::{
    LiveCluster, LiveConfig, LiveListener,
    authorizers::Authorizers,
    chain::{ChainInputs, LiveChain, compile_logs},
    security::SecurityCompiler,
};
use crate::telemetry::LogSinks;

/// Puts plans in force: what is good applies, what is refused keeps its last good version.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) security: SecurityCompiler,
    pub(crate) sinks: Arc<LogSinks>,
}

impl Compiler {
    /// The configuration after a plan, and what became of the plan's parts.
    pub(crate) fn apply(&self, previous: &LiveConfig, plan: &Snapshot) -> (LiveConfig, Verdict) {
        let mut refusals = Vec::new();
        let mut accepted = plan.clone();
        let mut config = LiveConfig {
            generation: previous.generation + 1,
            ..Default::default()
        };
        let secrets_changed = previous.snapshot.secrets != plan.secrets;
        for (name, planned) in &plan.clusters {
            let before = previous.clusters.get(name);
            let anew = secrets_changed || previous.refused(ResourceType::Cluster, name);
            let compiled = LiveCluster::compile(planned, plan, &self.security, before, anew);
            let refuse = |reason| refusal(ResourceType::Cluster, name, reason);
            if let Some(cluster) = keep_last_good(compiled, before, &mut refusals, refuse) {
                accepted
                    .clusters
                    .insert(name.clone(), Arc::clone(&cluster.planned));
                config.clusters.insert(name.clone(), cluster);
            } else {
                accepted.clusters.remove(name);
            }
        }
        for (name, planned) in &plan.routes {
            let before = previous.routers.get(name);
            let compiled = compile_router(planned, before);
            let refuse = |reason| refusal(ResourceType::Routes, name, reason);
            if let Some(router) = keep_last_good(compiled, before, &mut refusals, refuse) {
                let hosts = router.refused().iter().map(ToString::to_string);
                let hosts: Vec<_> = hosts.collect();
                if !hosts.is_empty() {
                    refusals.push(refusal(ResourceType::Routes, name, hosts.join("; ")));
                }
                accepted
                    .routes
                    .insert(name.clone(), Arc::clone(router.table()));
                config.routers.insert(name.clone(), router);
            } else {
                accepted.routes.remove(name);
            }
        }
        accepted.listeners.clear();
        for planned in &plan.listeners {
            let before = previous.listeners.get(&planned.name);
            let compiled = self.compile_listener(planned, plan, &config, before, previous);
            let refuse = |reason| refusal(ResourceType::Listener, &planned.name, reason);
            if let Some(listener) = keep_last_good(compiled, before, &mut refusals, refuse) {
                accepted.listeners.push(Arc::clone(&listener.planned));
                if !listener.planned.bind_to_port {
                    let destination = listener.planned.address;
                    config.unbound.insert(destination, planned.name.clone());
                }
                config.listeners.insert(planned.name.clone(), listener);
            }
        }
        config.snapshot = Arc::new(accepted);
        config.refusals = refusals.clone();
        (config, Verdict { refusals })
    }

    fn compile_listener(
        &self,
        planned: &Arc<Listener>,
        plan: &Snapshot,
        config: &LiveConfig,
        before: Option<&Arc<LiveListener>>,
        previous: &LiveConfig,
    ) -> Result<Arc<LiveListener>, String> {
        if let Some(before) = before.filter(|before| {
            (Arc::ptr_eq(&before.planned, planned) || before.planned == *planned)
                && previous.snapshot.secrets == plan.secrets
                && !previous.refused(ResourceType::Listener, &planned.name)
        }) {
            return Ok(Arc::new(before.with_routes_of(config)));
        }
        if planned.listener_filters.proxy_protocol {
            return Err("listener_filters.proxy_protocol: is not supported".into());
        }
        let selector = ChainSelector::compile(planned).map_err(|error| error.to_string())?;
        let inputs = ChainInputs {
            plan,
            config,
            security: &self.security,
            sinks: &self.sinks,
            authorizers: &Authorizers::default(),
        };
        let compile = |index: usize, chain| {
            LiveChain::compile(chain, &inputs)
                .map_err(|error| format!("filter_chains[{index}]: {error}"))
        };
        let chains = planned
            .filter_chains
            .iter()
            .enumerate()
            .map(|(index, chain)| compile(index, chain))
            .collect::<Result<_, _>>()?;
        let default_chain = planned
            .default_filter_chain
            .as_ref()
            .map(|chain| LiveChain::compile(chain, &inputs))
            .transpose()
            .map_err(|error| format!("default_filter_chain: {error}"))?;
        Ok(Arc::new(LiveListener {
            planned: Arc::clone(planned),
            selector: Arc::new(selector),
            chains,
            default_chain,
            access_log: compile_logs(&planned.access_log, &self.sinks)?.into(),
        }))
    }
}

impl LiveListener {
    fn with_routes_of(&self, config: &LiveConfig) -> Self {
        let refresh = |chain: &Arc<LiveChain>| chain.with_routes_of(config);
        Self {
            planned: Arc::clone(&self.planned),
            selector: Arc::clone(&self.selector),
            chains: self.chains.iter().map(refresh).collect(),
            default_chain: self.default_chain.as_ref().map(refresh),
            access_log: Arc::clone(&self.access_log),
        }
    }
}

fn compile_router(
    planned: &Arc<RouteTable>,
    before: Option<&Arc<Router>>,
) -> Result<Arc<Router>, String> {
    match before {
        Some(before)
            if before.refused().is_empty()
                && (Arc::ptr_eq(before.table(), planned) || before.table() == planned) =>
        {
            Ok(Arc::clone(before))
        }
        _ => Router::compile_over(planned, before.map(|before| &**before))
            .map(Arc::new)
            .map_err(|error| error.to_string()),
    }
}

fn keep_last_good<T>(
    compiled: Result<Arc<T>, String>,
    before: Option<&Arc<T>>,
    refusals: &mut Vec<Refusal>,
    refuse: impl FnOnce(String) -> Refusal,
) -> Option<Arc<T>> {
    match compiled {
        Ok(value) => Some(value),
        Err(reason) => {
            refusals.push(refuse(reason));
            before.map(Arc::clone)
        }
    }
}

fn refusal(resource_type: ResourceType, name: &Name, reason: String) -> Refusal {
    Refusal {
        resource_type,
        name: name.clone(),
        reason,
    }
}
