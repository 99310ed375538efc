use std::time::Duration;

use mesh_core::{config::parse, name::ResourceRef};

use super::*;
use crate::local_mesh::PodKey;

fn config(files: &[(&str, &str)]) -> ConfigSet {
    files
        .iter()
        .fold(ConfigSet::default(), |set, (name, text)| {
            set.replace_file(name, &parse(name, text)).0
        })
}

fn rules(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{ name: {name} }}\nspec: {spec}\n"
    )
}

const DOOR: &str = "{ hosts: ['*'], gateways: [g], http: [{ match: [{ uri: { exact: / } }, \
                    { uri: { exact: /shop } }], route: [{ destination: { host: a } }] }] }";
const SPLIT: &str = "{ hosts: [b], http: [{ route: [{ destination: { host: b, subset: v1 }, weight: 80 }, \
                     { destination: { host: b, subset: v2 }, weight: 20 }] }] }";
const PLAIN: &str = "{ hosts: [a], http: [{ route: [{ destination: { host: a } }] }] }";

fn pod(workload: &str) -> PodFacts {
    let key = PodKey {
        namespace: "default".into(),
        name: format!("{workload}-x"),
    };
    PodFacts {
        key,
        workload: workload.into(),
        address: [127, 1, 1, 2].into(),
        admin: ([127, 1, 1, 2], 15000).into(),
        identity: "spiffe://cluster.local/ns/default/sa/web".parse().unwrap(),
        serial: "00112233445566778899".into(),
        expires: SystemTime::UNIX_EPOCH + Duration::from_secs(86_400),
    }
}

#[test]
fn an_account_says_what_runs_and_what_to_do() {
    let (door, split) = (rules("door", DOOR), rules("split", SPLIT));
    let config = config(&[("door.yaml", &door), ("split.yaml", &split)]);
    let unknown = UnknownImage {
        deployment: ResourceRef::new("apps", "Deployment", "default", "db"),
        image: "mysql:8".into(),
    };
    let facts = Account {
        pods: &[pod("web-v1")],
        unknown: &[unknown],
        gateways: &[([127, 0, 0, 1], 8080).into()],
        control_plane: ([127, 1, 0, 1], 15012).into(),
        config: &config,
        is_brief: false,
        logs: Some("/logs".into()),
        now: SystemTime::UNIX_EPOCH,
    };
    let text = account(Paint::Plain, &facts);
    for expected in [
        "A mesh of 1 proxied workload, one process, control plane at 127.1.0.1:15012\n",
        "  web-v1    127.1.1.2  http://127.1.1.2:15000  web-v1-x\n",
        "Identities issued, all of spiffe://cluster.local/\n",
        "  ns/default/sa/web  web-v1   66778899... 24 h\n",
        "Deployment default/db has no running instance: no program for mysql:8\n",
        "  Open      http://127.0.0.1:8080/shop\n",
        "  Edit      split.yaml and save",
        "  Logs      /logs ",
        "  Stop      Ctrl-C\n",
    ] {
        let expected = expected.replace("... ", "  ");
        assert!(text.contains(&expected), "{expected:?} in\n{text}");
    }
    let brief = account(
        Paint::Plain,
        &Account {
            is_brief: true,
            ..facts.clone()
        },
    );
    assert!(brief.contains("  Logs "), "{brief}");
    for absent in ["  Open ", "  Edit ", "  Stop "] {
        assert!(!brief.contains(absent), "{absent:?} in\n{brief}");
    }
    assert!(!text.contains('\u{1b}'), "no colour was asked for");
    assert!(account(Paint::Colour, &facts).contains('\u{1b}'));
}

#[test]
fn the_file_to_edit_is_the_one_that_splits_traffic() {
    let check = |files: &[(&str, &str)], expected: Option<&str>| {
        let texts: Vec<_> = files
            .iter()
            .map(|(name, spec)| (*name, rules(name, spec)))
            .collect();
        let texts: Vec<_> = texts
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        assert_eq!(file_to_edit(&config(&texts)), expected, "{files:?}");
    };
    check(&[], None);
    check(&[("door", DOOR)], Some("door"));
    check(&[("plain", PLAIN), ("door", DOOR)], Some("plain"));
    check(
        &[("split", SPLIT), ("door", DOOR), ("plain", PLAIN)],
        Some("split"),
    );
}
