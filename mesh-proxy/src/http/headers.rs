//! Headers on their way in and out: what a proxy adds, takes away and believes.

use std::{fmt::Write, net::IpAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery},
};
use mesh_core::dataplane::{ForwardClientCert, HttpConnectionManager, ServerHeader};
use mesh_routing::path::{NormalPath, PathRules};
use mesh_tls::Peer;

use super::{
    body::ProxyBody, exchange::Exchange, failure::Failure, reply, trace_context, upgrade::Upgrade,
};
use crate::telemetry::{PeerMetadataHeaders, Side};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const UPSTREAM_SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// Envoy's limit on the number of header fields.
pub(super) const MAX_FIELDS: usize = 100;

/// What `connection` cannot take away.
const KEPT: [&str; 7] = [
    "upgrade",
    "te",
    "host",
    "content-length",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
];

/// Takes a request in: one host, one path, in one spelling; nothing that was meant for this hop
/// only; nothing believed that the caller may not say. Returns a redirect to the one spelling where
/// the configuration wants that.
pub(super) fn receive(exchange: &mut Exchange<'_>) -> Result<Option<Response<ProxyBody>>, Failure> {
    settle_host(exchange)?;
    settle_framing(exchange)?;
    if exchange.head.headers.len() > MAX_FIELDS {
        return Err(Failure::TooManyHeaders);
    }
    let redirect = settle_path(exchange)?;
    let http = &exchange.http.shared.planned;
    exchange.upgrade = Upgrade::asked_for(&mut exchange.head, &http.upgrades)?;
    remove_hop_by_hop(&mut exchange.head.headers, exchange.upgrade.is_some());
    if http.use_remote_address {
        distrust(&mut exchange.head.headers);
        append_remote(exchange);
    }
    let headers = &mut exchange.head.headers;
    if !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(
            X_FORWARDED_PROTO,
            HeaderValue::from_static(exchange.connection.scheme),
        );
    }
    settle_client_cert(exchange);
    settle_request_id(exchange);
    if let Some(tracing) = &exchange.http.shared.planned.tracing {
        trace_context::ensure(&mut exchange.head.headers, tracing, exchange.seed);
    }
    Ok(redirect)
}

/// Completes an answer on its way out.
pub(super) fn send(exchange: &mut Exchange<'_>, response: &mut Response<ProxyBody>) {
    let planned = &exchange.http.shared.planned;
    let headers = response.headers_mut();
    let server = match planned.server_header {
        ServerHeader::PassThrough => false,
        ServerHeader::Overwrite => true,
        ServerHeader::AppendIfAbsent => !headers.contains_key(header::SERVER),
    };
    if server && let Ok(name) = HeaderValue::from_str(&planned.server_name) {
        headers.insert(header::SERVER, name);
    }
    if let Some(time) = exchange.record.upstream_service_time {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        headers.insert(UPSTREAM_SERVICE_TIME, millis.into());
    }
    if let Some(cors) = exchange.on_response.cors.take() {
        cors.apply(headers);
    }
    for (name, value) in &exchange.on_response.limits {
        headers.insert(name, value.clone());
    }
    match exchange.record.side {
        Side::Source => drop(PeerMetadataHeaders::take(headers)),
        Side::Destination => {
            if exchange.on_response.tell_caller_who_we_are
                && let Some(own) = &exchange.connection.worker.settings.peer_metadata
            {
                own.put(headers);
            }
        }
    }
    note(exchange);
}

/// Notes the request's headers that logs will ask for.
pub(super) fn note(exchange: &mut Exchange<'_>) {
    exchange.record.request_headers =
        logged(&exchange.http.shared.logged_headers, &exchange.head.headers);
}

/// The headers that logs will ask for.
fn logged(names: &[HeaderName], headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in names {
        if let Some(value) = headers.get(name) {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

/// The host that was asked for.
pub(super) fn authority(headers: &HeaderMap) -> &str {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
}

/// The caller's address, by as many trusted proxies as are configured to stand before this one.
pub(super) fn remote(exchange: &Exchange<'_>) -> IpAddr {
    let planned = &exchange.http.shared.planned;
    let direct = exchange.connection.record.remote.ip();
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
    let entries = exchange.head.headers.get_all(&X_FORWARDED_FOR);
    let entries = entries.iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = entries
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    all.iter()
        .rev()
        .nth(skip)
        .and_then(|entry| entry.parse().ok())
        .unwrap_or(direct)
}

/// Removes what is meant for one hop only (RFC 9110, section 7.6.1).
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    if let header::Entry::Occupied(connection) = headers.entry(header::CONNECTION) {
        let (_, lists) = connection.remove_entry_mult();
        let lists: Vec<HeaderValue> = lists.collect();
        let names = lists.iter().filter_map(|list| list.to_str().ok());
        for name in names.flat_map(|list| list.split(',')).map(str::trim) {
            // Of these the framing and the upgrade are settled elsewhere, and a caller must not take
            // away by this what says who it is or whom it asks for.
            if !KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
                headers.remove(name);
            }
        }
    }
    headers.remove(&PROXY_CONNECTION);
    headers.remove(&KEEP_ALIVE);
    headers.remove(header::TRANSFER_ENCODING);
    if headers.get(header::TE).is_some_and(|te| te != "trailers") {
        headers.remove(header::TE);
    }
    if keep_upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
}

/// One host, whichever way it was said: an absolute-form target wins (RFC 9112, section 3.2.2).
fn settle_host(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let head = &mut exchange.head;
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Failure::BadRequest {
            detail: "http1.multiple_hosts",
        });
    }
    let host = match head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => first.cloned(),
    };
    let host = match host {
        Some(host) if host.to_str().is_ok_and(names_a_host) => without_root_dot(host),
        Some(_) => {
            return Err(Failure::BadRequest {
                detail: "invalid_authority",
            });
        }
        None if head.version < Version::HTTP_11 => HeaderValue::from_static(""),
        _ => {
            return Err(Failure::BadRequest {
                detail: "missing_host_header",
            });
        }
    };
    exchange.record.authority = Some(host.clone());
    head.headers.insert(header::HOST, host);
    if head.uri.authority().is_some() {
        let path = head.uri.path_and_query().cloned();
        head.uri = path.map(Uri::from).unwrap_or_default();
    }
    Ok(())
}

/// Whether this is a host and perhaps a port (RFC 9110, section 7.2), or nothing. What else it may
/// hold, such as a path, would hide from rules which host is meant.
fn names_a_host(text: &str) -> bool {
    text.is_empty() || (!text.contains('@') && text.parse::<Authority>().is_ok())
}

/// `a.example.` is `a.example`, said in full (RFC 3986, section 3.2.2). Rules and instances are to
/// see one spelling.
fn without_root_dot(host: HeaderValue) -> HeaderValue {
    let text = host.to_str().unwrap_or_default();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (text, None),
    };
    let Some(name) = name.strip_suffix('.').filter(|name| !name.is_empty()) else {
        return host;
    };
    let plain = match port {
        Some(port) => HeaderValue::from_str(&format!("{name}:{port}")),
        None => HeaderValue::from_str(name),
    };
    plain.unwrap_or(host)
}

/// One way to tell where the body ends, and one cookie header.
fn settle_framing(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let head = &mut exchange.head;
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let (first, second) = (codings.next(), codings.next());
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if second.is_some() || first.is_some_and(|coding| !chunked(coding)) {
        // What else was done to the body could not be said to the next hop.
        return Err(Failure::BadRequest {
            detail: "http1.invalid_transfer_encoding",
        });
    }
    // HTTP/2 splits cookies over several fields; before it there is only one (RFC 9113, 8.2.3).
    if head.version == Version::HTTP_2
        && let header::Entry::Occupied(mut cookies) = head.headers.entry(header::COOKIE)
        && cookies.iter().nth(1).is_some()
    {
        let all: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            cookies.insert(joined);
        }
    }
    Ok(())
}

fn settle_path(exchange: &mut Exchange<'_>) -> Result<Option<Response<ProxyBody>>, Failure> {
    let planned = &exchange.http.shared.planned;
    let rules = PathRules {
        normalize: planned.normalize_path,
        merge_slashes: planned.merge_slashes,
        escaped_slashes: planned.escaped_slashes,
    };
    let uri = &exchange.head.uri;
    let bad = Failure::BadRequest {
        detail: "path_normalization_failed",
    };
    let (path, redirect) = match rules.apply(uri.path()).map_err(|_| bad.clone())? {
        NormalPath::Forward(std::borrow::Cow::Borrowed(_)) => return Ok(None),
        NormalPath::Forward(path) => (path.into_owned(), false),
        NormalPath::Redirect(path) => (path, true),
    };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if redirect {
        let mut response = reply::plain(StatusCode::TEMPORARY_REDIRECT, "");
        let location = HeaderValue::from_str(&target).map_err(|_| bad)?;
        response.headers_mut().insert(header::LOCATION, location);
        exchange.record.details = "path_normalization_redirect".into();
        return Ok(Some(response));
    }
    exchange.head.uri = target
        .parse::<PathAndQuery>()
        .map(Uri::from)
        .map_err(|_| bad)?;
    Ok(None)
}

/// Headers that tell proxies what to do, and what a mesh says of itself, are not for strangers.
fn distrust(headers: &mut HeaderMap) {
    let foreign: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-envoy-"))
        .cloned()
        .collect();
    for name in foreign {
        headers.remove(name);
    }
}

fn append_remote(exchange: &mut Exchange<'_>) {
    let remote = exchange.connection.record.remote.ip();
    let headers = &mut exchange.head.headers;
    headers.insert(
        X_FORWARDED_PROTO,
        HeaderValue::from_static(exchange.connection.scheme),
    );
    let mut list = String::new();
    for value in headers.get_all(&X_FORWARDED_FOR) {
        let _ = write!(list, "{},", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = write!(list, "{remote}");
    if let Ok(value) = HeaderValue::from_str(&list) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

fn settle_client_cert(exchange: &mut Exchange<'_>) {
    let planned: &HttpConnectionManager = &exchange.http.shared.planned;
    let proven = exchange
        .connection
        .peer
        .as_ref()
        .filter(|peer| peer.certificate.is_some());
    let headers = &mut exchange.head.headers;
    let element = |peer: &Peer| client_cert_element(exchange.connection, peer);
    let value = match (planned.forward_client_cert, proven) {
        (ForwardClientCert::AlwaysForwardOnly, _) | (ForwardClientCert::ForwardOnly, Some(_)) => {
            return;
        }
        (ForwardClientCert::SanitizeSet, Some(peer)) => Some(element(peer)),
        (ForwardClientCert::AppendForward, Some(peer)) => {
            let mut list = String::new();
            for value in headers.get_all(&X_FORWARDED_CLIENT_CERT) {
                let _ = write!(list, "{},", String::from_utf8_lossy(value.as_bytes()));
            }
            Some(list + &element(peer))
        }
        _ => None,
    };
    match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        Some(value) => drop(headers.insert(X_FORWARDED_CLIENT_CERT, value)),
        None => drop(headers.remove(&X_FORWARDED_CLIENT_CERT)),
    }
}

/// One element of `x-forwarded-client-cert`, as Envoy writes it.
fn client_cert_element(connection: &super::server::HttpConnection, peer: &Peer) -> String {
    let mut out = String::new();
    if let Some(own) = &connection.worker.settings.own.principal {
        let _ = write!(out, "By={own};");
    }
    if let Some(certificate) = &peer.certificate {
        out.push_str("Hash=");
        for byte in certificate.sha256 {
            let _ = write!(out, "{byte:02x}");
        }
        let subject = certificate
            .facts
            .subject
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        let _ = write!(out, ";Subject=\"{subject}\"");
        for uri in &certificate.facts.uris {
            let _ = write!(out, ";URI={uri}");
        }
        for name in &certificate.facts.dns_names {
            let _ = write!(out, ";DNS={name}");
        }
    }
    out
}

fn settle_request_id(exchange: &mut Exchange<'_>) {
    let planned = &exchange.http.shared.planned;
    let from_outside = planned.use_remote_address && !planned.preserve_external_request_id;
    let headers = &mut exchange.head.headers;
    if from_outside {
        headers.remove(&X_REQUEST_ID);
    }
    if planned.generate_request_id && !headers.contains_key(&X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, trace_context::request_id(exchange.seed));
    }
}
