use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::Arc};

use mesh_core::{
    config::{Change, ConfigSet, Resource, Spec, kubernetes, parse},
    dataplane::{Node, NodeKind},
    identity::{SpiffeId, TrustDomain},
    mesh::{Mesh, MeshDefaults, WorkloadAddress},
    name::{IpNetwork, Labels, Locality},
    plan::{PlanOptions, plan},
};

use super::{Party, Script};

/// Our bookinfo, with files of its folder and further texts in place of what they name.
fn parties(files: &[&str], texts: &[&str]) -> Vec<Party> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bookinfo");
    let read = |file: &&str| std::fs::read_to_string(folder.join(file)).expect(file);
    let mut set = ConfigSet::default();
    let written = files
        .iter()
        .map(read)
        .chain(texts.iter().map(ToString::to_string));
    for (index, text) in written.enumerate() {
        let file = format!("{index:02}.yaml");
        set = set.replace_file(&file, &parse(&file, &text)).0;
    }
    let set = set.apply(pods(&set));
    let defaults = MeshDefaults {
        virtual_addresses: IpNetwork::parse("127.254.0.0/16"),
        ..MeshDefaults::default()
    };
    let mesh = Mesh::resolve(&set, &defaults).0;
    let sidecars = mesh.endpoints().workloads().iter().map(|pod| {
        let WorkloadAddress::Ip(ip) = pod.addresses[0] else {
            unreachable!("pods have addresses");
        };
        Node {
            kind: NodeKind::Sidecar,
            service_account: pod.service_account.to_string(),
            http_proxy_port: Some(15080),
            labels: pod.labels.clone(),
            ..node("default", pod.reference.name.trim_end_matches("-0"), ip)
        }
    });
    let gateway = Node {
        kind: NodeKind::Gateway,
        service_account: "istio-ingressgateway-service-account".into(),
        labels: [("istio", "ingressgateway")].into_iter().collect(),
        ..node(
            "istio-system",
            "istio-ingressgateway",
            [127, 9, 0, 1].into(),
        )
    };
    sidecars
        .chain([gateway])
        .map(|node| party(&mesh, node))
        .collect()
}

fn party(mesh: &Mesh, node: Node) -> Party {
    let snapshot = Arc::new(plan(mesh, &node, &PlanOptions::default()).0);
    let domain = TrustDomain::default();
    let identity =
        SpiffeId::for_service_account(&domain, &node.namespace, &node.service_account).ok();
    let listeners = snapshot.listeners.iter();
    let listening = listeners
        .map(|listener| {
            (
                listener.name.clone(),
                (node.addresses[0], listener.address.port()).into(),
            )
        })
        .collect();
    Party {
        node,
        identity,
        snapshot,
        listening,
    }
}

fn node(namespace: &str, workload: &str, ip: IpAddr) -> Node {
    Node {
        kind: NodeKind::Sidecar,
        addresses: vec![ip],
        name: format!("{workload}-0"),
        namespace: namespace.into(),
        service_account: String::new(),
        workload: workload.into(),
        labels: Labels::default(),
        locality: Locality::default(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

fn pods(set: &ConfigSet) -> Vec<Change> {
    let deployments = set.iter().filter_map(|resource| match &resource.spec {
        Spec::Deployment(deployment) => Some((resource, deployment)),
        _ => None,
    });
    let pod = |(index, (resource, written)): (usize, (&Arc<Resource>, &kubernetes::Deployment))| {
        let template = &written.spec.template;
        let mut labels: BTreeMap<String, String> = template
            .metadata
            .labels
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        labels.insert("security.istio.io/tlsMode".into(), "istio".into());
        let mut pod = kubernetes::Pod {
            spec: template.spec.clone(),
            ..kubernetes::Pod::default()
        };
        pod.status.pod_ip = format!("127.1.0.{}", index + 1);
        let name = format!("{}-0", resource.reference.name);
        let labels: Labels = labels.into_iter().collect();
        let resource = Resource::in_memory("default", &name, labels, Spec::Pod(pod));
        Change::Put(Arc::new(resource))
    };
    deployments.enumerate().map(pod).collect()
}

/// `rule, from → to: expected`, of checks from this caller.
fn lines(script: &Script, from: &str) -> Vec<String> {
    let checks = script.checks.iter().filter(|check| check.from == from);
    checks
        .map(|check| {
            let expected = check.promise();
            format!("{} → {}: {expected}", check.rule, check.to)
        })
        .collect()
}

const SHOP: [&str; 2] = ["bookinfo.yaml", "destination-rules.yaml"];

#[track_caller]
fn check(files: &[&str], texts: &[&str], from: &str, want: &[&str]) {
    let files: Vec<_> = SHOP.into_iter().chain(files.iter().copied()).collect();
    let script = Script::of(&parties(&files, texts));
    assert_eq!(script.skipped, []);
    let found = lines(&script, from);
    for line in want {
        assert!(
            found.iter().any(|found| found == line),
            "{line}: {found:#?}"
        );
    }
}

#[test]
fn every_rule_is_asked_from_who_calls_there() {
    let plain = [
        "no rule → details: details-v1",
        "no rule → reviews: reviews-v1 or reviews-v2 or reviews-v3",
    ];
    check(&[], &[], "productpage-v1", &plain);
    check(&[], &[], "reviews-v2", &["no rule → ratings: ratings-v1"]);
    let edge = [
        "bookinfo[1] /productpage → productpage: productpage-v1",
        "bookinfo[2] /static* → productpage: productpage-v1",
        "any other path → nobody: 404 NR no route",
    ];
    check(&["gateway.yaml"], &[], "gateway", &edge);
}

#[test]
fn shares_and_faults_are_what_rules_say() {
    let task = |name: &str| format!("tasks/virtual-service-{name}.yaml");
    let split = ["reviews[0] → reviews: 80 % reviews-v1, 20 % reviews-v2"];
    check(&[&task("reviews-80-20")], &[], "productpage-v1", &split);
    let abort = [
        "ratings[0] end-user=jason → ratings: 500 aborted",
        "ratings[1] → ratings: ratings-v1",
    ];
    check(&[&task("ratings-test-abort")], &[], "reviews-v2", &abort);
    let delay = ["ratings[0] end-user=jason → ratings: after 7 s, ratings-v1"];
    check(&[&task("ratings-test-delay")], &[], "reviews-v2", &delay);
    let missing = ["ratings[0] → ratings: 503 UH no healthy upstream"];
    check(&[&task("ratings-db")], &[], "reviews-v2", &missing);
}

#[test]
fn policies_are_asked_from_both_sides() {
    let security = "security.yaml";
    let refused = ["clear text → reviews-v1: closed"];
    check(&[security], &[], "details-v1", &refused);
    let welcome = ["no rule → details: details-v1"];
    check(&[security], &[], "productpage-v1", &welcome);
    let script = Script::of(&parties(&[SHOP[0], SHOP[1], security], &[]));
    for service in ["details", "ratings", "reviews", "productpage"] {
        let denied = script
            .checks
            .iter()
            .find(|check| check.to == service && check.promise().contains("RBAC"));
        assert!(denied.is_some(), "{service}");
    }
}

/// What only some requests can meet is asked with such a request, or told not to be asked.
#[test]
fn conditions_of_any_kind_are_met() {
    let rules = |http: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: r }}\n\
             spec: {{ hosts: [details], http: {http} }}\n"
        )
    };
    let route = "route: [{ destination: { host: details } }]";
    let check_rules = |http: &str, want: &[&str]| {
        check(&[], &[&rules(http)], "productpage-v1", want);
    };
    check_rules(
        &format!(
            "[{{ match: [{{ uri: {{ regex: '/d/[0-9]+(/x)?' }}, method: {{ exact: POST }} }}], {route} }}, \
              {{ match: [{{ withoutHeaders: {{ a: {{ exact: b }} }} }}], {route} }}, \
              {{ match: [{{ queryParams: {{ q: {{ prefix: x }} }}, headers: {{ c: {{ regex: '.*k.*' }} }} }}], \
                 redirect: {{ uri: /there, redirectCode: 302 }} }}, \
              {{ directResponse: {{ status: 418 }} }}]"
        ),
        &[
            "r[0] ~/d/[0-9]+(/x)? :method=POST → details: details-v1",
            "r[1] !a=b → details: details-v1",
            "r[2] c~.*k.* ?q=x* → details: 302 to http://details:9080/there?q=x",
            "r[3] → details: 418 by the rule",
        ],
    );
}
