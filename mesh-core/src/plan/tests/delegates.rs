//! VirtualServices that leave decisions to others (`HTTPRoute.delegate`).

use super::town::{Town, routes, tell};
use crate::{
    config::parse,
    mesh::{Mesh, MeshDefaults},
};

/// A root for ratings with these rules, and its delegate `d` of namespace `team`.
fn both(root: &str, delegate: &str) -> [String; 2] {
    let head = |name: &str, namespace: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n"
        )
    };
    [
        format!(
            "{}  hosts: [ratings]\n  http:\n{root}",
            head("root", "default")
        ),
        format!("{}{delegate}", head("d", "team")),
    ]
}

/// The routes of productpage to ratings in a few words, and what is wrong with the rules.
fn plan(root: &str, delegate: &str) -> (Vec<String>, Vec<String>) {
    let texts = both(root, delegate);
    let town = Town::bookinfo(&[&texts[0], &texts[1]]);
    let (_, problems) = Mesh::resolve(&town.set, &MeshDefaults::default());
    let mut told = Vec::new();
    for problem in problems {
        let field = &problem.field;
        told.push(format!("{}: {field}: {}", problem.severity, problem.reason));
    }
    let (plan, _) = town.plan(&town.sidecar("productpage-v1"));
    // With no rule left, what stands is the service's own route.
    let ruled = routes(&plan, "ratings").iter();
    let ruled = ruled.filter(|route| route.origin.is_some());
    let words = ruled.map(|route| {
        let name = &route.name;
        format!("[{name}] {}", tell(route))
    });
    (words.collect(), told)
}

const TO: &str = "route: [{destination: {host: reviews.default.svc.cluster.local}}]";

#[test]
fn a_delegate_decides_in_the_place_of_the_rule() {
    let (routes, problems) = plan(
        "  - {match: [{uri: {prefix: /first}}], route: [{destination: {host: details}}]}\n  \
         - {name: r, match: [{name: rm, uri: {prefix: /a}, headers: {x: {exact: y}}}], \
            delegate: {name: d, namespace: team}}\n  \
         - {route: [{destination: {host: ratings}}]}\n",
        &format!(
            "  http:\n  - {{name: l, match: [{{name: lm, uri: {{prefix: /a/b}}, method: {{exact: GET}}}}], {TO}}}\n  \
             - {{{TO}}}\n"
        ),
    );
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        routes,
        [
            r#"[] Prefix("/first") -> 9080//details"#,
            r#"[r-l.rm-lm] Prefix("/a/b") x = "y" :method = "GET" -> 9080//reviews"#,
            r#"[r.rm] Prefix("/a") x = "y" -> 9080//reviews"#,
            "[] -> 9080//ratings",
        ]
    );
}

/// What a delegate's condition may ask for under the root's: a part of it, or it is left out.
#[test]
fn conditions_must_be_part_of_what_was_handed_over() {
    for (root, leaf, fits) in [
        ("uri: {prefix: /a}", "uri: {prefix: /a/b}", true),
        ("uri: {prefix: /a}", "uri: {exact: /a/b}", true),
        ("uri: {prefix: /a}", "uri: {prefix: /b}", false),
        ("uri: {prefix: /a}", "uri: {exact: /}", false),
        ("uri: {exact: /a}", "uri: {exact: /a}", true),
        ("uri: {exact: /a}", "uri: {prefix: /a}", false),
        ("uri: {exact: /a}", "uri: {exact: /b}", false),
        // Nobody can tell of expressions.
        ("uri: {regex: '/a.*'}", "uri: {prefix: /a}", false),
        ("uri: {prefix: /a}", "uri: {regex: '/a.*'}", false),
        ("uri: {regex: '/a.*'}", "method: {exact: GET}", true),
        ("method: {exact: GET}", "method: {exact: GET}", true),
        ("method: {exact: GET}", "method: {exact: PUT}", false),
        ("scheme: {exact: http}", "scheme: {exact: https}", false),
        ("authority: {prefix: a}", "authority: {exact: ab}", true),
        ("authority: {prefix: a}", "authority: {exact: b}", false),
        ("headers: {x: {exact: y}}", "headers: {x: {exact: y}}", true),
        (
            "headers: {x: {exact: y}}",
            "headers: {x: {exact: z}}",
            false,
        ),
        ("headers: {x: {exact: y}}", "headers: {w: {exact: z}}", true),
        ("headers: {x: {}}", "headers: {x: {exact: z}}", true),
        (
            "withoutHeaders: {x: {exact: y}}",
            "withoutHeaders: {x: {exact: z}}",
            false,
        ),
        (
            "queryParams: {q: {exact: y}}",
            "queryParams: {q: {exact: z}}",
            false,
        ),
        (
            "queryParams: {q: {exact: y}}",
            "queryParams: {p: {exact: z}}",
            true,
        ),
        (
            "ignoreUriCase: true, uri: {prefix: /a}",
            "uri: {prefix: /a}",
            false,
        ),
        ("port: 9080", "port: 9080", true),
        ("port: 9080", "port: 9081", false),
        (
            "sourceLabels: {app: productpage}",
            "sourceLabels: {app: productpage}",
            true,
        ),
        (
            "sourceLabels: {app: productpage}",
            "sourceLabels: {app: reviews}",
            false,
        ),
        ("sourceNamespace: default", "sourceNamespace: default", true),
        ("sourceNamespace: default", "sourceNamespace: other", false),
        ("gateways: [mesh]", "gateways: [mesh]", true),
        ("gateways: [mesh]", "gateways: [mesh, edge]", false),
    ] {
        let (routes, problems) = plan(
            &format!("  - {{match: [{{{root}}}], delegate: {{name: d, namespace: team}}}}\n"),
            &format!("  http:\n  - {{match: [{{{leaf}}}], {TO}}}\n"),
        );
        assert_eq!(
            (routes.len(), problems.len()),
            (fits.into(), usize::from(!fits)),
            "{root} {leaf}: {problems:?}"
        );
        if !fits {
            let want = "warning: spec.http[0].match: is left out: it is not a part of what \
                        VirtualService default/root hands over at spec.http[0].match";
            assert_eq!(problems, [want]);
        }
    }
}

/// One condition that is no part is enough to leave the rule out.
#[test]
fn each_condition_needs_one_that_covers_it() {
    let root = "  - {match: [{uri: {prefix: /a}}, {uri: {prefix: /a/b}}], delegate: {name: d, namespace: team}}\n";
    let leaf = |matches: &str| format!("  http:\n  - {{match: [{matches}], {TO}}}\n");
    let (routes, _) = plan(root, &leaf("{uri: {prefix: /a/b/c}}, {uri: {prefix: /x}}"));
    assert_eq!(routes, [""; 0]);
    // Covered twice, it stands twice, as in Istio.
    let (routes, _) = plan(root, &leaf("{uri: {prefix: /a/b/c}}"));
    assert_eq!(routes, [r#"[] Prefix("/a/b/c") -> 9080//reviews"#; 2]);
}

#[test]
fn what_a_delegate_does_not_say_it_inherits() {
    let (routes, problems) = plan(
        "  - {fault: {abort: {httpStatus: 418, percentage: {value: 50}}}, delegate: {name: d, namespace: team}}\n",
        &format!(
            "  http:\n  - {{match: [{{uri: {{prefix: /own}}}}], \
               fault: {{abort: {{httpStatus: 500, percentage: {{value: 1}}}}}}, {TO}}}\n  - {{{TO}}}\n"
        ),
    );
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        routes,
        [
            r#"Prefix("/own") abort 500 10000 -> 9080//reviews"#,
            "abort 418 500000 -> 9080//reviews",
        ]
        .map(|words| format!("[] {words}"))
    );
}

/// Short names are of the namespace of the resource that they are written in.
#[test]
fn names_keep_their_namespace() {
    let (routes, _) = plan(
        "  - {delegate: {name: d, namespace: team}}\n",
        "  http: [{route: [{destination: {host: reviews}}]}]\n",
    );
    assert_eq!(routes, ["[] -> 9080//reviews.team.svc.cluster.local"]);
}

#[test]
fn what_cannot_be_handed_over_is_said() {
    let own = "{name: d, namespace: team}";
    for (root, delegate, want) in [
        (
            format!("  - {{delegate: {own}}}\n"),
            format!("  exportTo: [.]\n  http: [{{{TO}}}]\n"),
            "warning: spec.http[0].delegate: team/d is not exported to default",
        ),
        (
            "  - {delegate: {name: other}}\n".into(),
            format!("  http: [{{{TO}}}]\n"),
            "warning: spec.http[0].delegate: no VirtualService default/other without hosts, \
             which could decide",
        ),
        (
            format!("  - {{delegate: {own}, {TO}}}\n"),
            format!("  http: [{{{TO}}}]\n"),
            "error: spec.http[0].route: the rule delegates: where requests go is for the \
             delegate to say",
        ),
        (
            format!("  - {{delegate: {own}}}\n"),
            "  http: [{delegate: {name: e}}]\n".into(),
            "error: spec.http[0].delegate: a VirtualService that others delegate to decides itself",
        ),
        (
            format!("  - {{delegate: {own}}}\n"),
            format!("  gateways: [edge]\n  http: [{{{TO}}}]\n"),
            "error: spec.gateways: is for the VirtualService that delegates to this to say",
        ),
    ] {
        let (_, problems) = plan(&root, &delegate);
        assert_eq!(problems[0], want, "{root} {delegate}");
    }
}

/// What decided is named after where it is written, not after what led there.
#[test]
fn rules_remember_where_they_are_written() {
    let texts = both(
        "  - {delegate: {name: d, namespace: team}}\n",
        &format!("  http: [{{{TO}}}]\n"),
    );
    let town = Town::bookinfo(&[&texts[0], &texts[1]]);
    let plan = town.productpage();
    let origin = routes(&plan, "ratings")[0].origin.clone().unwrap();
    assert_eq!(origin.to_string(), "VirtualService team/d");
    assert_eq!(parse("", &texts[1]).problems, []);
}
