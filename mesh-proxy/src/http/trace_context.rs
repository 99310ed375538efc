//! Names that tie the hops of a request together: `x-request-id`, W3C `traceparent`, B3.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::dataplane::Tracing;
use mesh_routing::Dice;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");

/// A random UUID (RFC 9562, version 4).
pub(super) fn request_id(seed: u64) -> HeaderValue {
    let mut dice = Dice::new(seed ^ 0x7265_7175_6573_7469);
    let (high, low) = (dice.draw(), dice.draw());
    let text = format!(
        "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        8 + (low >> 62),
        (low >> 48) & 0xfff,
        low & 0xffff_ffff_ffff,
    );
    HeaderValue::from_str(&text).expect("hexadecimal digits are a header value")
}

/// Starts a trace where the request belongs to none. One that belongs to a trace already passes
/// untouched: this proxy reports no span that could be the parent of others.
pub(super) fn ensure(headers: &mut HeaderMap, tracing: &Tracing, seed: u64) {
    if [&TRACEPARENT, &B3, &B3_TRACE_ID]
        .iter()
        .any(|name| headers.contains_key(*name))
    {
        return;
    }
    let mut dice = Dice::new(seed ^ 0x7472_6163_6570_6172);
    let sampled = tracing.random_sampling.includes(dice.draw());
    let mut trace_id = String::with_capacity(32);
    let _ = write!(trace_id, "{:016x}{:016x}", dice.draw(), dice.draw() | 1);
    let span_id = format!("{:016x}", dice.draw() | 1);
    let flag = u8::from(sampled);
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(TRACEPARENT, &format!("00-{trace_id}-{span_id}-{flag:02x}"));
    put(B3_TRACE_ID, &trace_id);
    put(B3_SPAN_ID, &span_id);
    put(B3_SAMPLED, &flag.to_string());
}

#[cfg(test)]
mod tests {
    use mesh_core::dataplane::Fraction;

    use super::*;

    #[test]
    fn request_ids_are_version_4() {
        for seed in 0..200 {
            let id = request_id(seed);
            let text = id.to_str().unwrap();
            let parts: Vec<_> = text.split('-').collect();
            assert_eq!(
                parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
                [8, 4, 4, 4, 12]
            );
            assert!(parts[2].starts_with('4'), "{text}");
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{text}");
        }
    }

    #[test]
    fn a_trace_is_started_once() {
        let mut headers = HeaderMap::new();
        let tracing = Tracing::sampling(Fraction::ALL);
        ensure(&mut headers, &tracing, 1);
        let first = headers.clone();
        assert!(first[TRACEPARENT].to_str().unwrap().ends_with("-01"));
        assert_eq!(first[B3_SAMPLED], "1");
        ensure(&mut headers, &tracing, 2);
        assert_eq!(headers, first);
    }

    #[test]
    fn somebody_elses_trace_passes_untouched() {
        let mut headers = HeaderMap::new();
        headers.insert(B3, HeaderValue::from_static("0"));
        let before = headers.clone();
        ensure(&mut headers, &Tracing::sampling(Fraction::ALL), 1);
        assert_eq!(headers, before);
    }
}
