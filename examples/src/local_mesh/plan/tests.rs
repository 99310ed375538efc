use mesh_core::config::parse;

use super::*;
use crate::bookinfo::Kind;

fn set(text: &str) -> ConfigSet {
    let parsed = parse("shop.yaml", text);
    assert_eq!(parsed.problems, []);
    ConfigSet::default().replace_file("shop.yaml", &parsed).0
}

fn deployment(name: &str, more: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  {more}\n  \
         selector: {{ matchLabels: {{ app: web }} }}\n  template:\n    \
         metadata: {{ labels: {{ app: web }} }}\n    spec:\n      serviceAccountName: web\n      \
         containers: [{container}]\n---\n"
    )
}

const RATINGS: &str =
    "{ name: r, image: x/examples-bookinfo-ratings-v1:1, ports: [{ containerPort: 9080 }] }";

fn plan(text: &str) -> Wanted {
    wanted(&set(text), &Images::default())
}

#[test]
fn every_replica_is_a_pod_with_a_name_of_its_own() {
    let found = plan(&deployment("ratings-v1", "replicas: 3", RATINGS));
    assert_eq!(found.pods.len(), 3);
    for (key, pod) in &found.pods {
        let hash = pod.labels.value("pod-template-hash").unwrap();
        assert_eq!((key.namespace.as_str(), hash.len()), ("default", 10));
        let id = key
            .name
            .strip_prefix(&format!("ratings-v1-{hash}-"))
            .unwrap();
        assert_eq!(id.len(), 5, "{}", key.name);
        assert_eq!(
            (&*pod.workload, &*pod.service_account),
            ("ratings-v1", "web")
        );
        assert_eq!(pod.labels.value("security.istio.io/tlsMode"), Some("istio"));
        assert_eq!(pod.containers[0].program, Program::Bookinfo(Kind::Ratings));
        assert_eq!(pod.ports(), [9080].into());
    }
}

#[test]
fn names_follow_from_what_runs() {
    let names = |text: &str| plan(text).pods.into_keys().collect::<Vec<_>>();
    let two = names(&deployment("a", "replicas: 2", RATINGS));
    assert_eq!(two, names(&deployment("a", "replicas: 2", RATINGS)));
    let three = names(&deployment("a", "replicas: 3", RATINGS));
    assert!(
        two.iter().all(|name| three.contains(name)),
        "{two:?} {three:?}"
    );
    let other = RATINGS.replace("9080", "9081");
    let changed = names(&deployment("a", "replicas: 2", &other));
    assert!(two.iter().all(|name| !changed.contains(name)));
}

#[test]
fn an_unknown_image_leaves_its_deployment_out() {
    let stranger = RATINGS.replace("examples-bookinfo-ratings-v1", "mysqldb");
    let both = deployment("db", "replicas: 1", &stranger) + &deployment("ok", "", RATINGS);
    let found = plan(&both);
    let unknown = UnknownImage {
        deployment: ResourceRef::new("apps", "Deployment", "default", "db"),
        image: "x/mysqldb:1".into(),
    };
    assert_eq!(found.unknown, [unknown]);
    assert_eq!(found.pods.len(), 1);
}

#[test]
fn ports_are_those_declared_and_those_services_call() {
    let service = |target: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ name: web }}\n\
             spec: {{ selector: {{ app: web }}, ports: [{{ port: 80{target} }}] }}\n---\n"
        )
    };
    let check = |service: String, container: &str, expected: &[u16]| {
        let found = plan(&(service + &deployment("web", "", container)));
        let pod = found.pods.values().next().unwrap();
        assert_eq!(pod.containers[0].ports, expected, "{container}");
        let declared = pod.spec.containers[0].ports.iter();
        let declared: Vec<_> = declared.map(|port| port.container_port).collect();
        assert_eq!(declared, expected, "{container}");
    };
    let bare = "{ name: r, image: x/examples-bookinfo-ratings-v1 }";
    check(service(""), bare, &[80]);
    check(service(", targetPort: 9080"), bare, &[9080]);
    check(service(", targetPort: 9080"), RATINGS, &[9080]);
    check(service(", targetPort: 7000"), RATINGS, &[9080, 7000]);
    check(service(", targetPort: http"), RATINGS, &[9080]);
}

#[test]
fn variables_are_told_what_they_ask_of_the_pod() {
    let with = |source: &str| {
        let env = format!(", env: [{{ name: V, valueFrom: {{ {source} }} }}] }}");
        plan(&deployment(
            "web",
            "",
            &RATINGS.replace("] }", &format!("]{env}")),
        ))
    };
    let field = |path: &str| with(&format!("fieldRef: {{ fieldPath: \"{path}\" }}"));
    for (path, expected) in [
        ("metadata.name", None),
        ("metadata.namespace", Some("default")),
        ("metadata.labels['app']", Some("web")),
        ("metadata.labels['none']", Some("")),
        ("spec.serviceAccountName", Some("web")),
        ("spec.nodeName", Some("local")),
        ("status.podIP", Some("127.9.1.2")),
        ("status.podIPs", Some("127.9.1.2")),
        ("status.hostIP", Some("127.0.0.1")),
    ] {
        let found = field(path);
        assert_eq!(found.unmet, [], "{path}");
        let pod = found.pods.values().next().unwrap();
        let value = pod.containers[0].env["V"].of(pod, Ipv4Addr::new(127, 9, 1, 2));
        assert_eq!(value, expected.unwrap_or(&pod.key.name), "{path}");
    }
    let in_vain = "V is not set: a local mesh";
    let from_elsewhere = "takes values from fieldRef only";
    for (found, part, reason) in [
        (
            field("metadata.uid"),
            ".fieldRef.fieldPath",
            "does not know \"metadata.uid\" of a pod",
        ),
        (
            with("secretKeyRef: { name: s, key: k }"),
            ".secretKeyRef",
            from_elsewhere,
        ),
        (
            with("configMapKeyRef: { name: c, key: k }"),
            ".configMapKeyRef",
            from_elsewhere,
        ),
        (
            with("resourceFieldRef: { resource: limits.cpu }"),
            ".resourceFieldRef",
            from_elsewhere,
        ),
    ] {
        let pod = found.pods.values().next().unwrap();
        assert_eq!(pod.containers[0].env, BTreeMap::new(), "{part}");
        let [problem] = &found.unmet[..] else {
            panic!("{part}: {:?}", found.unmet);
        };
        let place = "spec.template.spec.containers[0].env[0].valueFrom";
        assert_eq!(problem.field, format!("{place}{part}"));
        assert_eq!(problem.reason, format!("{in_vain} {reason}"));
        assert_eq!(&*problem.resource.as_ref().unwrap().name, "web");
    }
}

#[test]
fn the_mesh_is_told_of_a_pod_before_it_is_ready() {
    let found = plan(&deployment("ratings-v1", "", RATINGS));
    let plan = found.pods.values().next().unwrap();
    for is_ready in [false, true] {
        let resource = plan.resource(Ipv4Addr::new(127, 9, 1, 2), is_ready);
        assert_eq!(*resource.reference.name, *plan.key.name);
        let Spec::Pod(pod) = &resource.spec else {
            panic!("{resource:?}");
        };
        assert_eq!(pod.status.pod_ip, "127.9.1.2");
        assert_eq!(pod.status.is_ready(), is_ready);
        assert_eq!(pod.spec.service_account(), "web");
    }
}
