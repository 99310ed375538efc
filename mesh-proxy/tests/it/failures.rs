//! What callers are told when something goes wrong, and what logs call it.

use std::{collections::BTreeMap, future::pending, net::SocketAddr, time::Duration};

use http::Method;
use mesh_core::{
    dataplane::{
        AccessAction, AccessPolicy, AccessRules, CorsPolicy, Fault, FaultAbort, FaultDelay,
        Forward, Fraction, HttpFilter, JwtFilter, JwtProvider, Permission, Principal, RbacFilter,
        RetryPolicy, Route, RouteAction, Snapshot,
    },
    name::Pattern,
};

use crate::{
    plans::{cluster, forward, http, outbound, plan, route, simple, to},
    running::Running,
    wire::{self, Client, Origin, get, read_head, request, scripted},
};

/// What a failing request looks like from both ends.
struct Want {
    status: u16,
    body: &'static str,
    flags: &'static str,
    details: &'static str,
}

async fn check(plan: &Snapshot, want: Want) {
    let mut running = Running::start(plan).await;
    let answer = get(running.main(), "/").await;
    let told = running.told().await;
    let Want {
        status,
        body,
        flags,
        details,
    } = want;
    assert_eq!((answer.status, told.status), (status, status), "{details}");
    assert_eq!(answer.text(), body, "{details}");
    assert_eq!(
        (told.flags.as_str(), told.details.as_str()),
        (flags, details)
    );
}

async fn silent() -> SocketAddr {
    scripted(|_, stream| async move {
        let _stream = stream;
        pending::<()>().await;
    })
    .await
}

fn with(change: impl FnOnce(&mut Forward)) -> Route {
    let mut forward = forward("app");
    change(&mut forward);
    route("/", RouteAction::Forward(forward))
}

const LITTLE: Option<Duration> = Some(Duration::from_millis(30));

#[tokio::test]
async fn no_rule_is_404() {
    let rule = route("/elsewhere", RouteAction::Forward(forward("app")));
    check(
        &simple(rule, cluster("app", &[])),
        Want {
            status: 404,
            body: "",
            flags: "NR",
            details: "route_not_found",
        },
    )
    .await;
}

#[tokio::test]
async fn no_cluster_is_503() {
    check(
        &plan(vec![outbound(http(vec![to("nowhere")]))], vec![]),
        Want {
            status: 503,
            body: "",
            flags: "NC",
            details: "cluster_not_found",
        },
    )
    .await;
}

#[tokio::test]
async fn no_instance_is_503() {
    check(
        &simple(to("app"), cluster("app", &[])),
        Want {
            status: 503,
            body: "no healthy upstream",
            flags: "UH",
            details: "no_healthy_upstream",
        },
    )
    .await;
}

#[tokio::test]
async fn nobody_listening_is_503() {
    check(
        &simple(to("app"), cluster("app", &[wire::nobody().await])),
        Want {
            status: 503,
            body: "upstream connect error or disconnect/reset before headers. reset reason: connection failure, transport failure reason: delayed connect error: Connection refused",
            flags: "UF",
            details: "upstream_reset_before_response_started{connection_failure}",
        },
    )
    .await;
}

#[tokio::test]
async fn a_reset_before_the_answer_is_503() {
    let app = scripted(|_, mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    check(
        &simple(to("app"), cluster("app", &[app])),
        Want {
            status: 503,
            body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            flags: "UC",
            details: "upstream_reset_before_response_started{connection_termination}",
        },
    )
    .await;
}

#[tokio::test]
async fn time_that_is_over_is_504() {
    let app = cluster("app", &[silent().await]);
    check(
        &simple(with(|forward| forward.timeout = LITTLE), app.clone()),
        Want {
            status: 504,
            body: "upstream request timeout",
            flags: "UT",
            details: "response_timeout",
        },
    )
    .await;
    let per_try = RetryPolicy {
        per_try_timeout: LITTLE,
        ..RetryPolicy::default()
    };
    check(
        &simple(with(|forward| forward.retry = Some(per_try)), app),
        Want {
            status: 504,
            body: "upstream request timeout",
            flags: "UT",
            details: "upstream_per_try_timeout",
        },
    )
    .await;
}

#[tokio::test]
async fn silence_that_lasts_is_408() {
    let app = cluster("app", &[silent().await]);
    check(
        &simple(with(|forward| forward.idle_timeout = LITTLE), app),
        Want {
            status: 408,
            body: "stream timeout",
            flags: "SI",
            details: "stream_idle_timeout",
        },
    )
    .await;
}

#[tokio::test]
async fn faults_are_injected() {
    let abort = FaultAbort {
        http_status: Some(555),
        grpc_status: None,
        share: Fraction::ALL,
    };
    let delay = FaultDelay {
        duration: Duration::from_millis(1),
        share: Fraction::ALL,
    };
    let mut rule = to("app");
    rule.fault = Some(Fault {
        delay: None,
        abort: Some(abort),
    });
    check(
        &simple(rule.clone(), cluster("app", &[])),
        Want {
            status: 555,
            body: "fault filter abort",
            flags: "FI",
            details: "fault_filter_abort",
        },
    )
    .await;
    rule.fault = Some(Fault {
        delay: Some(delay),
        abort: Some(abort),
    });
    check(
        &simple(rule.clone(), cluster("app", &[])),
        Want {
            status: 555,
            body: "fault filter abort",
            flags: "DI,FI",
            details: "fault_filter_abort",
        },
    )
    .await;
    let app = Origin::saying(200, "late").await;
    rule.fault = Some(Fault {
        delay: Some(delay),
        abort: None,
    });
    check(
        &simple(rule, cluster("app", &[app.address])),
        Want {
            status: 200,
            body: "late",
            flags: "DI",
            details: "via_upstream",
        },
    )
    .await;
}

fn rbac(action: AccessAction, name: &str, permission: Permission) -> HttpFilter {
    let policy = AccessPolicy {
        permissions: vec![permission],
        principals: vec![Principal::Any],
        origin: None,
    };
    HttpFilter::Rbac(RbacFilter {
        rules: Some(AccessRules {
            action,
            policies: BTreeMap::from([(name.into(), policy)]),
        }),
        ..RbacFilter::default()
    })
}

#[tokio::test]
async fn access_is_denied() {
    let app = Origin::saying(200, "").await;
    let name = "ns[default]-policy[deny]-rule[0]";
    for (filter, details) in [
        (
            rbac(AccessAction::Deny, name, Permission::Any),
            "rbac_access_denied_matched_policy[ns[default]-policy[deny]-rule[0]]",
        ),
        (
            rbac(
                AccessAction::Allow,
                name,
                Permission::Path(Pattern::Prefix("/ok".into())),
            ),
            "rbac_access_denied_matched_policy[none]",
        ),
    ] {
        let mut http = http(vec![to("app")]);
        http.filters.insert(0, filter);
        let plan = plan(vec![outbound(http)], vec![cluster("app", &[app.address])]);
        check(
            &plan,
            Want {
                status: 403,
                body: "RBAC: access denied",
                flags: "-",
                details,
            },
        )
        .await;
    }
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn preflights_are_answered() {
    let app = Origin::saying(200, "").await;
    let mut rule = to("app");
    rule.cors = Some(CorsPolicy {
        allow_origins: vec![Pattern::Exact("https://shop.example".into())],
        allow_methods: vec!["GET".into(), "PUT".into()],
        ..CorsPolicy::default()
    });
    let running = Running::start(&simple(rule, cluster("app", &[app.address]))).await;
    let mut client = Client::http1(running.main()).await;
    let origin = ("origin", "https://shop.example");
    let asking = [origin, ("access-control-request-method", "PUT")];
    let answer = client.send(request(Method::OPTIONS, "/", &asking)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin.1));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET,PUT")
    );
    assert!(app.seen().is_empty());
    let answer = client.send(request(Method::GET, "/", &[origin])).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin.1));
    assert_eq!(app.seen().len(), 1);
}

/// gRPC callers are told in gRPC's terms.
#[tokio::test]
async fn grpc_failures_are_trailers() {
    let running = Running::start(&simple(to("app"), cluster("app", &[]))).await;
    let mut client = Client::http2(running.main()).await;
    let uri = "http://reviews/pkg.Service/Method";
    let asking = [("content-type", "application/grpc")];
    let answer = client.send(request(Method::POST, uri, &asking)).await;
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, Some("14"))
    );
    assert_eq!(answer.header("grpc-message"), Some("no healthy upstream"));
}

/// A request without a token passes, one that brings what no key has signed does not.
#[tokio::test]
async fn a_token_that_nobody_signed_is_401() {
    let app = Origin::saying(200, "in").await;
    let mut http = http(vec![to("app")]);
    let provider = JwtProvider {
        name: "origins-0".into(),
        issuer: "me".into(),
        keys: JwtProvider::NO_KEYS.into(),
        clock_skew: JwtProvider::CLOCK_SKEW,
        ..JwtProvider::default()
    };
    let tokens = JwtFilter {
        providers: vec![provider],
        bypass_cors_preflight: true,
        reroutes: false,
    };
    http.filters.insert(0, HttpFilter::JwtAuthn(tokens));
    let plan = plan(vec![outbound(http)], vec![cluster("app", &[app.address])]);
    let running = Running::start(&plan).await;
    assert_eq!(get(running.main(), "/").await.status, 200);
    let refused = get(running.main(), "/?access_token=x").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused
            .headers
            .get("www-authenticate")
            .map(|v| v.as_bytes()),
        Some(&b"Bearer error=\"invalid_token\""[..])
    );
    assert!(refused.text().starts_with("Jwt is not in the form of"));
}
