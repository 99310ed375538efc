use serde::{Deserialize, Serialize};

/// What a port speaks, as far as its owner declared it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AppProtocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP/2 in clear text with prior knowledge.
    Http2,
    /// gRPC, which is HTTP/2.
    Grpc,
    /// gRPC-Web, which is HTTP/1.1 or HTTP/2.
    GrpcWeb,
    /// TLS that is passed on by SNI, HTTPS included.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams: not carried by the mesh.
    Udp,
    /// Undeclared: looked at when a connection arrives.
    #[default]
    Auto,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedPort {
    /// The port callers use.
    pub number: u16,
    /// Its name in the service, perhaps empty.
    pub name: String,
    /// What it speaks.
    pub protocol: AppProtocol,
}

impl AppProtocol {
    /// Istio's choice: the `appProtocol` field, else the port name's prefix, else undeclared,
    /// except on the ports of protocols in which the server speaks first.
    pub fn select(app_protocol: Option<&str>, port_name: &str, number: u16, udp: bool) -> Self {
        if udp {
            return Self::Udp;
        }
        if let Some(text) = app_protocol {
            return Self::from_app_protocol(text).unwrap_or_default();
        }
        let lower = port_name.to_ascii_lowercase();
        if lower.starts_with("grpc-web") {
            return Self::GrpcWeb;
        }
        let prefix = lower.split('-').next().unwrap_or_default();
        match Self::from_name(prefix) {
            Some(protocol) => protocol,
            None if Self::SERVER_FIRST_PORTS.contains(&number) => Self::Tcp,
            None => Self::Auto,
        }
    }

    /// SMTP, DNS, MySQL and MongoDB: sniffing these would wait for bytes that never come.
    const SERVER_FIRST_PORTS: [u16; 4] = [25, 53, 3306, 27017];

    /// The protocol a port name's prefix or a Gateway's `protocol` declares.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "https" | "tls" => Self::Tls,
            "tcp" | "mongo" | "redis" | "mysql" => Self::Tcp,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    fn from_app_protocol(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "kubernetes.io/h2c" => Some(Self::Http2),
            "kubernetes.io/ws" => Some(Self::Http),
            "kubernetes.io/wss" => Some(Self::Tls),
            name => Self::from_name(name),
        }
    }

    /// Whether requests on this port can be routed one by one.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Whether instances are called over HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection() {
        use AppProtocol::*;
        for (app, name, number, udp, want) in [
            (None, "http", 9080, false, Http),
            (None, "http-web", 80, false, Http),
            (None, "http2-x", 80, false, Http2),
            (None, "grpc", 80, false, Grpc),
            (None, "grpc-web-x", 80, false, GrpcWeb),
            (None, "https", 443, false, Tls),
            (None, "mysql-db", 1, false, Tcp),
            (None, "", 3306, false, Tcp),
            (None, "", 8080, false, Auto),
            (None, "httpbin", 80, false, Auto),
            (Some("kubernetes.io/h2c"), "tcp", 80, false, Http2),
            (Some("kubernetes.io/wss"), "", 80, false, Tls),
            (Some("http"), "tcp", 80, false, Http),
            (Some("example.com/own"), "http", 80, false, Auto),
            (None, "dns", 53, true, Udp),
        ] {
            assert_eq!(
                AppProtocol::select(app, name, number, udp),
                want,
                "{name:?} {number}"
            );
        }
    }
}
