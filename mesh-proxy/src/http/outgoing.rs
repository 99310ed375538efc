//! A request as it leaves, and its answer as it comes back.

use std::{rc::Rc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version, header, request::Parts,
    uri::PathAndQuery,
};
use mesh_routing::{
    Matched,
    action::{Destination, EditFacts},
    router::Forward,
};

use super::{
    body::{AttemptBody, ProxyBody, RequestBody},
    headers,
    server::HttpConnection,
};
use crate::telemetry::{RequestRecord, Side};

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What an attempt is made from. The request itself stays as it came, so that another attempt can
/// start from it again.
pub(super) struct Outgoing<'a> {
    pub(super) connection: &'a Rc<HttpConnection>,
    pub(super) matched: &'a Matched<'a>,
    pub(super) forward: &'a Forward,
    pub(super) destination: Destination<'a>,
    pub(super) head: &'a Parts,
    pub(super) keeps_upgrade: bool,
    /// How long the destination may take.
    pub(super) expected: Option<Duration>,
}

impl Outgoing<'_> {
    /// The host that the destination is asked for.
    pub(super) fn host(&self) -> &str {
        match self.forward.rewrite.host() {
            Some(host) => host.to_str().unwrap_or_default(),
            None => headers::authority(&self.head.headers),
        }
    }

    /// The request of one attempt.
    pub(super) fn request(
        &self,
        attempt: u32,
        http2: bool,
        body: &RequestBody,
    ) -> Request<AttemptBody> {
        let mut request = Request::new(body.attempt());
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.headers(attempt);
        let path = self.path(request.headers_mut());
        if http2 {
            *request.version_mut() = Version::HTTP_2;
            let host = request.headers_mut().remove(header::HOST);
            *request.uri_mut() = absolute(self.connection.scheme, host.as_ref(), path);
            request.headers_mut().remove(header::CONNECTION);
        } else {
            *request.uri_mut() = Uri::from(path);
        }
        request
    }

    fn headers(&self, attempt: u32) -> HeaderMap {
        let mut headers = self.head.headers.clone();
        self.matched
            .edit_request(Some(&self.destination), &mut headers, &self.facts(None));
        if let Some(host) = self.forward.rewrite.host() {
            let before = headers.insert(header::HOST, host.clone());
            if let Some(before) = before.filter(|_| self.forward.rewrite.append_forwarded_host()) {
                headers.append(X_FORWARDED_HOST, before);
            }
        }
        if self.matched.virtual_host.include_attempt_count {
            headers.insert(ATTEMPT_COUNT, attempt.into());
        }
        if let Some(expected) = self.expected {
            let millis = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
            headers.insert(EXPECTED_TIMEOUT, millis.into());
        }
        if Side::of(self.connection.record.direction) == Side::Source
            && let Some(own) = &self.connection.worker.settings.peer_metadata
        {
            own.put(&mut headers);
        }
        if self.keeps_upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        headers
    }

    /// The path to send. One that was changed is kept for the destination to see.
    fn path(&self, headers: &mut HeaderMap) -> PathAndQuery {
        let original = self.head.uri.path_and_query().cloned();
        let original = original.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let view = self.connection.view_of(self.head);
        let rewritten = self.matched.route.rewritten_path(&view);
        let Some(path) = rewritten.and_then(|path| path.parse::<PathAndQuery>().ok()) else {
            return original;
        };
        if let Ok(value) = HeaderValue::from_str(original.as_str()) {
            headers.insert(ORIGINAL_PATH, value);
        }
        path
    }

    fn facts<'e>(&'e self, status: Option<u16>) -> EditFacts<'e> {
        let connection = self.connection;
        EditFacts {
            request: Some(connection.view_of(self.head)),
            protocol: Some(self.head.version),
            route_name: Some(&self.matched.planned.name),
            cluster: Some(self.destination.cluster),
            response_code: status,
            ..connection.edit_facts()
        }
    }
}

/// Makes an instance's answer ours: edits, and nothing that was meant for its hop only.
pub(super) fn finish_response(
    outgoing: &Outgoing<'_>,
    response: &mut Response<ProxyBody>,
    record: &RequestRecord,
    switched: bool,
) {
    let status = response.status().as_u16();
    let facts = EditFacts {
        upstream_address: record
            .upstream
            .as_ref()
            .and_then(|upstream| upstream.address),
        ..outgoing.facts(Some(status))
    };
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    headers::remove_hop_by_hop(headers, switched);
    outgoing
        .matched
        .edit_response(Some(&outgoing.destination), headers, &facts);
}

fn absolute(scheme: &str, host: Option<&HeaderValue>, path: PathAndQuery) -> Uri {
    let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
    Uri::builder()
        .scheme(scheme)
        .authority(host)
        .path_and_query(path.clone())
        .build()
        .unwrap_or_else(|_| Uri::from(path))
}
