use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_core::dataplane::Cluster;

use super::{
    Host,
    host::{Connecting, ConnectionFacts, Http1Connection, Http2Connection, speaks_http2},
};
use crate::http::{AttemptBody, Failure};

/// A connection to an instance, for one request.
pub(crate) enum Lease {
    /// Given back when the answer is complete; dropped, it closes.
    Http1 {
        connection: Http1Connection,
        host: Rc<Host>,
        fresh: bool,
    },
    Http2(Http2Connection),
}

impl Lease {
    /// Takes an idle connection, or opens one.
    pub(crate) async fn of(
        host: &Rc<Host>,
        connecting: &Connecting<'_>,
        downstream: http::Version,
    ) -> Result<Self, Failure> {
        if speaks_http2(connecting.cluster.protocol, downstream) {
            return Ok(Self::Http2(host.shared_http2(connecting).await?));
        }
        let mut waiting = None;
        loop {
            while let Some(mut connection) = host.idle_http1(connecting.cluster) {
                if connection.sender.ready().await.is_ok() {
                    return Ok(Self::Http1 {
                        connection,
                        host: host.clone(),
                        fresh: false,
                    });
                }
            }
            if waiting.is_none() {
                waiting = Some(connecting.wait()?);
            }
            let limits = &connecting.cluster.limits;
            let Some(place) = host.admit_connection(connecting.breaker, limits) else {
                host.until_freed().await;
                continue;
            };
            return Ok(Self::Http1 {
                connection: host.open_http1(connecting, place).await?,
                host: host.clone(),
                fresh: true,
            });
        }
    }

    pub(crate) fn facts(&self) -> &Rc<ConnectionFacts> {
        match self {
            Self::Http1 { connection, .. } => &connection.facts,
            Self::Http2(connection) => &connection.facts,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the connection had carried requests before: if it fails at once, the other end may
    /// just have closed it.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1 { fresh, .. } => !fresh,
            Self::Http2(_) => true,
        }
    }

    /// Sends the request and waits for the head of the answer. Of a failed request it is
    /// known whether anything was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let sent = match self {
            Self::Http1 { connection, .. } => {
                connection.count_request();
                connection.sender.try_send_request(request).await
            }
            Self::Http2(connection) => connection.sender.try_send_request(request).await,
        };
        sent.map_err(|mut error| SendError {
            unsent: error.take_message().is_some(),
            reason: chain(error.error()),
        })
    }

    /// The answer is complete.
    pub(crate) fn finish(self, cluster: &Cluster) {
        if let Self::Http1 {
            connection, host, ..
        } = self
        {
            host.give_back(connection, cluster);
        }
    }
}

/// Why there is no answer.
pub(crate) struct SendError {
    /// Whether none of the request was written.
    pub(crate) unsent: bool,
    /// What the connection said.
    pub(crate) reason: String,
}

/// An error and its causes, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
