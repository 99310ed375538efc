use std::{collections::BTreeMap, net::SocketAddr};

use http::{HeaderMap, Method};
use mesh_core::identity::SpiffeId;

/// A connection that reaches a proxy.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// The port it is accepted on.
    pub accepted_on: u16,
    /// The other end.
    pub source: SocketAddr,
    /// The address it was meant for.
    pub meant_for: SocketAddr,
    /// TLS that the caller begins.
    pub hello: Option<&'a Hello>,
    /// What is in it.
    pub payload: Payload<'a>,
    /// One draw, of which every decision takes its own.
    pub seed: u64,
    /// When it arrives, in seconds since 1970, where that is known.
    pub time: Option<u64>,
    /// The claims of a token that was verified elsewhere.
    pub claims: Option<&'a BTreeMap<String, serde_json::Value>>,
    /// What somebody outside says who is asked whether it may pass.
    pub providers_allow: bool,
}

/// What a caller says when it begins TLS, and shows when asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name it asks for.
    pub server_name: Option<String>,
    /// The protocols it offers, best first.
    pub alpn: Vec<String>,
    /// The identity it can prove.
    pub identity: Option<SpiffeId>,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// One request.
    Request(&'a Request),
    /// Bytes that are no HTTP.
    Bytes,
}

/// A request without its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The host that is asked for, and perhaps a port.
    pub authority: String,
    /// The path without its query.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// The headers, without `host`.
    pub headers: HeaderMap,
    /// It travels as HTTP/2.
    pub http2: bool,
}

impl Request {
    /// Path and query as they stand in a request line.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}
