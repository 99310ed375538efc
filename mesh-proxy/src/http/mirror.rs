//! Copies of requests, whose answers nobody waits for.

use std::rc::Rc;

use http::{HeaderValue, header};
use http_body_util::BodyExt;
use mesh_core::dataplane::Name;
use mesh_routing::Dice;

use super::{body::RequestBody, outgoing::Outgoing, server::ChainInForce};
use crate::upstream::{Choice, Connecting, Lease, speaks_http2};

/// Sends a copy to a cluster, beside the request itself. Only requests without a body are copied as
/// long as bodies are streamed: what has not come yet cannot be sent twice.
pub(super) fn send_copy(
    outgoing: &Outgoing<'_>,
    chain: &Rc<ChainInForce>,
    cluster: &Name,
    body: &RequestBody,
) {
    let Some(upstream) = chain.view.upstream(cluster).map(Rc::clone) else {
        return;
    };
    if !body.is_empty() {
        return;
    }
    let http2 = speaks_http2(upstream.cluster.planned.protocol, outgoing.head.version);
    let mut request = outgoing.request(1, http2, body);
    shadow_host(&mut request);
    let worker = Rc::clone(&outgoing.connection.worker);
    let version = outgoing.head.version;
    let host = outgoing.host().to_owned();
    tokio::task::spawn_local(async move {
        let choice = Choice {
            hash: None,
            avoid: &[],
            leave: &[],
            named: None,
        };
        let mut dice = Dice::new(worker.draw());
        let Ok(picked) = upstream.pick(&choice, &mut dice) else {
            return;
        };
        let connecting = Connecting {
            dialer: &worker.settings.dialer,
            cluster: &upstream.cluster.planned,
            breaker: &upstream.breaker,
            requested_host: Some(&host),
            principal: &|peer| worker.principal_of(peer),
        };
        let Ok(mut lease) = Lease::of(&picked.host, &connecting, version).await else {
            return;
        };
        if let Ok(response) = lease.send(request).await
            && response.into_body().collect().await.is_ok()
        {
            lease.finish(&upstream.cluster.planned);
        }
    });
}

/// Envoy marks copies by their host.
fn shadow_host<B>(request: &mut http::Request<B>) {
    let Some(host) = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
    else {
        return;
    };
    let shadow = match host.split_once(':') {
        Some((name, port)) => format!("{name}-shadow:{port}"),
        None => format!("{host}-shadow"),
    };
    if let Ok(value) = HeaderValue::from_str(&shadow) {
        request.headers_mut().insert(header::HOST, value);
    }
}
