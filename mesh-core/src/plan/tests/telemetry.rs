//! What Telemetry, providers and settings of proxies become.

use super::town::{Town, gateway, listener, manager};
use crate::dataplane::{
    AccessLog, AccessLogFilter, AccessLogFormat, EscapedSlashes, ForwardClientCert, HttpFilter,
    LimitKey, MetricSettings, RateLimitFilter, ServerHeader, Snapshot, SpanTagValue, Terminal,
};

fn mesh_config(text: &str) -> String {
    let text = text.replace('\n', "\n    ");
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
         data:\n  mesh: |\n    {text}\n"
    )
}

const PROVIDERS: &str = "\
extensionProviders:
- name: file
  envoyFileAccessLog: {path: /dev/stdout, logFormat: {text: '%PROTOCOL%'}}
- name: json
  envoyFileAccessLog: {path: /dev/stderr, logFormat: {labels: {status: '%RESPONSE_CODE%'}}}
- {name: spans, zipkin: {service: zipkin.istio-system.svc.cluster.local, port: 9411}}
- {name: als, envoyHttpAls: {service: als, port: 1}}
";

fn telemetry(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// What productpage calls through, what it is called by, and what is said of it.
fn planned(texts: &[&str]) -> (Snapshot, Vec<String>) {
    let town = Town::bookinfo(texts);
    town.plan(&town.sidecar("productpage-v1"))
}

fn logs(plan: &Snapshot, name: &str) -> Vec<AccessLog> {
    let http = |terminal: &Terminal| match terminal {
        Terminal::Http(http) => Some(http.access_log.clone()),
        Terminal::Tcp(_) => None,
    };
    let mut chains = listener(plan, name).filter_chains.iter();
    chains.find_map(|chain| http(&chain.terminal)).unwrap()
}

/// The filters of the first chain that takes requests.
fn filters(plan: &Snapshot, name: &str) -> Vec<HttpFilter> {
    let mut chains = listener(plan, name).filter_chains.iter();
    let http = chains.find(|chain| matches!(chain.terminal, Terminal::Http(_)));
    manager(http.unwrap()).filters.clone()
}

const CALLING: &str = "0.0.0.0_9080";
const CALLED: &str = "virtualInbound";

#[test]
fn logs_of_the_mesh_configuration() {
    let config = mesh_config("accessLogFile: /dev/stdout");
    let (plan, problems) = planned(&[&config]);
    assert_eq!(problems, [""; 0]);
    let istio = AccessLogFormat::Text(AccessLogFormat::ISTIO_TEXT.into());
    assert_eq!(logs(&plan, CALLING)[0].format, istio);
    assert_eq!(logs(&plan, CALLED)[0].path, "/dev/stdout");
    let json = mesh_config("{accessLogFile: /dev/stdout, accessLogEncoding: JSON}");
    let (plan, _) = planned(&[&json]);
    let AccessLogFormat::Json(values) = &logs(&plan, CALLING)[0].format else {
        panic!("an object")
    };
    assert_eq!(values.len(), 24);
    assert_eq!(values["upstream_cluster"], "%UPSTREAM_CLUSTER_RAW%");
}

/// Where logs of a listener go, and under which condition, with a default provider.
fn tell_logs(texts: &[&str], name: &str) -> Vec<String> {
    let default = "defaultProviders: {accessLogging: [file]}";
    let config = mesh_config(&format!("{PROVIDERS}{default}"));
    let mut all = vec![&*config];
    all.extend(texts);
    let filter = |log: &AccessLog| match &log.filter {
        Some(AccessLogFilter::Expression(expression)) => format!(" if {expression}"),
        _ => String::new(),
    };
    let found = logs(&planned(&all).0, name);
    found
        .iter()
        .map(|log| format!("{}{}", log.path, filter(log)))
        .collect()
}

#[test]
fn logs_of_the_narrowest_level_with_filters() {
    let tell = tell_logs;
    assert_eq!(tell(&[], CALLING), ["/dev/stdout"]);
    let server = telemetry(
        "mesh",
        "istio-system",
        "{accessLogging: [{match: {mode: SERVER}, providers: [{name: json}]}]}",
    );
    assert_eq!(
        tell(&[&server], CALLING),
        [""; 0],
        "only what is said is logged"
    );
    assert_eq!(tell(&[&server], CALLED), ["/dev/stderr"]);
    let errors = telemetry(
        "errors",
        "default",
        "{accessLogging: [{filter: {expression: 'response.code >= 400'}}]}",
    );
    let want = ["/dev/stdout if response.code >= 400"];
    assert_eq!(
        tell(&[&errors], CALLING),
        want,
        "the default provider, filtered"
    );
    let none = telemetry(
        "none",
        "default",
        "{selector: {matchLabels: {app: productpage}}, accessLogging: [{disabled: true}]}",
    );
    assert_eq!(
        tell(&[&errors, &none], CALLING),
        [""; 0],
        "the workload's own comes last"
    );
    let other = none.replace("productpage", "reviews");
    assert_eq!(tell(&[&errors, &other], CALLING), want);
    let young = telemetry(
        "young",
        "default",
        "{accessLogging: [{providers: [{name: json}]}]}",
    );
    let (young, old) = (
        young.replace(
            "name: young,",
            "name: young, creationTimestamp: 2025-01-01T00:00:00Z,",
        ),
        errors.replace(
            "name: errors,",
            "name: errors, creationTimestamp: 2024-01-01T00:00:00Z,",
        ),
    );
    assert_eq!(
        tell(&[&young, &old], CALLING),
        want,
        "of two the older one counts"
    );
}

#[test]
fn who_cannot_take_telemetry_is_named() {
    let config = mesh_config(PROVIDERS);
    for (spec, reason) in [
        (
            "accessLogging: [{providers: [{name: als}]}]",
            "als: envoyHttpAls is not supported yet",
        ),
        (
            "accessLogging: [{providers: [{name: nobody}]}]",
            "there is no provider nobody",
        ),
        (
            "accessLogging: [{providers: [{name: spans}]}]",
            "spans takes no access logs",
        ),
        (
            "metrics: [{providers: [{name: file}]}]",
            "file takes no metrics",
        ),
        (
            "tracing: [{providers: [{name: spans}]}]",
            "spans are not sent to spans yet",
        ),
    ] {
        let policy = telemetry("t", "default", &format!("{{{spec}}}"));
        let (_, problems) = planned(&[&config, &policy]);
        assert!(
            problems.iter().any(|problem| problem.contains(reason)),
            "{problems:?}"
        );
    }
}

#[test]
fn metrics_by_side_and_level() {
    let settings = |texts: &[&str], name: &str| -> Option<MetricSettings> {
        let found = filters(&planned(texts).0, name);
        found.into_iter().find_map(|filter| match filter {
            HttpFilter::ChangedStats(settings) => Some(settings),
            HttpFilter::IstioStats => Some(MetricSettings::default()),
            _ => None,
        })
    };
    let mesh = telemetry(
        "mesh",
        "istio-system",
        "{metrics: [{overrides: [{tagOverrides: {host: {value: request.host}, path: {value: \
         request.path}}}]}]}",
    );
    let own = telemetry(
        "own",
        "default",
        "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true, \
         tagOverrides: {host: {operation: REMOVE}}}]}]}",
    );
    let found = settings(&[&mesh, &own], CALLING).unwrap();
    assert_eq!(found.changes.len(), 10, "each of Istio's metrics");
    let count = &found.changes["requests_total"];
    assert!(count.dropped);
    assert_eq!(count.tags["host"], None);
    assert_eq!(count.tags["path"].as_ref().unwrap().text(), "request.path");
    let called = settings(&[&mesh, &own], CALLED).unwrap();
    assert!(
        !called.changes["requests_total"].dropped,
        "only where it calls"
    );
    assert_eq!(settings(&[], CALLING), Some(MetricSettings::default()));
    let off = "{metrics: [{overrides: [{match: {metric: ALL_METRICS}, disabled: true}]}]}";
    let off = telemetry("off", "default", off);
    assert_eq!(settings(&[&mesh, &off], CALLING), None, "no filter at all");
    let (_, problems) = planned(&[&mesh, &off]);
    let told = |reason: &str| problems.iter().any(|p| p.contains(reason));
    assert!(
        told("proxies of this mesh count every metric still"),
        "{problems:?}"
    );
}

#[test]
fn spans_by_level() {
    let config = mesh_config(&format!(
        "{PROVIDERS}defaultConfig:\n  tracing: {{sampling: 5, maxPathTagLength: 99, customTags: \
         {{team: {{literal: {{value: shop}}}}}}}}"
    ));
    let tracing = |texts: &[&str]| {
        let (plan, _) = planned(texts);
        manager(&listener(&plan, CALLING).filter_chains[0])
            .tracing
            .clone()
    };
    assert_eq!(
        tracing(&[]).unwrap().random_sampling.parts(),
        10_000,
        "Istio's one percent"
    );
    let found = tracing(&[&config]).unwrap();
    assert_eq!(
        (found.random_sampling.parts(), found.max_path_tag_length),
        (50_000, Some(99))
    );
    assert_eq!(found.tags[0].value, SpanTagValue::Literal("shop".into()));
    let spec = "{tracing: [{providers: [{name: spans}], randomSamplingPercentage: 20, customTags: \
                {id: {header: {name: X-Id}}}}]}";
    let own = telemetry("own", "default", spec);
    let found = tracing(&[&config, &own]).unwrap();
    assert_eq!(found.random_sampling.parts(), 200_000);
    assert_eq!(found.tags.len(), 1, "tags replace tags as a whole");
    let nobody = telemetry(
        "own",
        "default",
        "{tracing: [{randomSamplingPercentage: 20}]}",
    );
    assert_eq!(tracing(&[&config, &nobody]), None, "nobody takes them");
    assert_eq!(tracing(&[&mesh_config("enableTracing: false")]), None);
}

#[test]
fn expressions_are_refused_where_they_are_written() {
    for (spec, place, reason) in [
        (
            "accessLogging: [{filter: {expression: 'response.kode > 1'}}]",
            "spec.accessLogging[0].filter.expression",
            "response.kode is no attribute; did you mean response.code?",
        ),
        (
            "accessLogging: [{filter: {expression: request.path}}]",
            "spec.accessLogging[0].filter.expression",
            "comes to text, where true or false is asked for",
        ),
        (
            "accessLogging: [{filter: {expression: \"response.headers['a'] == 'b'\"}}]",
            "spec.accessLogging[0].filter.expression",
            "response.headers is not kept for logs yet",
        ),
        (
            "metrics: [{overrides: [{tagOverrides: {x: {value: 'request.time'}}}]}]",
            "spec.metrics[0].overrides[0].tagOverrides.x.value",
            "the attribute request.time is not supported yet",
        ),
        (
            "tracing: [{customTags: {x: {}}}]",
            "spec.tracing[0].customTags.x",
            "needs one of literal, environment, header, formatter",
        ),
    ] {
        let text = telemetry("t", "default", &format!("{{{spec}}}"));
        let read = crate::mesh::read("t.yaml", &text, &Default::default());
        assert_eq!(read.resources, [], "{spec}");
        let problem = &read.problems[0];
        assert_eq!(problem.field, place);
        assert!(problem.reason.contains(reason), "{problem}");
    }
}

#[test]
fn settings_of_an_edge() {
    let config = mesh_config(
        "defaultConfig:\n  gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: \
         APPEND_FORWARD}\n  connectionSettings: {profile: EDGE}\n  proxyHeaders: {server: \
         {disabled: true}, requestId: {disabled: true}, forwardedClientCert: SANITIZE}\n  \
         drainDuration: 5s\n  tracng: {}",
    );
    let door = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\n\
                spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: \
                http, protocol: HTTP}, hosts: ['*']}]}\n";
    let town = Town::bookinfo(&[&config, door]);
    let (plan, _) = town.plan(&gateway());
    let edge = manager(&listener(&plan, "0.0.0.0_80").filter_chains[0]);
    assert_eq!(edge.trusted_hops, 2);
    assert_eq!(edge.forward_client_cert, ForwardClientCert::AppendForward);
    assert_eq!(edge.escaped_slashes, EscapedSlashes::UnescapeAndRedirect);
    assert_eq!(edge.max_concurrent_streams, Some(100));
    assert_eq!(edge.server_header, ServerHeader::PassThrough);
    assert!(edge.merge_slashes && !edge.generate_request_id);
    let (plan, _) = town.plan(&town.sidecar("productpage-v1"));
    let called = listener(&plan, CALLED).filter_chains.iter();
    let called = called.filter(|chain| matches!(chain.terminal, Terminal::Http(_)));
    for chain in called {
        let http = manager(chain);
        assert_eq!(http.forward_client_cert, ForwardClientCert::Sanitize);
        assert_eq!((http.trusted_hops, http.max_concurrent_streams), (0, None));
    }
    let (_, problems) = crate::mesh::Mesh::resolve(&town.set, &town.defaults());
    let told: Vec<_> = problems.iter().map(|problem| &*problem.reason).collect();
    assert!(
        told.contains(&"defaultConfig.drainDuration: not supported yet"),
        "{told:?}"
    );
    assert!(
        told.contains(&"defaultConfig.tracng: unknown field"),
        "{told:?}"
    );
    let bounds = |told: &&&str| told.contains("profile: EDGE: buffers of connections");
    assert!(told.iter().any(|told| bounds(&told)), "{told:?}");
}

#[test]
fn what_pods_say_of_their_proxies_is_named() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    \
               proxy.istio.io/config: 'drainDuration: 5s'\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  \
                      template:\n    metadata:\n      annotations:\n        \
                      proxy.istio.io/config: 'concurrency: 1'\n";
    for (text, field, line) in [
        (pod, "metadata.annotations.proxy.istio.io/config", 5),
        (
            deployment,
            "spec.template.metadata.annotations.proxy.istio.io/config",
            7,
        ),
    ] {
        let town = Town::bookinfo(&[text]);
        let (_, problems) = crate::mesh::Mesh::resolve(&town.set, &town.defaults());
        let found = problems.iter().find(|problem| problem.field == field);
        let found = found.unwrap_or_else(|| panic!("{problems:?}"));
        assert_eq!(found.source.line, line, "where annotations begin: {found}");
        assert_eq!(found.reason, "not supported yet");
    }
}

#[test]
fn a_telemetry_that_says_nothing_is_named() {
    let town = Town::bookinfo(&[&telemetry("empty", "default", "{}")]);
    let (_, problems) = crate::mesh::Mesh::resolve(&town.set, &town.defaults());
    let found = problems.iter().find(|problem| problem.field == "spec");
    let found = found.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(
        found.reason,
        "says nothing of tracing, metrics or accessLogging"
    );
}

#[test]
fn limits_come_after_access() {
    let limit = "apiVersion: mesh.local/v1alpha1\nkind: RateLimit\nmetadata: {name: l}\nspec:\n  \
                 selector: {matchLabels: {app: productpage}}\n  mode: DRY_RUN\n  limits:\n  \
                 - {name: callers, requests: 100, per: 1s, burst: 150, keys: [{header: X-Team}], \
                 fairShare: {identity: true}, match: [{paths: [{prefix: /api}]}]}\n";
    let deny = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: d}\n\
                spec: {action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}\n";
    let (plan, problems) = planned(&[limit, deny]);
    assert_eq!(problems, [""; 0]);
    let found = filters(&plan, CALLED);
    let [
        HttpFilter::PeerMetadata,
        HttpFilter::Rbac(_),
        HttpFilter::RateLimit(filter),
        ..,
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    let RateLimitFilter { limits, status, .. } = filter;
    assert_eq!((*status, filter.is_dry_run), (429, true));
    assert_eq!((limits[0].requests, limits[0].burst), (100, 150));
    assert_eq!(limits[0].keys, [LimitKey::Header("x-team".into())]);
    assert_eq!(limits[0].fair_share, Some(LimitKey::Identity));
    let is_limit = |filter: &HttpFilter| matches!(filter, HttpFilter::RateLimit(_));
    assert!(
        !filters(&plan, CALLING).iter().any(is_limit),
        "only where it is called"
    );
}

#[test]
fn limits_that_make_no_sense_are_refused_where_they_are_written() {
    for (limit, place, reason) in [
        ("{}", "spec.limits[0].requests", "is missing"),
        (
            "{requests: 1, per: 0s}",
            "spec.limits[0].per",
            "longer than 0s",
        ),
        (
            "{requests: 1, burst: 0}",
            "spec.limits[0].burst",
            "zero together",
        ),
        (
            "{requests: 1, quota: true, burst: 2}",
            "spec.limits[0].burst",
            "no burst of its own",
        ),
        (
            "{requests: 1, keys: [{}]}",
            "spec.limits[0].keys[0]",
            "exactly one of",
        ),
        (
            "{requests: 1, keys: [{path: true, method: true}]}",
            "spec.limits[0].keys[0]",
            "exactly one of",
        ),
        (
            "{requests: 1, keys: [{header: 'a b'}]}",
            "spec.limits[0].keys[0].header",
            "no name of a header",
        ),
        (
            "{requests: 1, match: [{paths: [{regex: '('}]}]}",
            "spec.limits[0].match[0].paths[0]",
            "is refused",
        ),
        (
            "{requests: 1, priorities: [{leaves: 50}, {leaves: 20}]}",
            "spec.limits[0].priorities[1].leaves",
            "no less than",
        ),
    ] {
        let text = format!(
            "apiVersion: mesh.local/v1alpha1\nkind: RateLimit\nmetadata: {{name: l}}\n\
             spec: {{limits: [{limit}]}}\n"
        );
        let read = crate::mesh::read("l.yaml", &text, &Default::default());
        assert_eq!(read.resources, [], "{limit}");
        assert_eq!(read.problems[0].field, place, "{limit}");
        assert!(
            read.problems[0].reason.contains(reason),
            "{}",
            read.problems[0]
        );
    }
}

#[test]
fn a_telemetry_with_a_target_is_refused() {
    let text = telemetry("t", "default", "{targetRefs: [{kind: Gateway, name: g}]}");
    let read = crate::mesh::read("t.yaml", &text, &Default::default());
    assert_eq!(read.resources, []);
    assert_eq!(read.problems[0].field, "spec.targetRefs");
    assert!(read.problems[0].reason.contains("dangerous to leave out"));
}

#[test]
fn what_proxies_are_started_with_is_named() {
    let text = "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: p}\n\
                spec: {concurrency: 2, image: {imageType: distroless}}\n";
    let town = Town::bookinfo(&[text]);
    let (_, problems) = crate::mesh::Mesh::resolve(&town.set, &town.defaults());
    let told = problems
        .iter()
        .map(|problem| (&*problem.field, &*problem.reason));
    let told: Vec<_> = told.collect();
    assert!(
        told.contains(&("spec.concurrency", "not supported yet")),
        "{told:?}"
    );
    assert!(
        told.contains(&("spec.image", "not supported yet")),
        "{told:?}"
    );
}
