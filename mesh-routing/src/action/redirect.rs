use http::StatusCode;
use mesh_core::dataplane::{self, PortRedirect, SchemeRedirect};

use super::{MatchedPath, check_status, rewrite::NewPath};
use crate::{CompileError, Defect, RequestHead, request::split_port};

/// An answer that sends the caller elsewhere.
#[derive(Debug)]
pub struct Redirect {
    status: StatusCode,
    planned: dataplane::Redirect,
    path: Option<NewPath>,
}

impl Redirect {
    /// Prepares a redirect. Refuses a status that is none.
    pub fn compile(redirect: &dataplane::Redirect) -> Result<Self, CompileError> {
        check_status(redirect.status, 300..=399).map_err(|error| error.within("status"))?;
        Ok(Self {
            status: StatusCode::from_u16(redirect.status)
                .map_err(|_| Defect::Status(redirect.status))?,
            path: NewPath::compile(redirect.path.as_ref())?,
            planned: redirect.clone(),
        })
    }

    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The `location` to answer with.
    pub fn location(&self, head: &RequestHead<'_>, matched: &MatchedPath<'_>) -> String {
        let scheme = match &self.planned.scheme {
            SchemeRedirect::Keep => head.scheme,
            SchemeRedirect::Https => "https",
            SchemeRedirect::To(scheme) => scheme,
        };
        let mut location = format!("{scheme}://");
        self.push_authority(&mut location, scheme, head.authority);
        match &self.path {
            Some(path) => location.push_str(&path.apply(matched)),
            None => location.push_str(head.path),
        }
        if let Some(query) = head.query
            && !self.planned.strip_query
            && !location.contains('?')
        {
            location.push('?');
            location.push_str(query);
        }
        location
    }

    /// Without a port of its own a redirect keeps the caller's, except where the host or the scheme
    /// changes and the port said nothing but the old scheme.
    fn push_authority(&self, location: &mut String, scheme: &str, authority: &str) {
        let (old_host, old_port) = split_port(authority);
        location.push_str(self.planned.host.as_deref().unwrap_or(old_host));
        let own = |port: &str| matches!((scheme, port), ("http", "80") | ("https", "443"));
        let other = |port: &str| matches!((scheme, port), ("http", "443") | ("https", "80"));
        let port = match self.planned.port {
            Some(PortRedirect::To(port)) => Some(port.to_string()).filter(|port| !own(port)),
            Some(PortRedirect::FromRequest) => {
                old_port.map(str::to_owned).filter(|port| !own(port))
            }
            None if self.planned.host.is_some() => None,
            None => old_port.map(str::to_owned).filter(|port| {
                self.planned.scheme == SchemeRedirect::Keep || !(own(port) || other(port))
            }),
        };
        if let Some(port) = port {
            location.push(':');
            location.push_str(&port);
        }
    }
}
