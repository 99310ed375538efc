use std::{sync::Arc, time::Duration};

use super::{
    ConnectionPool, DefaultExports, LocalityPolicy, OutboundMode, OutlierDetection, ProxySettings,
    RetryPolicy, TcpKeepalive, TelemetryDefaults, TlsVersion, destination, findings::Findings,
    proxy_settings, scope, traffic,
};
use crate::{
    config::{
        ConfigSet, Problem, Severity, Source, Spec, TextError, decode_text,
        istio::{MeshConfig, MeshH2Upgrade, MeshTls, MeshTlsVersion, NormalizationType},
        nearest,
    },
    identity::{SpiffeId, TrustDomain},
    name::{Host, IpNetwork, ResourceRef},
};

/// What holds for the whole mesh unless a resource says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshDefaults {
    /// Who vouches for workloads.
    pub trust_domain: TrustDomain,
    /// Other trust domains whose workloads count as ours.
    pub trust_domain_aliases: Vec<TrustDomain>,
    /// The namespace whose policies are for the whole mesh.
    pub root_namespace: Arc<str>,
    /// The DNS suffix of services.
    pub domain: Arc<str>,
    /// What becomes of calls to hosts nobody declared.
    pub outbound: OutboundMode,
    /// When requests are tried again; none for Istio's default policy.
    pub retries: Option<RetryPolicy>,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long an undeclared protocol is waited for; zero waits without end.
    pub protocol_detection_timeout: Duration,
    /// Clients choose mutual TLS by instance.
    pub auto_mtls: bool,
    /// How places count for destinations that do not say.
    pub locality: LocalityPolicy,
    /// The most a destination is given that does not say.
    pub pool: Option<ConnectionPool>,
    /// When instances are left out of a destination that does not say.
    pub outlier: Option<OutlierDetection>,
    /// Probes on silent connections.
    pub keepalive: Option<TcpKeepalive>,
    /// Whether HTTP/1.1 is carried over HTTP/2.
    pub upgrade_to_http2: bool,
    /// Who sees resources that do not say.
    pub exports: DefaultExports,
    /// How often names are resolved at least.
    pub dns_refresh: Duration,
    /// The oldest version of TLS that is spoken within the mesh.
    pub min_tls: TlsVersion,
    /// Which spellings of a path are unified before anybody looks at it.
    pub paths: PathSpelling,
    /// Where services that are given no address get one; none leaves them without.
    pub virtual_addresses: Option<IpNetwork>,
    /// Who takes telemetry unless a resource says otherwise.
    pub telemetry: TelemetryDefaults,
    /// How proxies run unless a pod says otherwise.
    pub proxies: ProxySettings,
}

/// Which spellings of a path are unified. Each goes further than the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSpelling {
    /// None.
    AsWritten,
    /// Escapes of ordinary letters and dot segments (RFC 3986, section 6.2.2).
    #[default]
    Normal,
    /// Also runs of slashes.
    MergedSlashes,
    /// Also `%2F` and `%5C`, which become slashes.
    DecodedSlashes,
}

/// Istio's defaults.
impl Default for MeshDefaults {
    fn default() -> Self {
        Self {
            trust_domain: TrustDomain::default(),
            trust_domain_aliases: Vec::new(),
            root_namespace: "istio-system".into(),
            domain: "cluster.local".into(),
            outbound: OutboundMode::AllowAny,
            retries: None,
            connect_timeout: Duration::from_secs(10),
            protocol_detection_timeout: Duration::ZERO,
            auto_mtls: true,
            locality: LocalityPolicy::Failover {
                labels: Vec::new(),
                regions: Vec::new(),
            },
            pool: None,
            outlier: None,
            keepalive: None,
            upgrade_to_http2: false,
            exports: DefaultExports::default(),
            dns_refresh: Duration::from_secs(60),
            min_tls: TlsVersion::V1_2,
            paths: PathSpelling::default(),
            virtual_addresses: None,
            telemetry: TelemetryDefaults::default(),
            proxies: ProxySettings::default(),
        }
    }
}

impl MeshDefaults {
    /// `reviews` of namespace `default` to `reviews.default.svc.cluster.local`.
    pub fn full_name(&self, name: &str, namespace: &str) -> String {
        format!("{name}.{namespace}.svc.{}", self.domain)
    }

    /// A host as a resource of this namespace means it: short names are of that namespace.
    pub fn in_full(&self, host: &Host, namespace: &str) -> Host {
        if !host.is_short() {
            return host.clone();
        }
        let full = self.full_name(host.as_str(), namespace).parse();
        full.unwrap_or_else(|_| host.clone())
    }

    /// The identity of a service account; none for names no certificate can carry.
    pub fn identity(&self, namespace: &str, service_account: &str) -> Option<SpiffeId> {
        SpiffeId::for_service_account(&self.trust_domain, namespace, service_account).ok()
    }

    /// These defaults, changed by the ConfigMap `istio` of the root namespace, if there is one.
    pub(super) fn overlaid(&self, set: &ConfigSet) -> (Self, Vec<Problem>) {
        let reference = ResourceRef::new("", "ConfigMap", &self.root_namespace, "istio");
        let Some(resource) = set.resource(&reference) else {
            return (self.clone(), Vec::new());
        };
        let Spec::ConfigMap(map) = &resource.spec else {
            return (self.clone(), Vec::new());
        };
        let Some(text) = map.data.get("mesh") else {
            return (self.clone(), Vec::new());
        };
        let unread_settings;
        let written: MeshConfig = match decode_text(text) {
            Ok((written, unread)) => {
                unread_settings = unread;
                written
            }
            Err(problem) => {
                let source = Source {
                    file: resource.source.file.clone(),
                    // The first line of a block stands below its key.
                    line: resource.line_of("data.mesh") + problem.line,
                };
                let field = format!("data.mesh: {}", problem.field);
                let problem = Problem::new(Severity::Error, source, problem.reason);
                return (self.clone(), vec![problem.of(reference).at(field)]);
            }
        };
        let mut findings = Findings::new(resource);
        if let Some(root) = &written.root_namespace
            && **root != *self.root_namespace
        {
            let used = &self.root_namespace;
            let reason =
                format!("rootNamespace: {root:?} is not what this mesh runs with: {used:?}");
            findings.warn("data.mesh", reason);
            findings.advise("whoever runs the mesh names it; policies for all are read there");
        }
        let changed = self.changed(&written, &mut findings);
        for unread in unread_settings {
            not_read(&unread, &mut findings);
        }
        let (changed, problems) = findings.conclude(changed);
        (changed.unwrap_or_else(|| self.clone()), problems)
    }

    fn changed(&self, written: &MeshConfig, findings: &mut Findings<'_>) -> Self {
        let mut trust_domain = |text: &String| match TrustDomain::new(text) {
            Ok(domain) => Some(domain),
            Err(error) => {
                findings.error("data.mesh", format!("{text:?}: {error}"));
                None
            }
        };
        let domain = written.trust_domain.as_ref().and_then(&mut trust_domain);
        let aliases = written.trust_domain_aliases.iter();
        let aliases = aliases.filter_map(&mut trust_domain).collect();
        let policy = written.outbound_traffic_policy.as_ref();
        let outbound = policy.and_then(|policy| {
            if policy.egress_proxy.is_some() {
                let reason = "outboundTrafficPolicy.egressProxy is for Sidecars to say";
                findings.error("data.mesh", reason);
            }
            scope::outbound_mode("data.mesh", policy.mode, findings)
        });
        let retries = written.default_http_retry_policy.as_ref();
        let (traffic, at) = (
            &written.default_traffic_policy,
            "data.mesh.defaultTrafficPolicy",
        );
        let pool_at = format!("{at}.connectionPool");
        Self {
            trust_domain: domain.unwrap_or_else(|| self.trust_domain.clone()),
            trust_domain_aliases: aliases,
            root_namespace: self.root_namespace.clone(),
            domain: self.domain.clone(),
            outbound: outbound.unwrap_or(self.outbound),
            retries: retries
                .map(|retries| traffic::retry_policy("data.mesh", retries, findings))
                .or_else(|| self.retries.clone()),
            connect_timeout: written
                .connect_timeout
                .map_or(self.connect_timeout, |t| t.0),
            protocol_detection_timeout: written
                .protocol_detection_timeout
                .map_or(self.protocol_detection_timeout, |t| t.0),
            auto_mtls: written.enable_auto_mtls.unwrap_or(self.auto_mtls),
            min_tls: self.min_tls(&written.mesh_mtls, findings),
            paths: match written.path_normalization.normalization {
                NormalizationType::Default => self.paths,
                NormalizationType::None => PathSpelling::AsWritten,
                NormalizationType::Base => PathSpelling::Normal,
                NormalizationType::MergeSlashes => PathSpelling::MergedSlashes,
                NormalizationType::DecodeAndMergeSlashes => PathSpelling::DecodedSlashes,
            },
            virtual_addresses: self.virtual_addresses,
            telemetry: TelemetryDefaults::of(written, findings),
            proxies: ProxySettings::of(written.default_config.as_ref(), findings),
            locality: self.locality_of(written, findings),
            pool: match &traffic.connection_pool {
                Some(_) => destination::pool(&pool_at, traffic.connection_pool.as_ref(), findings),
                None => self.pool.clone(),
            },
            outlier: match &traffic.outlier_detection {
                Some(_) => destination::outlier(at, traffic.outlier_detection.as_ref(), findings),
                None => self.outlier.clone(),
            },
            keepalive: match &written.tcp_keepalive {
                Some(probes) => Some(destination::keepalive(
                    "data.mesh.tcpKeepalive",
                    probes,
                    findings,
                )),
                None => self.keepalive,
            },
            exports: DefaultExports::of(written, &self.exports, findings),
            dns_refresh: written.dns_refresh_rate.map_or(self.dns_refresh, |t| t.0),
            upgrade_to_http2: match written.h2_upgrade_policy {
                Some(MeshH2Upgrade::Upgrade) => true,
                Some(MeshH2Upgrade::DoNotUpgrade) => false,
                None => self.upgrade_to_http2,
            },
        }
    }

    /// Zones count before places.
    fn locality_of(&self, written: &MeshConfig, findings: &mut Findings<'_>) -> LocalityPolicy {
        let zones = written.zone_aware_lb_setting.as_ref();
        let at = "data.mesh.zoneAwareLbSetting";
        let zones = zones.and_then(|zones| destination::zone_aware_policy(at, zones, findings));
        let places = written.locality_lb_setting.as_ref();
        let at = "data.mesh.localityLbSetting";
        let places = places.map(|places| destination::locality_policy(at, places, findings));
        zones.or(places).unwrap_or_else(|| self.locality.clone())
    }
}

impl MeshDefaults {
    fn min_tls(&self, written: &MeshTls, findings: &mut Findings<'_>) -> TlsVersion {
        for (name, list) in [
            ("cipherSuites", &written.cipher_suites),
            ("ecdhCurves", &written.ecdh_curves),
        ] {
            if !list.is_empty() {
                let reason =
                    format!("meshMTLS.{name}: not supported yet: only safe ones are offered");
                findings.warn("data.mesh", reason);
            }
        }
        match written.min_protocol_version {
            MeshTlsVersion::Auto => self.min_tls,
            MeshTlsVersion::V1_2 => TlsVersion::V1_2,
            MeshTlsVersion::V1_3 => TlsVersion::V1_3,
        }
    }
}

/// What nobody reads: known to Istio, or to nobody. Neither takes the rest of the settings away, a
/// trust domain among them.
fn not_read(unread: &TextError, findings: &mut Findings<'_>) {
    let field = &*unread.field;
    let top = field.split(['.', '[']).next().unwrap_or_default();
    let known = match field.strip_prefix("defaultConfig.") {
        Some(setting) => proxy_settings::is_not_yet(setting),
        None => top == "extensionProviders" || MeshConfig::NOT_YET.contains(&top),
    };
    let reason = match known {
        true => "not supported yet",
        false => "unknown field",
    };
    findings.warn("data.mesh", format!("{field}: {reason}"));
    if !known && let Some(similar) = nearest(top, MeshConfig::NOT_YET.iter().copied()) {
        findings.advise(format!("did you mean {similar}?"));
    }
}
