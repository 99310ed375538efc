//! A request as it comes in: one host and one path in one spelling, and what is believed of it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};
use mesh_core::dataplane::{ForwardClientCert, HttpConnectionManager};

use super::{Arrival, Decision, Outcome, Request, admission::Admitted};
use crate::{
    ConnectionFacts, RequestHead,
    access::Claims,
    path::{NormalPath, PathRules},
};

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// A request that was taken in.
pub(super) struct Received<'a> {
    pub(super) request: Request,
    pub(super) arrival: &'a Arrival<'a>,
    pub(super) admitted: &'a Admitted,
    /// The caller's address by trusted hops.
    pub(super) remote: IpAddr,
    pub(super) path_before: Option<String>,
    /// What a verified token says.
    pub(super) claims: Option<Claims>,
    /// Somebody who verifies tokens has looked: from then on claims may decide about the route.
    pub(super) is_verified: bool,
    /// Headers as decisions see them: with `host`.
    headers: HeaderMap,
}

impl<'a> Received<'a> {
    /// Takes a request in. What comes with it, if anything, is the answer to a request that cannot
    /// be taken as it is.
    pub(super) fn new(
        planned: &HttpConnectionManager,
        request: &Request,
        admitted: &'a Admitted,
        arrival: &'a Arrival<'a>,
    ) -> (Self, Option<Decision>) {
        let mut request = request.clone();
        let authority = without_root_dot(&request.authority);
        request.authority = authority;
        let mut answer = (!names_a_host(&request.authority)).then(|| bad("invalid_authority"));
        let path_before = request.path.clone();
        let rules = PathRules {
            normalize: planned.normalize_path,
            merge_slashes: planned.merge_slashes,
            escaped_slashes: planned.escaped_slashes,
        };
        match rules.apply(&path_before) {
            Ok(NormalPath::Forward(path)) => request.path = path.into_owned(),
            Ok(NormalPath::Redirect(path)) => {
                request.path = path;
                let location = request.path_and_query();
                answer.get_or_insert_with(|| to_one_spelling(location));
            }
            Err(_) => {
                answer.get_or_insert_with(|| bad("path_normalization_failed"));
            }
        }
        settle(planned, &mut request.headers, admitted, arrival);
        let remote = remote(planned, &request.headers, arrival.source.ip());
        let mut headers = request.headers.clone();
        if let Ok(host) = HeaderValue::from_str(&request.authority) {
            headers.insert(header::HOST, host);
        }
        let received = Self {
            claims: arrival.claims.map(|claims| {
                let spaced = Claims::SPACE_DELIMITED.map(str::to_owned);
                Claims::new(claims.clone().into_iter().collect(), &spaced)
            }),
            is_verified: false,
            path_before: (path_before != request.path).then_some(path_before),
            request,
            arrival,
            admitted,
            remote,
            headers,
        };
        (received, answer)
    }

    /// The request as decisions see it.
    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.request.method,
            path: &self.request.path,
            query: self.request.query.as_deref(),
            authority: &self.request.authority,
            scheme: if self.admitted.is_tls {
                "https"
            } else {
                "http"
            },
            headers: &self.headers,
            claims: self.claims.as_ref().filter(|_| self.is_verified),
        }
    }

    /// Takes note of what a token says, and of the headers that are left of it.
    pub(super) fn authenticated(&mut self, headers: HeaderMap, claims: Option<Claims>) {
        self.headers = headers;
        self.claims = claims;
        self.is_verified = true;
    }

    /// The connection as decisions see it.
    pub(super) fn connection(&self) -> ConnectionFacts<'_> {
        self.admitted.facts(self.arrival)
    }
}

fn bad(details: &str) -> Decision {
    let reason = format!("the request is broken ({details})");
    Decision::new(Outcome::Answered, reason)
        .status(400)
        .flag("DPE")
        .details(details)
}

fn to_one_spelling(location: String) -> Decision {
    let reason = "the path has escaped slashes: the caller is to ask again without";
    Decision {
        location: Some(location),
        ..Decision::new(Outcome::Redirected, reason)
            .status(307)
            .details("path_normalization_redirect")
    }
}

/// What the proxy adds and takes away before it decides.
fn settle(
    planned: &HttpConnectionManager,
    headers: &mut HeaderMap,
    admitted: &Admitted,
    arrival: &Arrival<'_>,
) {
    let scheme = if admitted.is_tls { "https" } else { "http" };
    if planned.use_remote_address {
        let foreign: Vec<_> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-envoy-"))
            .cloned()
            .collect();
        for name in foreign {
            headers.remove(name);
        }
        let mut list: Vec<String> = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        list.push(arrival.source.ip().to_string());
        if let Ok(value) = HeaderValue::from_str(&list.join(",")) {
            headers.insert(X_FORWARDED_FOR, value);
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    } else if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    settle_client_cert(planned, headers, admitted);
}

/// Of a certificate on paper only the identity is known.
fn settle_client_cert(
    planned: &HttpConnectionManager,
    headers: &mut HeaderMap,
    admitted: &Admitted,
) {
    let own = admitted.peer.as_ref().map(|peer| format!("URI={peer}"));
    let value = match (planned.forward_client_cert, own) {
        (ForwardClientCert::AlwaysForwardOnly, _) | (ForwardClientCert::ForwardOnly, Some(_)) => {
            return;
        }
        (ForwardClientCert::SanitizeSet, Some(own)) => Some(own),
        (ForwardClientCert::AppendForward, Some(own)) => {
            let values = headers.get_all(X_FORWARDED_CLIENT_CERT).iter();
            let before = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let all: Vec<String> = before.chain([own]).collect();
            Some(all.join(","))
        }
        _ => None,
    };
    match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        Some(value) => drop(headers.insert(X_FORWARDED_CLIENT_CERT, value)),
        None => drop(headers.remove(X_FORWARDED_CLIENT_CERT)),
    }
}

/// The caller's address, by as many trusted proxies as are configured to stand before this one.
fn remote(planned: &HttpConnectionManager, headers: &HeaderMap, direct: IpAddr) -> IpAddr {
    // At an edge, its own entry for the direct caller stands last.
    let hops = planned.trusted_hops as usize;
    let skip = if planned.use_remote_address {
        hops
    } else {
        hops.saturating_sub(1)
    };
    if planned.use_remote_address && hops == 0 {
        return direct;
    }
    let values = headers.get_all(X_FORWARDED_FOR).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    let entry = all.iter().rev().nth(skip);
    entry
        .and_then(|entry| entry.trim().parse().ok())
        .unwrap_or(direct)
}

/// A host and perhaps a port (RFC 9110, section 7.2), or nothing.
fn names_a_host(text: &str) -> bool {
    text.is_empty() || (!text.contains('@') && text.parse::<http::uri::Authority>().is_ok())
}

/// `a.example.` is `a.example`, said in full (RFC 3986, section 3.2.2).
fn without_root_dot(authority: &str) -> String {
    let (name, port) = crate::request::split_port(authority);
    let plain = name.strip_suffix('.').filter(|name| !name.is_empty());
    match (plain.unwrap_or(name), port) {
        (name, Some(port)) => format!("{name}:{port}"),
        (name, None) => name.to_owned(),
    }
}
