//! What a change of configuration changes.

use mesh_core::{
    config::ConfigSet,
    mesh::{
        Call, Caller, Mesh, MeshDefaults, Question, assumed_virtual_addresses, read,
        with_assumed_pods,
    },
};
use mesh_routing::simulation::{Diff, DiffLimits, Simulation, diff};
use proptest::prelude::*;

const TOWN: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec: {selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: page}
spec:
  selector: {matchLabels: {app: page}}
  template: {metadata: {labels: {app: page}}, spec: {serviceAccountName: page}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1}
spec:
  selector: {matchLabels: {app: reviews, version: v1}}
  template: {metadata: {labels: {app: reviews, version: v1}}, spec: {serviceAccountName: reviews}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2}
spec:
  selector: {matchLabels: {app: reviews, version: v2}}
  template: {metadata: {labels: {app: reviews, version: v2}}, spec: {serviceAccountName: reviews}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ratings-v1}
spec:
  selector: {matchLabels: {app: ratings}}
  template: {metadata: {labels: {app: ratings}}, spec: {serviceAccountName: ratings}}
";

const RULES: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {prefix: /static}}]
    route: [{destination: {host: reviews, subset: v1}}]
    timeout: 5s
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 50}
    - {destination: {host: reviews, subset: v2}, weight: 50}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ratings}
spec:
  selector: {matchLabels: {app: ratings}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/reviews]}}]
    to: [{operation: {methods: [GET], paths: [/ratings/*]}}]
";

fn simulation(texts: &[&str]) -> Simulation {
    let defaults = MeshDefaults {
        virtual_addresses: Some(assumed_virtual_addresses()),
        ..MeshDefaults::default()
    };
    let mut set = ConfigSet::default();
    for (i, text) in texts.iter().enumerate() {
        let name = format!("{i}.yaml");
        let parsed = read(&name, text, &defaults);
        assert_eq!(parsed.problems, [], "{text}");
        set = set.replace_file(&name, &parsed).0;
    }
    let set = with_assumed_pods(&set, &defaults);
    Simulation::new(Mesh::resolve(&set, &defaults).0)
}

fn compare(old: &[&str], new: &[&str]) -> Diff {
    diff(&simulation(old), &simulation(new), DiffLimits::default())
}

/// The rules with some text replaced.
fn edited(old: &str, new: &str) -> String {
    assert!(RULES.contains(old), "{old:?} is not in the rules");
    RULES.replacen(old, new, 1)
}

#[test]
fn spelling_changes_nothing() {
    let full = "reviews.default.svc.cluster.local";
    let halves = RULES.split_once("---\n").unwrap();
    let backwards: Vec<_> = RULES.rsplit("---\n").collect();
    let backwards = backwards.join("---\n");
    let named = edited("  - match: [{uri", "  - name: static\n    match: [{uri");
    for (what, new) in [
        ("itself", vec![TOWN, RULES]),
        (
            "another version",
            vec![TOWN, &RULES.replace("istio.io/v1", "istio.io/v1beta1")],
        ),
        (
            "whole hosts",
            vec![
                TOWN,
                &RULES.replace("host: reviews", &format!("host: {full}")),
            ],
        ),
        (
            "a whole host",
            vec![
                TOWN,
                &edited("hosts: [reviews]", &format!("hosts: [{full}]")),
            ],
        ),
        ("two files", vec![TOWN, halves.0, halves.1]),
        ("another order of resources", vec![&backwards, TOWN]),
        (
            "smaller weights",
            vec![TOWN, &RULES.replace("weight: 50", "weight: 1")],
        ),
        (
            "another order of keys",
            vec![
                TOWN,
                &edited(
                    "{name: v1, labels: {version: v1}}",
                    "{labels: {version: v1}, name: v1}",
                ),
            ],
        ),
        (
            "another order of shares",
            vec![
                TOWN,
                &RULES
                    .replace("subset: v1}, weight", "subset: v0}, weight")
                    .replace("subset: v2}, weight", "subset: v1}, weight")
                    .replace("subset: v0}, weight", "subset: v2}, weight"),
            ],
        ),
        ("a named rule", vec![TOWN, &named]),
    ] {
        let found = compare(&[TOWN, RULES], &new);
        assert!(found.is_empty(), "{what}: {found}");
        assert!(found.asked > 20, "{what}: {found}");
    }
}

#[test]
fn what_is_meant_is_found() {
    const REVIEWS: &str = "http://reviews.default.svc.cluster.local:9080";
    const RATINGS: &str = "http://ratings.default.svc.cluster.local:9080";
    for (old, new, target, source, aspect, request) in [
        (
            "weight: 50}",
            "weight: 100}",
            REVIEWS,
            "default/page",
            "weights",
            "GET /",
        ),
        (
            "exact: jason",
            "exact: jane",
            REVIEWS,
            "default/page",
            "weights",
            "end-user: jason",
        ),
        (
            "exact: jason",
            "exact: jane",
            REVIEWS,
            "default/page",
            "weights",
            "end-user: jane",
        ),
        (
            "timeout: 5s",
            "timeout: 6s",
            REVIEWS,
            "default/page",
            "rule.action.forward.timeout",
            "/static*",
        ),
        (
            "prefix: /static",
            "prefix: /stat",
            REVIEWS,
            "default/page",
            "weights",
            "/stat*",
        ),
        (
            "    timeout: 5s",
            "    fault: {abort: {httpStatus: 500, percentage: {value: 10}}}\n    timeout: 5s",
            REVIEWS,
            "default/page",
            "rule.fault.abort",
            "/static*",
        ),
        (
            "    timeout: 5s",
            "    mirror: {host: ratings}\n    timeout: 5s",
            REVIEWS,
            "default/page",
            "rule.action.forward.mirrors",
            "/static*",
        ),
        (
            "    timeout: 5s",
            "    rewrite: {uri: /files}\n    timeout: 5s",
            REVIEWS,
            "default/page",
            "delivered",
            "/static*",
        ),
        (
            "    timeout: 5s",
            "    retries: {attempts: 7}\n    timeout: 5s",
            REVIEWS,
            "default/page",
            "rule.action.forward.retry.num_retries",
            "/static*",
        ),
        (
            "sa/reviews]",
            "sa/page]",
            RATINGS,
            "default/page",
            "ends",
            "/ratings/*",
        ),
        (
            "sa/reviews]",
            "sa/page]",
            RATINGS,
            "default/reviews-v1",
            "ends",
            "/ratings/*",
        ),
        (
            "methods: [GET]",
            "methods: [GET, POST]",
            RATINGS,
            "default/reviews-v1",
            "ends",
            "POST",
        ),
        (
            "mode: STRICT",
            "mode: PERMISSIVE",
            REVIEWS,
            "outside",
            "ends",
            "GET",
        ),
        (
            "  host: reviews\n",
            "  host: reviews\n  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}\n",
            REVIEWS,
            "default/page",
            "cluster ",
            "GET",
        ),
        (
            "labels: {version: v2}",
            "labels: {version: v3}",
            REVIEWS,
            "default/page",
            "ends",
            "end-user: jason",
        ),
    ] {
        let found = compare(&[TOWN, RULES], &[TOWN, &edited(old, new)]);
        let is_found = found.classes.iter().any(|class| {
            class.target == target
                && class.sources.iter().any(|one| one == source)
                && class
                    .changes
                    .iter()
                    .any(|change| change.aspect.contains(aspect))
                && class.requests.iter().any(|label| label.contains(request))
        });
        assert!(is_found, "{old} -> {new}: {found}");
        assert_eq!((found.gone.len(), found.added.len()), (0, 0));
    }
    let town = TOWN.replace("name: page}\nspec", "name: other}\nspec");
    let found = compare(&[TOWN, RULES], &[&town, RULES]);
    assert_eq!(
        (&*found.gone, &*found.added),
        (
            &["default/page".to_owned()][..],
            &["default/other".to_owned()][..]
        )
    );
}

/// What changes is told with both rules.
#[test]
fn differences_name_their_rules() {
    let found = compare(
        &[TOWN, RULES],
        &[TOWN, &edited("timeout: 5s", "timeout: 6s")],
    );
    let [class] = &found.classes[..] else {
        panic!("{found}");
    };
    assert_eq!(
        class.old_rules[0],
        "1.yaml:9: VirtualService default/reviews spec.http[1]"
    );
    assert_eq!(class.requests.len(), found.classes[0].requests.len());
    let text = found.to_string();
    assert!(
        text.contains("rule.action.forward.timeout: 5s -> 6s"),
        "{text}"
    );
    assert!(text.ends_with("requests asked of both)\n"), "{text}");
}

#[test]
fn limits_are_named_when_they_are_reached() {
    let limits = DiffLimits {
        requests_of_target: 2,
        requests: 20,
    };
    let one = simulation(&[TOWN, RULES]);
    let found = diff(&one, &one, limits);
    assert_eq!(found.asked, 20);
    assert!(
        found
            .left_out
            .iter()
            .any(|left| left.starts_with("more requests of ")),
        "{found}"
    );
    assert!(
        found
            .left_out
            .iter()
            .any(|left| left == "everything after 20 requests"),
        "{found}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// No call changes that the comparison does not tell.
    #[test]
    fn no_change_goes_untold(
        edits in proptest::sample::subsequence(
            vec![
                ("exact: jason", "exact: jane"),
                ("prefix: /static", "exact: /static"),
                ("subset: v2}}]", "subset: v1}}]"),
                ("sa/reviews]", "sa/page]"),
                ("mode: STRICT", "mode: PERMISSIVE"),
                ("paths: [/ratings/*]", "paths: [/ratings]"),
            ],
            0..4,
        ),
        calls in proptest::collection::vec(
            (0usize..4, 0usize..2, 0usize..5, 0usize..3, 0usize..2),
            20,
        ),
    ) {
        let edit = |rules: String, (old, new): &(&str, &str)| rules.replacen(old, new, 1);
        let rules = edits.iter().fold(RULES.to_owned(), edit);
        let (old, new) = (simulation(&[TOWN, RULES]), simulation(&[TOWN, &rules]));
        let found = diff(&old, &new, DiffLimits::default());
        prop_assert!(!edits.is_empty() || found.is_empty(), "{}", found);
        for (source, target, path, user, method) in calls {
            let callers = ["default/page", "default/reviews-v1", "default/ratings-v1", "outside"];
            let source = callers[source];
            let host = ["reviews", "ratings"][target];
            let path = ["/", "/static", "/static/a", "/ratings", "/ratings/7"][path];
            let method = ["GET", "POST"][method];
            let url = format!("http://{host}.default.svc.cluster.local:9080");
            let mut question = Question::new(
                Caller::parse(source).unwrap(),
                Call::new(method, &format!("{url}{path}")).unwrap(),
            );
            if let Some(user) = [None, Some("jason"), Some("jane")][user] {
                question.headers.push(("end-user".to_owned(), user.to_owned()));
            }
            let (was, is) = (old.ask(&question).unwrap(), new.ask(&question).unwrap());
            let brief = |account: &mesh_routing::simulation::Account| {
                let shares = account.sent().map(|sent| sent.shares.clone());
                (account.outcome, account.status, shares)
            };
            if brief(&was) != brief(&is) {
                let told = found.classes.iter().any(|class| {
                    class.target == url && class.sources.iter().any(|one| one == source)
                });
                prop_assert!(told, "{} {} {}: {}", source, method, path, found);
            }
        }
    }
}
