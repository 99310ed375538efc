//! What is remembered is what would be planned anew.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use super::town::{Town, gateway};
use crate::{
    config::{Change, Spec, kubernetes::PodCondition},
    dataplane::{Node, Snapshot},
    mesh::Mesh,
    name::Locality,
    plan::{PlanOptions, Planner, plan},
};

/// Resources that come, change and go.
fn written() -> Vec<&'static str> {
    include_str!("edits.yaml").split("---\n").collect()
}

/// A step: what is written comes or goes, or a pod changes.
#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Remove(usize),
    Ready(usize, bool),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..written().len()).prop_map(Step::Write),
        2 => (0..written().len()).prop_map(Step::Remove),
        2 => (0..6_usize, any::<bool>()).prop_map(|(pod, ready)| Step::Ready(pod, ready)),
        1 => (0..6_usize).prop_map(Step::Leave),
    ]
}

fn take(town: &mut Town, step: &Step) {
    let read = |index: &usize| {
        let parsed = crate::config::parse("edited.yaml", written()[*index]);
        assert_eq!(parsed.problems, []);
        parsed.resources[0].clone()
    };
    let pods: Vec<_> = town
        .set
        .iter()
        .filter(|r| matches!(r.spec, Spec::Pod(_)))
        .collect();
    let pod = |index: &usize| pods.get(*index).copied();
    let change = match step {
        Step::Write(index) => Some(Change::Put(read(index))),
        Step::Remove(index) => Some(Change::Remove(read(index).reference.clone())),
        Step::Leave(index) => pod(index).map(|pod| Change::Remove(pod.reference.clone())),
        Step::Ready(index, is_ready) => pod(index).map(|pod| {
            let mut pod = (**pod).clone();
            if let Spec::Pod(spec) = &mut pod.spec {
                spec.status.conditions = vec![PodCondition {
                    kind: "Ready".into(),
                    status: if *is_ready { "True" } else { "False" }.into(),
                }];
            }
            Change::Put(Arc::new(pod))
        }),
    };
    town.set = town.set.apply(change);
}

fn nodes(town: &Town) -> Vec<Node> {
    let deployments = [
        "productpage-v1",
        "reviews-v1",
        "reviews-v2",
        "ratings-v1",
        "details-v1",
    ];
    let mut nodes: Vec<_> = deployments.iter().map(|name| town.sidecar(name)).collect();
    let elsewhere = Node {
        namespace: "elsewhere".into(),
        locality: Locality {
            region: "r".into(),
            ..Locality::default()
        },
        http_proxy_port: None,
        ..nodes[0].clone()
    };
    nodes.extend([elsewhere, gateway()]);
    nodes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After any edits, one by one, every node gets what it would get from nothing.
    #[test]
    fn what_is_remembered_is_what_is_planned_anew(steps in vec(vec(step(), 1..3), 1..7)) {
        let mut town = Town::bookinfo(&[]);
        let nodes = nodes(&town);
        let defaults = town.defaults();
        let mut planner = Planner::default();
        let mut mesh = town.mesh();
        for edits in steps {
            for edit in &edits {
                take(&mut town, edit);
            }
            let (anew, problems) = Mesh::resolve(&town.set, &defaults);
            let fast = mesh.with_instances(&town.set);
            mesh = match fast {
                Some(mesh) => mesh,
                None => {
                    let (next, found) = mesh.next(&town.set, &defaults);
                    prop_assert_eq!(&found, &problems);
                    next
                }
            };
            for node in &nodes {
                let options = PlanOptions::default();
                let (snapshot, problems) = planner.plan(&mesh, node, &options);
                let (wanted, found) = plan(&anew, node, &options);
                prop_assert_eq!(&*snapshot, &wanted);
                prop_assert_eq!(problems, found);
            }
        }
    }
}

/// Plans for a node before and after edits, by one planner.
fn before_and_after(deployment: &str, edits: &[Step]) -> (Arc<Snapshot>, Arc<Snapshot>) {
    let mut town = Town::bookinfo(&[]);
    let node = town.sidecar(deployment);
    let mesh = town.mesh();
    let mut planner = Planner::default();
    let options = PlanOptions::default();
    let before = planner.plan(&mesh, &node, &options).0;
    for edit in edits {
        take(&mut town, edit);
    }
    let fast = mesh.with_instances(&town.set);
    let mesh = fast.unwrap_or_else(|| mesh.next(&town.set, &town.defaults()).0);
    (before, planner.plan(&mesh, &node, &options).0)
}

#[test]
fn what_does_not_concern_a_proxy_leaves_its_plan_in_place() {
    let other = 9;
    let (before, after) = before_and_after("productpage-v1", &[Step::Write(other)]);
    assert!(
        Arc::ptr_eq(&before, &after),
        "who may call details is none of its business"
    );
    let (before, after) = before_and_after("details-v1", &[Step::Write(other)]);
    assert!(!Arc::ptr_eq(&before, &after));
}
