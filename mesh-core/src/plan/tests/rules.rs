//! What VirtualServices become, feature by feature.

use std::time::Duration;

use super::town::{Town, routes, tell};
use crate::dataplane::{
    Backoff, Forward, Fraction, HashPolicy, Mirror, PathRewrite, PortRedirect, Redirect, Route,
    RouteAction, SchemeRedirect,
};

/// Routes of productpage to ratings under a VirtualService with these rules, and what is wrong.
fn plan(http: &str) -> (Vec<Route>, Vec<String>) {
    let rules = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\n\
         spec:\n  hosts: [ratings]\n  http:\n{http}"
    );
    let town = Town::bookinfo(&[&rules]);
    let (plan, problems) = town.plan(&town.sidecar("productpage-v1"));
    (routes(&plan, "ratings").to_vec(), problems)
}

/// The only route of a rule.
#[track_caller]
fn one(rule: &str) -> Route {
    let (mut routes, problems) = plan(&format!("  - {rule}\n"));
    assert_eq!(problems, [""; 0], "{rule}");
    assert_eq!(routes.len(), 1, "{rule}");
    routes.remove(0)
}

#[track_caller]
fn forward(rule: &str) -> Forward {
    match one(&format!(
        "{{route: [{{destination: {{host: ratings}}}}], {rule}}}"
    ))
    .action
    {
        RouteAction::Forward(forward) => forward,
        other => panic!("forwards: {other:?}"),
    }
}

#[test]
fn conditions() {
    let to = "route: [{destination: {host: ratings}}]";
    for (condition, want) in [
        ("uri: {exact: /a}", r#"Exact("/a") -> 9080//ratings"#),
        ("uri: {prefix: /a}", r#"Prefix("/a") -> 9080//ratings"#),
        ("uri: {regex: '/a.*'}", r#"Regex("/a.*") -> 9080//ratings"#),
        // By name, whether they must be so or not; then what is no header.
        (
            "headers: {x-b: {prefix: p}, x-d: {}}, withoutHeaders: {x-a: {exact: q}, x-c: {}}, \
             method: {exact: GET}, authority: {regex: 'a.*'}, scheme: {exact: http}",
            r#"not x-a = "q" x-b starts with "p" not x-c x-d :method = "GET" :authority matches "a.*" :scheme = "http" -> 9080//ratings"#,
        ),
        (
            "queryParams: {q: {exact: '1'}}",
            r#"?q Text { pattern: = "1", ignore_case: false } -> 9080//ratings"#,
        ),
    ] {
        let route = one(&format!("{{match: [{{{condition}}}], {to}}}"));
        assert_eq!(tell(&route), want, "{condition}");
    }
    let route = one(&format!(
        "{{match: [{{uri: {{prefix: /A}}, ignoreUriCase: true}}], {to}}}"
    ));
    assert!(route.matches.ignore_case);
    let route = one(&format!(
        "{{match: [{{withoutHeaders: {{a: {{exact: b}}}}}}], {to}}}"
    ));
    assert!(route.matches.headers[0].missing_is_empty);
}

/// A block per match, those of others left out, nothing after one that takes everything.
#[test]
fn for_whom_and_in_which_order() {
    let (routes, _) = plan(
        "  - match:\n    \
             - {uri: {prefix: /port}, port: 9999}\n    \
             - {uri: {prefix: /labels}, sourceLabels: {app: reviews}}\n    \
             - {uri: {prefix: /namespace}, sourceNamespace: other}\n    \
             - {uri: {prefix: /gateway}, gateways: [edge]}\n    \
             - {uri: {prefix: /a}, sourceLabels: {app: productpage}}\n    \
             - {uri: {prefix: /b}, port: 9080, gateways: [mesh], sourceLabels: {app: ignored}}\n    \
             route: [{destination: {host: ratings, subset: v1}}]\n  \
           - match: [{port: 9080}]\n    \
             route: [{destination: {host: ratings, port: {number: 1}}}]\n  \
           - route: [{destination: {host: elsewhere.org}}]\n",
    );
    assert_eq!(
        routes.iter().map(tell).collect::<Vec<_>>(),
        [
            r#"Prefix("/a") -> 9080/v1/ratings"#,
            r#"Prefix("/b") -> 9080/v1/ratings"#,
            "-> 1//ratings",
        ]
    );
}

#[test]
fn names_and_operations() {
    let cases = [
        (
            "name: r, match: [{name: m, uri: {exact: /a}}]",
            "r.m",
            "ratings.default.svc.cluster.local:9080/a",
        ),
        ("name: r", "r", "ratings.default.svc.cluster.local:9080/*"),
        (
            "match: [{uri: {prefix: /a}}]",
            "",
            "ratings.default.svc.cluster.local:9080/a*",
        ),
    ];
    for (rule, name, operation) in cases {
        let route = one(&format!(
            "{{{rule}, route: [{{destination: {{host: ratings}}}}]}}"
        ));
        assert_eq!(
            (&*route.name, route.operation.as_deref()),
            (name, Some(operation))
        );
        let origin = route.origin.unwrap();
        assert_eq!(origin.to_string(), "VirtualService default/v");
    }
    let split = "{route: [{destination: {host: ratings, subset: v1}, weight: 1}, {destination: {host: ratings, subset: v2}, weight: 3}]}";
    assert_eq!(one(split).operation.as_deref(), Some("v:9080/*"));
}

#[test]
fn redirects_and_answers() {
    for (redirect, want) in [
        (
            "uri: /x, authority: a.com, scheme: https, redirectCode: 308",
            Redirect {
                status: 308,
                scheme: SchemeRedirect::To("https".into()),
                host: Some("a.com".into()),
                port: None,
                path: Some(PathRewrite::Full("/x".into())),
                strip_query: false,
            },
        ),
        (
            "prefixRewrite: /y, derivePort: FROM_REQUEST_PORT",
            Redirect {
                status: 301,
                scheme: SchemeRedirect::Keep,
                host: None,
                port: Some(PortRedirect::To(9080)),
                path: Some(PathRewrite::Prefix("/y".into())),
                strip_query: false,
            },
        ),
    ] {
        let route = one(&format!("{{redirect: {{{redirect}}}}}"));
        assert_eq!(route.action, RouteAction::Redirect(want), "{redirect}");
    }
    let route = one("{directResponse: {status: 418, body: {string: tea}}}");
    let RouteAction::Respond(answer) = route.action else {
        panic!("answers")
    };
    assert_eq!((answer.status, &*answer.body), (418, &b"tea"[..]));
}

#[test]
fn timeouts_and_retries() {
    let plain = forward("timeout: 3s");
    assert_eq!(plain.timeout, Some(Duration::from_secs(3)));
    assert_eq!(plain.max_grpc_timeout, Some(Duration::from_secs(3)));
    assert_eq!(forward("timeout: 0s").timeout, None);
    assert_eq!(forward("retries: {attempts: 0}").retry, None);

    let retry = forward(
        "retries: {attempts: 3, perTryTimeout: 2s, retryOn: 'gateway-error,409', backoff: 1s}",
    );
    let retry = retry.retry.unwrap();
    assert_eq!(retry.num_retries, 3);
    assert_eq!(retry.per_try_timeout, Some(Duration::from_secs(2)));
    assert_eq!(retry.retry_on, ["gateway-error", "retriable-status-codes"]);
    assert_eq!(retry.retriable_status_codes, [409]);
    let (base, max) = (Duration::from_secs(1), Duration::from_secs(10));
    assert_eq!(retry.backoff, Backoff { base, max });

    assert_eq!(retry.leave_priorities_after, None);
    let remote = forward("retries: {attempts: 1, retryRemoteLocalities: true}").retry;
    assert_eq!(remote.unwrap().leave_priorities_after, Some(2));
}

/// A VirtualService of which nothing is for this client leaves the service its own route.
#[test]
fn rules_for_others_only() {
    let (routes, _) = plan(
        "  - {match: [{sourceLabels: {app: other}}], route: [{destination: {host: reviews}}]}\n",
    );
    assert_eq!(routes.len(), 1);
    assert_eq!(&*routes[0].name, "default");
    assert_eq!(tell(&routes[0]), "-> 9080//ratings");
}

#[test]
fn rewrites_headers_and_mirrors() {
    assert_eq!(
        forward("match: [{uri: {prefix: /a}}], rewrite: {uri: /b, authority: c.com}"),
        Forward {
            path: Some(PathRewrite::Prefix("/b".into())),
            host: Some("c.com".into()),
            ..forward("match: [{uri: {prefix: /a}}]")
        }
    );
    let copies =
        forward("mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 12.5}").mirrors;
    let cluster = "outbound|9080|v2|reviews.default.svc.cluster.local".into();
    let share = Fraction::per_million(125_000);
    assert_eq!(copies, [Mirror { cluster, share }]);

    // Of one destination, its headers are the route's; `host` rewrites the host.
    let route = one(
        "{headers: {request: {set: {X-A: '1'}}}, route: [{destination: {host: ratings}, \
         headers: {request: {set: {Host: d.com}, remove: [X-B]}, response: {add: {X-C: '2'}}}}]}",
    );
    let names = |values: &[crate::dataplane::HeaderValue]| {
        values
            .iter()
            .map(|header| header.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&route.headers.request_set), ["x-a"]);
    assert_eq!(route.headers.request_remove, ["x-b"]);
    assert_eq!(names(&route.headers.response_add), ["x-c"]);
    let RouteAction::Forward(forward) = route.action else {
        panic!("forwards")
    };
    assert_eq!(forward.host.as_deref(), Some("d.com"));
}

#[test]
fn browsers() {
    let rule = "{route: [{destination: {host: ratings}}], corsPolicy: {allowOrigins: [{exact: 'https://a.com'}], \
                allowMethods: [GET], maxAge: 1h, allowCredentials: true, unmatchedPreflights: IGNORE}}";
    let cors = one(rule).cors.unwrap();
    assert_eq!(cors.allow_methods, ["GET"]);
    assert_eq!(cors.max_age, Some(Duration::from_secs(3600)));
    assert_eq!(cors.allow_credentials, Some(true));
    assert!(!cors.forward_unmatched_preflights);
}

/// A hash keeps requests on one instance, so a retry must not look for another.
#[test]
fn affinity() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: ratings}\n\
                spec:\n  host: ratings\n  trafficPolicy:\n    \
                loadBalancer: {consistentHash: {httpHeaderName: X-User}}\n";
    let plan = Town::bookinfo(&[rule]).productpage();
    let RouteAction::Forward(forward) = &routes(&plan, "ratings")[0].action else {
        panic!("forwards")
    };
    assert_eq!(forward.hash, [HashPolicy::Header("x-user".into())]);
    assert!(!forward.retry.as_ref().unwrap().avoid_previous_hosts);
}
