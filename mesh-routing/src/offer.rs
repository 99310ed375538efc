use mesh_core::dataplane::{ClientTls, Cluster, UpstreamProtocol};

/// What Istio's ALPN filter offers, so that the other sidecar knows what is inside.
const ISTIO_HTTP1: [&str; 3] = ["istio-http/1.1", "istio", "http/1.1"];
const ISTIO_HTTP2: [&str; 3] = ["istio-h2", "istio", "h2"];

/// The protocols that are offered to an instance: Istio's names between sidecars, else what the
/// plan says, else HTTP/2 where instances speak nothing else.
pub fn upstream_alpn(cluster: &Cluster, tls: &ClientTls) -> Vec<String> {
    let names: &[&str] = match (cluster.metadata.istio_alpn, cluster.protocol) {
        (true, UpstreamProtocol::Http2) => &ISTIO_HTTP2,
        (true, _) => &ISTIO_HTTP1,
        (false, UpstreamProtocol::Http2) if tls.alpn.is_empty() => &["h2"],
        (false, _) => return tls.alpn.clone(),
    };
    names.iter().map(|&name| name.to_owned()).collect()
}
