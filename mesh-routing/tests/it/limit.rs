//! Limits: what passes, against slow references and the properties that define them.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use http::{HeaderMap, Method};
use mesh_core::{
    dataplane::{LimitKey, LimitMatch, LimitPriority, RateLimit, RateLimitFilter},
    identity::SpiffeId,
    name::Pattern,
};
use mesh_routing::{
    LimitRequest, LimitVerdict, RateLimiter, RequestHead,
    limit::{FairShare, Quota, TokenBucket, fair_shares},
};
use proptest::{collection::vec, prelude::*};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The definition: a request passes if no stretch of time that ends with it would have had more
/// than `burst + rate * t`.
fn slow(passed: &[u64], now: u64, requests: u64, per: u64, burst: u64) -> bool {
    (0..=passed.len()).all(|first| {
        let since = passed.get(first).copied().unwrap_or(now);
        let count = (passed.len() - first) as u64 + 1;
        // count <= burst + requests * t / per
        count * per <= burst * per + requests * (now - since)
    })
}

proptest! {
    #[test]
    fn a_bucket_is_what_its_definition_says(
        requests in 0u32..20, per in 1u64..2000, burst in 0u32..10,
        waits in vec(0u64..400, 0..60),
    ) {
        let mut bucket = TokenBucket::new(requests, ms(per), burst, ms(0));
        let (mut now, mut passed) = (0, Vec::new());
        for wait in waits {
            now += wait;
            let wanted = slow(&passed, now, requests.into(), per, burst.into());
            prop_assert_eq!(bucket.wait(ms(now), 0) == Some(ms(0)), wanted);
            prop_assert_eq!(bucket.take(ms(now), 0), wanted);
            if wanted {
                passed.push(now);
            }
        }
    }

    #[test]
    fn after_the_wait_one_passes_and_not_before(
        requests in 1u32..20, per in 1u64..2000, burst in 1u32..10, taken in 1u32..12,
    ) {
        let mut bucket = TokenBucket::new(requests, ms(per), burst, ms(0));
        for _ in 0..taken {
            bucket.take(ms(0), 0);
        }
        let wait = bucket.wait(ms(0), 0).unwrap();
        if !wait.is_zero() {
            prop_assert!(!bucket.clone().take(wait - Duration::from_nanos(1), 0));
        }
        prop_assert!(bucket.take(wait, 0));
    }

    #[test]
    fn shares_are_max_min_fair(capacity in 0u64..60, asked in vec(0u64..30, 0..9)) {
        let shares = fair_shares(capacity, &asked);
        let total: u64 = shares.iter().sum();
        prop_assert_eq!(total, capacity.min(asked.iter().sum()), "nothing is left that is wanted");
        for (i, share) in shares.iter().enumerate() {
            prop_assert!(*share <= asked[i]);
            if *share < asked[i] {
                // Who wants more has, up to the remainder, no less than anybody.
                prop_assert!(shares.iter().all(|other| *other <= share + 1), "{:?}", shares);
            }
        }
        // The same as handing out one by one to whoever has least and wants more.
        let mut slow = vec![0; asked.len()];
        for _ in 0..capacity {
            let hungry = (0..asked.len()).filter(|&i| slow[i] < asked[i]);
            let Some(next) = hungry.min_by_key(|&i| slow[i]) else { break };
            slow[next] += 1;
        }
        let (mut fast, mut slow) = (shares, slow);
        fast.sort();
        slow.sort();
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn callers_get_what_is_fair_round_after_round(
        capacity in 1u64..40, demands in vec(0u64..40, 1..6), rounds in 3u64..6,
    ) {
        let mut shares = FairShare::new(capacity, ms(1000), 100, ms(0));
        let most = demands.iter().copied().max().unwrap_or(0).max(1);
        for round in 0..rounds {
            let mut had = vec![0u64; demands.len()];
            for i in 0..most {
                for (caller, demand) in demands.iter().enumerate() {
                    let now = ms(round * 1000 + i * 1000 / most);
                    if i < *demand && shares.ask(now, caller).is_some() {
                        shares.had(&caller);
                        had[caller] += 1;
                    }
                }
            }
            if round > 0 {
                for (got, fair) in had.iter().zip(fair_shares(capacity, &demands)) {
                    prop_assert!(*got >= fair && *got <= fair.max(1) + 1, "{:?}", had);
                }
            }
        }
    }
}

#[test]
fn a_quota_begins_anew_with_the_first_request_after_it() {
    let mut quota = Quota::new(2, ms(1000));
    for (now, passes, wait) in [
        (500, true, 0),
        (600, true, 900),
        (700, false, 800),
        (1499, false, 1),
        (1500, true, 0),
        (2499, true, 1),
        (2499, false, 1),
        (9000, true, 0),
    ] {
        assert_eq!(quota.take(ms(now), 0), passes, "{now}");
        assert_eq!(quota.wait(ms(now), 0), Some(ms(wait)), "{now}");
    }
    assert_eq!(Quota::new(0, ms(1)).wait(ms(0), 0), None);
    assert!(!Quota::new(0, ms(1)).take(ms(5), 0));
}

fn limit(requests: u32) -> RateLimit {
    RateLimit {
        name: "test".into(),
        matches: Vec::new(),
        requests,
        per: ms(1000),
        burst: requests,
        is_quota: false,
        keys: Vec::new(),
        fair_share: None,
        priorities: Vec::new(),
    }
}

fn limiter(limits: Vec<RateLimit>, is_dry_run: bool) -> RateLimiter {
    let filter = RateLimitFilter {
        limits,
        origin: None,
        is_dry_run,
        status: 429,
        headers: BTreeMap::new(),
        hides_limits: false,
    };
    RateLimiter::compile(&filter).unwrap()
}

/// Asks for a request of a caller, as `team` of its header `x-team`.
fn ask(limiter: &mut RateLimiter, caller: &str, team: &str, path: &str, now: u64) -> LimitVerdict {
    let mut headers = HeaderMap::new();
    headers.insert("x-team", team.parse().unwrap());
    let head = RequestHead {
        method: &Method::GET,
        path,
        query: None,
        authority: "reviews:9080",
        scheme: "http",
        headers: &headers,
        claims: None,
    };
    let text = format!("spiffe://cluster.local/ns/default/sa/{caller}");
    let peer: SpiffeId = text.parse().unwrap();
    let request = LimitRequest {
        head: &head,
        peer: Some(&peer),
        remote: IpAddr::from([10, 0, 0, 1]),
        claims: None,
    };
    limiter.check(&request, ms(now))
}

fn passes(verdict: &LimitVerdict) -> bool {
    matches!(verdict, LimitVerdict::Pass(_))
}

#[test]
fn each_key_has_a_count_of_its_own() {
    let keys = [
        (
            LimitKey::Identity,
            ["a/x/1", "b/x/1", "a/y/2"],
            [true, true, false],
        ),
        (
            LimitKey::Header("x-team".into()),
            ["a/x/1", "b/x/1", "a/y/1"],
            [true, false, true],
        ),
        (
            LimitKey::Path,
            ["a/x/1", "b/y/1", "a/x/2"],
            [true, false, true],
        ),
        (
            LimitKey::Method,
            ["a/x/1", "b/y/2", "c/z/3"],
            [true, false, false],
        ),
        (
            LimitKey::RemoteAddress,
            ["a/x/1", "b/y/2", "c/z/3"],
            [true, false, false],
        ),
        (
            LimitKey::Claim(vec!["sub".into()]),
            ["a/x/1", "b/y/2", "c/z/3"],
            [true, false, false],
        ),
    ];
    for (key, calls, want) in keys {
        let keys = vec![key.clone()];
        let mut limiter = limiter(vec![RateLimit { keys, ..limit(1) }], false);
        let found = calls.map(|call| {
            let mut parts = call.split('/');
            let mut next = || parts.next().unwrap();
            let (caller, team, path) = (next(), next(), next());
            passes(&ask(&mut limiter, caller, team, path, 0))
        });
        assert_eq!(found, want, "{key:?}");
    }
}

#[test]
fn a_request_beyond_one_limit_uses_no_other() {
    let narrow = RateLimit {
        name: "narrow".into(),
        keys: vec![LimitKey::Path],
        ..limit(1)
    };
    let mut limiter = limiter(vec![limit(3), narrow], false);
    assert!(passes(&ask(&mut limiter, "a", "x", "/1", 0)));
    for _ in 0..5 {
        match ask(&mut limiter, "a", "x", "/1", 0) {
            LimitVerdict::Limited(by) => {
                assert_eq!(
                    (&*by.limit, by.left, by.wait),
                    ("narrow", 0, Some(ms(1000)))
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(passes(&ask(&mut limiter, "a", "x", "/2", 0)));
    assert!(passes(&ask(&mut limiter, "a", "x", "/3", 0)));
    assert!(!passes(&ask(&mut limiter, "a", "x", "/4", 0)));
}

#[test]
fn a_limit_is_only_for_what_it_matches() {
    let found = LimitMatch {
        paths: vec![Pattern::Prefix("/slow".into())],
        identities: vec![Pattern::Exact("cluster.local/ns/default/sa/a".into())],
        hosts: vec![Pattern::Exact("REVIEWS".into())],
        headers: vec![("x-team".into(), None)],
        methods: vec!["GET".into()],
    };
    let matches = vec![found];
    let mut limiter = limiter(
        vec![RateLimit {
            matches,
            ..limit(0)
        }],
        false,
    );
    assert!(!passes(&ask(&mut limiter, "a", "x", "/slow/1", 0)));
    assert!(passes(&ask(&mut limiter, "b", "x", "/slow/1", 0)));
    assert_eq!(
        ask(&mut limiter, "a", "x", "/fast", 0),
        LimitVerdict::Pass(None)
    );
}

#[test]
fn a_trial_lets_pass_and_tells() {
    let mut limiter = limiter(vec![limit(1)], true);
    assert!(passes(&ask(&mut limiter, "a", "x", "/", 0)));
    let verdict = ask(&mut limiter, "a", "x", "/", 0);
    assert!(
        matches!(verdict, LimitVerdict::WouldBeLimited(_)),
        "{verdict:?}"
    );
}

#[test]
fn the_less_important_leave_something_to_others() {
    let team = |name: &str| LimitMatch {
        headers: vec![("x-team".into(), Some(Pattern::Exact(name.into())))],
        ..LimitMatch::default()
    };
    let class = |name: &str, leaves| LimitPriority {
        name: name.into(),
        matches: vec![team(name)],
        leaves,
    };
    let priorities = vec![class("shop", 0), class("batch", 50)];
    let mut limiter = limiter(
        vec![RateLimit {
            priorities,
            ..limit(10)
        }],
        false,
    );
    let count = |limiter: &mut RateLimiter, team: &str| {
        (0..20)
            .filter(|_| passes(&ask(limiter, "a", team, "/", 0)))
            .count()
    };
    assert_eq!(count(&mut limiter, "batch"), 5);
    assert_eq!(
        count(&mut limiter, "unknown"),
        0,
        "those of no class come last"
    );
    assert_eq!(count(&mut limiter, "shop"), 5);
}

#[test]
fn one_caller_does_not_take_what_is_another_s() {
    let fair_share = Some(LimitKey::Identity);
    let mut limiter = limiter(
        vec![RateLimit {
            fair_share,
            ..limit(100)
        }],
        false,
    );
    let mut had: BTreeMap<(&str, u64), u32> = BTreeMap::new();
    for tick in 0..4000u64 {
        let greedy = passes(&ask(&mut limiter, "greedy", "x", "/", tick));
        *had.entry(("greedy", tick / 1000)).or_default() += u32::from(greedy);
        if tick % 50 == 0 {
            let modest = passes(&ask(&mut limiter, "modest", "x", "/", tick));
            *had.entry(("modest", tick / 1000)).or_default() += u32::from(modest);
        }
    }
    for second in 1..4 {
        assert!(had[&("modest", second)] >= 19, "{had:?}");
        assert!(
            had[&("greedy", second)] >= 75,
            "what one leaves the other gets: {had:?}"
        );
    }
}

#[test]
fn parts_of_a_limit_make_up_the_whole() {
    // Of so many in ten seconds, and at once, asked of each counter as fast as can be.
    for (requests, burst, counters) in [(10, 4, 1), (10, 4, 2), (10, 4, 3), (7, 1, 4), (3, 9, 8)] {
        let planned = RateLimit {
            per: ms(10_000),
            burst,
            ..limit(requests)
        };
        let filter = RateLimitFilter {
            limits: vec![planned],
            origin: None,
            is_dry_run: false,
            status: 429,
            headers: BTreeMap::new(),
            hides_limits: false,
        };
        let part = || RateLimiter::compile_part(&filter, counters.try_into().unwrap()).unwrap();
        let mut parts: Vec<_> = (0..counters).map(|_| part()).collect();
        let (mut at_once, mut in_all) = (0, 0);
        for now in (0..=240_000).step_by(100) {
            for part in &mut parts {
                while passes(&ask(part, "web", "a", "/", now)) {
                    in_all += 1;
                    at_once += u32::from(now == 0);
                }
            }
        }
        assert!((burst..burst + counters).contains(&at_once), "{at_once}");
        // 24 spans; a counter may be about to let one more pass.
        let gained = in_all - at_once;
        assert!(
            (requests * 24 - counters..=requests * 24).contains(&gained),
            "{gained}"
        );
    }
}

#[test]
fn counts_are_carried_on_by_limits_that_stay() {
    let named = |name: &str, requests| RateLimit {
        name: name.into(),
        ..limit(requests)
    };
    let mut before = limiter(vec![named("a", 1), named("b", 9)], false);
    assert!(passes(&ask(&mut before, "web", "a", "/", 0)));
    let mut after = limiter(vec![named("b", 9), named("a", 1)], false);
    assert!(!after.is_like(&before));
    after.carry_on(&mut before);
    assert!(!passes(&ask(&mut after, "web", "a", "/", 1)));
    let mut changed = limiter(vec![named("a", 2)], false);
    changed.carry_on(&mut after);
    assert!(passes(&ask(&mut changed, "web", "a", "/", 1)));
}
