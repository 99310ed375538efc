use std::fmt;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A workload of the mesh: a pod by its name, or the first pod, by name, of a Deployment, of an
    /// `app` label or of a canonical name.
    Workload {
        /// Its namespace.
        namespace: String,
        /// One of those names.
        name: String,
    },
    /// Somebody outside the mesh, who enters by this gateway: named as a workload is, or by the
    /// value of its `istio` label.
    Gateway {
        /// Its namespace.
        namespace: String,
        /// One of those names.
        name: String,
    },
    /// Somebody outside the mesh, without proxy or identity, who calls an instance directly.
    Outside,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How.
    pub scheme: CallScheme,
    /// The method; empty unless the call is of HTTP.
    pub method: String,
    /// The host as the application writes it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the port was written, and is thus part of the authority.
    pub has_port: bool,
    /// Path and query; empty unless the call is of HTTP.
    pub path_and_query: String,
}

/// How something is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallScheme {
    /// HTTP in clear text.
    Http,
    /// HTTP within TLS that the application itself begins.
    Https,
    /// Bytes.
    Tcp,
    /// TLS that the application itself begins, with bytes in it; the host is the name asked for.
    Tls,
}

/// Why a text is no call or caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallError(String);

impl Caller {
    /// Reads `namespace/name`, `name` (of namespace `default`) or `outside`.
    pub fn parse(text: &str) -> Result<Self, CallError> {
        if text == "outside" {
            return Ok(Self::Outside);
        }
        let (namespace, name) = named(text)?;
        Ok(Self::Workload { namespace, name })
    }

    /// Reads the name of a gateway: `namespace/name`, or `name` (of namespace `istio-system`).
    pub fn parse_gateway(text: &str) -> Result<Self, CallError> {
        let text = match text.contains('/') {
            true => text.to_owned(),
            false => format!("istio-system/{text}"),
        };
        let (namespace, name) = named(&text)?;
        Ok(Self::Gateway { namespace, name })
    }
}

fn named(text: &str) -> Result<(String, String), CallError> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    match namespace.is_empty() || name.is_empty() || name.contains('/') {
        true => Err(CallError(format!(
            "{text:?} names nobody: expected namespace/name"
        ))),
        false => Ok((namespace.to_owned(), name.to_owned())),
    }
}

impl Call {
    /// Reads `METHOD URL`, or a URL alone: `GET http://reviews:9080/reviews/0`,
    /// `tcp://mongo:27017`, `tls://example.com:443`.
    pub fn parse(text: &str) -> Result<Self, CallError> {
        let mut words = text.split_whitespace();
        let call = match (words.next(), words.next(), words.next()) {
            (Some(url), None, None) => Self::new("GET", url),
            (Some(method), Some(url), None) => Self::new(method, url),
            _ => Err(CallError(format!(
                "{text:?} is no call: expected METHOD URL"
            ))),
        }?;
        Ok(call)
    }

    /// A call of a URL. The method counts for `http` and `https` only.
    pub fn new(method: &str, url: &str) -> Result<Self, CallError> {
        let no_url = || {
            CallError(format!(
                "{url:?} is no URL: expected one such as http://reviews:9080/reviews/0"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(no_url)?;
        let (scheme, default_port) = match scheme {
            "http" => (CallScheme::Http, Some(80)),
            "https" => (CallScheme::Https, Some(443)),
            "tcp" => (CallScheme::Tcp, None),
            "tls" => (CallScheme::Tls, Some(443)),
            other => {
                let reason =
                    format!("{other:?} cannot be called: possible are http, https, tcp, tls");
                return Err(CallError(reason));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let (host, written) = split_port(authority).ok_or_else(no_url)?;
        let port = written.or(default_port);
        let port = port.ok_or_else(|| CallError(format!("{url:?} has no port")))?;
        if !is_host(host) || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(no_url());
        }
        let is_http = scheme.is_http();
        Ok(Self {
            scheme,
            method: if is_http { method } else { "" }.to_owned(),
            host: host.to_owned(),
            port,
            has_port: written.is_some(),
            path_and_query: match (is_http, path) {
                (false, _) => String::new(),
                (true, path) if path.starts_with('/') => path.to_owned(),
                (true, path) => format!("/{path}"),
            },
        })
    }

    /// What the application asks for: the host, and the port if it was written.
    pub fn authority(&self) -> String {
        match self.has_port {
            true => format!("{}:{}", self.host, self.port),
            false => self.host.clone(),
        }
    }
}

impl CallScheme {
    /// Whether requests are made.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether the application itself begins TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

impl fmt::Display for CallScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.method.is_empty() {
            write!(f, "{} ", self.method)?;
        }
        write!(f, "{}://{}", self.scheme, self.authority())?;
        f.write_str(&self.path_and_query)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Gateway { namespace, name } => write!(f, "gateway {namespace}/{name}"),
            Self::Outside => f.write_str("outside"),
        }
    }
}

/// Host and port of an authority; the brackets of an IPv6 address stay.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after_address..].rfind(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(after_address + colon);
            Some((host, Some(port[1..].parse().ok().filter(|port| *port > 0)?)))
        }
    }
}

/// A name as services and DNS have it, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let within = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match within {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
            !text.is_empty() && text.chars().all(is_part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_round_trip() {
        for text in [
            "GET http://reviews:9080/reviews/0",
            "POST https://a.example.com/x?y=z",
            "GET http://[fd00::1]:80/",
            "tcp://mongo:27017",
            "tls://a.example.com",
        ] {
            assert_eq!(Call::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Call::parse("http://a?b").unwrap().path_and_query, "/?b");
        assert_eq!(Call::parse("http://a#b").unwrap().path_and_query, "/");
    }

    #[test]
    fn what_is_no_call() {
        for text in [
            "",
            "GET",
            "GET http://",
            "GET http://a:0/",
            "GET http://a:b/",
            "tcp://a",
            "ftp://a:1",
            "GET http://a/ b",
            "http://me@a/",
            "http://[::1",
            "http://[a]/",
        ] {
            assert!(Call::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_are_one_word() {
        for url in ["http://a b/", "http://a/b c", "http://a/b\nc"] {
            assert!(Call::new("GET", url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn callers() {
        for (text, want) in [
            ("outside", Some("outside")),
            ("a", Some("default/a")),
            ("b/a", Some("b/a")),
            ("b/", None),
            ("/a", None),
            ("a/b/c", None),
        ] {
            let parsed = Caller::parse(text).ok().map(|caller| caller.to_string());
            assert_eq!(parsed.as_deref(), want, "{text}");
        }
        let gateway = Caller::parse_gateway("g").unwrap();
        assert_eq!(gateway.to_string(), "gateway istio-system/g");
    }
}
