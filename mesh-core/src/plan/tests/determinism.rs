use std::path::Path;

use proptest::{prelude::*, sample::Index};

use super::town::{Town, gateway};
use crate::config::{Change, ConfigSet, parse};

/// Files of our bookinfo that together use most of what is planned.
const FILES: [&str; 5] = [
    "bookinfo.yaml",
    "destination-rules.yaml",
    "gateway.yaml",
    "reviews.yaml",
    "security.yaml",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The order in which resources were put in place leaves no trace in a plan.
    #[test]
    fn order_leaves_no_trace(swaps in prop::collection::vec(any::<(Index, Index)>(), 0..40)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookinfo");
        let ordered = Town::of(&folder, &FILES, &[]);
        let mut resources: Vec<_> = ordered.set.iter().cloned().collect();
        for (a, b) in swaps {
            let (a, b) = (a.index(resources.len()), b.index(resources.len()));
            resources.swap(a, b);
        }
        let changes = resources.into_iter().map(Change::Put);
        let shuffled = Town { set: ConfigSet::default().apply(changes), gives_addresses: true };
        for node in [ordered.sidecar("reviews-v1"), gateway()] {
            let (a, b) = (ordered.plan(&node), shuffled.plan(&node));
            prop_assert_eq!(&a, &b);
            let bytes = |plan| serde_json::to_vec(plan).unwrap();
            prop_assert_eq!(bytes(&a.0), bytes(&b.0));
        }
    }

    /// Whatever parses can be planned, and nothing is planned twice in one place.
    #[test]
    fn whatever_parses_can_be_planned(
        port in 1u16..,
        name in "(http|tcp|tls|grpc|udp|x)?(-[a-z]{0,3})?",
        ip in "(None|10\\.0\\.0\\.[1-9]|)",
        mode in "(PERMISSIVE|STRICT|DISABLE)",
    ) {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec:\n  clusterIP: '{ip}'\n  \
             selector: {{app: reviews}}\n  ports: [{{port: {port}, name: '{name}'}}]\n---\n\
             apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: m}}\n\
             spec: {{mtls: {{mode: {mode}}}}}\n"
        );
        prop_assume!(parse("x", &text).problems.is_empty());
        let town = Town::bookinfo(&[&text]);
        for deployment in ["reviews-v1", "productpage-v1"] {
            let (plan, _) = town.plan(&town.sidecar(deployment));
            for listener in &plan.listeners {
                let chains = &listener.filter_chains;
                for (i, chain) in chains.iter().enumerate() {
                    let again = chains[..i].iter().any(|before| before.matches == chain.matches);
                    prop_assert!(!again, "{} {:?}", listener.name, chain.matches);
                }
            }
            let wanted: Vec<_> = plan.wanted_routes().collect();
            prop_assert!(wanted.iter().all(|name| plan.routes.contains_key(*name)));
            prop_assert!(plan.wanted_endpoints().all(|name| plan.endpoints.contains_key(name)));
            for table in plan.routes.values() {
                let mut domains: Vec<_> =
                    table.virtual_hosts.iter().flat_map(|host| &host.domains).collect();
                let all = domains.len();
                domains.sort();
                domains.dedup();
                prop_assert_eq!(all, domains.len(), "{}", &table.name);
            }
        }
    }
}
