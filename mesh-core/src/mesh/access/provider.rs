//! Who decides for CUSTOM policies: what `extensionProviders` of the mesh say of them.

use std::{collections::BTreeMap, time::Duration};

use super::pattern::pattern;
use crate::{
    config::istio::{ExtAuthzGrpcProvider, ExtAuthzHttpProvider, ExtAuthzRequestBody},
    name::{Host, Pattern},
};

/// Somebody outside who decides whether a call may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorizerProvider {
    /// The namespace of the service, where it is said.
    pub namespace: Option<String>,
    /// The host of the service, in full.
    pub host: Host,
    /// The port of the service.
    pub port: u16,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// What is asked about passes when there is no answer.
    pub fail_open: bool,
    /// The status of the answer to a caller when there is no answer; none for 403.
    pub status_on_error: Option<u16>,
    /// Choose the route anew when the answer changed the request.
    pub clear_route_cache: bool,
    /// How much of the body is shown, if any of it.
    pub body: Option<ExtAuthzRequestBody>,
    /// What it speaks.
    pub protocol: AuthorizerProtocol,
}

/// What somebody who decides speaks.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthorizerProtocol {
    /// Envoy's gRPC protocol of authorization.
    Grpc,
    /// HTTP: it is sent the head of each request.
    Http(AuthorizerHttp),
}

/// What is sent to, and taken from, who decides by HTTP.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuthorizerHttp {
    /// What is put before the path.
    pub path_prefix: String,
    /// The names of headers that are sent.
    pub sent_headers: Vec<Pattern>,
    /// Headers that are added to what is sent.
    pub added_headers: BTreeMap<String, String>,
    /// Headers of the answer that the request gets when it may pass.
    pub to_upstream_on_allow: Vec<Pattern>,
    /// Headers of the answer that the caller gets when the request may pass.
    pub to_downstream_on_allow: Vec<Pattern>,
    /// Headers of the answer that the caller gets when the request may not pass.
    pub to_downstream_on_deny: Vec<Pattern>,
}

/// Istio's wait for an answer: so long that the service's own timeout counts.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What is wrong with a definition: the field and why.
type Wrong = (&'static str, String);

impl AuthorizerProvider {
    /// What a definition of a service that is asked by HTTP means.
    pub(in crate::mesh) fn of_http(written: &ExtAuthzHttpProvider) -> Result<Self, Wrong> {
        if !written.path_prefix.is_empty() && !written.path_prefix.starts_with('/') {
            return Err(("pathPrefix", "must begin with /".to_owned()));
        }
        let both = [
            &written.include_headers_in_check,
            &written.include_request_headers_in_check,
        ];
        // The first is the older name of the second, and is read where only it is written.
        let sent = both.into_iter().rfind(|names| !names.is_empty());
        let sent = sent.map(Vec::as_slice).unwrap_or_default();
        let on_allow = &written.headers_to_downstream_on_allow;
        let on_deny = &written.headers_to_downstream_on_deny;
        let protocol = AuthorizerHttp {
            path_prefix: written.path_prefix.clone(),
            sent_headers: headers("includeRequestHeadersInCheck", sent)?,
            added_headers: written.include_additional_headers_in_check.clone(),
            to_upstream_on_allow: headers(
                "headersToUpstreamOnAllow",
                &written.headers_to_upstream_on_allow,
            )?,
            to_downstream_on_allow: headers("headersToDownstreamOnAllow", on_allow)?,
            to_downstream_on_deny: headers("headersToDownstreamOnDeny", on_deny)?,
        };
        let (namespace, host) = service(&written.service)?;
        Ok(Self {
            namespace,
            host,
            port: port(written.port)?,
            timeout: written.timeout.map_or(TIMEOUT, |timeout| timeout.0),
            fail_open: written.fail_open,
            status_on_error: status(&written.status_on_error)?,
            clear_route_cache: written.clear_route_cache,
            body: body(written.include_request_body_in_check.as_ref())?,
            protocol: AuthorizerProtocol::Http(protocol),
        })
    }

    /// What a definition of a service that is asked over gRPC means.
    pub(in crate::mesh) fn of_grpc(written: &ExtAuthzGrpcProvider) -> Result<Self, Wrong> {
        let (namespace, host) = service(&written.service)?;
        Ok(Self {
            namespace,
            host,
            port: port(written.port)?,
            timeout: written.timeout.map_or(TIMEOUT, |timeout| timeout.0),
            fail_open: written.fail_open,
            status_on_error: status(&written.status_on_error)?,
            clear_route_cache: written.clear_route_cache,
            body: body(written.include_request_body_in_check.as_ref())?,
            protocol: AuthorizerProtocol::Grpc,
        })
    }
}

/// `[<namespace>/]<host>`.
fn service(written: &str) -> Result<(Option<String>, Host), Wrong> {
    let (namespace, host) = match written.split_once('/') {
        Some((namespace, host)) => (Some(namespace.to_owned()), host),
        None => (None, written),
    };
    match host.parse::<Host>() {
        Ok(parsed) if !host.starts_with('*') => Ok((namespace, parsed)),
        Ok(_) => Err(("service", format!("{host} is no single host"))),
        Err(error) => Err(("service", error.to_string())),
    }
}

fn port(written: u32) -> Result<u16, Wrong> {
    let port = u16::try_from(written).ok().filter(|port| *port > 0);
    port.ok_or_else(|| ("port", format!("{written} is none of 1 to 65535")))
}

fn status(written: &str) -> Result<Option<u16>, Wrong> {
    match written.parse() {
        _ if written.is_empty() => Ok(None),
        Ok(status) if (200..600).contains(&status) => Ok(Some(status)),
        _ => Err(("statusOnError", format!("{written} is no status"))),
    }
}

fn body(written: Option<&ExtAuthzRequestBody>) -> Result<Option<ExtAuthzRequestBody>, Wrong> {
    match written {
        Some(body) if body.max_request_bytes == 0 => {
            let field = "includeRequestBodyInCheck.maxRequestBytes";
            Err((field, "must be more than 0".to_owned()))
        }
        other => Ok(other.cloned()),
    }
}

/// Names of headers, without regard to case: exact, or with a `*` at one end.
fn headers(field: &'static str, written: &[String]) -> Result<Vec<Pattern>, Wrong> {
    let each = written.iter().map(|name| match name.as_str() {
        "" | "*" => Err((field, format!("{name:?} names no header"))),
        name => Ok(pattern(&name.to_ascii_lowercase())),
    });
    each.collect()
}
