//! Which headers of a request travel on with the calls made for it.

use http::HeaderMap;

/// Headers that tie the calls of one request together.
///
/// A proxy sees requests come and go but cannot know which call was made for which request; only the
/// app can, by passing these on.
const TRACING: [&str; 16] = [
    "x-request-id",
    // W3C Trace Context
    "traceparent",
    "tracestate",
    // B3, single and multiple
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    // other tracers
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
];

/// Headers that say on whose behalf a call is made; they stay among neighbours.
const CALLER: [&str; 5] = ["end-user", "user-agent", "cookie", "authorization", "jwt"];

/// What belongs on a call to a neighbour made for a request with the headers `incoming`.
pub(crate) fn to_neighbour(incoming: &HeaderMap) -> HeaderMap {
    only(incoming, |name| {
        TRACING.contains(&name) || CALLER.contains(&name)
    })
}

/// What belongs on a call to a stranger: nothing that says who asks.
pub(crate) fn to_stranger(incoming: &HeaderMap) -> HeaderMap {
    only(incoming, |name| TRACING.contains(&name))
}

fn only(incoming: &HeaderMap, travels: impl Fn(&str) -> bool) -> HeaderMap {
    let travelling = incoming.iter().filter(|(name, _)| travels(name.as_str()));
    let mut onward = HeaderMap::new();
    for (name, value) in travelling {
        onward.append(name, value.clone());
    }
    onward
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ties_a_request_together_travels_on_and_the_rest_stays() {
        let mut incoming = HeaderMap::new();
        for name in TRACING {
            incoming.append(name, "one".parse().unwrap());
        }
        incoming.append("tracestate", "two".parse().unwrap());
        let tracing = incoming.clone();
        for name in CALLER {
            incoming.append(name, "jason".parse().unwrap());
        }
        let all = incoming.clone();
        for name in [
            "host",
            "content-length",
            "connection",
            "x-forwarded-for",
            "accept-encoding",
        ] {
            incoming.append(name, "stays".parse().unwrap());
        }
        assert_eq!(to_neighbour(&incoming), all);
        assert_eq!(to_stranger(&incoming), tracing);
    }
}
