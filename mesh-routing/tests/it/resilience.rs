use std::time::Duration;

use http::HeaderMap;
use mesh_core::dataplane::{self, *};
use mesh_routing::{
    EndpointIndex,
    resilience::{
        Abort, CircuitBreaker, Deadlines, Ejection, FaultPolicy, Injection, Outcome,
        OutlierDetector, Overflow, ResetKind, RetryPolicy, RetryVerdict, grpc_timeout,
    },
};

fn policy(retry_on: &[&str], statuses: &[u16]) -> dataplane::RetryPolicy {
    dataplane::RetryPolicy {
        retry_on: retry_on.iter().map(|name| name.to_string()).collect(),
        retriable_status_codes: statuses.to_vec(),
        num_retries: 2,
        per_try_timeout: None,
        avoid_previous_hosts: true,
        host_selection_attempts: 5,
        leave_priorities_after: None,
        backoff: Backoff::default(),
    }
}

fn status(status: u16) -> Outcome {
    Outcome::Response {
        status,
        grpc_status: None,
    }
}

fn grpc(code: u32) -> Outcome {
    Outcome::Response {
        status: 200,
        grpc_status: Some(code),
    }
}

/// Every outcome that is tried again under a condition.
#[test]
fn retry_conditions() {
    use Outcome::*;
    use ResetKind::*;
    let all = [
        ("200", status(200)),
        ("404", status(404)),
        ("409", status(409)),
        ("500", status(500)),
        ("503", status(503)),
        ("grpc 1", grpc(1)),
        ("grpc 4", grpc(4)),
        ("grpc 8", grpc(8)),
        ("grpc 13", grpc(13)),
        ("grpc 14", grpc(14)),
        ("connect", ConnectFailure),
        ("refused", RefusedStream),
        ("reset early", Reset(BeforeRequest)),
        ("reset", Reset(BeforeResponse)),
        ("reset late", Reset(AfterResponse)),
        ("try timeout", PerTryTimeout),
        ("timeout", Timeout),
        ("overflow", Overflow),
        ("nobody", NoEndpoint),
    ];
    let broken = "connect refused reset-early reset try-timeout";
    for (retry_on, want) in [
        ("5xx", format!("500 503 {broken}")),
        ("gateway-error", format!("503 {broken}")),
        ("reset", broken.into()),
        ("reset-before-request", "connect refused reset-early".into()),
        ("connect-failure", "connect".into()),
        ("refused-stream", "refused".into()),
        ("retriable-4xx", "409".into()),
        ("retriable-status-codes", "404".into()),
        ("503", "503".into()),
        ("cancelled", "grpc-1".into()),
        ("deadline-exceeded", "grpc-4".into()),
        ("resource-exhausted", "grpc-8".into()),
        ("internal", "grpc-13".into()),
        ("unavailable", "grpc-14".into()),
    ] {
        let policy = RetryPolicy::compile(&policy(&[retry_on], &[404])).unwrap();
        let again = |outcome: &Outcome| policy.judge(outcome, 1, 0) != RetryVerdict::Stop;
        let seen = all.iter().filter(|(_, outcome)| again(outcome));
        let seen: Vec<_> = seen.map(|(name, _)| name.replace(' ', "-")).collect();
        assert_eq!(seen.join(" "), want, "{retry_on}");
    }
}

#[test]
fn retries_are_counted() {
    let policy = RetryPolicy::compile(&policy(&["5xx"], &[])).unwrap();
    for (attempt, bound) in [(1, Some(25)), (2, Some(75)), (3, None)] {
        match (policy.judge(&status(503), attempt, 9), bound) {
            (RetryVerdict::After(wait), Some(bound)) => {
                assert!(wait < Duration::from_millis(bound), "{attempt} {wait:?}");
            }
            (verdict, bound) => assert_eq!((verdict, bound), (RetryVerdict::Stop, None)),
        }
    }
    assert_eq!(policy.judge(&status(200), 1, 9), RetryVerdict::Stop);
}

#[test]
fn unknown_retry_conditions_are_refused() {
    for bad in ["retriable-headers", "envoy-ratelimited", "5XX", ""] {
        let error = RetryPolicy::compile(&policy(&[bad], &[])).unwrap_err();
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

#[test]
fn grpc_timeouts() {
    for (text, want) in [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("4m", Some(Duration::from_millis(4))),
        ("5u", Some(Duration::from_micros(5))),
        ("99999999n", Some(Duration::from_nanos(99_999_999))),
        ("0S", Some(Duration::ZERO)),
        ("100000000n", None),
        ("S", None),
        ("", None),
        ("1", None),
        ("+1S", None),
        ("-1S", None),
        ("1 S", None),
        ("1s", None),
        ("1.5S", None),
    ] {
        assert_eq!(
            grpc_timeout(&headers(&[("grpc-timeout", text)])),
            want,
            "{text:?}"
        );
    }
    assert_eq!(grpc_timeout(&HeaderMap::new()), None);
}

#[test]
fn deadlines() {
    let ms = Duration::from_millis;
    let forward = |timeout: Option<u64>, most: Option<u64>, per_try: Option<u64>| Forward {
        timeout: timeout.map(ms),
        max_grpc_timeout: most.map(ms),
        retry: per_try.map(|per_try| dataplane::RetryPolicy {
            per_try_timeout: Some(ms(per_try)),
            ..policy(&[], &[])
        }),
        ..Default::default()
    };
    #[track_caller]
    fn check(forward: &Forward, pairs: &[(&'static str, &str)], want: (Option<u64>, Option<u64>)) {
        let deadlines = Deadlines::of(forward, &headers(pairs), true);
        let millis = |limit: Option<Duration>| limit.map(|limit| limit.as_millis() as u64);
        assert_eq!((millis(deadlines.request), millis(deadlines.per_try)), want);
    }
    check(&forward(None, None, None), &[], (None, None));
    check(&forward(Some(0), None, Some(0)), &[], (None, None));
    check(
        &forward(Some(500), None, Some(100)),
        &[],
        (Some(500), Some(100)),
    );
    check(&forward(Some(500), None, Some(900)), &[], (Some(500), None));
    let grpc = [("grpc-timeout", "300m")];
    check(&forward(Some(500), None, None), &grpc, (Some(500), None));
    check(&forward(Some(500), Some(0), None), &grpc, (Some(300), None));
    check(
        &forward(Some(500), Some(200), None),
        &grpc,
        (Some(200), None),
    );
    check(&forward(None, Some(0), None), &grpc, (Some(300), None));
    check(
        &forward(Some(500), Some(0), None),
        &[("grpc-timeout", "junk")],
        (Some(500), None),
    );
    let asked = [
        ("x-envoy-upstream-rq-timeout-ms", "50"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "7"),
    ];
    check(&forward(Some(500), None, None), &asked, (Some(50), Some(7)));
    let untrusted = Deadlines::of(&forward(Some(500), None, None), &headers(&asked), false);
    assert_eq!(
        (untrusted.request, untrusted.per_try),
        (Some(ms(500)), None)
    );
    let over = headers(&[("grpc-timeout", "0S")]);
    let over = Deadlines::of(&forward(None, Some(0), None), &over, false);
    assert_eq!(over.request, Some(Duration::from_nanos(1)));
}

#[test]
fn faults() {
    let quarter = Fraction::per_million(250_000);
    let policy = FaultPolicy::new(Fault {
        delay: Some(FaultDelay {
            duration: Duration::from_secs(7),
            share: quarter,
        }),
        abort: Some(FaultAbort {
            http_status: None,
            grpc_status: Some(14),
            share: quarter,
        }),
    });
    let n = 40_000;
    let (mut delays, mut aborts, mut both) = (0, 0, 0);
    for seed in 0..n {
        let Injection { delay, abort } = policy.decide(seed);
        assert!(delay.is_none_or(|delay| delay == Duration::from_secs(7)));
        assert!(abort.is_none_or(|abort| abort == Abort::Grpc(14)));
        delays += u32::from(delay.is_some());
        aborts += u32::from(abort.is_some());
        both += u32::from(delay.is_some() && abort.is_some());
    }
    for (seen, want) in [(delays, 0.25), (aborts, 0.25), (both, 0.0625)] {
        let n = n as f64;
        let deviation = 5.0 * (n * want * (1.0 - want)).sqrt();
        assert!(
            (f64::from(seen) - n * want).abs() < deviation,
            "{seen} {want}"
        );
    }
    let always = FaultPolicy::new(Fault {
        delay: None,
        abort: Some(FaultAbort {
            http_status: Some(500),
            grpc_status: None,
            share: Fraction::ALL,
        }),
    });
    assert!((0..1000).all(|seed| always.decide(seed).abort == Some(Abort::Http(500))));
}

#[test]
fn circuits() {
    let breaker = CircuitBreaker::default();
    let limits = CircuitLimits {
        max_requests: Some(2),
        max_retries: Some(0),
        ..Default::default()
    };
    let first = breaker.request(&limits).unwrap();
    let _second = breaker.request(&limits).unwrap();
    assert_eq!(breaker.request(&limits).unwrap_err(), Overflow::Requests);
    assert_eq!(breaker.in_use(), [0, 0, 2, 0]);
    drop(first);
    assert!(breaker.request(&limits).is_ok());
    assert_eq!(breaker.retry(&limits).unwrap_err(), Overflow::Retries);
    let unlimited = CircuitLimits::default();
    let many: Vec<_> = (0..100)
        .map(|_| breaker.pending(&unlimited).unwrap())
        .collect();
    assert_eq!(breaker.in_use(), [0, 100, 1, 0]);
    drop(many);
    assert_eq!(breaker.in_use(), [0, 0, 1, 0]);
}

const FIRST: EndpointIndex = EndpointIndex(0);

const SETTINGS: OutlierDetection = OutlierDetection {
    consecutive_5xx: 3,
    consecutive_gateway_errors: 2,
    consecutive_local_origin_failures: 0,
    split_local_origin: false,
    interval: Duration::from_secs(10),
    base_ejection: Duration::from_secs(30),
    max_ejection_percent: 50,
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn returned(detector: &mut OutlierDetector, seconds: u64) -> Vec<u32> {
    let mut back = Vec::new();
    detector.sweep(at(seconds), |instance| back.push(instance.0));
    back
}

#[test]
fn ejecting_and_returning() {
    let mut detector = OutlierDetector::new(SETTINGS, 4);
    let record = |detector: &mut OutlierDetector, outcome, seconds| {
        detector.record(FIRST, &outcome, at(seconds))
    };
    assert_eq!(record(&mut detector, status(500), 0), None);
    assert_eq!(record(&mut detector, status(500), 0), None);
    assert_eq!(record(&mut detector, status(200), 0), None);
    assert_eq!(record(&mut detector, status(500), 0), None);
    assert_eq!(record(&mut detector, status(500), 0), None);
    assert_eq!(
        record(&mut detector, status(500), 0),
        Some(Ejection::ServerErrors)
    );
    assert!(detector.is_ejected(FIRST));
    assert_eq!(returned(&mut detector, 29), [0_u32; 0]);
    // Sweeps are an interval apart.
    assert_eq!(returned(&mut detector, 31), [0_u32; 0]);
    assert_eq!(returned(&mut detector, 39), [0]);
    // The second time takes twice as long.
    assert_eq!(record(&mut detector, status(503), 40), None);
    assert_eq!(
        record(&mut detector, status(502), 40),
        Some(Ejection::GatewayErrors)
    );
    assert_eq!(returned(&mut detector, 99), [0_u32; 0]);
    assert_eq!(returned(&mut detector, 109), [0]);
    // Behaving for two intervals is forgiven.
    assert_eq!(returned(&mut detector, 119), [0_u32; 0]);
    assert_eq!(returned(&mut detector, 129), [0_u32; 0]);
    assert_eq!(record(&mut detector, Outcome::ConnectFailure, 130), None);
    assert_eq!(
        record(&mut detector, Outcome::ConnectFailure, 130),
        Some(Ejection::GatewayErrors)
    );
    assert_eq!(returned(&mut detector, 160), [0]);
    assert_eq!(detector.ejected(), 0);
}

#[test]
fn some_always_stay() {
    let mut detector = OutlierDetector::new(SETTINGS, 4);
    for instance in 0..4 {
        for _ in 0..5 {
            detector.record(EndpointIndex(instance), &status(503), at(0));
        }
    }
    assert_eq!(detector.ejected(), 2);
    let one = OutlierDetection {
        max_ejection_percent: 10,
        ..SETTINGS
    };
    for (settings, want) in [
        (one, 1),
        (
            OutlierDetection {
                max_ejection_percent: 0,
                ..one
            },
            0,
        ),
    ] {
        let mut detector = OutlierDetector::new(settings, 2);
        for instance in 0..2 {
            for _ in 0..5 {
                detector.record(EndpointIndex(instance), &status(503), at(0));
            }
        }
        assert_eq!(detector.ejected(), want);
    }
}

#[test]
fn local_failures_may_be_counted_apart() {
    let settings = OutlierDetection {
        split_local_origin: true,
        consecutive_local_origin_failures: 2,
        consecutive_5xx: 2,
        consecutive_gateway_errors: 0,
        ..SETTINGS
    };
    let mut detector = OutlierDetector::new(settings, 2);
    let reset = Outcome::Reset(ResetKind::BeforeResponse);
    assert_eq!(detector.record(FIRST, &status(503), at(0)), None);
    assert_eq!(detector.record(FIRST, &reset, at(0)), None);
    assert_eq!(
        detector.record(FIRST, &reset, at(0)),
        Some(Ejection::LocalFailures)
    );
    // What never left this side says nothing about the instance.
    assert_eq!(
        detector.record(EndpointIndex(1), &Outcome::Overflow, at(0)),
        None
    );
    assert_eq!(detector.record(EndpointIndex(9), &reset, at(0)), None);
}

#[test]
fn ejections_outlive_a_change_of_instances() {
    let mut before = OutlierDetector::new(SETTINGS, 4);
    for instance in [0, 2] {
        for _ in 0..3 {
            before.record(EndpointIndex(instance), &status(503), at(0));
        }
    }
    // Number 2 is number 1 now, number 0 is gone, one is new.
    let from = [Some(EndpointIndex(1)), Some(EndpointIndex(2)), None];
    let mut after = before.carried(SETTINGS, &from);
    assert_eq!(after.ejected(), 1);
    let ejected = [0, 1, 2].map(|index| after.is_ejected(EndpointIndex(index)));
    assert_eq!(ejected, [false, true, false]);
    assert_eq!(returned(&mut after, 30), [1]);
    assert_eq!(after.ejected(), 0);
}

/// Envoy's retry budget: the larger of the least number and a share of what is under way and waits,
/// rounded down; a fixed number does not count beside it.
#[test]
fn retries_keep_to_their_budget() {
    let limits = |percent, min_concurrency| CircuitLimits {
        max_retries: Some(0),
        retry_budget: Some(RetryBudget {
            share: Fraction::percent(percent).unwrap(),
            min_concurrency,
        }),
        ..CircuitLimits::default()
    };
    for (percent, least, requests, pending, want) in [
        (20.0, 3, 0, 0, 3),
        (20.0, 3, 15, 0, 3),
        (20.0, 3, 19, 0, 3),
        (20.0, 3, 20, 0, 4),
        (20.0, 3, 10, 15, 5),
        (20.0, 3, 99, 0, 19),
        (0.0, 0, 50, 0, 0),
        (100.0, 0, 7, 0, 7),
        (33.3, 1, 10, 0, 3),
    ] {
        let (breaker, limits) = (CircuitBreaker::default(), limits(percent, least));
        let under_way: Vec<_> = (0..requests).map(|_| breaker.request(&limits)).collect();
        let waiting: Vec<_> = (0..pending).map(|_| breaker.pending(&limits)).collect();
        let mut retries = Vec::new();
        while let Ok(retry) = breaker.retry(&limits) {
            retries.push(retry);
        }
        assert_eq!(
            retries.len(),
            want,
            "{percent} {least} {requests} {pending}"
        );
        // One that ends makes room for another.
        if retries.pop().is_some() {
            assert!(breaker.retry(&limits).is_ok());
        }
        drop((under_way, waiting));
    }
}
