//! Switching a connection to another protocol, such as WebSocket.

use std::rc::Rc;

use http::{Method, Response, StatusCode, Version, header, request::Parts};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::TokioIo;

use super::failure::Failure;
use crate::{tcp, worker::Worker};

/// A wish to switch protocols.
pub(super) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// The wish of a request, if it has one. A protocol that the listener does not offer is refused
    /// with 403, as by Envoy.
    pub(super) fn asked_for(head: &mut Parts, offered: &[String]) -> Result<Option<Self>, Failure> {
        // No listener offers tunnels, so none is begun: neither here nor, by mistake, further on.
        if head.method == Method::CONNECT {
            return Err(Failure::UpgradeRefused);
        }
        let connection = head
            .headers
            .get(header::CONNECTION)
            .and_then(|value| value.to_str().ok());
        let wants = connection.is_some_and(|value| {
            value
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        });
        let Some(protocol) = head.headers.get(header::UPGRADE).filter(|_| wants) else {
            return Ok(None);
        };
        // HTTP/2 in clear text is spoken by prior knowledge; the offer to switch is ignored.
        if head.version != Version::HTTP_11 || protocol.as_bytes().eq_ignore_ascii_case(b"h2c") {
            return Ok(None);
        }
        let known = offered
            .iter()
            .any(|name| protocol.as_bytes().eq_ignore_ascii_case(name.as_bytes()));
        if !known {
            return Err(Failure::UpgradeRefused);
        }
        Ok(head.extensions.remove::<OnUpgrade>().map(Self))
    }

    /// Ties both sides together once both have switched. Says whether the instance agreed to.
    /// The connection counts as open until then.
    pub(super) fn complete(self, response: &mut Response<Incoming>, worker: &Rc<Worker>) -> bool {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return false;
        }
        let upstream = on(response);
        let open = worker.count_connection();
        tokio::task::spawn_local(async move {
            let _open = open;
            if let (Ok(downstream), Ok(upstream)) = tokio::join!(self.0, upstream) {
                let (downstream, upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
                let _ = tcp::relay(downstream, upstream, None, &tcp::Relayed::default()).await;
            }
        });
        true
    }
}
