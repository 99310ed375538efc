//! Parts of a mesh: what one plan can be told. Whoever is given a part cannot depend on the rest,
//! so a plan made of it holds for as long as the part stays the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Client, DestinationPolicy, EndpointIndex, Mesh, Resolution, Rules, Service, WorkloadAddress,
    endpoints, meaning::Meanings,
};
use crate::name::{Labels, Selector};

impl Mesh {
    /// What calls from a namespace depend on: what it sees, and the instances that callers know by
    /// address. Enough to be compared: only what is [`Mesh::indexed`] can be asked.
    pub(crate) fn outward(&self, namespace: &str) -> Self {
        let all = &*self.rules;
        let own = |of: &str| *of == *namespace;
        let near = |of: &str| own(of) || *of == *all.defaults.root_namespace;
        let client = Client::Sidecar {
            namespace,
            labels: &Labels::default(),
        };
        let seen = all.destinations.iter();
        let seen =
            seen.filter(|rule| own(&rule.reference.namespace) || rule.exports.reach(namespace));
        let scopes = all.scopes.iter();
        let scopes = scopes.filter(|scope| near(&scope.reference.namespace));
        let mut rules = Rules {
            services: self.services_visible_to(namespace).cloned().collect(),
            traffic: self.traffic_rules_for(client).cloned().collect(),
            destinations: seen.cloned().collect(),
            scopes: scopes.cloned().collect(),
            access: Vec::new(),
            limits: Vec::new(),
            tokens: Vec::new(),
            ..all.lists()
        };
        rules
            .telemetry
            .retain(|policy| near(&policy.reference.namespace));
        rules.secrets.retain(|(of, _), _| own(of));
        self.with(rules).known_by_address(self)
    }

    /// What a workload of a namespace accepts depends on: the services and policies it is under.
    /// Enough to be compared, as [`Mesh::outward`].
    pub(crate) fn inward(&self, namespace: &str) -> Self {
        let all = &*self.rules;
        let own = |of: &str| *of == *namespace;
        let near = |of: &str| own(of) || *of == *all.defaults.root_namespace;
        let mut rules = Rules {
            traffic: Vec::new(),
            gateways: Vec::new(),
            ..all.lists()
        };
        rules.services.retain(|service| own(&service.namespace));
        // They limit what the application is given, too.
        rules
            .destinations
            .retain(|rule| near(&rule.reference.namespace));
        rules
            .access
            .retain(|policy| near(&policy.reference.namespace));
        rules
            .tokens
            .retain(|policy| near(&policy.reference.namespace));
        rules
            .mtls
            .retain(|policy| near(&policy.reference.namespace));
        rules
            .telemetry
            .retain(|policy| near(&policy.reference.namespace));
        rules
            .limits
            .retain(|policy| near(&policy.reference.namespace));
        rules
            .scopes
            .retain(|scope| near(&scope.reference.namespace));
        rules.secrets.retain(|(of, _), _| own(of));
        Self {
            endpoints: self.endpoints.of_namespace(namespace),
            ..self.with(rules)
        }
    }

    /// Every rule, and the instances that callers know by address.
    pub(crate) fn with_every_rule(&self) -> Self {
        let part = Self {
            version: 0,
            rules: self.rules.clone(),
            endpoints: EndpointIndex::default(),
        };
        part.known_by_address(self)
    }

    /// A part that was found to be new, ready to be asked.
    pub(crate) fn indexed(mut self) -> Self {
        // Rules that are shared with a whole version are indexed already.
        if let Some(rules) = Arc::get_mut(&mut self.rules) {
            rules.index();
        }
        self
    }

    /// The same part of a version of which only instances changed.
    pub(crate) fn known_by_address(self, of: &Self) -> Self {
        let services = self.rules.services.iter();
        let headless = services.filter(|service| service.resolution == Resolution::Headless);
        Self {
            endpoints: of.endpoints.only(headless),
            ..self
        }
    }

    /// What all destinations of a part depend on, whichever is called.
    pub(crate) fn without_calls(&self) -> Self {
        // An edge between networks has its destinations under other names as well.
        let by_name = |gateway: &&Arc<super::Gateway>| {
            let mut servers = gateway.servers.iter();
            servers.any(|server| server.tls == super::ServerTls::AutoPassthrough)
        };
        let gateways = self.rules.gateways.iter().filter(by_name).cloned();
        self.with(Rules {
            gateways: gateways.collect(),
            services: Vec::new(),
            traffic: Vec::new(),
            destinations: Vec::new(),
            access: Vec::new(),
            telemetry: Vec::new(),
            limits: Vec::new(),
            tokens: Vec::new(),
            ..self.rules.lists()
        })
    }

    /// This part, and one destination: a service, the rule on how it is called, its instances.
    pub(crate) fn towards(
        &self,
        service: &Arc<Service>,
        rule: Option<&Arc<DestinationPolicy>>,
        of: &Self,
    ) -> Self {
        let mut rules = Rules {
            services: vec![service.clone()],
            destinations: rule.into_iter().cloned().collect(),
            ..self.rules.lists()
        };
        rules.index();
        Self {
            endpoints: of.endpoints.only([service]),
            ..self.with(rules)
        }
    }

    fn with(&self, rules: Rules) -> Self {
        Self {
            version: 0,
            rules: Arc::new(rules),
            endpoints: EndpointIndex::default(),
        }
    }

    /// Whether both hold the same rules and instances.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.rules.is_same(&other.rules) && self.endpoints.is_same(&other.endpoints)
    }

    /// Whether both have all rules in common, as versions have between which only instances change.
    pub(crate) fn shares_rules(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules)
    }

    /// Whether this is the very same version.
    pub(crate) fn is_version_of(&self, other: &Self) -> bool {
        self.version == other.version
            && self.shares_rules(other)
            && self.endpoints.is_version_of(&other.endpoints)
    }

    /// Those of a workload's addresses at which it is an instance that callers know by address.
    pub(crate) fn known_addresses(&self, namespace: &str, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let headless = self.rules.headless.iter();
        let headless = headless.filter(|service| *service.namespace == *namespace);
        let endpoints = headless.filter_map(|service| self.endpoints.service(service));
        let called: BTreeSet<&WorkloadAddress> =
            endpoints.flat_map(|found| found.addresses()).collect();
        let own = addresses.iter().copied();
        own.filter(|address| called.contains(&WorkloadAddress::Ip(*address)))
            .collect()
    }

    /// The labels of a workload that make a difference to what it calls.
    pub(crate) fn telling(&self, labels: &Labels) -> Labels {
        let known = labels.iter().filter(|(key, value)| {
            let label = (String::from(*key), String::from(*value));
            self.rules.asked_of_callers.contains(&label) || self.places_by(key)
        });
        known.collect()
    }

    /// Whether instances of some destination are near by this label.
    pub(crate) fn places_by(&self, key: &str) -> bool {
        self.rules.places_of_callers.contains(key)
    }
}

impl Rules {
    /// Labels of callers by which instances are near.
    pub(super) fn labels_of_places(&self) -> BTreeSet<Arc<str>> {
        let services = self.services.iter();
        let services = services.flat_map(|service| service.distribution.labels());
        let rules = self.destinations.iter();
        let rules = rules.flat_map(|rule| rule.labels_of_callers());
        let defaults = self.defaults.locality.labels_of_callers();
        let all = services.copied().chain(rules).chain(defaults);
        all.map(Arc::from).collect()
    }

    /// Services whose callers choose an instance by its address.
    pub(super) fn headless(&self) -> Vec<Arc<Service>> {
        let all = self.services.iter();
        all.filter(|service| service.resolution == Resolution::Headless)
            .cloned()
            .collect()
    }

    /// Labels that some rule asks of callers.
    pub(super) fn labels_of_callers(&self) -> BTreeSet<(String, String)> {
        let http = self.traffic.iter().flat_map(|rules| &rules.http);
        let http = http
            .flat_map(|rule| &rule.matches)
            .map(|found| &found.client);
        let tls = self.traffic.iter().flat_map(|rules| &rules.tls);
        let tls = tls
            .flat_map(|rule| &rule.matches)
            .map(|found| &found.connection.client);
        let tcp = self.traffic.iter().flat_map(|rules| &rules.tcp);
        let tcp = tcp
            .flat_map(|rule| &rule.matches)
            .map(|found| &found.client);
        let selectors: [&mut dyn Iterator<Item = &Selector>; 4] = [
            &mut http.chain(tls).chain(tcp).map(|client| &client.labels),
            &mut self
                .destinations
                .iter()
                .filter_map(|rule| rule.clients.as_ref()),
            &mut self
                .scopes
                .iter()
                .filter_map(|scope| scope.selector.as_ref()),
            &mut self
                .telemetry
                .iter()
                .filter_map(|policy| policy.selector.as_ref()),
        ];
        let labels = selectors
            .into_iter()
            .flatten()
            .flat_map(|selector| selector.0.iter());
        labels
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    /// The same rules, without what follows from them.
    fn lists(&self) -> Self {
        Self {
            defaults: self.defaults.clone(),
            services: self.services.clone(),
            traffic: self.traffic.clone(),
            destinations: self.destinations.clone(),
            gateways: self.gateways.clone(),
            access: self.access.clone(),
            tokens: self.tokens.clone(),
            mtls: self.mtls.clone(),
            backend_tls: self.backend_tls.clone(),
            telemetry: self.telemetry.clone(),
            limits: self.limits.clone(),
            scopes: self.scopes.clone(),
            secrets: self.secrets.clone(),
            delegates: Vec::new(),
            statuses: Vec::new(),
            tests: Vec::new(),
            written: Vec::new(),
            meanings: Meanings::default(),
            services_by_host: HashMap::new(),
            traffic_by_host: HashMap::new(),
            traffic_by_wildcard: BTreeMap::new(),
            destinations_by_namespace: BTreeMap::new(),
            asked_of_callers: BTreeSet::new(),
            places_of_callers: BTreeSet::new(),
            headless: Vec::new(),
        }
    }

    /// Whether every rule is the same one. What follows from others is left out.
    fn is_same(&self, other: &Self) -> bool {
        let Self {
            defaults,
            services,
            services_by_host: _,
            traffic,
            traffic_by_host: _,
            traffic_by_wildcard: _,
            destinations,
            destinations_by_namespace: _,
            gateways,
            access,
            tokens,
            mtls,
            backend_tls,
            telemetry,
            limits,
            scopes,
            secrets,
            asked_of_callers: _,
            places_of_callers: _,
            headless: _,
            // Nothing is planned from these.
            delegates: _,
            statuses: _,
            tests: _,
            written: _,
            meanings: _,
        } = self;
        use endpoints::same_places as same;
        *defaults == other.defaults
            && same(services, &other.services)
            && same(traffic, &other.traffic)
            && same(destinations, &other.destinations)
            && same(gateways, &other.gateways)
            && same(access, &other.access)
            && same(tokens, &other.tokens)
            && same(mtls, &other.mtls)
            && *backend_tls == other.backend_tls
            && same(telemetry, &other.telemetry)
            && same(limits, &other.limits)
            && same(scopes, &other.scopes)
            && secrets.len() == other.secrets.len()
            && (secrets.iter().zip(&other.secrets))
                .all(|((a, x), (b, y))| a == b && Arc::ptr_eq(x, y))
    }
}
