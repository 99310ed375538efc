//! How many requests limits let pass. Spans are an hour, so that nothing comes back within a test.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use mesh_core::{
    dataplane::{
        HttpFilter, LimitKey, LimitPriority, Origin as Source, RateLimit, RateLimitFilter, Snapshot,
    },
    name::ResourceRef,
};

use crate::{
    plans::{http, outbound, plan, respond, route},
    running::{Running, Setup},
    wire::{Answer, Client, request},
};

const HOUR: Duration = Duration::from_secs(3600);

fn limit(burst: u32) -> RateLimit {
    RateLimit {
        name: "few".into(),
        matches: Vec::new(),
        requests: burst,
        per: HOUR,
        burst,
        is_quota: false,
        keys: Vec::new(),
        fair_share: None,
        priorities: Vec::new(),
    }
}

fn filter(limits: Vec<RateLimit>) -> RateLimitFilter {
    let resource = ResourceRef::new("mesh.local", "RateLimit", "default", "few");
    RateLimitFilter {
        limits,
        origin: Some(Source::of(resource)),
        is_dry_run: false,
        status: 429,
        headers: BTreeMap::new(),
        hides_limits: false,
    }
}

/// A proxy that answers by itself what limits let pass.
fn limited(filters: Vec<RateLimitFilter>) -> Snapshot {
    let mut serving = http(vec![route("/", respond(200, "ok"))]);
    let filters = filters.into_iter().map(HttpFilter::RateLimit);
    serving.filters.extend(filters);
    plan(vec![outbound(serving)], Vec::new())
}

async fn ask(client: &mut Client, times: usize, headers: &[(&str, &str)]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..times {
        answers.push(client.send(request(Method::GET, "/", headers)).await);
    }
    answers
}

fn passed(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

#[tokio::test]
async fn exactly_so_many_pass_and_the_others_are_told() {
    let mut limits = filter(vec![limit(5)]);
    limits.headers.insert("x-why".into(), "limits".into());
    let mut running = Running::start(&limited(vec![limits])).await;
    let mut client = Client::http1(running.main()).await;
    let answers = ask(&mut client, 8, &[]).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);

    let told = |answer: &Answer| {
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-why"];
        names.map(|name| answer.header(name).map(str::to_owned))
    };
    assert_eq!(
        told(&answers[0]),
        [Some("5".into()), Some("4".into()), None]
    );
    assert_eq!(answers[0].header("x-ratelimit-reset"), Some("0"));
    assert_eq!(answers[0].header("retry-after"), None);
    let refused = &answers[5];
    assert_eq!(
        told(refused),
        [Some("5".into()), Some("0".into()), Some("limits".into())]
    );
    assert_eq!(refused.text(), "local_rate_limited");
    // One of five comes back in a fifth of an hour.
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((600..=720).contains(&after), "{after}");
    assert_eq!(
        refused.header("x-ratelimit-reset"),
        refused.header("retry-after")
    );

    for status in statuses {
        let told = running.told().await;
        let said = (told.status, &*told.flags, &*told.details);
        match status {
            200 => assert_eq!(said, (200, "-", "direct_response")),
            _ => assert_eq!(said, (429, "RL", "local_rate_limited")),
        }
    }
    let metrics = running.metrics().await;
    let limited = metrics
        .iter()
        .find(|one| one.name == "mesh_requests_limited");
    assert_eq!(limited.unwrap().value, 3.0);
}

#[tokio::test]
async fn callers_told_apart_by_a_header_have_counts_of_their_own() {
    let by_team = RateLimit {
        keys: vec![LimitKey::Header("x-team".into())],
        ..limit(2)
    };
    let running = Running::start(&limited(vec![filter(vec![by_team])])).await;
    let mut client = Client::http2(running.main()).await;
    for team in ["a", "b", ""] {
        let answers = ask(&mut client, 4, &[("x-team", team)]).await;
        assert_eq!(passed(&answers), 2, "{team}");
    }
    // Who has no such header is like anybody else.
    assert_eq!(passed(&ask(&mut client, 4, &[]).await), 2);
}

#[tokio::test]
async fn the_important_pass_when_the_others_do_not() {
    let class = |name: &str, leaves| LimitPriority {
        name: name.into(),
        matches: match name {
            "paid" => vec![mesh_core::dataplane::LimitMatch {
                headers: vec![("x-plan".into(), None)],
                ..Default::default()
            }],
            _ => Vec::new(),
        },
        leaves,
    };
    let limits = RateLimit {
        priorities: vec![class("paid", 0), class("free", 50)],
        ..limit(4)
    };
    let running = Running::start(&limited(vec![filter(vec![limits])])).await;
    let mut client = Client::http1(running.main()).await;
    assert_eq!(passed(&ask(&mut client, 4, &[]).await), 2);
    assert_eq!(passed(&ask(&mut client, 4, &[("x-plan", "paid")]).await), 2);
}

#[tokio::test]
async fn a_trial_only_counts() {
    let trial = RateLimitFilter {
        is_dry_run: true,
        ..filter(vec![limit(1)])
    };
    let running = Running::start(&limited(vec![trial])).await;
    let mut client = Client::http1(running.main()).await;
    let answers = ask(&mut client, 4, &[]).await;
    assert_eq!(passed(&answers), 4);
    assert_eq!(answers[3].header("x-ratelimit-limit"), None);
    let metrics = running.metrics().await;
    let value = |name| metrics.iter().find(|one| one.name == name).unwrap().value;
    assert_eq!(value("mesh_requests_limited_on_trial"), 3.0);
    assert_eq!(value("mesh_requests_limited"), 0.0);
}

#[tokio::test]
async fn nothing_is_said_of_hidden_limits_and_the_status_is_as_written() {
    let hidden = RateLimitFilter {
        hides_limits: true,
        status: 503,
        ..filter(vec![limit(1)])
    };
    let running = Running::start(&limited(vec![hidden])).await;
    let mut client = Client::http1(running.main()).await;
    for (answer, status) in ask(&mut client, 2, &[]).await.iter().zip([200, 503]) {
        assert_eq!(answer.status, status);
        let told = |name: &str| name.starts_with("x-ratelimit") || name == "retry-after";
        assert!(!answer.headers.keys().any(|name| told(name.as_str())));
    }
}

#[tokio::test]
async fn a_limit_that_does_not_change_goes_on() {
    let with = |limits: Vec<RateLimit>, status| {
        let mut plan = limited(vec![RateLimitFilter {
            status,
            ..filter(limits)
        }]);
        plan.version = status.to_string().into();
        plan
    };
    let running = Running::start(&with(vec![limit(2)], 429)).await;
    let mut client = Client::http1(running.main()).await;
    assert_eq!(passed(&ask(&mut client, 3, &[]).await), 2);
    // Another status, and another limit beside it: the first is used up still.
    let other = RateLimit {
        name: "other".into(),
        ..limit(9)
    };
    let changed = with(vec![limit(2), other], 503);
    assert_eq!(running.proxy.apply(&changed).await.refusals, []);
    let mut another = Client::http1(running.main()).await;
    for client in [&mut client, &mut another] {
        assert_eq!(ask(client, 1, &[]).await[0].status, 503);
    }
    // A limit that did change begins anew, for connections old and new alike.
    assert_eq!(
        running
            .proxy
            .apply(&with(vec![limit(3)], 429))
            .await
            .refusals,
        []
    );
    assert_eq!(passed(&ask(&mut client, 2, &[]).await), 2);
    assert_eq!(passed(&ask(&mut another, 2, &[]).await), 1);
}

#[tokio::test]
async fn each_worker_has_its_part_rounded_up() {
    let setup = Setup {
        workers: 2,
        ..Setup::default()
    };
    let running = Running::with(setup, &limited(vec![filter(vec![limit(5)])])).await;
    // A connection stays with one worker.
    let mut client = Client::http1(running.main()).await;
    let answers = ask(&mut client, 8, &[]).await;
    assert_eq!(passed(&answers), 3);
    assert_eq!(answers[0].header("x-ratelimit-limit"), Some("5"));
}

#[tokio::test]
async fn chains_of_one_resource_share_a_count() {
    let mut both = limited(vec![filter(vec![limit(3)])]);
    let mut second = (*both.listeners[0]).clone();
    second.name = "second".into();
    both.listeners.push(std::sync::Arc::new(second));
    let running = Running::start(&both).await;
    let mut main = Client::http1(running.main()).await;
    let mut second = Client::http1(running.at("second")).await;
    assert_eq!(passed(&ask(&mut main, 2, &[]).await), 2);
    assert_eq!(passed(&ask(&mut second, 2, &[]).await), 1);
}

#[tokio::test]
async fn what_limits_may_not_write_is_refused_by_name() {
    let mut framing = filter(vec![limit(1)]);
    framing.headers.insert("content-length".into(), "5".into());
    let running = Running::start(&limited(Vec::new())).await;
    let refusals = running.proxy.apply(&limited(vec![framing])).await.refusals;
    assert!(
        refusals[0].reason.contains("content-length"),
        "{refusals:?}"
    );
}
